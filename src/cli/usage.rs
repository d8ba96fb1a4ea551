//! `bkg usage`: what was used.

use clap::Args;
use messages::usage::{Usage as Report, UsageRow};
use serde_json::Value;

use super::{
    CliError,
    client::{Client, segment},
    plain::plain,
    say,
};
use crate::settings::Settings;

/// What was used, and by whom.
#[derive(Debug, Args)]
pub(super) struct Usage {
    /// The first day, such as 2026-11-01 [default: the first of the month].
    #[arg(long)]
    from: Option<String>,
    /// The last day [default: today].
    #[arg(long)]
    to: Option<String>,
    /// What to tell apart: day, key, user, model, route, status.
    #[arg(long, value_name = "NAMES", default_value = "day,key,model")]
    by: String,
    /// Only this key.
    #[arg(long)]
    key: Option<String>,
    /// Only this model.
    #[arg(long)]
    model: Option<String>,
}

impl Usage {
    fn path(&self) -> String {
        let mut path = format!("/admin/usage?group_by={}", segment(&self.by));
        let named = [
            ("from", &self.from),
            ("to", &self.to),
            ("key", &self.key),
            ("model", &self.model),
        ];
        for (name, value) in named {
            if let Some(value) = value {
                path += &format!("&{name}={}", segment(value));
            }
        }
        path
    }
}

pub(super) async fn run(settings: &Settings, command: Usage, json: bool) -> Result<(), CliError> {
    let client = Client::connect(settings, &["apikeys"]).await?;
    let done = perform(&client, &command.path(), json).await;
    client.close().await;
    done
}

async fn perform(client: &Client, path: &str, json: bool) -> Result<(), CliError> {
    if json {
        return say(client.get::<Value>(path).await?);
    }
    let report: Report = client.get(path).await?;
    for row in &report.usage {
        show(&plain(&names(row)), row)?;
    }
    show("total", &report.total)
}

fn names(row: &UsageRow) -> String {
    let model = row.model.as_deref().map(|model| match model {
        "" => "-",
        model => model,
    });
    let parts = [
        row.day.map(|day| day.to_string()),
        row.key.clone(),
        row.user.clone(),
        model.map(str::to_owned),
        row.route.clone(),
        row.status.map(|status| status.to_string()),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    parts.join(" ")
}

fn show(names: &str, row: &UsageRow) -> Result<(), CliError> {
    say(format_args!(
        "{names:<48} {:>8} requests {:>12} tokens ({} in, {} out) {:>9.1} ms",
        row.requests, row.total_tokens, row.prompt_tokens, row.completion_tokens, row.mean_ms
    ))
}

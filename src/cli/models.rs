//! `bkg models`: lists the models and fetches them, with a progress bar.

use std::path::PathBuf;

use clap::Subcommand;
use futures_util::StreamExt;
use indicatif::{ProgressBar, ProgressStyle};
use messages::llmserver::{Model, PullProgress};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{CliError, client::Client, say};
use crate::settings::Settings;

#[derive(Debug, Subcommand)]
pub(super) enum Models {
    /// Lists the models that can be used now.
    List,
    /// Fetches a model and checks its hashes.
    Pull {
        /// The model's name, such as all-MiniLM-L6-v2.
        name: String,
        /// A directory to take it from, instead of the network.
        #[arg(long, value_name = "DIR")]
        from: Option<PathBuf>,
    },
}

#[derive(Deserialize)]
struct ModelList {
    data: Vec<Model>,
}

pub(super) async fn run(settings: &Settings, command: Models, json: bool) -> Result<(), CliError> {
    let client = Client::connect(settings, &["apikeys", "llmserver"]).await?;
    let done = match command {
        Models::List => list(&client, json).await,
        Models::Pull { name, from } => pull(&client, &name, from, json).await,
    };
    client.close().await;
    done
}

async fn list(client: &Client, json: bool) -> Result<(), CliError> {
    if json {
        return say(client.get::<Value>("/v1/models").await?);
    }
    for model in client.get::<ModelList>("/v1/models").await?.data {
        let task = serde_json::to_value(model.task).unwrap_or_default();
        let task = task.as_str().unwrap_or("?").to_owned();
        say(format_args!("{:<28} {task:<10} {}", model.id, model.engine))?;
    }
    Ok(())
}

async fn pull(
    client: &Client,
    name: &str,
    from: Option<PathBuf>,
    json: bool,
) -> Result<(), CliError> {
    // The gateway may have another working directory.
    let from = from.map(std::path::absolute).transpose();
    let from = from.map_err(|error| CliError::Io {
        what: "--from".to_owned(),
        error,
    })?;
    let body = json!({"name": name, "from": from});
    let mut events = Box::pin(client.events("/admin/models/pull", &body).await?);
    let bar = ProgressBar::no_length();
    if let Ok(style) = ProgressStyle::with_template("{msg:40!} {wide_bar} {bytes}/{total_bytes}") {
        bar.set_style(style);
    }
    while let Some(event) = events.next().await {
        let event = event.inspect_err(|_| bar.abandon())?;
        if json {
            say(&event)?;
        } else {
            show(&bar, &event)?;
        }
    }
    bar.finish_and_clear();
    if !json {
        eprintln!("{name} is ready");
    }
    Ok(())
}

fn show(bar: &ProgressBar, event: &Value) -> Result<(), CliError> {
    let progress =
        PullProgress::deserialize(event).map_err(|error| CliError::Answer(error.to_string()))?;
    bar.set_message(format!("{} {}", progress.stage, progress.item));
    if let Some(total) = progress.total {
        bar.set_length(total);
    }
    bar.set_position(progress.done);
    Ok(())
}

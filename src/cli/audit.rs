//! `bkg audit`: reads the audit log and proves that nobody has changed it.

use clap::Subcommand;
use messages::apikeys::{AuditEntry, AuditVerdict};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{CliError, client::Client, plain::plain, say};
use crate::settings::Settings;

#[derive(Debug, Subcommand)]
pub(super) enum Audit {
    /// Shows who changed what: the newest entries, oldest first.
    List {
        /// Begins after this entry.
        #[arg(long)]
        after: Option<u64>,
        /// How many entries at the most, 1 to 1000.
        #[arg(long, default_value_t = 100)]
        limit: u32,
        /// Entries of one action alone, such as key.create.
        #[arg(long)]
        action: Option<String>,
    },
    /// Checks every entry against the one before it; ends with 1 where the log is broken.
    Verify {
        /// The head that an earlier check printed: proves that nothing was cut off the end.
        #[arg(long)]
        head: Option<String>,
    },
}

#[derive(Deserialize)]
struct AuditList {
    entries: Vec<AuditEntry>,
}

pub(super) async fn run(settings: &Settings, command: Audit, json: bool) -> Result<(), CliError> {
    let client = Client::connect(settings, &["apikeys"]).await?;
    let done = perform(&client, command, json).await;
    client.close().await;
    done
}

async fn perform(client: &Client, command: Audit, json: bool) -> Result<(), CliError> {
    match command {
        Audit::List {
            after,
            limit,
            action,
        } => {
            let wish = json!({"after": after, "limit": limit, "action": action});
            let found: Value = client.get(&address("/admin/audit", &wish)).await?;
            if json {
                return say(found);
            }
            let found: AuditList = serde_json::from_value(found)
                .map_err(|error| CliError::Answer(error.to_string()))?;
            found.entries.iter().try_for_each(|entry| say(line(entry)))
        }
        Audit::Verify { head } => {
            let wish = json!({"head": head});
            let path = address("/admin/audit/verify", &wish);
            verify(client.get(&path).await?, json)
        }
    }
}

fn verify(verdict: AuditVerdict, json: bool) -> Result<(), CliError> {
    if json {
        say(json!(verdict))?;
    }
    match verdict.broken {
        Some(broken) => Err(CliError::Broken {
            seq: broken.seq,
            why: broken.why,
        }),
        None if json => Ok(()),
        None => say(format_args!(
            "whole: {} entries; head {}",
            verdict.entries, verdict.head
        )),
    }
}

fn line(entry: &AuditEntry) -> String {
    let address = entry.address.as_deref().unwrap_or("-");
    plain(&format!(
        "{:<6} {} {:<24} {:<10} {address:<15} {:<20} {} {}",
        entry.seq, entry.at, entry.actor, entry.user, entry.action, entry.target, entry.detail
    ))
    .into_owned()
}

/// A path with those of `wish` that are set as its query.
fn address(path: &str, wish: &Value) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    for (name, value) in wish.as_object().into_iter().flatten() {
        match value {
            Value::Null => {}
            Value::String(text) => {
                query.append_pair(name, text);
            }
            other => {
                query.append_pair(name, &other.to_string());
            }
        }
    }
    format!("{path}?{}", query.finish())
}

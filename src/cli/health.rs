//! `bkg health`: tells whether the gateway is well; exit 1 where it is not.

use serde_json::Value;

use super::{CliError, client::Client, say};
use crate::settings::Settings;

pub(super) async fn run(settings: &Settings, json: bool) -> Result<(), CliError> {
    let client = Client::running(settings)?;
    let health: Value = client.get("/health").await?;
    if json {
        say(&health)?;
    } else {
        print(&health)?;
    }
    match health.get("reason").and_then(Value::as_str) {
        None => Ok(()),
        Some(reason) => Err(CliError::NotReady(reason.to_owned())),
    }
}

fn print(health: &Value) -> Result<(), CliError> {
    let text = |key: &str| health.get(key).and_then(Value::as_str).unwrap_or("?");
    let seconds = health.get("uptime_seconds").and_then(Value::as_u64);
    let seconds = seconds.unwrap_or_default();
    say(format_args!(
        "{}  version {}  up {seconds} s",
        text("status"),
        text("version")
    ))?;
    super::plugins::print_table(health.get("plugins"))
}

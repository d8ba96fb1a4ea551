//! `bkg plugins`: lists, inspects, starts, stops, restarts and configures plugins.

use clap::Subcommand;
use messages::plugin::PluginState;
use serde_json::{Map, Value, json};

use super::{
    CliError,
    client::{Client, segment},
    say,
};
use crate::settings::Settings;

#[derive(Debug, Subcommand)]
pub(super) enum Plugins {
    /// Lists all plugins.
    List,
    /// Shows one plugin with its settings and where each comes from.
    Show { name: String },
    /// Starts a plugin.
    Start { name: String },
    /// Stops a plugin.
    Stop { name: String },
    /// Stops and starts a plugin.
    Restart { name: String },
    /// Changes settings of a plugin; `key=null` takes a change back.
    Set {
        name: String,
        /// Settings as key=JSON; what is not JSON is taken as text.
        #[arg(value_name = "KEY=VALUE")]
        settings: Vec<String>,
        /// Whether the gateway starts it from now on; `null` takes a change back.
        #[arg(long, value_parser = ["true", "false", "null"])]
        autostart: Option<String>,
    },
}

pub(super) async fn run(settings: &Settings, command: Plugins, json: bool) -> Result<(), CliError> {
    // What is changed is written down in the audit log.
    let needs: &[&str] = match command {
        Plugins::List | Plugins::Show { .. } => &[],
        _ => &["apikeys"],
    };
    let client = Client::connect(settings, needs).await?;
    let done = perform(&client, command, json).await;
    client.close().await;
    done
}

async fn perform(client: &Client, command: Plugins, json: bool) -> Result<(), CliError> {
    let path = |name: &str, rest: &str| format!("/admin/plugins/{}{rest}", segment(name));
    let nothing = json!({});
    let answer: Value = match command {
        Plugins::List => client.get("/admin/plugins").await?,
        Plugins::Show { name } => client.get(&path(&name, "")).await?,
        Plugins::Start { name } => client.post(&path(&name, "/start"), &nothing).await?,
        Plugins::Stop { name } => client.post(&path(&name, "/stop"), &nothing).await?,
        Plugins::Restart { name } => client.post(&path(&name, "/restart"), &nothing).await?,
        Plugins::Set {
            name,
            settings,
            autostart,
        } => {
            let autostart = autostart.map(|value| format!("autostart={value}"));
            let mut body = pairs(autostart.as_slice())?;
            body.insert("settings".to_owned(), pairs(&settings)?.into());
            client.put(&path(&name, "/config"), &body).await?
        }
    };
    if json {
        return say(answer);
    }
    match answer.get("plugins") {
        Some(plugins) => print_table(Some(plugins)),
        None => print_one(answer),
    }
}

fn pairs(settings: &[String]) -> Result<Map<String, Value>, CliError> {
    let pair = |text: &String| {
        let (key, value) = text
            .split_once('=')
            .ok_or_else(|| CliError::Input(format!("{text:?} is not of the form key=value")))?;
        let value = serde_json::from_str(value).unwrap_or_else(|_| Value::from(value));
        Ok((key.to_owned(), value))
    };
    settings.iter().map(pair).collect()
}

fn print_one(answer: Value) -> Result<(), CliError> {
    let settings = answer.get("settings").cloned();
    print_table(Some(&Value::Array(vec![answer])))?;
    for (key, setting) in settings.iter().flat_map(Value::as_object).flatten() {
        let part = |name: &str| setting.get(name).cloned().unwrap_or_default();
        say(format_args!(
            "  {key} = {}  ({})",
            part("value"),
            part("source").as_str().unwrap_or("?")
        ))?;
    }
    Ok(())
}

/// Prints plugins as a table.
pub(super) fn print_table(plugins: Option<&Value>) -> Result<(), CliError> {
    let plugins: Vec<PluginState> = plugins
        .cloned()
        .map(serde_json::from_value)
        .transpose()
        .map_err(|error| CliError::Answer(error.to_string()))?
        .unwrap_or_default();
    say(format_args!(
        "{:<12} {:<11} {:>4} {:>8} {:>9} {:>7} {:>7} {:>9}",
        "plugin", "state", "life", "restarts", "in flight", "served", "failed", "p99 ms"
    ))?;
    for plugin in plugins {
        say(format_args!(
            "{:<12} {:<11} {:>4} {:>8} {:>9} {:>7} {:>7} {:>9.2}",
            plugin.name,
            word(&plugin),
            plugin.generation,
            plugin.restarts,
            plugin.calls.in_flight,
            plugin.calls.served,
            plugin.calls.failed,
            plugin.latency.p99_ms
        ))?;
        for (what, text) in [("reason", plugin.reason), ("last panic", plugin.last_panic)] {
            if let Some(text) = text {
                say(format_args!("  {what}: {text}"))?;
            }
        }
    }
    Ok(())
}

fn word(plugin: &PluginState) -> String {
    let state = serde_json::to_value(plugin.state).unwrap_or_default();
    let state = state.as_str().unwrap_or("?");
    match plugin.hanging {
        true => format!("{state}, hangs"),
        false => state.to_owned(),
    }
}

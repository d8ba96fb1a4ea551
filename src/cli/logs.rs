//! `bkg logs`: the log of all plugins, so far or as it happens.

use clap::Args;
use futures_util::StreamExt;
use messages::log_record::LogRecord;
use serde::Deserialize;
use tokio::net::UnixStream;
use tokio_tungstenite::{client_async, tungstenite::Message};

use super::{CliError, client::segment, say};
use crate::settings::Settings;

#[derive(Debug, Args)]
pub(super) struct Logs {
    /// Goes on as long as the gateway does.
    #[arg(long, short)]
    follow: bool,
    /// One plugin's lines; the gateway's own are `bkg`.
    #[arg(long)]
    plugin: Option<String>,
    /// The least level: error, warn, info, debug or trace.
    #[arg(long)]
    level: Option<String>,
}

/// What the gateway sends.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Frame {
    Hello {},
    Records { records: Vec<LogRecord> },
    Gap { from: u64, to: u64, count: u64 },
}

pub(super) async fn run(settings: &Settings, logs: Logs, json: bool) -> Result<(), CliError> {
    let stream = UnixStream::connect(settings.socket())
        .await
        .map_err(|_| CliError::NotRunning(settings.data_dir.clone()))?;
    let filters = [("plugin", &logs.plugin), ("level", &logs.level)];
    let filters = filters.into_iter().filter_map(|(name, value)| {
        let value = value.as_deref()?;
        Some(format!("&{name}={}", segment(value)))
    });
    // An epoch that is nobody's asks for everything that is still kept.
    let follow = if logs.follow { "" } else { "&follow=false" };
    let url = format!(
        "ws://localhost/ws/logs?epoch=none&after=0{follow}{}",
        filters.collect::<String>()
    );
    let (mut socket, _) = client_async(url, stream).await.map_err(refused)?;
    while let Some(message) = socket.next().await {
        match message.map_err(Box::new)? {
            Message::Text(text) => print(&text, json)?,
            Message::Close(_) => break,
            _ => (),
        }
    }
    Ok(())
}

fn refused(error: tokio_tungstenite::tungstenite::Error) -> CliError {
    use tokio_tungstenite::tungstenite::Error;
    let Error::Http(response) = &error else {
        return Box::new(error).into();
    };
    let body = response.body().as_deref().unwrap_or_default();
    let body: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let said = body
        .pointer("/error/message")
        .and_then(|text| text.as_str());
    CliError::Refused {
        status: response.status().as_u16(),
        message: said.unwrap_or("the gateway refused").to_owned(),
    }
}

fn print(text: &str, json: bool) -> Result<(), CliError> {
    if json {
        return say(text);
    }
    let frame = serde_json::from_str(text);
    match frame.map_err(|error| CliError::Answer(error.to_string()))? {
        Frame::Hello { .. } => Ok(()),
        Frame::Gap { from, to, count } => {
            say(format_args!("--- {count} lines lost ({from} to {to})"))
        }
        Frame::Records { records } => records.iter().try_for_each(line),
    }
}

fn line(record: &LogRecord) -> Result<(), CliError> {
    let level = format!("{:?}", record.level).to_uppercase();
    say(format_args!(
        "{:.3} {level:<5} {:<10} {}",
        record.ts, record.plugin, record.message
    ))
}

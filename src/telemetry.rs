//! The log, one back end for the terminal and the live view; and the way of spans to a collector.

mod otlp;

use std::io;

use actix::Arbiter;
use logbroker::{Format, InstallError, Intake, Limits, LogBroker, Ring};
use messages::fault::panic_text;

pub(crate) use self::otlp::{ExportFigures, Exporter, Finished, TargetError};
use crate::settings::{self, Settings};

/// The plugins' targets in the log.
const PLUGINS: [&str; 3] = ["apikeys", "brainml", "llmserver"];

/// What is logged by a subcommand's own short-lived gateway: nobody watches it, so only what a
/// person must know.
const QUIET: &str = "warn";

/// The running log, and whoever sends spans.
#[derive(Debug)]
pub(crate) struct Telemetry {
    ring: Ring,
    exporter: Option<Exporter>,
    _broker: Arbiter,
}

impl Telemetry {
    /// Starts the broker and takes over the `log` crate. A second gateway in the same process (a
    /// bench or a test) leaves the first one's back end in place.
    pub(crate) fn start(settings: &Settings, everyone: bool) -> Result<Self, TelemetryError> {
        let log = &settings.log;
        let limits = Limits {
            records: log.keep,
            ..Limits::default()
        };
        let (intake, ring) = LogBroker::ends(limits);
        let filter = if everyone { &log.filter } else { QUIET };
        install(filter, log.format, &intake)?;
        log_panics();
        let broker = LogBroker::start(intake, ring.clone())?;
        // A subcommand's few requests are nobody's traffic.
        let exporter = match everyone {
            true => Exporter::start(&settings.telemetry)?,
            false => None,
        };
        Ok(Self {
            ring,
            exporter,
            _broker: broker,
        })
    }

    /// Where spans are handed over, if a collector wants them.
    pub(crate) fn exporter(&self) -> Option<Exporter> {
        self.exporter.clone()
    }

    /// Sends the last spans.
    pub(crate) async fn close(&self) {
        if let Some(exporter) = &self.exporter {
            exporter.close().await;
        }
    }

    /// What the sockets read.
    pub(crate) fn ring(&self) -> Ring {
        self.ring.clone()
    }
}

fn install(filter: &str, format: settings::LogFormat, intake: &Intake) -> Result<(), InstallError> {
    let format = match format {
        settings::LogFormat::Text => Format::Text,
        settings::LogFormat::Json => Format::Json,
    };
    match logbroker::install(filter, format, &PLUGINS, intake.clone()) {
        Err(InstallError::Installed(_)) => Ok(()),
        other => other,
    }
}

/// A panic is a line in the log like any other, with the plugin's tag and the place; whoever
/// catches it says what becomes of it.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let text = panic_text(panic.payload());
        let place = panic.location().map(ToString::to_string);
        log::error!("panic at {}: {text}", place.as_deref().unwrap_or("?"));
    }));
}

/// Why the log or the traces did not start.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter is wrong.
    #[error("settings: log.filter: {0}")]
    Filter(#[from] InstallError),
    /// What the settings say of the collector cannot be used.
    #[error(transparent)]
    Collector(#[from] TargetError),
    /// There is no thread for the broker.
    #[error("the log broker's thread: {0}")]
    Thread(#[from] io::Error),
}

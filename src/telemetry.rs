//! The log: one back end for the terminal and the live view.

use std::io;

use actix::Arbiter;
use logbroker::{Format, InstallError, Intake, Limits, LogBroker, Ring};
use messages::fault::panic_text;

use crate::settings;

/// The plugins' targets in the log.
const PLUGINS: [&str; 3] = ["apikeys", "brainml", "llmserver"];

/// What is logged by a subcommand's own short-lived gateway: nobody watches it, so only what a
/// person must know.
const QUIET: &str = "warn";

/// The running log.
#[derive(Debug)]
pub(crate) struct Telemetry {
    ring: Ring,
    _broker: Arbiter,
}

impl Telemetry {
    /// Starts the broker and takes over the `log` crate. A second gateway in the same process (a
    /// bench or a test) leaves the first one's back end in place.
    pub(crate) fn start(log: &settings::Log, everyone: bool) -> Result<Self, TelemetryError> {
        let limits = Limits {
            records: log.keep,
            ..Limits::default()
        };
        let (intake, ring) = LogBroker::ends(limits);
        let filter = if everyone { &log.filter } else { QUIET };
        install(filter, log.format, &intake)?;
        log_panics();
        let broker = LogBroker::start(intake, ring.clone())?;
        Ok(Self {
            ring,
            _broker: broker,
        })
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

/// Why the log did not start.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter is wrong.
    #[error("settings: log.filter: {0}")]
    Filter(#[from] InstallError),
    /// There is no thread for the broker.
    #[error("the log broker's thread: {0}")]
    Thread(#[from] io::Error),
}

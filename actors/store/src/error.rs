//! What can go wrong while opening the database and while using it.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

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
        "the database {} is damaged: {what}; it was left untouched. `bkg restore BACKUP` puts a backup in its place and keeps the damaged one", .database.display()
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
    /// The disk fails under a write.
    #[error(
        "the disk that holds the database fails ({0}); what was to be written was not, reading goes on where it can"
    )]
    Unwritable(String),
    /// The disk fails under a read.
    #[error("the disk that holds the database fails ({0})")]
    Unreadable(String),
    /// The database is damaged; it is read-only until it has been restored.
    #[error(
        "the database is damaged ({0}) and is kept read-only; stop the gateway and put a backup in its place with `bkg restore BACKUP`"
    )]
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
        if message.contains("is locked") {
            return Some(Self::Busy(message.to_owned()));
        }
        is_failing(message).then(|| Self::Unreadable(message.to_owned()))
    }

    /// What a file beside the database said when it was written.
    pub(crate) fn of_file(path: &Path, error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full,
            _ => Self::Unwritable(format!("{}: {error}", path.display())),
        }
    }

    /// The same, where it was a write that failed: then a database that has become read-only, as
    /// file systems do after errors, is a failing disk too.
    pub(crate) fn of_write(self) -> Self {
        match self {
            Self::Unreadable(what) => Self::Unwritable(what),
            Self::Database(DieselError::DatabaseError(_, info))
                if info.message().contains("readonly database") =>
            {
                Self::Unwritable(info.message().to_owned())
            }
            other => other,
        }
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

/// Whether SQLite says that the system failed it.
fn is_failing(message: &str) -> bool {
    ["disk I/O error", "unable to open database file"]
        .iter()
        .any(|text| message.contains(text))
}

const BUSY_RETRY: Duration = Duration::from_secs(1);

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        let text = error.to_string();
        match error {
            StoreError::Refused(fault) => fault,
            StoreError::Full => Self::storage_full(text).with_code("storage_full"),
            StoreError::Unwritable(_) => Self::storage_failed(text).with_code("storage_failed"),
            StoreError::Unreadable(_) => Self::internal(text).with_code("storage_failed"),
            StoreError::Crashed(_) => Self::crashed(text),
            StoreError::Busy(_) => Self::overloaded(text).with_retry_after(BUSY_RETRY),
            StoreError::Damaged(_) => Self::internal(text).with_code("database_damaged"),
            StoreError::Database(_) => Self::internal(text),
        }
    }
}

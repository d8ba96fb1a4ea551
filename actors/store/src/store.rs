//! The handle that every plugin holds: closures over a connection, on threads that may block.

use std::{
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use diesel::{
    connection::{AnsiTransactionManager, TransactionManager},
    prelude::*,
    sql_query,
    sql_types::Text,
    sqlite::SqliteConnection,
};
use messages::fault::panic_text;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{
    StoreError,
    claim::Claim,
    pool::{Connections, READERS},
};

/// The database of one data directory. Clones share it; the last one gives the directory back.
#[derive(Debug, Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    writer: Connections,
    readers: Connections,
    write_turn: Arc<Semaphore>,
    read_turns: Arc<Semaphore>,
    backup_turn: Arc<Semaphore>,
    damage: OnceLock<String>,
    directory: PathBuf,
    // Last: released when the connections are closed.
    _claim: Claim,
}

impl Store {
    pub(crate) fn new(
        writer: Connections,
        readers: Connections,
        directory: PathBuf,
        claim: Claim,
    ) -> Self {
        let read_turns = usize::try_from(READERS).unwrap_or(1);
        Self {
            inner: Arc::new(Inner {
                writer,
                readers,
                write_turn: Arc::new(Semaphore::new(1)),
                read_turns: Arc::new(Semaphore::new(read_turns)),
                backup_turn: Arc::new(Semaphore::new(1)),
                damage: OnceLock::new(),
                directory,
                _claim: claim,
            }),
        }
    }

    /// The data directory that this store owns, as an absolute path.
    pub fn directory(&self) -> &Path {
        &self.inner.directory
    }

    /// Runs `work` on a connection that cannot write, on a thread of tokio's blocking pool. What
    /// it reads in one statement is consistent; several statements that must see the same moment
    /// belong in a `conn.transaction`.
    ///
    /// Dropping the future before a connection is free runs nothing; afterwards `work` goes on.
    ///
    /// # Errors
    /// What `work` answers, or why it could not run. A panic in it fails this call alone.
    pub async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut SqliteConnection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let turn = self.read_turn().await?;
        let store = self.clone();
        off_thread(turn, move || store.read_blocking(work)).await
    }

    /// Runs `work` in a transaction that holds the write lock from its start, on a thread of
    /// tokio's blocking pool. It is durable once the future is ready, and rolled back on an error
    /// or a panic. Writers take turns in the order in which they came.
    ///
    /// Dropping the future before the turn comes runs nothing; afterwards `work` goes on.
    ///
    /// # Errors
    /// As [`Store::read`], and [`StoreError::Damaged`] once damage has been found.
    pub async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut SqliteConnection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let turn = take_turn(&self.inner.write_turn).await?;
        let store = self.clone();
        off_thread(turn, move || store.write_blocking(work)).await
    }

    /// [`Store::read`] on the current thread, which must be one that may block.
    ///
    /// # Errors
    /// As [`Store::read`].
    pub fn read_blocking<T>(
        &self,
        work: impl FnOnce(&mut SqliteConnection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.run(&self.inner.readers, work)
    }

    /// [`Store::write`] on the current thread, which must be one that may block.
    ///
    /// # Errors
    /// As [`Store::write`].
    pub fn write_blocking<T>(
        &self,
        work: impl FnOnce(&mut SqliteConnection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        if let Some(damage) = self.inner.damage.get() {
            return Err(StoreError::Damaged(damage.clone()));
        }
        self.run(&self.inner.writer, |conn| in_transaction(conn, work))
            .map_err(StoreError::of_write)
    }

    /// Whether the database can be written: writes one page for good, and has the log's pages
    /// copied into the database as far as nobody reads them. Nothing less finds out that the disk
    /// is full or fails.
    ///
    /// # Errors
    /// Why it cannot.
    pub async fn health(&self) -> Result<(), StoreError> {
        let turn = take_turn(&self.inner.write_turn).await?;
        let store = self.clone();
        off_thread(turn, move || {
            store.write_blocking(touch)?;
            store
                .run(&store.inner.writer, checkpoint)
                .map_err(StoreError::of_write)
        })
        .await
    }

    /// Reads every page and checks the structure, which takes seconds a gigabyte. On damage the
    /// store turns read-only.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] with what was found, or why the check could not run.
    pub fn check_pages_blocking(&self) -> Result<(), StoreError> {
        self.read_blocking(|conn| match quick_check(conn)? {
            None => Ok(()),
            Some(damage) => Err(StoreError::Damaged(damage)),
        })
    }

    pub(crate) async fn read_turn(&self) -> Result<OwnedSemaphorePermit, StoreError> {
        take_turn(&self.inner.read_turns).await
    }

    /// One backup at a time.
    pub(crate) async fn backup_turn(&self) -> Result<OwnedSemaphorePermit, StoreError> {
        take_turn(&self.inner.backup_turn).await
    }

    fn run<T>(
        &self,
        connections: &Connections,
        work: impl FnOnce(&mut SqliteConnection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        // The connection lives inside: dropped while unwinding, the pool replaces it, and whatever
        // transaction was open on it is rolled back.
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            let mut conn = connections
                .get()
                .map_err(|why| StoreError::Busy(why.to_string()))?;
            work(&mut conn)
        }));
        let result = outcome.unwrap_or_else(|panic| Err(StoreError::Crashed(panic_text(&*panic))));
        if let Err(StoreError::Damaged(what)) = &result {
            self.mark_damaged(what);
        }
        result
    }

    fn mark_damaged(&self, what: &str) {
        if self.inner.damage.set(what.to_owned()).is_ok() {
            log::error!("the database is damaged and is read-only from now on: {what}");
        }
    }
}

/// As `immediate_transaction`, but what went wrong first is what is told: on a full disk SQLite
/// rolls back by itself, and diesel would report only that its own rollback found nothing to do.
fn in_transaction<T>(
    conn: &mut SqliteConnection,
    work: impl FnOnce(&mut SqliteConnection) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    AnsiTransactionManager::begin_transaction_sql(conn, "BEGIN IMMEDIATE")?;
    match work(conn) {
        Ok(value) => {
            AnsiTransactionManager::commit_transaction(conn)?;
            Ok(value)
        }
        Err(error) => {
            // If this fails the connection counts as broken, and the pool replaces it.
            if let Err(why) = AnsiTransactionManager::rollback_transaction(conn) {
                log::debug!("rolling back after {error}: {why}");
            }
            Err(error)
        }
    }
}

async fn take_turn(turns: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, StoreError> {
    let turn = Arc::clone(turns).acquire_owned().await;
    turn.map_err(|closed| StoreError::Busy(closed.to_string()))
}

/// Waiting for a turn costs a place in a queue, not a thread: thousands of waiting writers must
/// not use up the threads that readers need.
pub(crate) async fn off_thread<T: Send + 'static>(
    turn: OwnedSemaphorePermit,
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    let worker = tokio::task::spawn_blocking(move || {
        let result = work();
        drop(turn);
        result
    });
    match worker.await {
        Ok(result) => result,
        Err(lost) => match lost.try_into_panic() {
            Ok(panic) => resume_unwind(panic),
            Err(cancelled) => Err(StoreError::Busy(cancelled.to_string())),
        },
    }
}

/// Writes the header's free field as it is; SQLite does not skip that.
fn touch(conn: &mut SqliteConnection) -> Result<(), StoreError> {
    sql_query("PRAGMA user_version = 0").execute(conn)?;
    Ok(())
}

/// SQLite does this by itself at times, and keeps to itself that it failed.
fn checkpoint(conn: &mut SqliteConnection) -> Result<(), StoreError> {
    sql_query("PRAGMA wal_checkpoint(PASSIVE)").execute(conn)?;
    Ok(())
}

#[derive(QueryableByName)]
struct Finding {
    #[diesel(sql_type = Text)]
    quick_check: String,
}

/// The first thing that SQLite's structural check complains about.
pub(crate) fn quick_check(conn: &mut SqliteConnection) -> QueryResult<Option<String>> {
    let findings: Vec<Finding> = sql_query("PRAGMA quick_check(1)").load(conn)?;
    let finding = findings.into_iter().next().map(|row| row.quick_check);
    Ok(finding.filter(|text| text != "ok"))
}

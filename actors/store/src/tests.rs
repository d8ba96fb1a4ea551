//! The store from outside: what is refused, what is undone, what is left untouched.

mod opening;
mod using;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use diesel::{prelude::*, sql_query, sql_types::BigInt, sqlite::SqliteConnection};
use diesel_migrations::{FileBasedMigrations, MigrationHarness};
use messages::fault::{Fault, FaultKind};
use tempfile::TempDir;

use crate::{OpenError, Store, StoreError, migrate::EMBEDDED, operator};

pub(crate) fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// Every file of a directory with its bytes, without the lock, which names its process.
pub(crate) fn contents(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| !path.ends_with("bkg.lock"))
        .map(|path| (path.clone(), fs::read(&path).unwrap()))
        .collect()
}

/// Migrations named after their versions, in a directory of their own.
fn migrations(list: &[(&str, &str)]) -> (TempDir, FileBasedMigrations) {
    let directory = folder();
    for (name, up) in list {
        let own = directory.path().join(name);
        fs::create_dir(&own).unwrap();
        fs::write(own.join("up.sql"), up).unwrap();
        fs::write(own.join("down.sql"), "SELECT 1;").unwrap();
    }
    let source = FileBasedMigrations::from_path(directory.path()).unwrap();
    (directory, source)
}

/// Closes a store and waits until its last connection, which a thread of the pool may still hold
/// for a moment, has tidied the log away.
pub(crate) fn close(store: Store) {
    let log = store.directory().join("bkg.db-wal");
    drop(store);
    let closed = (0..5000).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(1));
        !log.exists()
    });
    assert!(closed, "the log is still there");
}

const NOTES: (&str, &str) = ("2026-01-01-000000_notes", "CREATE TABLE notes (id BIGINT);");

/// A store with a table `notes`.
fn noted(data: &Path) -> Store {
    let (_directory, source) = migrations(&[NOTES]);
    Store::open_with(data, &source).unwrap()
}

fn add_note(conn: &mut SqliteConnection) -> Result<(), StoreError> {
    sql_query("INSERT INTO notes VALUES (1)").execute(conn)?;
    Ok(())
}

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    count: i64,
}

fn notes(store: &Store) -> i64 {
    let count = store.read_blocking(|conn| {
        let row: Count = sql_query("SELECT count(*) AS count FROM notes").get_result(conn)?;
        Ok(row.count)
    });
    count.unwrap()
}

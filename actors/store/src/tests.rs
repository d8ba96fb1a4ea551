//! The store from outside: what is refused, what is undone, what is left untouched.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use diesel::{prelude::*, sql_query, sql_types::BigInt, sqlite::SqliteConnection};
use diesel_migrations::FileBasedMigrations;
use messages::fault::{Fault, FaultKind};
use tempfile::TempDir;

use crate::{OpenError, Store, StoreError, operator};

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// Every file of a directory with its bytes, without the lock, which names its process.
fn contents(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
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
fn close(store: Store) {
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

#[test]
fn a_second_store_on_the_same_directory_is_refused() {
    let data = folder();
    let first = Store::open(data.path()).unwrap();
    let refused = Store::open(data.path()).unwrap_err();
    assert!(matches!(refused, OpenError::Locked { .. }), "{refused}");
    assert_eq!(refused.exit_code(), 4);
    assert!(
        refused
            .to_string()
            .contains(&std::process::id().to_string())
    );
    close(first);
    Store::open(data.path()).unwrap();
}

#[test]
fn a_clean_stop_leaves_one_database_file() {
    let data = folder();
    close(Store::open(data.path()).unwrap());
    let files: Vec<PathBuf> = contents(data.path()).into_keys().collect();
    assert_eq!(files, [data.path().join("bkg.db")]);
}

#[test]
fn a_newer_schema_is_refused_and_left_alone() {
    let data = folder();
    let (_directory, newer) = migrations(&[NOTES, ("2999-01-01-000000_later", "SELECT 1;")]);
    close(Store::open_with(data.path(), &newer).unwrap());
    let before = contents(data.path());
    let (_directory, older) = migrations(&[NOTES]);
    let refused = Store::open_with(data.path(), &older).unwrap_err();
    assert!(matches!(&refused, OpenError::Newer { version, .. } if version == "29990101000000"));
    assert_eq!(refused.exit_code(), 2);
    assert_eq!(contents(data.path()), before);
}

/// Damages a database that was closed cleanly and expects it to be refused untouched.
fn refuses(damage: impl FnOnce(&mut Vec<u8>)) {
    let data = folder();
    let store = noted(data.path());
    let many = |conn: &mut SqliteConnection| (0..2000).try_for_each(|_| add_note(conn));
    store.write_blocking(many).unwrap();
    close(store);
    let database = data.path().join("bkg.db");
    let mut bytes = fs::read(&database).unwrap();
    damage(&mut bytes);
    fs::write(&database, &bytes).unwrap();
    assert_refused_untouched(data.path());
}

fn assert_refused_untouched(data: &Path) {
    let before = contents(data);
    let refused = Store::open(data).unwrap_err();
    assert!(matches!(refused, OpenError::Damaged { .. }), "{refused}");
    assert_eq!(refused.exit_code(), 3);
    assert_eq!(contents(data), before);
}

#[test]
fn a_damaged_header_is_refused() {
    refuses(|bytes| bytes[..16].fill(0));
}

#[test]
fn a_file_cut_short_is_refused() {
    refuses(|bytes| bytes.truncate(bytes.len() / 2));
    refuses(|bytes| bytes.truncate(60));
    refuses(|bytes| bytes.clear());
}

#[test]
fn a_page_of_rubbish_is_refused() {
    refuses(|bytes| {
        let end = bytes.len();
        bytes[end - 4096..].fill(0xA5);
    });
}

#[test]
fn a_log_without_its_database_is_refused() {
    let data = folder();
    fs::write(data.path().join("bkg.db-wal"), b"pages").unwrap();
    assert_refused_untouched(data.path());
}

/// What a `kill -9` leaves: database, log and the log's index.
fn crashed_copy(of: &Path) -> TempDir {
    let copy = folder();
    for (path, bytes) in contents(of) {
        fs::write(copy.path().join(path.file_name().unwrap()), bytes).unwrap();
    }
    copy
}

#[test]
fn committed_rows_survive_a_crash() {
    let data = folder();
    let store = noted(data.path());
    store.write_blocking(add_note).unwrap();
    let copy = crashed_copy(data.path());
    assert!(copy.path().join("bkg.db-wal").exists());
    assert_eq!(notes(&noted(copy.path())), 1);
}

#[test]
fn damage_beside_a_log_is_refused_and_leaves_no_trace() {
    let data = folder();
    let store = noted(data.path());
    store.write_blocking(add_note).unwrap();
    let copy = crashed_copy(data.path());
    let database = copy.path().join("bkg.db");
    let mut bytes = fs::read(&database).unwrap();
    bytes[16..].fill(0xA5);
    fs::write(&database, bytes).unwrap();
    assert_refused_untouched(copy.path());
    fs::remove_file(copy.path().join("bkg.db-shm")).unwrap();
    assert_refused_untouched(copy.path());
}

#[test]
fn a_failed_migration_undoes_all_of_them() {
    let data = folder();
    let store = noted(data.path());
    store.write_blocking(add_note).unwrap();
    close(store);
    let before = fs::read(data.path().join("bkg.db")).unwrap();
    let good = ("2026-01-02-000000_good", "CREATE TABLE more (id BIGINT);");
    let bad = (
        "2026-01-03-000000_bad",
        "ALTER TABLE notes ADD COLUMN a TEXT; SELECT nonsense;",
    );
    let (_directory, source) = migrations(&[NOTES, good, bad]);
    let failed = Store::open_with(data.path(), &source).unwrap_err();
    assert!(matches!(failed, OpenError::Migration { .. }), "{failed}");
    assert_eq!(failed.exit_code(), 2);
    assert!(failed.to_string().contains("20260103000000"), "{failed}");
    assert_eq!(fs::read(data.path().join("bkg.db")).unwrap(), before);
    assert_eq!(notes(&noted(data.path())), 1);
}

#[test]
fn a_failed_first_migration_leaves_nothing() {
    let data = folder();
    let (_directory, source) = migrations(&[("2026-01-01-000000_bad", "SELECT nonsense;")]);
    let failed = Store::open_with(data.path(), &source).unwrap_err();
    assert!(matches!(failed, OpenError::Migration { .. }), "{failed}");
    assert_eq!(contents(data.path()), BTreeMap::new());
}

#[test]
fn the_database_is_copied_before_it_is_migrated() {
    let data = folder();
    let store = noted(data.path());
    store.write_blocking(add_note).unwrap();
    close(store);
    let clear = ("2026-01-02-000000_clear", "DELETE FROM notes;");
    let (_directory, source) = migrations(&[NOTES, clear]);
    assert_eq!(notes(&Store::open_with(data.path(), &source).unwrap()), 0);
    let copy = data.path().join("bkg.db.before-20260102000000");
    let restored = folder();
    fs::copy(copy, restored.path().join("bkg.db")).unwrap();
    assert_eq!(notes(&noted(restored.path())), 1);
}

#[tokio::test]
async fn a_refused_write_is_rolled_back() {
    let data = folder();
    let store = noted(data.path());
    let refused = store.write(|conn| {
        add_note(conn)?;
        Err::<(), _>(Fault::conflict("no").into())
    });
    let fault = Fault::from(refused.await.unwrap_err());
    assert_eq!(fault, Fault::conflict("no"));
    assert_eq!(notes(&store), 0);
}

#[tokio::test]
async fn a_panic_fails_its_own_call_and_is_rolled_back() {
    let data = folder();
    let store = noted(data.path());
    for _ in 0..3 {
        let panicked = store.write(|conn| -> Result<(), StoreError> {
            add_note(conn)?;
            panic!("a bad row")
        });
        let fault = Fault::from(panicked.await.unwrap_err());
        assert_eq!(fault.kind, FaultKind::Crashed);
        assert!(fault.message.contains("a bad row"), "{fault}");
        store.write(add_note).await.unwrap();
    }
    assert_eq!(notes(&store), 3);
}

#[test]
fn readers_cannot_write() {
    let data = folder();
    let store = noted(data.path());
    let refused = store.read_blocking(add_note).unwrap_err();
    assert!(matches!(refused, StoreError::Database(_)), "{refused}");
    assert_eq!(notes(&store), 0);
}

#[test]
fn every_connection_has_the_settings() {
    #[derive(QueryableByName)]
    struct Found {
        #[diesel(sql_type = BigInt)]
        synchronous: i64,
    }
    let data = folder();
    let store = noted(data.path());
    let full = |conn: &mut SqliteConnection| {
        let row: Found = sql_query("PRAGMA synchronous").get_result(conn)?;
        Ok(row.synchronous)
    };
    assert_eq!(store.write_blocking(full).unwrap(), 2);
    assert_eq!(store.read_blocking(full).unwrap(), 2);
    let orphan = store.write_blocking(|conn| {
        sql_query("CREATE TABLE a (id BIGINT PRIMARY KEY)").execute(conn)?;
        sql_query("CREATE TABLE b (a BIGINT REFERENCES a)").execute(conn)?;
        sql_query("INSERT INTO b VALUES (7)").execute(conn)?;
        Ok(())
    });
    assert!(orphan.is_err());
}

#[tokio::test]
async fn a_full_disk_is_told_apart() {
    let data = folder();
    let store = noted(data.path());
    let full = store.write(|conn| {
        sql_query("PRAGMA max_page_count = 1").execute(conn)?;
        for _ in 0..10_000 {
            add_note(conn)?;
        }
        Ok(())
    });
    let fault = Fault::from(full.await.unwrap_err());
    assert_eq!(fault.kind, FaultKind::StorageFull, "{fault}");
    assert_eq!(notes(&store), 0);
    store.write(add_note).await.unwrap();
}

#[tokio::test]
async fn damage_found_later_makes_the_store_read_only() {
    let data = folder();
    let store = noted(data.path());
    store.health().await.unwrap();
    store.check_pages_blocking().unwrap();
    let found: Result<(), _> =
        store.read_blocking(|_| Err(StoreError::Damaged("page 7".to_owned())));
    assert!(found.is_err());
    let refused = store.write(add_note).await.unwrap_err();
    assert!(refused.to_string().contains("page 7"), "{refused}");
    assert!(store.health().await.is_err());
    assert_eq!(notes(&store), 0);
}

#[test]
fn an_operators_change_is_kept_until_it_is_cleared() {
    let data = folder();
    let settings = serde_json::json!({"model": "bkg-extract"});
    let mut change = operator::Change {
        plugin: "llmserver".to_owned(),
        settings: settings.as_object().cloned(),
        autostart: None,
        changed_at: 1,
    };
    let store = Store::open(data.path()).unwrap();
    store
        .write_blocking(|conn| operator::save(conn, &change))
        .unwrap();
    (change.autostart, change.changed_at) = (Some(false), 2);
    store
        .write_blocking(|conn| operator::save(conn, &change))
        .unwrap();
    close(store);
    let store = Store::open(data.path()).unwrap();
    assert_eq!(store.read_blocking(operator::load_all).unwrap(), [change]);
    let clear = |conn: &mut SqliteConnection| operator::clear(conn, "llmserver");
    assert!(store.write_blocking(clear).unwrap());
    assert!(!store.write_blocking(clear).unwrap());
    assert_eq!(store.read_blocking(operator::load_all).unwrap(), []);
}

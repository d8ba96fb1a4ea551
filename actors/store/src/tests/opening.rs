//! Opening: what is refused, and what it leaves.

use super::*;

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

#[cfg(unix)]
#[test]
fn only_the_owner_can_read_what_is_made() {
    use std::os::unix::fs::PermissionsExt;
    let parent = folder();
    let data = parent.path().join("data");
    close(noted(&data));
    let later = ("2026-01-02-000000_later", "SELECT 1;");
    let (_directory, source) = migrations(&[NOTES, later]);
    let store = Store::open_with(&data, &source).unwrap();
    store.write_blocking(add_note).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&data), 0o700);
    let files = contents(&data);
    assert_eq!(files.len(), 4, "{:?}", files.keys());
    for path in files.keys() {
        assert_eq!(mode(path), 0o600, "{}", path.display());
    }
}

#[test]
fn every_migration_can_be_undone_and_done_again() {
    let data = folder();
    let store = Store::open(data.path()).unwrap();
    let undone = store.write_blocking(|conn| {
        conn.revert_all_migrations(EMBEDDED).unwrap();
        conn.run_pending_migrations(EMBEDDED).unwrap();
        operator::load_all(conn)
    });
    assert_eq!(undone.unwrap(), []);
}

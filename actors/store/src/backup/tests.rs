//! Backups from outside: what they hold, what is refused, what is left untouched.

use std::{collections::BTreeMap, os::unix::fs::symlink};

use tempfile::TempDir;

use super::*;
use crate::tests::{close, contents, folder};

/// A store with one plugin's change in it, which tells two states of the database apart.
fn stored(data: &Path, plugin: &str) -> Store {
    let store = Store::open(data).unwrap();
    let change = crate::operator::Change {
        plugin: plugin.to_owned(),
        settings: None,
        autostart: Some(true),
        changed_at: 1,
    };
    store
        .write_blocking(|conn| crate::operator::save(conn, &change))
        .unwrap();
    store
}

fn plugins(store: &Store) -> Vec<String> {
    let changes = store.read_blocking(crate::operator::load_all).unwrap();
    changes.into_iter().map(|change| change.plugin).collect()
}

/// A stopped data directory with `early` in its backup and `late` beside it in the database.
async fn backed_up() -> (TempDir, PathBuf) {
    let data = folder();
    let store = stored(data.path(), "early");
    fs::write(data.path().join(PLUGINS), r#"{"plugins":{}}"#).unwrap();
    let backup = store.back_up().await.unwrap();
    close(store);
    close(stored(data.path(), "late"));
    fs::write(data.path().join(PLUGINS), r#"{"plugins":{"late":{}}}"#).unwrap();
    let place = data.path().join(BACKUPS).join(backup.name);
    (data, place)
}

/// Every file of the live data, without backups.
fn live(data: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let files = fs::read_dir(data).unwrap().map(|entry| entry.unwrap());
    let files = files.filter(|entry| entry.file_type().unwrap().is_file());
    let files = files.filter(|entry| entry.file_name() != "bkg.lock");
    files
        .map(|entry| (entry.path(), fs::read(entry.path()).unwrap()))
        .collect()
}

#[tokio::test]
async fn a_restored_backup_is_the_past_and_the_present_is_kept_beside_it() {
    let (data, place) = backed_up().await;
    fs::create_dir(data.path().join(DERIVED)).unwrap();
    let restored = restore(data.path(), &place).unwrap();
    assert!(
        !data.path().join(DERIVED).exists(),
        "it does not fit any more"
    );
    let store = Store::open(data.path()).unwrap();
    assert_eq!(plugins(&store), ["early"]);
    close(store);
    let text = fs::read_to_string(data.path().join(PLUGINS)).unwrap();
    assert_eq!(text, r#"{"plugins":{}}"#);
    let before = folder();
    fs::copy(restored.kept.unwrap(), before.path().join(DATABASE)).unwrap();
    let store = Store::open(before.path()).unwrap();
    assert_eq!(plugins(&store), ["early", "late"]);
}

#[tokio::test]
async fn restores_within_one_second_keep_what_each_of_them_found() {
    let (data, place) = backed_up().await;
    let mut kept = Vec::new();
    for plugin in ["first", "second", "third"] {
        close(stored(data.path(), plugin));
        kept.push(restore(data.path(), &place).unwrap().kept.unwrap());
    }
    for (path, wanted) in kept.into_iter().zip([
        ["early", "first", "late"].as_slice(),
        &["early", "second"],
        &["early", "third"],
    ]) {
        let before = folder();
        fs::copy(path, before.path().join(DATABASE)).unwrap();
        let mut found = plugins(&Store::open(before.path()).unwrap());
        found.sort();
        assert_eq!(found, wanted);
    }
}

#[tokio::test]
async fn a_live_file_that_cannot_be_looked_at_is_not_taken_for_absent() {
    let (data, place) = backed_up().await;
    let live = data.path().join(PLUGINS);
    fs::remove_file(&live).unwrap();
    symlink(&live, &live).unwrap();
    restore(data.path(), &place).unwrap_err();
    fs::symlink_metadata(&live).expect("nothing took its place");
    assert!(fs::read(&live).is_err(), "nor its name");
    fs::remove_file(&live).unwrap();
    let store = Store::open(data.path()).unwrap();
    assert_eq!(plugins(&store), ["early"], "the restore is completed");
}

#[tokio::test]
async fn a_backup_goes_into_a_directory_that_was_never_used() {
    let (_data, place) = backed_up().await;
    let parent = folder();
    let data = parent.path().join("new");
    assert_eq!(restore(&data, &place).unwrap().kept, None);
    assert_eq!(plugins(&Store::open(&data).unwrap()), ["early"]);
}

#[tokio::test]
async fn a_log_that_was_left_by_a_crash_goes_aside_with_its_database() {
    let (data, place) = backed_up().await;
    let store = stored(data.path(), "logged");
    let crashed = folder();
    for (path, bytes) in live(data.path()) {
        fs::write(crashed.path().join(path.file_name().unwrap()), bytes).unwrap();
    }
    close(store);
    let kept = restore(crashed.path(), &place).unwrap().kept.unwrap();
    let store = Store::open(crashed.path()).unwrap();
    assert_eq!(plugins(&store), ["early"]);
    close(store);
    let before = folder();
    let log = format!("{}-wal", kept.display());
    fs::copy(&kept, before.path().join(DATABASE)).unwrap();
    fs::copy(log, before.path().join("bkg.db-wal")).unwrap();
    let store = Store::open(before.path()).unwrap();
    assert_eq!(plugins(&store), ["early", "late", "logged"]);
}

#[tokio::test]
async fn a_running_store_is_not_restored_over() {
    let (data, place) = backed_up().await;
    let store = Store::open(data.path()).unwrap();
    let refused = restore(data.path(), &place).unwrap_err();
    assert_eq!(refused.exit_code(), 4, "{refused}");
    assert_eq!(plugins(&store), ["early", "late"]);
}

/// Expects a backup to be refused, and nothing to have changed.
fn refuses(data: &Path, place: &Path, code: u8, what: &str) {
    let before = live(data);
    let refused = restore(data, place).unwrap_err();
    assert_eq!(refused.exit_code(), code, "{what}: {refused}");
    assert!(live(data) == before, "{what}: changed");
    assert!(!data.join("restore.staged").exists(), "{what}");
    let store = Store::open(data).unwrap();
    assert_eq!(plugins(&store), ["early", "late"], "{what}");
    close(store);
}

#[tokio::test]
async fn a_flipped_bit_anywhere_is_found() {
    let (data, place) = backed_up().await;
    for name in [DATABASE, PLUGINS, manifest::NAME] {
        let path = place.join(name);
        let whole = fs::read(&path).unwrap();
        for at in [0, whole.len() / 3, whole.len() / 2, whole.len() - 1] {
            let mut flipped = whole.clone();
            flipped[at] ^= 0x01;
            fs::write(&path, &flipped).unwrap();
            let refused = restore(data.path(), &place).unwrap_err();
            let code = refused.exit_code();
            let right = code == 3 || (name == manifest::NAME && code == 2);
            assert!(right, "{name} at {at}: {code} {refused}");
        }
        fs::write(&path, &whole[..whole.len() - 1]).unwrap();
        assert!(restore(data.path(), &place).is_err(), "{name} cut short");
        fs::write(&path, &whole).unwrap();
    }
    restore(data.path(), &place).unwrap();
}

#[tokio::test]
async fn missing_foreign_and_linked_files_are_refused() {
    let (data, place) = backed_up().await;
    let (database, elsewhere) = (place.join(DATABASE), folder());
    let away = elsewhere.path().join("away.db");
    fs::rename(&database, &away).unwrap();
    refuses(data.path(), &place, 3, "missing");
    symlink(&away, &database).unwrap();
    refuses(data.path(), &place, 3, "a link");
    fs::remove_file(&database).unwrap();
    fs::create_dir(&database).unwrap();
    refuses(data.path(), &place, 3, "a directory");
    fs::remove_dir(&database).unwrap();
    fs::rename(&away, &database).unwrap();
    fs::write(place.join("extra"), "more").unwrap();
    refuses(data.path(), &place, 3, "foreign");
    fs::remove_file(place.join("extra")).unwrap();
    fs::rename(place.join(manifest::NAME), &away).unwrap();
    refuses(data.path(), &place, 2, "no manifest");
    symlink(&away, place.join(manifest::NAME)).unwrap();
    refuses(data.path(), &place, 2, "a linked manifest");
    refuses(data.path(), elsewhere.path(), 2, "no backup");
    refuses(data.path(), &place.join("nowhere"), 2, "nothing");
}

/// Seals a manifest that says something else.
fn reseal(place: &Path, change: impl FnOnce(&mut Manifest)) {
    let mut manifest = Manifest::read(place).unwrap();
    change(&mut manifest);
    fs::write(place.join(manifest::NAME), manifest.seal().unwrap()).unwrap();
}

#[tokio::test]
async fn a_manifest_that_lists_files_elsewhere_writes_nothing_there() {
    let (data, place) = backed_up().await;
    let outside = place.parent().unwrap().join("outside");
    fs::write(&outside, "outside").unwrap();
    for name in [
        "../outside",
        "/etc/passwd",
        "bkg.db/../x",
        "",
        ".",
        "bkg.db\0",
    ] {
        reseal(&place, |manifest| manifest.files[1].name = name.to_owned());
        refuses(data.path(), &place, 3, name);
        reseal(&place, |manifest| {
            manifest.files[1].name = PLUGINS.to_owned()
        });
    }
    reseal(&place, |manifest| {
        manifest.files[1] = manifest.files[0].clone()
    });
    refuses(data.path(), &place, 3, "twice");
    assert_eq!(fs::read_to_string(outside).unwrap(), "outside");
}

#[tokio::test]
async fn a_backup_of_another_layout_or_a_newer_release_is_refused() {
    let (data, place) = backed_up().await;
    let manifest = Manifest::read(&place).unwrap();
    reseal(&place, |manifest| manifest.format = 2);
    refuses(data.path(), &place, 2, "layout");
    let mut conn = SqliteConnection::establish(place.join(DATABASE).to_str().unwrap()).unwrap();
    sql_query("INSERT INTO __diesel_schema_migrations (version) VALUES ('99991231235959')")
        .execute(&mut conn)
        .unwrap();
    drop(conn);
    let listed = list(DATABASE, &place.join(DATABASE)).unwrap();
    let mut newer = manifest.clone();
    newer.files[0] = listed;
    fs::write(place.join(manifest::NAME), newer.seal().unwrap()).unwrap();
    refuses(data.path(), &place, 2, "newer");
}

#[tokio::test]
async fn a_damaged_database_under_right_hashes_is_refused() {
    let (data, place) = backed_up().await;
    let mut bytes = fs::read(place.join(DATABASE)).unwrap();
    let end = bytes.len();
    bytes[end - 4096..].fill(0xA5);
    fs::write(place.join(DATABASE), bytes).unwrap();
    let listed = list(DATABASE, &place.join(DATABASE)).unwrap();
    reseal(&place, |manifest| manifest.files[0] = listed);
    refuses(data.path(), &place, 3, "a page of rubbish");
}

#[tokio::test]
async fn what_a_killed_backup_left_is_no_backup() {
    let data = folder();
    let store = stored(data.path(), "early");
    assert_eq!(store.backups().await.unwrap(), []);
    let left = data.path().join(BACKUPS).join(UNFINISHED);
    fs::create_dir_all(&left).unwrap();
    fs::write(left.join(DATABASE), "half").unwrap();
    let first = store.back_up().await.unwrap();
    assert!(!left.exists());
    std::thread::sleep(std::time::Duration::from_millis(2));
    let second = store.back_up().await.unwrap();
    fs::create_dir(data.path().join(BACKUPS).join("empty")).unwrap();
    assert_eq!(store.backups().await.unwrap(), [second, first]);
}

#[tokio::test]
async fn only_the_owner_can_read_a_backup() {
    use std::os::unix::fs::PermissionsExt;
    let (_data, place) = backed_up().await;
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(
        (mode(place.parent().unwrap()), mode(&place)),
        (0o700, 0o700)
    );
    for path in contents(&place).keys() {
        assert_eq!(mode(path), 0o600, "{}", path.display());
    }
}

#[tokio::test]
async fn a_backup_that_is_taken_elsewhere_takes_nothings_place() {
    let (data, place) = backed_up().await;
    let elsewhere = folder();
    let name = place.file_name().unwrap().to_str().unwrap();
    let refused = move_out(data.path(), name, elsewhere.path()).unwrap_err();
    assert_eq!(refused.exit_code(), 2, "{refused}");
    assert!(place.exists());
    // With the slash that shells complete.
    let to = elsewhere.path().join("moved/");
    move_out(data.path(), name, &to).unwrap();
    assert!(!place.exists());
    assert_eq!(contents(elsewhere.path().join("moved").as_path()).len(), 3);
    restore(data.path(), &to).unwrap();
}

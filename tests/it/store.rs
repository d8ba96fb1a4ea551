//! The data directory: one owner, never opened when it is damaged or newer, and indexes that are
//! made again when they cannot be trusted.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::{Value, json};

use crate::{
    database,
    gateway::{Gateway, bkg, eventually, has_model},
};

/// Runs a command that must fail; answers its exit status and what it says.
fn refused(mut command: Command) -> (i32, String) {
    let output = command.output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    (output.status.code().unwrap(), said)
}

#[tokio::test]
async fn a_second_gateway_on_the_same_directory_is_refused() {
    let gateway = Gateway::start().await;
    let data = gateway.data.path();
    let (code, said) = refused(bkg(data, &[], &["serve"]));
    assert_eq!(code, 4, "{said}");
    assert!(said.contains(&data.display().to_string()), "{said}");
    assert!(said.contains(&gateway.pid().to_string()), "{said}");
    let (status, _) = gateway.get("/health").await;
    assert_eq!(status, 200, "the first one goes on");
}

#[tokio::test]
async fn subcommands_reach_the_gateway_that_owns_the_directory() {
    let gateway = Gateway::start().await;
    let stopped = gateway.bkg(&["plugins", "stop", "brainml"]);
    assert!(stopped.status.success(), "{stopped:?}");
    assert_eq!(gateway.plugin("brainml").await["state"], "stopped");
}

#[tokio::test]
async fn subcommands_work_where_no_gateway_runs() {
    let mut gateway = Gateway::start().await;
    gateway.terminate();
    gateway.ended();
    gateway.key = gateway.new_key("admin");
    let listed = gateway.bkg(&["models", "list"]);
    assert!(
        String::from_utf8(listed.stdout)
            .unwrap()
            .contains("bkg-extract")
    );
    gateway.restart();
    assert_eq!(gateway.get("/admin/plugins").await.0, 200, "the key counts");
}

#[tokio::test]
async fn a_damaged_database_is_refused_and_left_as_it_is() {
    let mut gateway = Gateway::start().await;
    gateway
        .index("docs", &json!([{"id": "a", "text": "a text"}]))
        .await;
    gateway.terminate();
    gateway.ended();
    let data = gateway.data.path();
    database::execute(data, "PRAGMA wal_checkpoint(TRUNCATE)");
    let whole = fs::read(data.join("bkg.db")).unwrap();
    let middle = whole.len() / 2;
    let scribbled = [&whole[..middle], &[0x5a; 8192], &whole[middle + 8192..]].concat();
    let beheaded = [b"no database here", &whole[16..]].concat();
    for (what, damaged) in [
        ("scribbled over", scribbled.as_slice()),
        ("cut short", &whole[..middle]),
        ("beheaded", &beheaded),
        ("empty", &[]),
    ] {
        fs::write(data.join("bkg.db"), damaged).unwrap();
        let before = files(data);
        for arguments in [["serve"].as_slice(), &["keys", "list"]] {
            let (code, said) = refused(bkg(data, &[], arguments));
            assert_eq!(code, 3, "{what}, {arguments:?}: {said}");
            assert!(
                said.contains("bkg.db") && said.contains("bkg restore"),
                "{said}"
            );
            assert!(before == files(data), "{what}, {arguments:?}: changed");
        }
    }
}

/// Every file under a directory with its bytes. `bkg.lock` names whoever claimed the directory
/// last, and a socket has no bytes.
fn files(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(root).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.is_file() && entry.file_name() != "bkg.lock" {
            found.insert(path.clone(), fs::read(path).unwrap());
        }
    }
    found
}

#[tokio::test]
async fn a_database_of_a_newer_release_is_refused() {
    let mut gateway = Gateway::start().await;
    gateway.terminate();
    gateway.ended();
    let data = gateway.data.path();
    let newer = "INSERT INTO __diesel_schema_migrations (version) VALUES ('99991231235959')";
    database::execute(data, newer);
    let (code, said) = refused(bkg(data, &[], &["serve"]));
    assert_eq!(code, 2, "{said}");
    assert!(
        said.contains("newer") && said.contains("99991231235959"),
        "{said}"
    );
}

#[test]
fn a_wrong_setting_is_refused_with_its_key_and_its_source() {
    let data = tempfile::tempdir().unwrap();
    let file = data.path().join("bkg.toml");
    fs::write(&file, "[server]\nworkers = \"many\"\n").unwrap();
    let (code, said) = refused(bkg(data.path(), &[], &["serve"]));
    assert_eq!(code, 2, "{said}");
    assert!(
        said.contains("server.workers") && said.contains("bkg.toml"),
        "{said}"
    );

    fs::write(&file, "[server]\nport = = 1\n").unwrap();
    let (code, said) = refused(bkg(data.path(), &[], &["serve"]));
    assert_eq!(code, 2, "{said}");
    assert!(
        said.contains("bkg.toml") && said.contains("line 2, column 8"),
        "{said}"
    );

    fs::write(&file, "").unwrap();
    let environment = [("BKG_LOG__KEEP".to_owned(), "all".to_owned())];
    let (code, said) = refused(bkg(data.path(), &environment, &["serve"]));
    assert_eq!(code, 2, "{said}");
    assert!(
        said.contains("log.keep") && said.contains("environment"),
        "{said}"
    );

    let flag = ["serve", "--set", "server.drain_seconds=soon"];
    let (code, said) = refused(bkg(data.path(), &[], &flag));
    assert_eq!(code, 2, "{said}");
    assert!(
        said.contains("server.drain_seconds") && said.contains("flags"),
        "{said}"
    );
}

/// A gateway that has been stopped, with an indexed collection, and what a query of it answers.
async fn stopped_with_an_index() -> (Gateway, Value) {
    let mut gateway = Gateway::start().await;
    let topics = [
        "wing flutter",
        "boundary layers",
        "heat transfer",
        "shock waves",
    ];
    let documents = topics.iter().enumerate().map(|(at, topic)| {
        json!({"id": format!("d{at}"), "text": format!("Notes about {topic} in supersonic flow.")})
    });
    gateway.index("docs", &documents.collect()).await;
    caught_up(&gateway).await;
    let answer = query(&gateway).await;
    assert_eq!(answer["results"][0]["document_id"], "d2", "{answer}");
    gateway.terminate();
    assert!(gateway.ended().success());
    (gateway, answer)
}

/// An answer for which all legs were there: just after a start a query may be too early for that.
async fn query(gateway: &Gateway) -> Value {
    let ask = || async {
        let body = json!({"query": "how is heat transferred in a flow?"});
        let (status, answer) = gateway.post("/brainml/collections/docs/query", &body).await;
        assert_eq!(status, 200, "{answer}");
        answer
    };
    let model = has_model();
    let whole = || async { !model || ask().await["degraded"] == false };
    eventually("all legs are there", whole).await;
    ask().await
}

/// Waits until the indexes hold what they can.
async fn caught_up(gateway: &Gateway) {
    let model = has_model();
    eventually("the indexes catch up", || async {
        let (_, stats) = gateway.get("/brainml/collections/docs/stats").await;
        let whole = stats["degraded"] == false && stats["vectors"] == stats["chunks"];
        stats["documents"] == 4 && (whole || !model)
    })
    .await;
}

/// The persisted files whose names begin so, of all collections.
fn derived(gateway: &Gateway, prefix: &str) -> Vec<PathBuf> {
    let files = files(&gateway.data.path().join("indexes")).into_keys();
    let named = |path: &PathBuf| {
        path.file_name()
            .unwrap()
            .to_str()
            .unwrap()
            .starts_with(prefix)
    };
    let trusted = |path: &PathBuf| path.parent().unwrap().extension().is_none();
    files.filter(|path| named(path) && trusted(path)).collect()
}

#[tokio::test]
async fn indexes_with_flipped_bits_are_put_aside_and_made_again() {
    let (mut gateway, expected) = stopped_with_an_index().await;
    let roles: &[&str] = if has_model() {
        &["words-", "vectors-", "manifest"]
    } else {
        &["words-", "manifest"]
    };
    for role in roles {
        let paths = derived(&gateway, role);
        assert!(!paths.is_empty(), "{role} was persisted");
        for path in &paths {
            let mut bytes = fs::read(path).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 0x10;
            fs::write(path, bytes).unwrap();
        }
        gateway.restart();
        caught_up(&gateway).await;
        assert_eq!(query(&gateway).await, expected, "{role}");
        for path in &paths {
            let aside = path.parent().unwrap().with_extension("quarantine");
            assert!(aside.join(path.file_name().unwrap()).is_file(), "{aside:?}");
        }
        gateway.terminate();
        assert!(gateway.ended().success());
    }
}

#[tokio::test]
async fn indexes_that_are_gone_are_made_again() {
    let (mut gateway, expected) = stopped_with_an_index().await;
    fs::remove_dir_all(gateway.data.path().join("indexes")).unwrap();
    gateway.restart();
    // On a busy machine a question's own vector may come too late.
    eventually("the same answer comes", || async {
        query(&gateway).await == expected
    })
    .await;
    gateway.terminate();
    assert!(gateway.ended().success());
    assert!(!derived(&gateway, "words-").is_empty(), "and kept again");
}

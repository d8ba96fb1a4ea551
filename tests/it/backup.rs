//! Backup while the gateway works, and restore: what was acknowledged before is there afterwards,
//! whatever kills either of them.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Output,
};

use reqwest::Method;
use serde_json::{Value, json};
use store::{Store, operator};

use crate::{
    faults::preload::Faults,
    gateway::{Gateway, bkg, eventually},
};

const DOCUMENTS: &str = "/brainml/collections/docs/documents";

async fn start() -> Gateway {
    Gateway::start_with(&[("BKG_MODELS_DIR", "no-models")]).await
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Runs a command that must go well; answers what it prints.
fn ran(data: &Path, arguments: &[&str]) -> Value {
    let output = bkg(data, &[], arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", said(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[tokio::test]
async fn a_backup_under_load_holds_every_write_that_was_acknowledged_before_it() {
    let mut gateway = start().await;
    gateway.put("/brainml/collections/docs", &json!({})).await;
    let (mut written, mut acknowledged) = (0, 0);
    for round in 0..3 {
        let write = |number: usize| {
            let document = json!({"id": format!("d{number}"), "text": format!("number {number}")});
            let request = gateway.request(Method::POST, DOCUMENTS);
            request.json(&json!({"documents": [document]}))
        };
        for _ in 0..5 {
            let status = write(written).send().await.unwrap().status();
            assert_eq!(status, 200);
            written += 1;
        }
        acknowledged = written;
        // Writers go on while the copy is made.
        let more = (0..10).map(|at| write(written + at).send());
        let more = futures_util::future::join_all(more);
        let body = json!({});
        let backup = gateway.post("/admin/backups", &body);
        let (answers, (status, made)) = futures_util::future::join(more, backup).await;
        assert_eq!(status, 201, "{round}: {made}");
        assert!(
            answers
                .iter()
                .all(|answer| answer.as_ref().unwrap().status() == 200)
        );
        written += answers.len();
    }
    let (_, listed) = gateway.get("/admin/backups").await;
    let listed = listed["backups"].as_array().unwrap();
    assert_eq!(listed.len(), 3);
    let name = listed[0]["name"].as_str().unwrap();
    let newest = gateway.data.path().join("backups").join(name);
    gateway.kill();
    ran(gateway.data.path(), &["restore", text(&newest), "--json"]);
    gateway.restart();
    for number in 0..acknowledged {
        let (status, document) = gateway.get(&format!("{DOCUMENTS}/d{number}")).await;
        assert_eq!(status, 200, "d{number}: {document}");
        assert_eq!(document["text"], format!("number {number}"));
    }
}

async fn search(gateway: &Gateway) -> Value {
    let body = json!({"query": "heat in supersonic flow", "top_k": 5});
    let (status, found) = gateway.post("/brainml/collections/docs/query", &body).await;
    assert_eq!(status, 200, "{found}");
    found["results"].clone()
}

#[tokio::test]
async fn a_restored_gateway_searches_as_it_did() {
    let mut gateway = start().await;
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
    let expected = search(&gateway).await;
    assert_eq!(expected[0]["document_id"], "d2", "{expected}");
    let elsewhere = tempfile::tempdir().unwrap();
    let place = elsewhere.path().join("saved");
    let made = ran(gateway.data.path(), &["backup", text(&place), "--json"]);
    assert_eq!(made["path"], text(&place), "{made}");
    let again = gateway.bkg(&["backup", text(&place)]);
    assert_eq!(again.status.code(), Some(2), "{}", said(&again));

    let refused = gateway.bkg(&["restore", text(&place)]);
    assert_eq!(refused.status.code(), Some(4), "{}", said(&refused));

    let later = gateway.new_key("llm.chat");
    let more = json!([{"id": "late", "text": "Heat, heat, heat in supersonic flow."}]);
    gateway.index("docs", &more).await;
    assert_ne!(search(&gateway).await, expected);
    gateway.terminate();
    assert!(gateway.ended().success());
    ran(gateway.data.path(), &["restore", text(&place), "--json"]);
    gateway.restart();
    eventually("search is as it was", || async {
        search(&gateway).await == expected
    })
    .await;
    let late = gateway
        .anonymous(Method::GET, "/v1/models")
        .bearer_auth(later);
    assert_eq!(late.send().await.unwrap().status(), 401, "made after it");

    let fresh = tempfile::tempdir().unwrap();
    ran(fresh.path(), &["restore", text(&place), "--json"]);
    let listed = bkg(fresh.path(), &[], &["keys", "list"]).output().unwrap();
    assert!(listed.status.success(), "{}", said(&listed));
}

#[tokio::test]
async fn a_backup_is_made_where_no_gateway_runs() {
    let mut gateway = start().await;
    gateway.terminate();
    assert!(gateway.ended().success());
    let data = gateway.data.path();
    let made = ran(data, &["backup", "--json"]);
    let place = PathBuf::from(made["path"].as_str().unwrap());
    assert!(place.starts_with(data.join("backups")), "{made}");
    ran(data, &["restore", text(&place), "--json"]);
    gateway.restart();
    assert_eq!(gateway.get("/admin/keys").await.0, 200);
}

#[tokio::test]
async fn a_backup_wants_the_scope_admin() {
    let gateway = start().await;
    let key = gateway.new_key("llm.chat,brainml.query");
    for method in [Method::POST, Method::GET] {
        let request = gateway
            .anonymous(method, "/admin/backups")
            .bearer_auth(&key);
        assert_eq!(request.send().await.unwrap().status(), 403);
    }
    assert!(!gateway.data.path().join("backups").exists());
}

#[test]
fn a_backup_with_a_flipped_byte_is_refused_with_what_is_wrong() {
    let data = tempfile::tempdir().unwrap();
    drop(stored(data.path(), "early"));
    let made = ran(data.path(), &["backup", "--json"]);
    let place = PathBuf::from(made["path"].as_str().unwrap());
    let mut bytes = fs::read(place.join("bkg.db")).unwrap();
    bytes[5000] ^= 1;
    fs::write(place.join("bkg.db"), bytes).unwrap();
    let refused = bkg(data.path(), &[], &["restore", text(&place)]).output();
    let refused = refused.unwrap();
    assert_eq!(refused.status.code(), Some(3), "{}", said(&refused));
    assert!(said(&refused).contains("SHA-256"), "{}", said(&refused));
    assert_eq!(plugins(data.path()), ["early"]);
    let missing = bkg(data.path(), &[], &["restore", "nowhere"])
        .output()
        .unwrap();
    assert_eq!(missing.status.code(), Some(2), "{}", said(&missing));
}

/// A database with one change in it, which tells two states apart.
fn stored(data: &Path, plugin: &str) -> Store {
    let store = Store::open(data).unwrap();
    let change = operator::Change {
        plugin: plugin.to_owned(),
        settings: None,
        autostart: None,
        changed_at: 1,
    };
    store
        .write_blocking(|conn| operator::save(conn, &change))
        .unwrap();
    store
}

fn plugins(data: &Path) -> Vec<String> {
    let store = Store::open(data).unwrap();
    let changes = store.read_blocking(operator::load_all).unwrap();
    changes.into_iter().map(|change| change.plugin).collect()
}

/// Copies a directory, as it lies.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let (path, to) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy(&path, &to);
        } else if path.is_file() {
            fs::copy(&path, &to).unwrap();
        }
    }
}

#[tokio::test]
async fn a_restore_that_is_killed_anywhere_leaves_the_old_or_the_new_database() {
    let faults = Faults::prepare();
    let origin = tempfile::tempdir().unwrap();
    let store = stored(origin.path(), "early");
    let backup = store.back_up().await.unwrap();
    drop(store);
    let place = origin.path().join("backups").join(backup.name);
    // As a crash leaves it: the later change is in the write-ahead log alone.
    let store = stored(origin.path(), "late");
    let crashed = tempfile::tempdir().unwrap();
    copy(origin.path(), crashed.path());
    fs::create_dir(crashed.path().join("indexes")).unwrap();
    drop(store);
    let (mut old, mut new) = (0, 0);
    for change in 1.. {
        let data = tempfile::tempdir().unwrap();
        copy(crashed.path(), data.path());
        faults.kill_at(change);
        let restore = bkg(
            data.path(),
            &faults.environment(),
            &["restore", text(&place)],
        );
        let code = { restore }.output().unwrap().status.code();
        faults.kill_at(0);
        match plugins(data.path()).as_slice() {
            [early] if early == "early" => new += 1,
            [early, late] if (early.as_str(), late.as_str()) == ("early", "late") => old += 1,
            other => panic!("killed at change {change}: {other:?}"),
        }
        assert!(!data.path().join("restore.decided").exists(), "{change}");
        if code == Some(0) {
            break;
        }
        assert_eq!(code, Some(137), "{change}");
    }
    assert!(old > 1 && new > 5, "killed {old} times before, {new} after");
}

//! No space, and errors of the disk.

use std::{fs::File, process::Stdio};

use reqwest::Method;
use serde_json::{Value, json};

use super::preload::{EIO, ENOSPC, Faults};
use crate::gateway::{Gateway, answer, bkg, eventually};

const DOCUMENTS: &str = "/brainml/collections/docs/documents";

/// A gateway without a model, with one document, under faults that have not come yet.
async fn start(faults: &Faults) -> Gateway {
    let [(preload, library), (control, path)] = faults.environment();
    let environment = [
        ("BKG_MODELS_DIR", "no-models"),
        (&preload, &library),
        (&control, &path),
    ];
    let gateway = Gateway::start_with(&environment).await;
    let documents = json!([{"id": "before", "text": "written before the fault"}]);
    gateway.index("docs", &documents).await;
    gateway
}

async fn add(gateway: &Gateway, id: &str) -> (u16, Value) {
    let body = json!({"documents": [{"id": id, "text": "written in spite of a fault"}]});
    gateway.post(DOCUMENTS, &body).await
}

async fn holds(gateway: &Gateway, id: &str) -> bool {
    gateway.get(&format!("{DOCUMENTS}/{id}")).await.0 == 200
}

async fn ready(gateway: &Gateway) -> (u16, Value) {
    answer(gateway.anonymous(Method::GET, "/health/ready")).await
}

/// Everything that reads, and everything that needs no disk.
async fn reads_go_on(gateway: &Gateway) {
    assert!(holds(gateway, "before").await);
    let body = json!({"query": "written before"});
    let (status, found) = gateway.post("/brainml/collections/docs/query", &body).await;
    assert_eq!(status, 200, "{found}");
    assert_eq!(found["results"][0]["document_id"], "before", "{found}");
    for path in ["/admin/keys", "/v1/models", "/health", "/health/live"] {
        assert_eq!(gateway.get(path).await.0, 200, "{path}");
    }
}

async fn unready(gateway: &Gateway, reason: &str) {
    eventually("readiness is gone", || async {
        ready(gateway).await.0 == 503
    })
    .await;
    let (_, health) = ready(gateway).await;
    let told = health["reason"].as_str().unwrap();
    assert!(told.contains(reason), "{told}");
}

async fn well_again(gateway: &Gateway, process: u32) {
    eventually("the gateway is ready again", || async {
        ready(gateway).await.0 == 200
    })
    .await;
    let (status, added) = add(gateway, "after").await;
    assert_eq!(status, 200, "{added}");
    assert!(holds(gateway, "after").await);
    assert_eq!(gateway.pid(), process);
    for plugin in ["apikeys", "brainml"] {
        let state = gateway.plugin(plugin).await;
        assert_eq!(state["generation"], 1, "{state}");
    }
}

/// Lets writing fail, and expects writes to be refused, in such words, until it works again.
async fn refuses_writes(error: i32, part: &str, code: &str, reason: &str) {
    let faults = Faults::prepare();
    let mut gateway = start(&faults).await;
    let process = gateway.pid();
    faults.fail(error, part);
    for id in ["one", "two", "three"] {
        let (status, refused) = add(&gateway, id).await;
        assert_eq!(status, 507, "{refused}");
        assert_eq!(refused["error"]["code"], code, "{refused}");
        assert!(!holds(&gateway, id).await);
    }
    let key = json!({"name": "new", "scopes": ["llm.chat"]});
    assert_eq!(gateway.post("/admin/keys", &key).await.0, 507);
    unready(&gateway, reason).await;
    reads_go_on(&gateway).await;
    faults.heal();
    well_again(&gateway, process).await;
    gateway.kill();
    gateway.restart();
    for id in ["before", "after"] {
        assert!(holds(&gateway, id).await, "{id}");
    }
    for id in ["one", "two", "three"] {
        assert!(!holds(&gateway, id).await, "{id} was refused");
    }
}

#[tokio::test]
async fn a_full_disk_refuses_writes_and_nothing_else() {
    refuses_writes(ENOSPC, "bkg.db", "storage_full", "disk").await;
}

#[tokio::test]
async fn a_disk_that_fails_refuses_writes_and_nothing_else() {
    refuses_writes(EIO, "bkg.db", "storage_failed", "fails").await;
}

#[tokio::test]
async fn a_log_without_room_refuses_writes() {
    refuses_writes(ENOSPC, "bkg.db-wal$", "storage_full", "full").await;
}

#[tokio::test]
async fn a_database_file_that_cannot_be_written_loses_nothing_and_is_told() {
    let faults = Faults::prepare();
    let mut gateway = start(&faults).await;
    let process = gateway.pid();
    faults.fail(EIO, "/bkg.db$");
    // What is in the write-ahead log is durable.
    assert_eq!(add(&gateway, "logged").await.0, 200);
    unready(&gateway, "fails").await;
    reads_go_on(&gateway).await;
    gateway.kill();
    faults.heal();
    gateway.restart();
    assert_ne!(gateway.pid(), process);
    assert!(holds(&gateway, "logged").await);
    assert_eq!(ready(&gateway).await.0, 200);
}

#[tokio::test]
async fn indexes_that_cannot_be_written_keep_nobody_from_writing_documents() {
    let faults = Faults::prepare();
    let mut gateway = start(&faults).await;
    faults.fail(ENOSPC, "/indexes");
    let (status, added) = add(&gateway, "unpersisted").await;
    assert_eq!(status, 200, "the rows are the truth: {added}");
    assert_eq!(ready(&gateway).await.0, 200);
    let body = json!({"query": "in spite"});
    let (_, expected) = gateway.post("/brainml/collections/docs/query", &body).await;
    assert_eq!(expected["results"][0]["document_id"], "unpersisted");
    gateway.terminate();
    assert!(gateway.ended().success(), "it ends in good order");
    faults.heal();
    gateway.restart();
    let found = || async {
        let (status, found) = gateway.post("/brainml/collections/docs/query", &body).await;
        status == 200 && found["results"] == expected["results"]
    };
    eventually("the index is made again", found).await;
}

#[tokio::test]
async fn a_disk_that_hangs_takes_readiness_away_and_reads_go_on() {
    let faults = Faults::prepare();
    let gateway = start(&faults).await;
    faults.hang("bkg.db");
    unready(&gateway, "hangs").await;
    assert!(holds(&gateway, "before").await);
    assert_eq!(gateway.get("/health/live").await.0, 200);
    faults.heal();
    well_again(&gateway, gateway.pid()).await;
}

#[tokio::test]
async fn a_log_that_cannot_be_written_stops_nothing() {
    let data = tempfile::tempdir().unwrap();
    let full = File::options().write(true).open("/dev/full").unwrap();
    // Without a password in the settings one is shown, which fails too.
    let mut gateway = bkg(data.path(), &[], &["serve"])
        .env_remove("BKG_ADMIN_PASSWORD")
        .stdout(Stdio::null())
        .stderr(full)
        .spawn()
        .unwrap();
    let health = || async {
        let output = bkg(data.path(), &[], &["health"]).output().unwrap();
        output.status.success()
    };
    eventually("the gateway is well", health).await;
    let listed = bkg(data.path(), &[], &["plugins", "list", "--json"]).output();
    let listed: Value = serde_json::from_slice(&listed.unwrap().stdout).unwrap();
    let plugins = listed["plugins"].as_array().unwrap();
    let lives = plugins.iter().map(|plugin| &plugin["generation"]);
    assert!(lives.into_iter().all(|life| *life == 1), "{listed}");
    assert!(gateway.try_wait().unwrap().is_none(), "it lives");
    gateway.kill().unwrap();
    gateway.wait().unwrap();
}

#[tokio::test]
async fn a_backup_on_a_full_disk_leaves_nothing() {
    let faults = Faults::prepare();
    let gateway = start(&faults).await;
    for part in ["/backups/", "/backups/.unfinished/manifest.json$"] {
        faults.fail(ENOSPC, part);
        let (status, refused) = gateway.post("/admin/backups", &json!({})).await;
        assert_eq!(status, 507, "{part}: {refused}");
        assert_eq!(refused["error"]["code"], "storage_full", "{refused}");
        let (_, listed) = gateway.get("/admin/backups").await;
        assert_eq!(listed["backups"], json!([]), "{part}");
        let backups = gateway.data.path().join("backups");
        let left = std::fs::read_dir(backups).map_or(0, Iterator::count);
        assert_eq!(left, 0, "{part}");
    }
    faults.heal();
    assert_eq!(gateway.post("/admin/backups", &json!({})).await.0, 201);
}

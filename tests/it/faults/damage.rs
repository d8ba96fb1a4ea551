//! Damage that is found while the gateway runs.

use std::fs;

use reqwest::Method;
use serde_json::json;

use crate::{
    database,
    gateway::{Gateway, answer, eventually},
};

#[tokio::test]
async fn damaged_pages_are_found_in_the_background_and_make_the_store_read_only() {
    let mut gateway = Gateway::start_with(&[("BKG_MODELS_DIR", "no-models")]).await;
    let documents = json!([{"id": "a", "text": "a text that is still read"}]);
    gateway.index("docs", &documents).await;
    gateway.terminate();
    assert!(gateway.ended().success());
    // So large that its pages are not all checked before the start.
    let filler = "CREATE TABLE filler (b BLOB); INSERT INTO filler VALUES (zeroblob(140000000))";
    let data = gateway.data.path();
    database::execute(data, filler);
    database::execute(data, "PRAGMA wal_checkpoint(TRUNCATE)");
    scribble(&data.join("bkg.db"));
    gateway.restart();
    let ready = || async { answer(gateway.anonymous(Method::GET, "/health/ready")).await };
    eventually("the damage is found", || async { ready().await.0 == 503 }).await;
    let (_, health) = ready().await;
    let reason = health["reason"].as_str().unwrap();
    assert!(
        reason.contains("damaged") && reason.contains("bkg restore"),
        "{reason}"
    );
    let body = json!({"documents": [{"id": "b", "text": "a text"}]});
    let path = "/brainml/collections/docs/documents";
    let (status, refused) = gateway.post(path, &body).await;
    assert_eq!(status, 500, "{refused}");
    assert_eq!(refused["error"]["code"], "database_damaged", "{refused}");
    assert_eq!(gateway.get(&format!("{path}/a")).await.0, 200);
    assert_eq!(gateway.get("/health/live").await.0, 200);
}

/// Over pages in the middle of the filler, which say where the next one is.
fn scribble(database: &std::path::Path) {
    use std::os::unix::fs::FileExt;
    let file = fs::OpenOptions::new().write(true).open(database).unwrap();
    file.write_all_at(&[0x5a; 8192], 70_000_000 / 4096 * 4096)
        .unwrap();
}

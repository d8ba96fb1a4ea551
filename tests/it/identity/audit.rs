//! The audit log: nothing is missing in it, and nobody changes it unnoticed.

use reqwest::Method;
use serde_json::{Value, json};

use super::make_key;
use crate::{
    database,
    gateway::{Gateway, answer, eventually},
};

async fn entries(gateway: &Gateway, query: &str) -> Vec<Value> {
    let (status, told) = gateway
        .get(&format!("/admin/audit?limit=1000{query}"))
        .await;
    assert_eq!(status, 200, "{told}");
    told["entries"].as_array().unwrap().clone()
}

/// What `bkg audit verify` says, and whether it is content.
fn verify(gateway: &Gateway, args: &[&str]) -> (bool, String) {
    let output = gateway.bkg(&[&["audit", "verify"], args].concat());
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(said).unwrap())
}

fn head(said: &str) -> String {
    said.trim().rsplit(' ').next().unwrap().to_owned()
}

#[tokio::test]
async fn every_change_over_http_is_written_down_with_who_where_and_which_request() {
    let gateway = Gateway::start_with(&[("BKG_MODELS_DIR", "no-models")]).await;
    let (id, key) = make_key(&gateway, &json!({"name": "op", "scopes": ["*"]})).await;
    let ask = |method: Method, path: &str, body: Value| {
        let request = gateway.anonymous(method, path).bearer_auth(&key);
        answer(
            request
                .header("x-request-id", "req-of-the-test")
                .json(&body),
        )
    };
    let documents = json!({"documents": [{"id": "a/b", "text": "a text"}]});
    let user = json!({"username": "ada", "password": "analytical engine", "scopes": ["llm.chat"]});
    let settings = json!({"settings": {"secret_of_mine": "hunter2"}});
    for (method, path, body, action, target) in [
        (
            Method::PUT,
            "/brainml/collections/c",
            json!({}),
            "collection.create",
            "c",
        ),
        (
            Method::POST,
            "/brainml/collections/c/documents",
            documents,
            "documents.index",
            "c",
        ),
        (
            Method::DELETE,
            "/brainml/collections/c/documents/a/b",
            json!({}),
            "documents.forget",
            "c",
        ),
        (
            Method::DELETE,
            "/brainml/collections/c",
            json!({}),
            "collection.delete",
            "c",
        ),
        (
            Method::POST,
            "/admin/plugins/brainml/stop",
            json!({}),
            "plugin.stop",
            "brainml",
        ),
        (
            Method::POST,
            "/admin/plugins/brainml/start",
            json!({}),
            "plugin.start",
            "brainml",
        ),
        (
            Method::POST,
            "/admin/plugins/brainml/restart",
            json!({}),
            "plugin.restart",
            "brainml",
        ),
        (
            Method::PUT,
            "/admin/plugins/brainml/config",
            settings,
            "plugin.configure.failed",
            "brainml",
        ),
        (
            Method::POST,
            "/admin/plugins/nope/stop",
            json!({}),
            "plugin.stop.failed",
            "nope",
        ),
        (Method::POST, "/admin/users", user, "user.create", "ada"),
        (
            Method::PATCH,
            "/admin/users/ada",
            json!({"disabled": true}),
            "user.disable",
            "ada",
        ),
    ] {
        let (status, told) = ask(method, path, body).await;
        let failed = action.ends_with(".failed");
        assert_eq!(status >= 400, failed, "{path}: {told}");
        let last = entries(&gateway, "").await.pop().unwrap();
        assert_eq!(
            (&last["action"], &last["target"]),
            (&json!(action), &json!(target)),
            "{last}"
        );
        assert_eq!(last["actor"], format!("key:{id}"), "{last}");
        assert_eq!(
            (&last["user"], &last["address"]),
            (&json!("admin"), &json!("127.0.0.1"))
        );
        assert_eq!(last["request_id"], "req-of-the-test");
    }
    let text = json!(entries(&gateway, "").await).to_string();
    for secret in ["hunter2", "analytical engine", "bkg_"] {
        assert!(!text.contains(secret), "{text}");
    }
    let made = entries(&gateway, "&action=key.create").await;
    assert!(
        made.iter().all(|entry| entry["action"] == "key.create") && made.len() == 2,
        "{made:?}"
    );
    let (status, verdict) = gateway.get("/admin/audit/verify").await;
    assert_eq!(
        (status, &verdict["intact"]),
        (200, &json!(true)),
        "{verdict}"
    );
}

#[tokio::test]
async fn a_change_that_cannot_be_written_down_is_made_and_said_aloud() {
    let gateway = Gateway::start().await;
    let stop = gateway.request(Method::POST, "/admin/plugins/apikeys/stop");
    assert_eq!(answer(stop).await.0, 200);
    let start = gateway.request(Method::POST, "/admin/plugins/apikeys/start");
    assert_eq!(
        answer(start).await.0,
        200,
        "an operator can put things right"
    );
    let gateway = &gateway;
    eventually("the log says so", || async move {
        let (_, logs) = gateway.get("/admin/plugins/bkg/logs?level=warn").await;
        let text = logs.to_string();
        text.contains("not in the audit log") && text.contains("plugin.start")
    })
    .await;
}

#[tokio::test]
async fn an_entry_that_was_changed_or_deleted_is_named() {
    let mut gateway = Gateway::start().await;
    for name in ["one", "two", "three"] {
        make_key(&gateway, &json!({"name": name, "scopes": ["llm.chat"]})).await;
    }
    let (whole, said) = verify(&gateway, &[]);
    assert!(whole && said.contains("5 entries"), "{said}");
    let noted = head(&said);
    gateway.terminate();
    gateway.ended();
    let data = gateway.data.path().to_owned();
    database::execute(
        &data,
        "UPDATE audit_log SET target = substr(target, 1, 11) || '!' WHERE seq = 3",
    );
    let (whole, said) = verify(&gateway, &[]);
    assert!(!whole && said.contains("entry 3"), "{said}");
    let output = gateway.bkg(&["audit", "verify"]);
    assert_eq!(output.status.code(), Some(1));
    database::execute(&data, "DELETE FROM audit_log WHERE seq = 2");
    let (whole, said) = verify(&gateway, &[]);
    assert!(!whole && said.contains("entry 2"), "{said}");
    // Only a head that was noted elsewhere can tell that the end is missing.
    database::execute(&data, "DELETE FROM audit_log WHERE seq > 1");
    let (whole, said) = verify(&gateway, &[]);
    assert!(whole && said.contains("1 entries"), "{said}");
    let (whole, said) = verify(&gateway, &["--head", &noted]);
    assert!(
        !whole && said.contains("entry 2") && said.contains("cut off"),
        "{said}"
    );
    let (whole, said) = verify(&gateway, &["--head", "beef"]);
    assert!(!whole && said.contains("hexadecimal"), "{said}");
}

#[tokio::test]
async fn the_head_that_was_noted_is_found_in_a_log_that_has_grown() {
    let gateway = Gateway::start().await;
    let noted = head(&verify(&gateway, &[]).1);
    make_key(&gateway, &json!({"name": "k", "scopes": ["llm.chat"]})).await;
    let (whole, said) = verify(&gateway, &["--head", &noted]);
    assert!(whole, "{said}");
    assert_ne!(head(&said), noted);
    let listed = gateway.bkg(&["audit", "list", "--action", "key.create"]);
    let text = String::from_utf8(listed.stdout).unwrap();
    assert_eq!(text.lines().count(), 2, "{text}");
    assert!(
        text.contains("key.create") && text.contains("127.0.0.1"),
        "{text}"
    );
}

#[tokio::test]
async fn a_path_cannot_write_lines_of_its_own_into_the_list_on_the_terminal() {
    let gateway = Gateway::start_with(&[("BKG_MODELS_DIR", "no-models")]).await;
    let forged = "/admin/plugins/a%0A%1B%5B2K%C2%9B31mGr%C3%B6%C3%9Fe/stop";
    assert_eq!(gateway.post(forged, &json!({})).await.0, 404);
    let output = gateway.bkg(&["audit", "list"]);
    let listed = String::from_utf8(output.stdout).unwrap();
    assert!(listed.contains(r"a\n\u{1b}[2K\u{9b}31mGröße"), "{listed}");
    let steers = |c: char| c.is_control() && c != '\n';
    assert!(!listed.contains(steers), "{listed:?}");
}

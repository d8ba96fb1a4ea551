//! Who sends a head while he may, and the rest when he no longer may.

use reqwest::Method;
use serde_json::{Value, json};

use super::{PASSWORD, make_key, sessions::cookie};
use crate::{
    edge::raw::Raw,
    gateway::{Gateway, answer, eventually},
};

const NO_MODEL: [(&str, &str); 1] = [("BKG_MODELS_DIR", "no-models")];

/// Sends all of a request but the last byte of its body.
async fn hold_back(gateway: &Gateway, request: &str, credential: &str, body: &str) -> Raw {
    let mut raw = Raw::to(gateway).await;
    let (length, first) = (body.len(), &body[..body.len() - 1]);
    let head = format!(
        "{request} HTTP/1.1\r\nhost: h\r\n{credential}\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\n\r\n{first}"
    );
    assert!(raw.send(head).await);
    raw
}

/// The keys that the gateway lists.
async fn keys(gateway: &Gateway) -> Vec<Value> {
    let (status, told) = gateway.get("/admin/keys").await;
    assert_eq!(status, 200, "{told}");
    told["keys"].as_array().unwrap().clone()
}

/// Waits until the gateway has recognised the key `id` by a head.
async fn seen(gateway: &Gateway, id: &str) {
    eventually("the head has arrived", async || {
        let keys = keys(gateway).await;
        let key = keys.iter().find(|key| key["id"] == id).unwrap();
        !key["last_used_at"].is_null()
    })
    .await;
}

#[tokio::test]
async fn a_key_that_is_revoked_while_its_request_is_held_back_makes_no_other_key() {
    let gateway = Gateway::start_with(&NO_MODEL).await;
    let (id, key) = make_key(&gateway, &json!({"name": "thief", "scopes": ["*"]})).await;
    let bearer = format!("authorization: Bearer {key}");
    let wish = r#"{"name":"heir","scopes":["*"]}"#;
    let mut raw = hold_back(&gateway, "POST /admin/keys", &bearer, wish).await;
    seen(&gateway, &id).await;
    let revoke = gateway.request(Method::DELETE, &format!("/admin/keys/{id}"));
    assert_eq!(answer(revoke).await.0, 204);
    raw.send("}").await;
    let told = raw.answer().await;
    assert!(told.starts_with("HTTP/1.1 401 "), "{told}");
    assert!(keys(&gateway).await.iter().all(|key| key["name"] != "heir"));
}

#[tokio::test]
async fn a_session_that_ends_while_its_request_is_held_back_makes_no_key() {
    let gateway = Gateway::start_with(&NO_MODEL).await;
    let cookie = cookie(&gateway, "admin", PASSWORD).await;
    let shown = format!("cookie: {cookie}");
    let wish = r#"{"name":"heir","scopes":["*"]}"#;
    let mut raw = hold_back(&gateway, "POST /admin/keys", &shown, wish).await;
    let logout = gateway.anonymous(Method::POST, "/auth/logout");
    assert_eq!(answer(logout.header("cookie", cookie)).await.0, 204);
    raw.send("}").await;
    let told = raw.answer().await;
    assert!(told.starts_with("HTTP/1.1 401 "), "{told}");
    assert!(keys(&gateway).await.iter().all(|key| key["name"] != "heir"));
}

#[tokio::test]
async fn a_scope_that_is_taken_while_a_request_is_held_back_is_gone_at_its_end() {
    let gateway = Gateway::start_with(&NO_MODEL).await;
    let body = json!({"name": "indexer", "scopes": ["brainml.index", "brainml.query"]});
    let (id, key) = make_key(&gateway, &body).await;
    let bearer = format!("x-api-key: {key}");
    let mut raw = hold_back(&gateway, "PUT /brainml/collections/late", &bearer, "{}").await;
    seen(&gateway, &id).await;
    let less = gateway.request(Method::PATCH, &format!("/admin/keys/{id}"));
    let (status, told) = answer(less.json(&json!({"scopes": ["brainml.query"]}))).await;
    assert_eq!(status, 200, "{told}");
    raw.send("}").await;
    let told = raw.answer().await;
    assert!(told.starts_with("HTTP/1.1 403 "), "{told}");
    assert_eq!(gateway.get("/brainml/collections/late").await.0, 404);
}

//! Who asks: keys, and what is told to those who have none that holds.

mod audit;
mod command_line;
mod cross_site;
mod held_back;
mod scopes;
mod sessions;
mod throttle;
mod totp;
mod users;

use jiff::{SignedDuration, Timestamp};
use messages::apikeys::secret::key_from;
use reqwest::{
    Method, RequestBuilder,
    header::{AUTHORIZATION, COOKIE, WWW_AUTHENTICATE},
};
use serde_json::{Value, json};

use crate::gateway::{Gateway, PASSWORD, answer, eventually};

/// A form-perfect key that nobody has made.
fn unknown_key() -> String {
    key_from(&"7".repeat(30))
}

async fn make_key(gateway: &Gateway, body: &Value) -> (String, String) {
    let (status, made) = gateway.post("/admin/keys", body).await;
    assert_eq!(status, 201, "{made}");
    let text = |field: &str| made[field].as_str().unwrap().to_owned();
    (text("id"), text("key"))
}

async fn scoped(gateway: &Gateway, scopes: &[&str]) -> String {
    make_key(gateway, &json!({"name": "scoped", "scopes": scopes}))
        .await
        .1
}

async fn status_of(gateway: &Gateway, key: &str) -> u16 {
    let request = gateway.anonymous(Method::GET, "/v1/models");
    answer(request.bearer_auth(key)).await.0
}

async fn refusal(request: RequestBuilder) -> (u16, String, String) {
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    let challenge = response.headers().get(WWW_AUTHENTICATE);
    let challenge = challenge.expect("a 401 tells how to ask").to_str().unwrap();
    (status, challenge.to_owned(), response.text().await.unwrap())
}

#[tokio::test]
async fn every_credential_that_does_not_hold_gets_one_and_the_same_answer() {
    let gateway = Gateway::start().await;
    let (id, revoked) = make_key(&gateway, &json!({"name": "r", "scopes": ["*"]})).await;
    let gone = gateway.request(Method::DELETE, &format!("/admin/keys/{id}"));
    assert_eq!(answer(gone).await.0, 204);
    let mut wrong_checksum = gateway.key.clone();
    let last = wrong_checksum.pop().unwrap();
    wrong_checksum.push(if last == 'a' { 'b' } else { 'a' });

    let ask = || gateway.anonymous(Method::GET, "/v1/models");
    let nothing = refusal(ask()).await;
    assert_eq!(nothing.0, 401);
    assert!(nothing.1.starts_with("Bearer"), "{}", nothing.1);
    let body: Value = serde_json::from_str(&nothing.2).unwrap();
    assert_eq!(body["error"]["code"], "invalid_api_key");
    for key in [
        "",
        "sk-1234",
        "bkg_",
        &wrong_checksum,
        &unknown_key(),
        &revoked,
    ] {
        assert_eq!(refusal(ask().bearer_auth(key)).await, nothing, "{key}");
        assert_eq!(
            refusal(ask().header("x-api-key", key)).await,
            nothing,
            "{key}"
        );
    }
    for value in [
        "Bearer",
        "Basic YTpi",
        &gateway.key,
        &format!("Token {}", gateway.key),
    ] {
        assert_eq!(
            refusal(ask().header(AUTHORIZATION, value)).await,
            nothing,
            "{value}"
        );
    }
    let cookie = format!("bkg_session={}", gateway.key);
    assert_eq!(
        refusal(ask().header(COOKIE, cookie)).await,
        nothing,
        "a key is no session"
    );
}

#[tokio::test]
async fn a_key_ends_when_it_expires() {
    let gateway = Gateway::start().await;
    let end = Timestamp::now() + SignedDuration::from_secs(3);
    let body = json!({"name": "short", "scopes": ["*"], "expires_at": end.to_string()});
    let (_, key) = make_key(&gateway, &body).await;
    let before = status_of(&gateway, &key).await;
    assert!(
        before == 200 || Timestamp::now() >= end,
        "{before} before its end"
    );
    let (gateway, key) = (&gateway, key.as_str());
    eventually("the key ends", || async move {
        status_of(gateway, key).await == 401
    })
    .await;
    assert!(Timestamp::now() >= end, "it ended early");
}

#[tokio::test]
async fn a_key_is_taken_in_either_header_and_never_in_the_query_string() {
    let gateway = Gateway::start().await;
    let key = &gateway.key;
    let ask = |path: &str| gateway.anonymous(Method::GET, path);
    assert_eq!(
        answer(ask("/v1/models").header("x-api-key", key)).await.0,
        200
    );
    let lower = format!("bearer {key}");
    assert_eq!(
        answer(ask("/v1/models").header(AUTHORIZATION, lower))
            .await
            .0,
        200
    );
    for name in ["key", "api_key", "access_token", "token", "x-api-key"] {
        let path = format!("/v1/models?{name}={key}");
        assert_eq!(answer(ask(&path)).await.0, 401, "{name}");
    }
}

#[tokio::test]
async fn a_stranger_is_refused_before_the_body_is_read() {
    let gateway = Gateway::start().await;
    for path in ["/v1/chat/completions", "/v1/embeddings", "/admin/keys"] {
        let ask = || {
            let request = gateway.anonymous(Method::POST, path).body("{");
            request.header("content-type", "application/json")
        };
        assert_eq!(answer(ask()).await.0, 401, "{path}");
        assert_eq!(
            answer(ask().bearer_auth(unknown_key())).await.0,
            401,
            "{path}"
        );
    }
}

#[tokio::test]
async fn a_key_is_shown_once_and_never_again() {
    let gateway = Gateway::start().await;
    let end = "2999-01-31T00:00:00Z";
    let body = json!({"name": "ci", "scopes": ["llm.chat", "llm.embed"], "expires_at": end});
    let (status, made) = gateway.post("/admin/keys", &body).await;
    assert_eq!(status, 201, "{made}");
    let key = made["key"].as_str().unwrap();
    assert_eq!((key.len(), key.starts_with("bkg_")), (40, true), "{key}");
    assert_eq!(
        (&made["name"], &made["scopes"]),
        (&body["name"], &body["scopes"])
    );
    assert_eq!(made["expires_at"], end);
    assert_eq!(status_of(&gateway, key).await, 200);

    let (status, listed) = gateway.get("/admin/keys").await;
    assert_eq!(status, 200);
    let text = listed.to_string();
    assert!(
        !text.contains("bkg_"),
        "no part of a secret is listed: {text}"
    );
    let keys = listed["keys"].as_array().unwrap();
    let found = keys.iter().find(|one| one["id"] == made["id"]).unwrap();
    assert_eq!((&found["name"], found.get("key")), (&json!("ci"), None));
    // The log is written beside the answer, perhaps a moment later.
    let (gateway, id) = (&gateway, made["id"].as_str().unwrap());
    eventually("the log tells of the key", || async move {
        let path = "/admin/plugins/apikeys/logs?level=trace&limit=10000";
        let (_, logs) = gateway.get(path).await;
        assert!(!logs.to_string().contains(key), "{logs}");
        logs.to_string().contains(id)
    })
    .await;
}

#[tokio::test]
async fn a_wish_for_a_key_that_cannot_be_granted_says_why() {
    let gateway = Gateway::start().await;
    let narrow = scoped(&gateway, &["admin"]).await;
    for (body, status, words) in [
        (
            json!({"name": "k", "scopes": ["llm.chat"]}),
            403,
            "llm.chat",
        ),
        (json!({"name": "k", "scopes": ["*"]}), 403, "scope *"),
        (
            json!({"name": "k", "scopes": ["admin"], "colour": 1}),
            422,
            "colour",
        ),
        (
            json!({"name": "k", "scopes": ["llm.chatt"]}),
            422,
            "llm.chatt",
        ),
        (json!({"name": "k"}), 422, "scopes"),
        (json!({"name": "k", "scopes": []}), 422, "scope"),
        (json!({"name": "", "scopes": ["admin"]}), 422, "name"),
        (
            json!({"name": "k", "scopes": ["admin"], "expires_at": 1}),
            422,
            "expires_at",
        ),
        (
            json!({"name": "k", "scopes": ["admin"], "expires_at": "soon"}),
            422,
            "RFC 3339",
        ),
    ] {
        let request = gateway.anonymous(Method::POST, "/admin/keys").json(&body);
        let (got, told) = answer(request.bearer_auth(&narrow)).await;
        assert_eq!(got, status, "{body}: {told}");
        let message = told["error"]["message"].as_str().unwrap();
        assert!(message.contains(words), "{body}: {message}");
        assert!(told.get("key").is_none());
    }
}

#[tokio::test]
async fn a_revoked_key_is_refused_at_once_and_for_good() {
    let mut gateway = Gateway::start().await;
    let (id, key) = make_key(&gateway, &json!({"name": "r", "scopes": ["*"]})).await;
    assert_eq!(status_of(&gateway, &key).await, 200);
    let path = format!("/admin/keys/{id}");
    assert_eq!(answer(gateway.request(Method::DELETE, &path)).await.0, 204);
    assert_eq!(status_of(&gateway, &key).await, 401);
    let (_, listed) = gateway.get("/admin/keys").await;
    let keys = listed["keys"].as_array().unwrap();
    let found = keys.iter().find(|one| one["id"] == *id).unwrap();
    assert!(found["revoked_at"].is_string(), "{found}");
    assert_eq!(
        answer(gateway.request(Method::DELETE, &path)).await.0,
        204,
        "again"
    );
    let (status, told) = answer(gateway.request(Method::DELETE, "/admin/keys/nobodys")).await;
    assert_eq!(
        (status, &told["error"]["type"]),
        (404, &json!("invalid_request_error"))
    );
    gateway.kill();
    gateway.restart();
    assert_eq!(status_of(&gateway, &key).await, 401);
    assert_eq!(
        status_of(&gateway, &gateway.key).await,
        200,
        "other keys live on"
    );
}

#[tokio::test]
async fn a_wrong_checksum_is_refused_without_asking_anybody() {
    let gateway = Gateway::start().await;
    let stop = gateway.request(Method::POST, "/admin/plugins/apikeys/stop");
    assert_eq!(answer(stop).await.0, 200);
    assert_eq!(
        status_of(&gateway, &unknown_key()).await,
        503,
        "whether it holds only the database knows"
    );
    let mut wrong_checksum = unknown_key();
    wrong_checksum.pop();
    wrong_checksum.push('!');
    assert_eq!(status_of(&gateway, &wrong_checksum).await, 401);
    assert_eq!(
        status_of(&gateway, &format!("{}x", unknown_key())).await,
        401
    );
    assert_eq!(
        status_of(&gateway, &gateway.key).await,
        200,
        "what is known still holds"
    );
}

#[tokio::test]
async fn nonsense_in_place_of_a_key_is_a_key_that_does_not_hold() {
    let gateway = Gateway::start().await;
    let long = "k".repeat(10 * 1024);
    for text in [
        "' OR '1'='1",
        "bkg_'; DROP TABLE api_keys; --",
        "bkg_%00%00",
        "\"\\\u{7f}",
        "../../etc/passwd",
        "${jndi:ldap://x}",
        &long,
        &format!("bkg_{long}"),
    ] {
        let value = format!("Bearer {text}").into_bytes();
        let Ok(value) = reqwest::header::HeaderValue::from_bytes(&value) else {
            continue;
        };
        let ask = || gateway.anonymous(Method::GET, "/v1/models");
        let by_bearer = refusal(ask().header(AUTHORIZATION, value)).await;
        assert_eq!(by_bearer.0, 401, "{text:.40}");
        if let Ok(value) = reqwest::header::HeaderValue::from_str(text) {
            assert_eq!(refusal(ask().header("x-api-key", value)).await, by_bearer);
        }
    }
    assert_eq!(status_of(&gateway, &gateway.key).await, 200);
}

#[tokio::test]
async fn a_key_may_do_the_same_in_either_header() {
    let gateway = Gateway::start().await;
    let key = scoped(&gateway, &["llm.chat"]).await;
    for (path, status) in [
        ("/v1/models", 200),
        ("/admin/keys", 403),
        ("/brainml/collections", 403),
    ] {
        let ask = || gateway.anonymous(Method::GET, path);
        assert_eq!(answer(ask().bearer_auth(&key)).await.0, status, "{path}");
        assert_eq!(
            answer(ask().header("x-api-key", &key)).await.0,
            status,
            "{path}"
        );
        let cookie = ask().header(COOKIE, format!("bkg_session={key}"));
        assert_eq!(answer(cookie).await.0, 401, "{path}");
    }
}

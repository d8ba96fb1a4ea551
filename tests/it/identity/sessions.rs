//! Users, their sessions, and the cookie that carries one.

use reqwest::{
    Method, Response,
    header::{COOKIE, HeaderMap, SET_COOKIE},
};
use serde_json::{Value, json};

use crate::gateway::{Gateway, PASSWORD, answer};

pub(super) async fn log_in(gateway: &Gateway, username: &str, password: &str) -> Response {
    log_in_with(
        gateway,
        &json!({"username": username, "password": password}),
    )
    .await
}

pub(super) async fn log_in_with(gateway: &Gateway, body: &Value) -> Response {
    let request = gateway.anonymous(Method::POST, "/auth/login").json(body);
    request.send().await.unwrap()
}

/// The cookie of a new session.
pub(super) async fn cookie(gateway: &Gateway, username: &str, password: &str) -> String {
    let opened = log_in(gateway, username, password).await;
    assert_eq!(opened.status(), 200);
    set_cookie(opened.headers()).0
}

pub(super) fn set_cookie(headers: &HeaderMap) -> (String, Vec<String>) {
    let cookie = headers[SET_COOKIE].to_str().unwrap();
    let (pair, rest) = cookie.split_once("; ").unwrap();
    (
        pair.to_owned(),
        rest.split("; ").map(str::to_owned).collect(),
    )
}

#[tokio::test]
async fn a_session_begins_with_a_password_and_ends_with_log_out() {
    let mut gateway = Gateway::start().await;
    let opened = log_in(&gateway, "admin", PASSWORD).await;
    assert_eq!(opened.status(), 200);
    let (cookie, mut attributes) = set_cookie(opened.headers());
    assert!(cookie.starts_with("bkg_session="), "{cookie}");
    attributes.sort();
    assert_eq!(attributes, ["HttpOnly", "Path=/", "SameSite=Strict"]);
    let body: Value = opened.json().await.unwrap();
    assert_eq!(
        (&body["user"], &body["scopes"]),
        (&json!("admin"), &json!(["*"]))
    );
    let secret = cookie.split_once('=').unwrap().1;
    assert!(
        !body.to_string().contains(secret),
        "the cookie is for the browser alone"
    );

    gateway.kill();
    gateway.restart();
    let ask = |method, path| gateway.anonymous(method, path).header(COOKIE, &cookie);
    let (status, session) = answer(ask(Method::GET, "/auth/session")).await;
    assert_eq!(
        (status, &session["user"]),
        (200, &json!("admin")),
        "{session}"
    );
    assert_eq!(answer(ask(Method::GET, "/admin/keys")).await.0, 200);
    let left = ask(Method::POST, "/auth/logout").send().await.unwrap();
    assert_eq!(left.status(), 204);
    let (removed, attributes) = set_cookie(left.headers());
    assert_eq!(removed, "bkg_session=", "the browser forgets it");
    assert!(
        attributes.contains(&"Max-Age=0".to_owned()),
        "{attributes:?}"
    );
    assert_eq!(answer(ask(Method::GET, "/auth/session")).await.0, 401);
    assert_eq!(answer(ask(Method::GET, "/admin/keys")).await.0, 401);
    let key = gateway.request(Method::GET, "/auth/session");
    let (status, told) = answer(key).await;
    assert!(
        status == 200 && told["id"].as_str().unwrap().starts_with("key:"),
        "{told}"
    );
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_user_get_the_same_answer() {
    let gateway = Gateway::start().await;
    let mut answers = Vec::new();
    for (user, password) in [("admin", "wrong"), ("nobody", PASSWORD), ("", "")] {
        let response = log_in(&gateway, user, password).await;
        assert!(response.headers().get(SET_COOKIE).is_none());
        answers.push((response.status().as_u16(), response.text().await.unwrap()));
    }
    assert_eq!(answers[0].0, 401, "{answers:?}");
    assert!(answers.iter().all(|one| *one == answers[0]), "{answers:?}");
}

#[tokio::test]
async fn behind_https_the_cookie_is_for_this_host_and_tls_alone() {
    let env = [("BKG_SERVER__PUBLIC_URL", "https://bkg.example")];
    let gateway = Gateway::start_with(&env).await;
    let opened = log_in(&gateway, "admin", PASSWORD).await;
    let (cookie, attributes) = set_cookie(opened.headers());
    assert!(cookie.starts_with("__Host-bkg="), "{cookie}");
    for wanted in ["Secure", "HttpOnly", "Path=/", "SameSite=Strict"] {
        assert!(
            attributes.iter().any(|one| one == wanted),
            "{wanted}: {attributes:?}"
        );
    }
    let request = gateway.anonymous(Method::GET, "/auth/session");
    assert_eq!(answer(request.header(COOKIE, cookie)).await.0, 200);
}

#[tokio::test]
async fn a_users_session_can_do_what_the_user_may() {
    let gateway = Gateway::start().await;
    let user = json!({"username": "ada", "password": "analytical engine", "scopes": ["llm.chat"]});
    assert_eq!(gateway.post("/admin/users", &user).await.0, 201);
    assert_eq!(
        gateway.post("/admin/users", &user).await.0,
        409,
        "the name is taken"
    );
    let (_, users) = gateway.get("/admin/users").await;
    assert!(users.to_string().contains("\"ada\""), "{users}");
    assert!(!users.to_string().contains("argon2"), "{users}");
    let opened = log_in(&gateway, "ada", "analytical engine").await;
    let (cookie, _) = set_cookie(opened.headers());
    for (path, status) in [
        ("/v1/models", 200),
        ("/admin/keys", 200),
        ("/admin/users", 403),
    ] {
        let request = gateway.anonymous(Method::GET, path).header(COOKIE, &cookie);
        assert_eq!(answer(request).await.0, status, "{path}");
    }
}

//! What pages of other sites try with a visitor's browser.

use reqwest::{
    Method, RequestBuilder,
    header::{CONTENT_TYPE, COOKIE, ORIGIN, SET_COOKIE},
};
use serde_json::{Value, json};

use super::{PASSWORD, sessions::cookie};
use crate::gateway::{Gateway, answer};

const EVIL: &str = "https://evil.example";

/// Another port of the same machine: the same site, to a browser.
const NEIGHBOUR: &str = "http://127.0.0.1:1";

fn with_cookie(gateway: &Gateway, method: Method, path: &str, cookie: &str) -> RequestBuilder {
    gateway.anonymous(method, path).header(COOKIE, cookie)
}

async fn refused(request: RequestBuilder, what: &str) {
    let (status, told) = answer(request).await;
    assert_eq!(status, 403, "{what}: {told}");
    assert_eq!(told["error"]["code"], "cross_site", "{what}: {told}");
}

#[tokio::test]
async fn a_page_of_another_site_cannot_act_with_a_visitors_session() {
    let gateway = Gateway::start().await;
    let cookie = cookie(&gateway, "admin", PASSWORD).await;
    let own = gateway.url.clone();
    let make = |headers: &[(&'static str, &str)]| {
        let request = with_cookie(&gateway, Method::POST, "/admin/keys", &cookie);
        let request = request.json(&json!({"name": "k", "scopes": ["llm.chat"]}));
        headers.iter().fold(request, |request, (name, value)| {
            request.header(*name, *value)
        })
    };
    let keys = async || {
        let (_, told) = gateway.get("/admin/keys").await;
        told["keys"].as_array().unwrap().len()
    };
    let before = keys().await;
    for headers in [
        &[("origin", EVIL)][..],
        &[("origin", NEIGHBOUR)],
        &[("origin", "null")],
        &[("origin", "")],
        &[("origin", &own), ("origin", EVIL)],
        &[("sec-fetch-site", "cross-site")],
        &[("sec-fetch-site", "same-site")],
        &[("origin", &own), ("sec-fetch-site", "cross-site")],
    ] {
        refused(make(headers), &format!("{headers:?}")).await;
    }
    assert_eq!(keys().await, before, "nothing was made");
    for headers in [
        &[][..],
        &[("origin", own.as_str())],
        &[("origin", &own), ("sec-fetch-site", "same-origin")],
        &[("sec-fetch-site", "none")],
    ] {
        let (status, told) = answer(make(headers)).await;
        assert_eq!(status, 201, "{headers:?}: {told}");
    }
    let read = with_cookie(&gateway, Method::GET, "/admin/keys", &cookie);
    refused(read.header(ORIGIN, EVIL), "reading").await;
    let unknown = with_cookie(&gateway, Method::POST, "/admin/keys", "bkg_session=guessed");
    refused(
        unknown.header(ORIGIN, EVIL),
        "nothing is learnt of a cookie",
    )
    .await;
}

#[tokio::test]
async fn a_form_is_not_taken_with_a_session() {
    let gateway = Gateway::start().await;
    let cookie = cookie(&gateway, "admin", PASSWORD).await;
    let body = r#"{"name":"k","scopes":["*"]}"#;
    for kind in [
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "text/plain",
        "Text/Plain;charset=UTF-8",
    ] {
        for (method, path) in [
            (Method::POST, "/admin/keys"),
            (Method::POST, "/auth/logout"),
            (Method::POST, "/admin/plugins/brainml/stop"),
            (Method::DELETE, "/auth/session"),
        ] {
            let request = with_cookie(&gateway, method, path, &cookie);
            refused(
                request.header(CONTENT_TYPE, kind).body(body),
                &format!("{path} {kind}"),
            )
            .await;
        }
    }
    let session = with_cookie(&gateway, Method::GET, "/auth/session", &cookie);
    assert_eq!(answer(session).await.0, 200, "it is still there");
    assert_eq!(gateway.plugin("brainml").await["state"], "running");
}

#[tokio::test]
async fn another_site_cannot_log_a_visitor_in() {
    let gateway = Gateway::start().await;
    let body = json!({"username": "admin", "password": PASSWORD});
    for (name, value) in [
        ("origin", EVIL),
        ("origin", NEIGHBOUR),
        ("origin", "null"),
        ("sec-fetch-site", "cross-site"),
    ] {
        for path in ["/auth/login", "/auth/%6Cogin", "/%61uth/login"] {
            let request = gateway.anonymous(Method::POST, path).json(&body);
            let response = request.header(name, value).send().await.unwrap();
            assert_eq!(response.status(), 403, "{path} {name}: {value}");
            assert!(response.headers().get(SET_COOKIE).is_none());
            assert!(response.headers().contains_key("x-request-id"));
            let told: Value = response.json().await.unwrap();
            assert_eq!(told["error"]["code"], "cross_site");
        }
    }
    let request = gateway.anonymous(Method::POST, "/auth/login").json(&body);
    assert_eq!(answer(request.header(ORIGIN, &gateway.url)).await.0, 200);
}

#[tokio::test]
async fn a_key_is_sent_on_purpose_and_may_come_from_anywhere() {
    let gateway = Gateway::start().await;
    let body = json!({"name": "k", "scopes": ["llm.chat"]});
    let request = gateway.request(Method::POST, "/admin/keys").json(&body);
    let request = request
        .header(ORIGIN, EVIL)
        .header("sec-fetch-site", "cross-site");
    assert_eq!(answer(request).await.0, 201);
}

#[tokio::test]
async fn a_page_of_another_site_cannot_open_a_socket() {
    let gateway = Gateway::start().await;
    let cookie = cookie(&gateway, "admin", PASSWORD).await;
    let bearer = format!("Bearer {}", gateway.key);
    let own = gateway.url.clone();
    for path in ["/ws/logs", "/ws/plugins"] {
        for (credential, origin, wanted) in [
            (None, None, 401),
            (None, Some(EVIL), 401),
            (Some(("cookie", &cookie)), Some(EVIL), 403),
            (Some(("cookie", &cookie)), Some(NEIGHBOUR), 403),
            (Some(("authorization", &bearer)), Some(EVIL), 403),
            (Some(("authorization", &bearer)), None, 101),
            (Some(("cookie", &cookie)), Some(own.as_str()), 101),
        ] {
            let mut request = gateway.anonymous(Method::GET, path);
            for (name, value) in [
                ("connection", "upgrade"),
                ("upgrade", "websocket"),
                ("sec-websocket-version", "13"),
                ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ] {
                request = request.header(name, value);
            }
            if let Some((name, value)) = credential {
                request = request.header(name, value);
            }
            if let Some(origin) = origin {
                request = request.header(ORIGIN, origin);
            }
            let status = request.send().await.unwrap().status();
            assert_eq!(status, wanted, "{path} {credential:?} {origin:?}");
        }
    }
}

#[tokio::test]
async fn a_socket_that_is_asked_for_among_other_upgrades_is_one() {
    let gateway = Gateway::start().await;
    let cookie = cookie(&gateway, "admin", PASSWORD).await;
    for upgrades in [&["h2c, websocket"][..], &["h2c", "websocket"]] {
        let request = gateway.anonymous(Method::GET, "/ws/logs");
        let request = request.header(COOKIE, &cookie).header(ORIGIN, EVIL);
        let request = request
            .header("connection", "upgrade")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
        let request = upgrades.iter().fold(request, |request, upgrade| {
            request.header("upgrade", *upgrade)
        });
        assert_eq!(request.send().await.unwrap().status(), 403, "{upgrades:?}");
    }
}

//! Users: roles, and changes that hold at once.

use reqwest::{Method, header::COOKIE};
use serde_json::{Value, json};

use super::{
    PASSWORD, scoped,
    sessions::{cookie, log_in, set_cookie},
    status_of,
};
use crate::{
    gateway::{Gateway, answer},
    socket::Socket,
};

const ADA: &str = "analytical engine";

async fn ada(gateway: &Gateway) -> String {
    let user = json!({"username": "ada", "password": ADA, "scopes": ["llm.chat", "brainml.query"]});
    let (status, made) = gateway.post("/admin/users", &user).await;
    assert_eq!((status, &made["role"]), (201, &json!("user")), "{made}");
    cookie(gateway, "ada", ADA).await
}

async fn change(gateway: &Gateway, name: &str, body: Value) -> (u16, Value) {
    let path = format!("/admin/users/{name}");
    answer(gateway.request(Method::PATCH, &path).json(&body)).await
}

async fn session(gateway: &Gateway, cookie: &str) -> (u16, Value) {
    let request = gateway.anonymous(Method::GET, "/auth/session");
    answer(request.header(COOKIE, cookie)).await
}

#[tokio::test]
async fn a_user_who_is_locked_out_is_out_at_once() {
    let gateway = Gateway::start().await;
    let cookie = ada(&gateway).await;
    assert_eq!(session(&gateway, &cookie).await.0, 200);
    assert_eq!(
        change(&gateway, "ada", json!({"disabled": true})).await.0,
        200
    );
    assert_eq!(session(&gateway, &cookie).await.0, 401);
    let mut answers = Vec::new();
    for (name, password) in [("ada", ADA), ("ada", "wrong horse"), ("nobody", ADA)] {
        let refused = log_in(&gateway, name, password).await;
        answers.push((refused.status().as_u16(), refused.text().await.unwrap()));
    }
    assert_eq!(answers[0].0, 401);
    assert!(answers.iter().all(|one| *one == answers[0]), "{answers:?}");
}

#[tokio::test]
async fn a_user_cannot_be_given_what_belongs_to_admins_and_unknown_fields_are_refused() {
    let gateway = Gateway::start().await;
    ada(&gateway).await;
    for body in [
        json!({"scopes": ["admin"]}),
        json!({"scopes": ["*"]}),
        json!({"scopes": []}),
        json!({"role": "root"}),
        json!({"role": "admin", "scopes": ["llm.chat"]}),
        json!({"username": "eve"}),
        json!({"password_hash": "x"}),
        json!({"created_at": "2000-01-01T00:00:00Z"}),
        json!({"id": 1}),
        json!({"totp_secret": "x"}),
        json!({"totp": true}),
        json!({"password": "short"}),
    ] {
        let (status, told) = change(&gateway, "ada", body.clone()).await;
        assert_eq!(status, 422, "{body}: {told}");
    }
    let mut user = json!({"username": "eve", "password": ADA, "scopes": ["admin"]});
    for scopes in [json!(["admin"]), json!(["*"]), json!([])] {
        user["scopes"] = scopes;
        assert_eq!(gateway.post("/admin/users", &user).await.0, 422, "{user}");
    }
    user["disabled"] = json!(false);
    user["scopes"] = json!(["llm.chat"]);
    assert_eq!(gateway.post("/admin/users", &user).await.0, 422, "{user}");
}

#[tokio::test]
async fn the_last_admin_stays_one() {
    let gateway = Gateway::start().await;
    for body in [
        json!({"disabled": true}),
        json!({"role": "user", "scopes": ["llm.chat"]}),
    ] {
        let (status, told) = change(&gateway, "admin", body).await;
        assert_eq!(
            (status, &told["error"]["code"]),
            (409, &json!("last_admin")),
            "{told}"
        );
    }
    let root = json!({"username": "root", "password": ADA, "role": "admin"});
    let (status, made) = gateway.post("/admin/users", &root).await;
    assert_eq!((status, &made["scopes"]), (201, &json!(["*"])), "{made}");
    let key = gateway.key.clone();
    let narrow = json!({"role": "user", "scopes": ["llm.chat"]});
    assert_eq!(change(&gateway, "admin", narrow).await.0, 200);
    let request = gateway
        .anonymous(Method::GET, "/admin/keys")
        .bearer_auth(&key);
    assert_eq!(
        answer(request).await.0,
        403,
        "his keys may do no more than he"
    );
    assert_eq!(status_of(&gateway, &key).await, 200);
}

#[tokio::test]
async fn an_operators_key_cannot_make_itself_more_by_way_of_a_user() {
    let gateway = Gateway::start().await;
    ada(&gateway).await;
    let key = scoped(&gateway, &["admin"]).await;
    for (method, path, body) in [
        (
            Method::PATCH,
            "/admin/users/admin",
            json!({"password": "mine from now on"}),
        ),
        (Method::PATCH, "/admin/users/ada", json!({"role": "admin"})),
        (
            Method::PATCH,
            "/admin/users/ada",
            json!({"password": "mine from now on"}),
        ),
        (
            Method::POST,
            "/admin/users",
            json!({"username": "eve", "password": ADA, "role": "admin"}),
        ),
        (
            Method::POST,
            "/admin/users",
            json!({"username": "eve", "password": ADA, "scopes": ["llm.chat"]}),
        ),
    ] {
        let request = gateway.anonymous(method, path).bearer_auth(&key);
        let (status, told) = answer(request.json(&body)).await;
        assert_eq!(status, 403, "{path} {body}: {told}");
        assert_eq!(told["error"]["code"], "missing_scope");
    }
    assert_eq!(log_in(&gateway, "admin", PASSWORD).await.status(), 200);
}

#[tokio::test]
async fn an_old_cookie_is_worth_nothing_after_log_in_password_change_and_reset() {
    let gateway = Gateway::start().await;
    let first = ada(&gateway).await;
    let body = json!({"username": "ada", "password": ADA});
    let again = gateway.anonymous(Method::POST, "/auth/login").json(&body);
    let again = again.header(COOKIE, &first).send().await.unwrap();
    let (second, _) = set_cookie(again.headers());
    assert_eq!(
        session(&gateway, &first).await.0,
        401,
        "log-in ends the old one"
    );
    let stolen = cookie(&gateway, "ada", ADA).await;

    let body = json!({"current": ADA, "new": "difference engine"});
    let change_own = gateway
        .anonymous(Method::POST, "/auth/password")
        .json(&body);
    let changed = change_own.header(COOKIE, &second).send().await.unwrap();
    assert_eq!(changed.status(), 200);
    let (third, attributes) = set_cookie(changed.headers());
    assert!(
        attributes.contains(&"HttpOnly".to_owned()),
        "{attributes:?}"
    );
    for old in [&second, &stolen] {
        assert_eq!(session(&gateway, old).await.0, 401);
    }
    assert_eq!(session(&gateway, &third).await.0, 200);
    assert_eq!(log_in(&gateway, "ada", ADA).await.status(), 401);

    let reset = json!({"password": "a third machine"});
    assert_eq!(change(&gateway, "ada", reset).await.0, 200);
    assert_eq!(session(&gateway, &third).await.0, 401);
    assert_eq!(
        log_in(&gateway, "ada", "a third machine").await.status(),
        200
    );
}

#[tokio::test]
async fn a_demoted_admin_is_shut_out_of_the_sockets_that_he_has_open() {
    let gateway = Gateway::start().await;
    let root = json!({"username": "root", "password": ADA, "role": "admin"});
    assert_eq!(gateway.post("/admin/users", &root).await.0, 201);
    let cookie = cookie(&gateway, "root", ADA).await;
    let make = gateway.anonymous(Method::POST, "/admin/keys");
    let make = make.json(&json!({"name": "live", "scopes": ["admin"]}));
    let (status, made) = answer(make.header(COOKIE, &cookie)).await;
    assert_eq!(status, 201, "{made}");
    let opened = Socket::open(&gateway, "/ws/plugins", made["key"].as_str()).await;
    let mut socket = opened.unwrap_or_else(|status| panic!("{status}"));
    assert!(socket.next().await.is_some());
    let narrow = json!({"role": "user", "scopes": ["llm.chat"]});
    assert_eq!(change(&gateway, "root", narrow).await.0, 200);
    socket.rest().await;
}

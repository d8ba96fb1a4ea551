//! Who may do what: keys, scopes, sessions, and the command line that hands keys out.

use jiff::{SignedDuration, Timestamp};
use messages::apikeys::secret::key_from;
use reqwest::{
    Method, RequestBuilder, Response,
    header::{AUTHORIZATION, COOKIE, HeaderMap, SET_COOKIE, WWW_AUTHENTICATE},
};
use serde_json::{Value, json};

use crate::gateway::{Gateway, PASSWORD, answer, bkg, eventually};

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

/// One route of each class with the scope that it needs.
const CLASSES: [(&str, &str, &str); 22] = [
    ("POST", "/v1/chat/completions", "llm.chat"),
    ("POST", "/v1/completions", "llm.chat"),
    ("POST", "/v1/embeddings", "llm.embed"),
    ("PUT", "/brainml/collections/c", "brainml.index"),
    ("POST", "/brainml/collections/c/documents", "brainml.index"),
    (
        "DELETE",
        "/brainml/collections/c/documents/d",
        "brainml.index",
    ),
    ("GET", "/brainml/collections/c/documents/d", "brainml.query"),
    ("POST", "/brainml/collections/c/query", "brainml.query"),
    ("GET", "/brainml/collections", "brainml.stats"),
    ("GET", "/brainml/collections/c", "brainml.stats"),
    ("GET", "/brainml/collections/c/stats", "brainml.stats"),
    ("DELETE", "/brainml/collections/c", "brainml.admin"),
    ("GET", "/admin/plugins", "admin"),
    ("POST", "/admin/plugins/x/stop", "admin"),
    ("PUT", "/admin/plugins/x/config", "admin"),
    ("GET", "/admin/plugins/bkg/logs", "admin"),
    ("GET", "/admin/keys", "admin"),
    ("POST", "/admin/keys", "admin"),
    ("DELETE", "/admin/keys/k", "admin"),
    ("POST", "/admin/users", "admin"),
    ("POST", "/admin/models/pull", "admin"),
    ("GET", "/ws/logs", "admin"),
];

const SCOPES: [&str; 7] = [
    "llm.chat",
    "llm.embed",
    "brainml.index",
    "brainml.query",
    "brainml.stats",
    "brainml.admin",
    "admin",
];

#[tokio::test]
async fn every_class_of_routes_wants_its_scope_and_names_it() {
    let gateway = Gateway::start().await;
    for scope in SCOPES {
        let own = scoped(&gateway, &[scope]).await;
        let others: Vec<&str> = SCOPES.into_iter().filter(|other| *other != scope).collect();
        let others = scoped(&gateway, &others).await;
        for (method, path, _) in CLASSES.iter().filter(|class| class.2 == scope) {
            let ask = |key: &str| {
                let method = method.parse().unwrap();
                let request = gateway.anonymous(method, path).bearer_auth(key);
                answer(request.json(&json!({"unreadable": true})))
            };
            let (status, body) = ask(&others).await;
            assert_eq!(status, 403, "{method} {path}: {body}");
            assert_eq!(body["error"]["code"], "missing_scope", "{method} {path}");
            let message = body["error"]["message"].as_str().unwrap();
            let named = message.split([' ', ',']).any(|word| word == scope);
            assert!(named, "{method} {path}: {message}");
            let (status, body) = ask(&own).await;
            assert!(
                ![401, 403, 405].contains(&status),
                "{method} {path}: {body}"
            );
        }
    }
}

#[tokio::test]
async fn an_answer_from_documents_wants_the_scope_to_search_them() {
    let gateway = Gateway::start().await;
    let document = json!([{"id": "d", "text": "The vault opens with the word tourmaline."}]);
    gateway.index("secrets", &document).await;
    let question = "Which word opens the vault?";
    let chat = json!({"model": "bkg-extract", "messages": [{"role": "user", "content": question}]});
    let mut named = chat.clone();
    named["retrieval"] = json!({"collections": ["secrets"]});
    let mut nameless = chat.clone();
    nameless["model"] = json!("");
    let complete = json!({"model": "bkg-extract", "prompt": question});
    let chats = "/v1/chat/completions";
    for (path, body) in [
        (chats, chat),
        (chats, named),
        (chats, nameless),
        ("/v1/completions", complete),
    ] {
        let ask = |key: String| {
            let request = gateway.anonymous(Method::POST, path).bearer_auth(key);
            answer(request.json(&body))
        };
        let (status, told) = ask(scoped(&gateway, &["llm.chat", "brainml.query"]).await).await;
        assert_eq!(status, 200, "{told}");
        assert!(told.to_string().contains("tourmaline"), "{told}");
        let (status, told) = ask(scoped(&gateway, &["llm.chat"]).await).await;
        assert!(
            !told.to_string().contains("tourmaline"),
            "{path} {body}: {told}"
        );
        assert_eq!(status, 403, "{told}");
        let message = told["error"]["message"].as_str().unwrap();
        assert!(message.contains("brainml.query"), "{message}");
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
    let (_, logs) = gateway
        .get("/admin/plugins/apikeys/logs?level=trace&limit=10000")
        .await;
    assert!(
        logs.to_string().contains(made["id"].as_str().unwrap()),
        "{logs}"
    );
    assert!(!logs.to_string().contains(key), "{logs}");
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

async fn log_in(gateway: &Gateway, username: &str, password: &str) -> Response {
    let body = json!({"username": username, "password": password});
    let request = gateway.anonymous(Method::POST, "/auth/login").json(&body);
    request.send().await.unwrap()
}

fn set_cookie(headers: &HeaderMap) -> (String, Vec<String>) {
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
    for (path, status) in [("/v1/models", 200), ("/admin/keys", 403)] {
        let request = gateway.anonymous(Method::GET, path).header(COOKIE, &cookie);
        assert_eq!(answer(request).await.0, status, "{path}");
    }
}

/// Runs `bkg keys …` where no gateway runs, or does, as the caller has arranged.
fn keys(gateway: &Gateway, args: &[&str]) -> (bool, String, String) {
    let output = gateway.bkg(&[&["keys"], args].concat());
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.success(),
        text(output.stdout),
        text(output.stderr),
    )
}

#[tokio::test]
async fn the_command_line_makes_lists_and_revokes_keys_with_and_without_a_gateway() {
    let mut gateway = Gateway::start().await;
    for runs in [true, false] {
        if !runs {
            gateway.kill();
        }
        let (done, made, said) = keys(
            &gateway,
            &["create", "--name", "cli", "--scopes", "llm.chat,llm.embed"],
        );
        assert!(done, "{said}");
        let key = made.trim();
        assert_eq!(made, format!("{key}\n"), "scripts read the key alone");
        assert_eq!(key.len(), 40);
        let id = said.split(' ').nth(1).unwrap();
        let (_, listed, _) = keys(&gateway, &["list"]);
        let line = listed.lines().find(|line| line.starts_with(id)).unwrap();
        assert!(
            line.contains("llm.chat,llm.embed") && line.contains("valid"),
            "{line}"
        );
        assert!(!listed.contains("bkg_"), "{listed}");
        let (_, listed, _) = keys(&gateway, &["--json", "list"]);
        let listed: Value = serde_json::from_str(&listed).unwrap();
        let ids = listed["keys"].as_array().unwrap().iter();
        assert!(ids.clone().any(|one| one["id"] == *id), "{listed}");

        let (done, _, said) = keys(&gateway, &["revoke", id]);
        assert!(done, "{said}");
        let (_, listed, _) = keys(&gateway, &["list"]);
        let line = listed.lines().find(|line| line.starts_with(id)).unwrap();
        assert!(line.contains("revoked"), "{line}");
        let (done, _, said) = keys(&gateway, &["revoke", "nobodys"]);
        assert!(!done && said.contains("no key"), "{said}");
        let (done, _, said) = keys(
            &gateway,
            &["create", "--name", "k", "--scopes", "llm.chatt"],
        );
        assert!(!done && said.contains("llm.chatt"), "{said}");
        if !runs {
            gateway.restart();
        }
        assert_eq!(status_of(&gateway, key).await, 401);
    }
}

#[tokio::test]
async fn a_key_made_before_the_first_start_opens_the_gateway() {
    let data = tempfile::tempdir().unwrap();
    let create = ["keys", "create", "--name", "early", "--scopes", "*"];
    let output = bkg(data.path(), &[], &create).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let key = String::from_utf8(output.stdout).unwrap();
    let gateway = Gateway::start_in(data, &[]).await;
    assert_eq!(status_of(&gateway, key.trim()).await, 200);
}

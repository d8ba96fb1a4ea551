//! What a key may do: each class of routes wants its scope.

use reqwest::Method;
use serde_json::json;

use super::scoped;
use crate::gateway::{Gateway, answer};

/// One route of each class with the scope that it needs.
const CLASSES: [(&str, &str, &str); 28] = [
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
    ("PATCH", "/admin/keys/k", "admin"),
    ("POST", "/admin/keys/k/rotate", "admin"),
    ("GET", "/admin/usage", "admin"),
    ("POST", "/admin/users", "admin"),
    ("PATCH", "/admin/users/nobody", "admin"),
    ("GET", "/admin/audit", "admin"),
    ("GET", "/admin/audit/verify", "admin"),
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

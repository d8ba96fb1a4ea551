//! `/openapi.json`: whole, true, and complete.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};

use crate::gateway::{Gateway, answer};

/// Every route of the contract that the plugins so far reach.
const ROUTES: [&str; 62] = [
    "GET /health",
    "GET /health/live",
    "GET /health/ready",
    "GET /metrics",
    "POST /auth/login",
    "POST /auth/logout",
    "GET /auth/session",
    "DELETE /auth/session",
    "POST /auth/password",
    "POST /auth/totp",
    "POST /auth/totp/confirm",
    "DELETE /auth/totp",
    "GET /v1/models",
    "GET /v1/models/{model}",
    "POST /v1/chat/completions",
    "POST /v1/completions",
    "POST /v1/embeddings",
    "GET /conversations",
    "POST /conversations",
    "GET /conversations/{id}",
    "PUT /conversations/{id}",
    "DELETE /conversations/{id}",
    "GET /conversations/{id}/export",
    "GET /admin/plugins",
    "GET /admin/plugins/{name}",
    "POST /admin/plugins/{name}/start",
    "POST /admin/plugins/{name}/stop",
    "POST /admin/plugins/{name}/restart",
    "GET /admin/plugins/{name}/config",
    "PUT /admin/plugins/{name}/config",
    "GET /admin/plugins/{name}/logs",
    "GET /admin/settings",
    "GET /admin/keys",
    "POST /admin/keys",
    "DELETE /admin/keys/{id}",
    "PATCH /admin/keys/{id}",
    "POST /admin/keys/{id}/rotate",
    "GET /admin/usage",
    "GET /admin/users",
    "POST /admin/users",
    "PATCH /admin/users/{username}",
    "GET /admin/audit",
    "GET /admin/audit/verify",
    "POST /admin/models/pull",
    "POST /admin/backups",
    "GET /admin/backups",
    "GET /admin/traces",
    "GET /admin/traces/{trace_id}",
    "GET /brainml/collections",
    "PUT /brainml/collections/{name}",
    "GET /brainml/collections/{name}",
    "DELETE /brainml/collections/{name}",
    "POST /brainml/collections/{name}/documents",
    "GET /brainml/collections/{name}/documents",
    "GET /brainml/collections/{name}/documents/{id}",
    "GET /brainml/collections/{name}/documents/{id}/chunks",
    "DELETE /brainml/collections/{name}/documents/{id}",
    "POST /brainml/collections/{name}/query",
    "GET /brainml/collections/{name}/stats",
    "GET /ws/logs",
    "GET /ws/plugins",
    "GET /openapi.json",
];

/// The routes that anyone may use.
const PUBLIC: [&str; 4] = [
    "GET /health/live",
    "GET /health/ready",
    "POST /auth/login",
    "GET /openapi.json",
];

/// A gateway without a model: nothing is embedded here.
async fn start() -> Gateway {
    Gateway::start_with(&[("BKG_MODELS_DIR", "no-models")]).await
}

async fn document(gateway: &Gateway) -> Value {
    let (status, document) = answer(gateway.anonymous(Method::GET, "/openapi.json")).await;
    assert_eq!(status, 200);
    document
}

/// All operations as `GET /path`, with what is said of each.
fn operations(document: &Value) -> Vec<(String, &Value)> {
    let paths = document["paths"].as_object().unwrap().iter();
    paths
        .flat_map(|(path, item)| {
            let methods = item.as_object().unwrap().iter();
            methods.map(move |(method, said)| (format!("{} {path}", method.to_uppercase()), said))
        })
        .collect()
}

/// The names between braces.
fn parameters(path: &str) -> BTreeSet<&str> {
    path.split('{')
        .skip(1)
        .map(|rest| rest.split('}').next().unwrap())
        .collect()
}

#[tokio::test]
async fn the_document_is_whole() {
    let gateway = start().await;
    let document = document(&gateway).await;
    assert!(
        document["openapi"].as_str().unwrap().starts_with("3."),
        "{}",
        document["openapi"]
    );
    assert!(document["info"]["title"].is_string() && document["info"]["version"].is_string());
    let schemes = &document["components"]["securitySchemes"];
    assert_eq!(
        (&schemes["key"]["type"], &schemes["key"]["scheme"]),
        (&json!("http"), &json!("bearer"))
    );
    assert_eq!(
        (&schemes["session"]["type"], &schemes["session"]["in"]),
        (&json!("apiKey"), &json!("cookie"))
    );
    let mut ids = BTreeSet::new();
    for (route, said) in operations(&document) {
        let responses = said["responses"].as_object().expect("responses");
        assert!(!responses.is_empty(), "{route}");
        for (status, response) in responses {
            assert!(
                response["description"].is_string(),
                "{route} {status}: {response}"
            );
        }
        let id = said["operationId"].as_str().unwrap();
        assert!(ids.insert(id.to_owned()), "{route}: {id} twice");
        assert!(said["summary"].is_string(), "{route}");
        let declared = said["parameters"].as_array().into_iter().flatten();
        let declared = declared.filter(|one| one["in"] == "path" && one["required"] == true);
        let declared: BTreeSet<&str> = declared.map(|one| one["name"].as_str().unwrap()).collect();
        assert_eq!(declared, parameters(&route), "{route}");
        let guarded = said["security"]
            .as_array()
            .is_some_and(|some| !some.is_empty());
        assert_eq!(guarded, !PUBLIC.contains(&route.as_str()), "{route}");
    }
}

fn references(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            if let Some(Value::String(reference)) = fields.get("$ref") {
                found.insert(reference.clone());
            }
            fields.values().for_each(|value| references(value, found));
        }
        Value::Array(items) => items.iter().for_each(|value| references(value, found)),
        _ => (),
    }
}

#[tokio::test]
async fn every_reference_leads_somewhere() {
    let gateway = start().await;
    let document = document(&gateway).await;
    let mut found = BTreeSet::new();
    references(&document, &mut found);
    assert!(found.len() > 10, "{found:?}");
    for reference in found {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
}

#[tokio::test]
async fn every_route_of_the_contract_is_in_it_and_no_other() {
    let gateway = start().await;
    let document = document(&gateway).await;
    let told: BTreeSet<String> = operations(&document)
        .into_iter()
        .map(|(route, _)| route)
        .collect();
    let wanted: BTreeSet<String> = ROUTES.into_iter().map(str::to_owned).collect();
    assert_eq!(told, wanted);
}

#[tokio::test]
async fn every_route_in_it_answers() {
    let gateway = start().await;
    let document = document(&gateway).await;
    for (route, _) in operations(&document) {
        let (method, path) = route.split_once(' ').unwrap();
        let mut dummy = path.to_owned();
        for name in parameters(path) {
            dummy = dummy.replace(&format!("{{{name}}}"), "no-such-thing");
        }
        let request = gateway
            .request(method.parse().unwrap(), &dummy)
            .json(&json!({}));
        let (status, told) = answer(request).await;
        assert!(
            ![401, 403, 405].contains(&status) && status < 500,
            "{route}: {status} {told}"
        );
        if status == 404 {
            let error = &told["error"];
            assert_ne!(error["code"], "unknown_url", "{route}");
            let message = error["message"].as_str().unwrap();
            let named =
                message.contains("no-such-thing") || message.contains("no key with this id");
            assert!(named, "{route}: {message}");
        }
    }
}

#[tokio::test]
async fn what_it_says_is_guarded_refuses_strangers_and_what_is_public_does_not() {
    let gateway = start().await;
    let document = document(&gateway).await;
    for (route, _) in operations(&document) {
        let (method, path) = route.split_once(' ').unwrap();
        let request = gateway
            .anonymous(method.parse().unwrap(), path)
            .json(&json!({}));
        let (status, told) = answer(request).await;
        assert_eq!(
            status == 401,
            !PUBLIC.contains(&route.as_str()),
            "{route}: {status} {told}"
        );
    }
}

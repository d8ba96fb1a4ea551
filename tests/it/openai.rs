//! OpenAI's API: its errors, and the models that can be used.

mod chat;
mod embeddings;

use reqwest::{
    Method,
    header::{ALLOW, CONTENT_ENCODING, CONTENT_TYPE},
};
use serde_json::{Value, json};

use crate::gateway::{Gateway, answer, has_model};

const CHAT: &str = "/v1/chat/completions";
const EMBEDDINGS: &str = "/v1/embeddings";
const MODEL: &str = "all-MiniLM-L6-v2";

/// Checks that `body` is OpenAI's error envelope and nothing else; gives what is inside.
fn error(body: &Value) -> &Value {
    let error = &body["error"];
    let fields: Vec<&String> = error
        .as_object()
        .expect("an error envelope")
        .keys()
        .collect();
    assert_eq!(fields, ["code", "message", "param", "type"], "{body}");
    assert!(
        error["message"]
            .as_str()
            .is_some_and(|text| text.len() > 10),
        "{body}"
    );
    assert!(
        error["type"]
            .as_str()
            .is_some_and(|text| text.ends_with("_error")),
        "{body}"
    );
    error
}

#[tokio::test]
async fn every_error_comes_in_openais_envelope() {
    let gateway = Gateway::start().await;
    let user = json!([{"role": "user", "content": "hello"}]);
    for (path, body, status, param, code) in [
        (
            CHAT,
            json!({"model": "bkg-extract"}),
            400,
            json!("messages"),
            json!(null),
        ),
        (
            CHAT,
            json!({"messages": user}),
            400,
            json!("model"),
            json!(null),
        ),
        (CHAT, json!([1]), 400, json!(null), json!(null)),
        (
            CHAT,
            json!({"model": "gpt-7", "messages": user}),
            404,
            json!("model"),
            json!("model_not_found"),
        ),
        (
            CHAT,
            json!({"model": "bkg-extract", "messages": []}),
            400,
            json!("messages"),
            json!(null),
        ),
        (
            CHAT,
            json!({"model": "bkg-extract", "messages": user, "n": 2}),
            400,
            json!("n"),
            json!(null),
        ),
        (
            EMBEDDINGS,
            json!({"model": MODEL}),
            400,
            json!("input"),
            json!(null),
        ),
        (
            EMBEDDINGS,
            json!({"model": MODEL, "input": []}),
            400,
            json!("input"),
            json!(null),
        ),
        (
            EMBEDDINGS,
            json!({"model": MODEL, "input": 7}),
            400,
            json!(null),
            json!(null),
        ),
        (
            EMBEDDINGS,
            json!({"model": "gpt-7", "input": "a"}),
            404,
            json!("model"),
            json!("model_not_found"),
        ),
        (
            "/v1/completions",
            json!({"model": "bkg-extract"}),
            400,
            json!("prompt"),
            json!(null),
        ),
        (
            "/v1/completions",
            json!({"model": "gpt-7", "prompt": "a"}),
            404,
            json!("model"),
            json!("model_not_found"),
        ),
        (
            "/v1/audio/speech",
            json!({}),
            404,
            json!(null),
            json!("unknown_url"),
        ),
    ] {
        let (got, told) = gateway.post(path, &body).await;
        let error = error(&told);
        assert_eq!(
            (got, &error["param"]),
            (status, &param),
            "{path} {body}: {told}"
        );
        assert_eq!(error["code"], code, "{path} {body}: {told}");
    }
    for (method, path, status) in [
        (Method::GET, "/v1/models/gpt-7", 404),
        (Method::GET, "/v1/models/%ff", 404),
        (Method::GET, "/nowhere", 404),
        (Method::GET, "/ws/logs?colour=red", 400),
        (Method::GET, "/ws/logs", 400),
        (Method::GET, "/admin/plugins/bkg/logs?limit=many", 400),
        (Method::GET, "/brainml/collections/none/stats", 404),
    ] {
        let (got, told) = answer(gateway.request(method, path)).await;
        assert_eq!(got, status, "{path}: {told}");
        error(&told);
    }
}

#[tokio::test]
async fn json_that_is_none_is_a_400_that_says_where() {
    let gateway = Gateway::start().await;
    for (body, words) in [
        ("{\"model\": ", "an early end"),
        ("{]", "line 1"),
        ("", "JSON"),
        ("\u{0}", "line 1"),
    ] {
        let request = gateway.request(Method::POST, CHAT).body(body);
        let (status, told) = answer(request.header(CONTENT_TYPE, "application/json")).await;
        let message = error(&told)["message"].as_str().unwrap();
        assert!(status == 400 && message.contains(words), "{body:?}: {told}");
    }
}

#[tokio::test]
async fn a_wrong_method_is_told_the_right_ones() {
    let gateway = Gateway::start().await;
    for (method, path, allowed) in [
        (Method::GET, CHAT, "POST"),
        (Method::DELETE, "/v1/models", "GET"),
        (Method::POST, "/v1/models/org/model", "GET"),
        (Method::PATCH, "/admin/keys", "GET, POST"),
        (Method::POST, "/brainml/collections/c", "DELETE, GET, PUT"),
        (
            Method::PUT,
            "/brainml/collections/c/documents/a/b",
            "DELETE, GET",
        ),
        (
            Method::DELETE,
            "/brainml/collections/c/documents",
            "GET, POST",
        ),
    ] {
        let response = gateway.request(method.clone(), path).send().await.unwrap();
        assert_eq!(response.status(), 405, "{method} {path}");
        let told = response.headers()[ALLOW].to_str().unwrap();
        let mut told: Vec<&str> = told.split(", ").collect();
        told.sort_unstable();
        assert_eq!(told.join(", "), allowed, "{method} {path}");
        let body = response.json().await.unwrap();
        assert_eq!(error(&body)["code"], "method_not_allowed");
    }
}

#[tokio::test]
async fn a_body_that_is_too_large_is_a_413_and_documents_have_a_limit_of_their_own() {
    let env = [
        ("BKG_SERVER__BODY_LIMIT", "2000"),
        ("BKG_SERVER__DOCUMENTS_LIMIT", "8000"),
    ];
    let gateway = Gateway::start_with(&env).await;
    let chat = |length: usize| {
        let content = "x".repeat(length);
        json!({"model": "none", "messages": [{"role": "user", "content": content}]})
    };
    let documents = |length: usize| json!({"documents": [{"id": "d", "text": "x".repeat(length)}]});
    assert_eq!(
        gateway.put("/brainml/collections/c", &json!({})).await.0,
        200
    );
    for (method, path, body, status) in [
        (Method::POST, CHAT, chat(1000), 404),
        (Method::POST, CHAT, chat(3000), 413),
        (Method::POST, "/admin/keys", chat(3000), 413),
        (
            Method::POST,
            "/brainml/collections/c/documents",
            documents(3000),
            200,
        ),
        (
            Method::POST,
            "/brainml/collections/c/documents",
            documents(9000),
            413,
        ),
        (Method::PUT, "/brainml/collections/c", chat(3000), 413),
    ] {
        let (got, told) = answer(gateway.request(method, path).json(&body)).await;
        assert_eq!(got, status, "{path}: {told}");
        if status == 413 {
            let error = error(&told);
            assert_eq!(error["code"], "payload_too_large", "{path}");
            let limit = if path.ends_with("documents") {
                "8000"
            } else {
                "2000"
            };
            assert!(error["message"].as_str().unwrap().contains(limit), "{told}");
        }
    }
}

#[tokio::test]
async fn what_is_no_plain_json_is_a_415() {
    let gateway = Gateway::start().await;
    let ask = || gateway.request(Method::POST, CHAT);
    let plain = ask().body("{}").header(CONTENT_TYPE, "text/plain");
    for (what, request) in [
        ("plain text", plain),
        (
            "a form",
            ask()
                .body("a=1")
                .header(CONTENT_TYPE, "application/x-www-form-urlencoded"),
        ),
        ("no type", ask().body("{}")),
        (
            "gzip",
            ask().json(&json!({})).header(CONTENT_ENCODING, "gzip"),
        ),
        (
            "zstd",
            ask().json(&json!({})).header(CONTENT_ENCODING, "zstd"),
        ),
    ] {
        let (status, told) = answer(request).await;
        assert_eq!(status, 415, "{what}: {told}");
        assert_eq!(error(&told)["code"], "unsupported_media_type", "{what}");
    }
}

async fn request_id(gateway: &Gateway, path: &str, own: Option<&str>) -> String {
    let request = gateway.anonymous(Method::GET, path);
    let request = match own {
        Some(own) => request.header("x-request-id", own),
        None => request,
    };
    let response = request.send().await.unwrap();
    response.headers()["x-request-id"]
        .to_str()
        .unwrap()
        .to_owned()
}

#[tokio::test]
async fn every_answer_has_a_request_id_the_callers_own_where_it_is_sane() {
    let gateway = Gateway::start().await;
    let long = "x".repeat(129);
    for path in ["/health/live", "/v1/models", "/nowhere"] {
        assert_eq!(
            request_id(&gateway, path, Some("mine-1.2:3_4")).await,
            "mine-1.2:3_4",
            "{path}"
        );
        let mut made = vec![request_id(&gateway, path, None).await];
        for insane in ["", "two words", "<script>", long.as_str()] {
            made.push(request_id(&gateway, path, Some(insane)).await);
        }
        assert!(
            made.iter()
                .all(|id| id.len() == 36 && id.starts_with("req_")),
            "{made:?}"
        );
        made.sort();
        made.dedup();
        assert_eq!(made.len(), 5, "each has its own");
    }
    let refused = gateway
        .request(Method::POST, CHAT)
        .header(CONTENT_ENCODING, "gzip");
    let refused = refused.header("x-request-id", "mine").send().await.unwrap();
    assert_eq!(refused.headers()["x-request-id"], "mine");
}

#[tokio::test]
async fn models_are_listed_and_told_one_by_one() {
    let gateway = Gateway::start().await;
    let (status, listed) = gateway.get("/v1/models").await;
    assert_eq!((status, &listed["object"]), (200, &json!("list")));
    let models = listed["data"].as_array().unwrap();
    for model in models {
        assert_eq!(model["object"], "model", "{model}");
        assert!(
            model["created"]
                .as_i64()
                .is_some_and(|at| at > 1_500_000_000),
            "{model}"
        );
        let can = model["capabilities"][0].as_str();
        assert!(matches!(can, Some("chat" | "embeddings")), "{model}");
        let id = model["id"].as_str().unwrap();
        assert_eq!(
            gateway.get(&format!("/v1/models/{id}")).await,
            (200, model.clone())
        );
    }
    let ids: Vec<&str> = models
        .iter()
        .map(|model| model["id"].as_str().unwrap())
        .collect();
    assert!(ids.contains(&"bkg-extract"), "{ids:?}");
    assert_eq!(ids.contains(&MODEL), has_model(), "{ids:?}");
}

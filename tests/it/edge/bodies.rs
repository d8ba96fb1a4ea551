//! Bodies that are too large, of the wrong kind, or read differently by different readers.

use reqwest::Method;
use serde_json::{Value, json};

use super::wire;
use crate::gateway::{Gateway, answer};

async fn start() -> Gateway {
    Gateway::start_with(&[("BKG_MODELS_DIR", "no-models")]).await
}

async fn post_bytes(gateway: &Gateway, path: &str, body: impl Into<Vec<u8>>) -> (u16, Value) {
    let request = gateway.request(Method::POST, path);
    let request = request.header("content-type", "application/json");
    answer(request.body(body.into())).await
}

fn assert_invalid(path: &str, body: &[u8], (status, told): &(u16, Value)) {
    let body = String::from_utf8_lossy(body.get(..80).unwrap_or(body)).into_owned();
    assert_eq!(*status, 400, "{path} {body}: {told}");
    let error = &told["error"];
    assert_eq!(
        error["type"], "invalid_request_error",
        "{path} {body}: {told}"
    );
    assert_eq!(error["code"], "invalid_json", "{path} {body}: {told}");
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("line 1 column "), "{path} {body}: {told}");
}

#[tokio::test]
async fn a_body_that_readers_may_read_differently_is_refused() {
    let gateway = start().await;
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(128), "]".repeat(128));
    let bottomless = "[".repeat(1_000_000);
    let bodies: [&[u8]; 10] = [
        b"{\"model\":\"a\xff\"}",
        b"{\"model\":\"\xed\xa0\x80\"}",
        b"{\"model\":\"a\",\"model\":\"b\"}",
        b"{\"model\":\"a\",\"mode\\u006c\":\"b\"}",
        b"{\"x\":[{\"y\":{\"z\":1,\"z\":2}}]}",
        b"{\"x\":1e999}",
        b"{\"x\":\"\\ud800\"}",
        b"{\"model\":\"a\"} {}",
        deep.as_bytes(),
        bottomless.as_bytes(),
    ];
    for path in ["/v1/chat/completions", "/v1/completions", "/v1/embeddings"] {
        for body in bodies {
            let told = post_bytes(&gateway, path, body).await;
            assert_invalid(path, body, &told);
        }
    }
    for path in [
        "/admin/keys",
        "/auth/login",
        "/brainml/collections/c/documents",
    ] {
        for body in bodies.iter().filter(|body| body.len() < 1000) {
            let told = post_bytes(&gateway, path, *body).await;
            assert_invalid(path, body, &told);
        }
    }
    let twice = post_bytes(&gateway, "/admin/keys", r#"{"name":"a","name":"b"}"#).await;
    assert_eq!(twice.1["error"]["param"], "name", "{}", twice.1);
    assert_eq!(gateway.get("/health").await.0, 200);
}

#[tokio::test]
async fn deep_nesting_where_values_are_kept_does_not_end_the_gateway() {
    let gateway = start().await;
    // As deep as is taken, in a place where everything is kept.
    let nested = format!("{}{}", "[".repeat(120), "]".repeat(120));
    let body =
        format!(r#"{{"model":"none","messages":[{{"role":"user","content":"x"}}],"x":{nested}}}"#);
    let (status, told) = post_bytes(&gateway, "/v1/chat/completions", body).await;
    assert_eq!(
        (status, &told["error"]["code"]),
        (404, &json!("model_not_found")),
        "{told}"
    );
    let nested = format!("{}1{}", "{\"a\":".repeat(100_000), "}".repeat(100_000));
    let body =
        format!(r#"{{"model":"none","messages":[{{"role":"user","content":"x"}}],"x":{nested}}}"#);
    let (status, told) = post_bytes(&gateway, "/v1/chat/completions", body).await;
    assert_eq!(
        (status, &told["error"]["code"]),
        (400, &json!("invalid_json")),
        "{told}"
    );
    assert_eq!(gateway.get("/health").await.0, 200);
}

fn head(gateway: &Gateway, path: &str, more: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nhost: gateway\r\nauthorization: Bearer {}\r\n\
         content-type: application/json\r\nconnection: close\r\n{more}\r\n",
        gateway.key
    )
}

#[tokio::test]
async fn a_body_over_its_routes_limit_is_refused_before_it_is_read() {
    let gateway = start().await;
    for (path, limit) in [
        ("/v1/chat/completions", 2 << 20),
        ("/v1/completions", 2 << 20),
        ("/v1/embeddings", 2 << 20),
        ("/brainml/collections/c/documents", 32 << 20),
        ("/brainml/collections/c/query", 64 << 10),
        ("/admin/keys", 64 << 10),
        ("/auth/login", 64 << 10),
    ] {
        let told = format!("content-length: {}\r\n", limit + 1);
        // Not a byte of the body follows.
        let answer = wire::exchange(&gateway, head(&gateway, path, &told)).await;
        assert!(answer.starts_with("HTTP/1.1 413 "), "{path}: {answer}");
        assert!(
            answer.contains(&format!("larger than {limit} bytes")),
            "{path}: {answer}"
        );
    }
}

#[tokio::test]
async fn a_body_that_does_not_say_how_long_it_is_ends_at_the_limit() {
    let gateway = start().await;
    let mut sent = head(&gateway, "/admin/keys", "transfer-encoding: chunked\r\n").into_bytes();
    for _ in 0..5 {
        sent.extend_from_slice(b"4000\r\n");
        sent.extend_from_slice(&[b' '; 0x4000]);
        sent.extend_from_slice(b"\r\n");
    }
    // No last chunk: the gateway must not wait for it.
    let answer = wire::exchange(&gateway, sent).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
}

#[tokio::test]
async fn what_does_not_say_that_it_is_json_is_not_read() {
    let gateway = start().await;
    let body = r#"{"name":"x","scopes":["*"]}"#;
    for kind in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/json; charset=utf-16",
        "text/html; application/json",
    ] {
        let request = gateway.request(Method::POST, "/admin/keys").body(body);
        let (status, told) = answer(request.header("content-type", kind)).await;
        assert_eq!(status, 415, "{kind}: {told}");
        assert_eq!(
            told["error"]["code"], "unsupported_media_type",
            "{kind}: {told}"
        );
    }
    let (status, _) = answer(gateway.request(Method::POST, "/admin/keys").body(body)).await;
    assert_eq!(status, 415);
    for kind in [
        "application/json; charset=UTF-8",
        "application/merge-patch+json",
    ] {
        let request = gateway.request(Method::POST, "/admin/keys").body(body);
        let (status, told) = answer(request.header("content-type", kind)).await;
        assert_eq!(status, 201, "{kind}: {told}");
    }
}

#[tokio::test]
async fn a_compressed_body_is_never_unpacked() {
    let gateway = start().await;
    for encoding in ["gzip", "br", "deflate", "zstd", "identity", "x-any", ""] {
        let request = gateway.request(Method::POST, "/v1/chat/completions");
        let request = request
            .header("content-type", "application/json")
            .body("{}");
        let (status, told) = answer(request.header("content-encoding", encoding)).await;
        assert_eq!(status, 415, "{encoding}: {told}");
    }
}

#[tokio::test]
async fn a_body_where_none_is_wanted_changes_nothing() {
    let gateway = start().await;
    for (method, path, wanted) in [
        (Method::GET, "/admin/keys", 200),
        (Method::POST, "/auth/logout", 204),
        (Method::GET, "/health/live", 200),
        (Method::DELETE, "/admin/keys/none", 404),
    ] {
        for body in ["{\"a\":1,\"a\":2}".to_owned(), "x".repeat(300_000)] {
            let request = gateway.request(method.clone(), path).body(body);
            let (status, told) = answer(request).await;
            assert_eq!(status, wanted, "{method} {path}: {told}");
        }
    }
}

#[tokio::test]
async fn a_strange_method_or_path_is_told_what_there_is() {
    let gateway = start().await;
    let strange = [
        ("TRACE", "/v1/chat/completions", 405, Some("POST")),
        ("CONNECT", "/v1/chat/completions", 405, Some("POST")),
        ("PUT", "/v1/models", 405, Some("GET")),
        ("BREW", "/health/live", 405, Some("GET")),
        ("OPTIONS", "/v1/models", 405, Some("GET")),
        ("GET", "/v1/chat/completion", 404, None),
        ("GET", "/../../etc/passwd", 404, None),
        ("GET", "/%2e%2e/%2e%2e/etc/passwd", 404, None),
        ("TRACE", "/nowhere", 404, None),
    ];
    for (method, path, status, allow) in strange {
        let sent =
            format!("{method} {path} HTTP/1.1\r\nhost: gateway\r\nconnection: close\r\n\r\n");
        let answer = wire::exchange(&gateway, sent).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{method} {path}: {answer}"
        );
        let allowed = allow.map(|allow| format!("allow: {allow}\r\n"));
        assert!(
            allowed.is_none_or(|line| answer.to_lowercase().contains(&line.to_lowercase())),
            "{answer}"
        );
    }
}

#[tokio::test]
async fn a_refused_value_is_not_told_back() {
    let gateway = start().await;
    for body in [
        json!("canary-5520"),
        json!({"name": ["canary-5520"], "scopes": "canary-5520"}),
    ] {
        let (status, told) = gateway.post("/admin/keys", &body).await;
        assert_eq!(status, 422, "{told}");
        assert!(!told.to_string().contains("canary"), "{told}");
    }
}

#[tokio::test]
async fn the_document_tells_what_each_body_is() {
    let gateway = start().await;
    let (_, document) = gateway.get("/openapi.json").await;
    for (method, path, schema) in [
        ("post", "/v1/chat/completions", "Chat"),
        ("post", "/v1/embeddings", "EmbeddingsRequest"),
        ("post", "/admin/keys", "CreateKey"),
        ("post", "/brainml/collections/{name}/documents", "Documents"),
    ] {
        let content = &document["paths"][path][method]["requestBody"]["content"];
        let reference = &content["application/json"]["schema"]["$ref"];
        let wanted = format!("#/components/schemas/{schema}");
        assert_eq!(*reference, json!(wanted), "{path}: {content}");
    }
}

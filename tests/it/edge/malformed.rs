//! Requests that two servers in a row could read as two different ones, and other nonsense: one
//! answer, and the connection is closed.

use super::raw::{Raw, address, answers};
use crate::gateway::Gateway;

/// What a smuggler hopes to have answered.
const HIDDEN: &str = "GET /health/live HTTP/1.1\r\nhost: bkg\r\n\r\n";

async fn start() -> Gateway {
    Gateway::start_with(&[
        ("BKG_MODELS_DIR", "no-models"),
        ("BKG_SERVER__HEAD_SECONDS", "1"),
    ])
    .await
}

/// Sends each, and expects this one status and then the end.
async fn refuses(status: &str, requests: &[(&str, String)]) {
    let gateway = start().await;
    for (what, request) in requests {
        let mut client = Raw::to(&gateway).await;
        client.send(request).await;
        let answer = client.rest().await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{what}: {answer}"
        );
        assert_eq!(answers(&answer), 1, "{what}: {answer}");
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        let told: serde_json::Value = serde_json::from_str(body).expect(what);
        assert!(told["error"]["message"].is_string(), "{what}: {told}");
        assert_eq!(told["error"]["type"], "invalid_request_error", "{what}");
    }
    let mut client = Raw::to(&gateway).await;
    client.send(HIDDEN).await;
    assert!(client.answer().await.starts_with("HTTP/1.1 200"));
}

/// A head with a good first line and a good `Host`, and then a body.
fn with(headers: &str, body: &str) -> String {
    format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: bkg\r\ncontent-type: application/json\r\n\
         {headers}\r\n\r\n{body}"
    )
}

fn get(rest: &str) -> String {
    format!("GET /health/live {rest}")
}

#[tokio::test]
async fn a_body_of_two_minds_is_refused() {
    let chunked = format!("0\r\n\r\n{HIDDEN}");
    refuses(
        "400",
        &[
            (
                "both lengths",
                with("content-length: 4\r\ntransfer-encoding: chunked", &chunked),
            ),
            (
                "both, the other way",
                with("transfer-encoding: chunked\r\ncontent-length: 4", &chunked),
            ),
            (
                "two lengths",
                with("content-length: 0\r\ncontent-length: 46", HIDDEN),
            ),
            (
                "the same length twice",
                with("content-length: 0\r\ncontent-length: 0", HIDDEN),
            ),
            ("a list of lengths", with("content-length: 0, 46", HIDDEN)),
            ("a signed length", with("content-length: +0", HIDDEN)),
            ("a negative length", with("content-length: -1", HIDDEN)),
            (
                "a length in hexadecimal",
                with("content-length: 0x0", HIDDEN),
            ),
            (
                "an unknown coding",
                with("transfer-encoding: xchunked", &chunked),
            ),
            ("identity", with("transfer-encoding: identity", HIDDEN)),
            (
                "two codings",
                with("transfer-encoding: gzip, chunked", &chunked),
            ),
            (
                "chunked, not at last",
                with("transfer-encoding: chunked, identity", &chunked),
            ),
            (
                "chunked twice",
                with(
                    "transfer-encoding: chunked\r\ntransfer-encoding: chunked",
                    &chunked,
                ),
            ),
            (
                "a coding in HTTP/1.0",
                "POST /v1/chat/completions HTTP/1.0\r\nhost: bkg\r\n\
                transfer-encoding: chunked\r\n\r\n"
                    .to_owned()
                    + &chunked,
            ),
            (
                "a socket with a length",
                "GET /ws/logs HTTP/1.1\r\nhost: bkg\r\nconnection: upgrade\r\n\
                upgrade: websocket\r\ncontent-length: 4\r\n\r\n"
                    .to_owned()
                    + HIDDEN,
            ),
            (
                "a socket with a length, behind another upgrade",
                "GET /ws/logs HTTP/1.1\r\nhost: bkg\r\nconnection: upgrade\r\n\
                upgrade: h2c\r\nupgrade: websocket\r\ncontent-length: 4\r\n\r\n"
                    .to_owned()
                    + HIDDEN,
            ),
            (
                "a socket by POST",
                with("connection: upgrade\r\nupgrade: websocket", HIDDEN),
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_chunk_of_two_minds_ends_the_connection_and_hides_nothing() {
    let gateway = start().await;
    for line in ["+1\r\n", "10000000000000001\r\n", "1\n", "0x1\r\n", "1;a\n"] {
        let mut client = Raw::to(&gateway).await;
        let key = &gateway.key;
        let headers = format!("authorization: Bearer {key}\r\ntransfer-encoding: chunked");
        client
            .send(with(&headers, &format!("{line}x\r\n0\r\n\r\n{HIDDEN}")))
            .await;
        let answer = client.rest().await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{line:?}: {answer}");
        assert!(!answer.contains("HTTP/1.1 200"), "{line:?}: {answer}");
    }
}

#[tokio::test]
async fn a_head_of_two_minds_is_refused() {
    refuses(
        "400",
        &[
            ("no host", get("HTTP/1.1\r\n\r\n")),
            (
                "two hosts",
                get("HTTP/1.1\r\nhost: bkg\r\nhost: bkg\r\n\r\n"),
            ),
            ("an empty host", get("HTTP/1.1\r\nhost:\r\n\r\n")),
            (
                "a host with a user",
                get("HTTP/1.1\r\nhost: bkg@elsewhere\r\n\r\n"),
            ),
            (
                "two hosts in one",
                get("HTTP/1.1\r\nhost: bkg, elsewhere\r\n\r\n"),
            ),
            ("a host with a path", get("HTTP/1.1\r\nhost: bkg/x\r\n\r\n")),
            (
                "a bare carriage return",
                get("HTTP/1.1\r\nhost: bkg\r\nx: a\rb\r\n\r\n"),
            ),
            (
                "a folded line",
                get("HTTP/1.1\r\nhost: bkg\r\nx: a\r\n b\r\n\r\n"),
            ),
            (
                "a space before the colon",
                get("HTTP/1.1\r\nhost: bkg\r\nx : a\r\n\r\n"),
            ),
            (
                "a space before the name",
                get("HTTP/1.1\r\n host: bkg\r\n\r\n"),
            ),
            (
                "a header without a colon",
                get("HTTP/1.1\r\nhost: bkg\r\nnothing\r\n\r\n"),
            ),
            (
                "a zero byte",
                get("HTTP/1.1\r\nhost: bkg\r\nx: a\0b\r\n\r\n"),
            ),
            ("HTTP/0.9", "GET /health/live\r\n\r\n".to_owned()),
            ("HTTP/0.9, said so", get("HTTP/0.9\r\nhost: bkg\r\n\r\n")),
            ("HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned()),
            ("no HTTP at all", "\x16\x03\x01 hello\r\n\r\n".to_owned()),
            (
                "another host's address",
                "GET http://elsewhere/health/live HTTP/1.1\r\nhost: bkg\r\n\r\n".to_owned(),
            ),
            (
                "another protocol's address",
                "GET ftp://bkg/health/live HTTP/1.1\r\nhost: bkg\r\n\r\n".to_owned(),
            ),
            (
                "a space in the path",
                "GET /health/live /x HTTP/1.1\r\nhost: bkg\r\n\r\n".to_owned(),
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn too_many_headers_and_too_long_a_head_are_refused() {
    let many: String = (0..97).map(|n| format!("x-{n}: y\r\n")).collect();
    let long = "y".repeat(140 << 10);
    refuses(
        "431",
        &[
            ("97 headers", get(&format!("HTTP/1.1\r\n{many}\r\n"))),
            (
                "a long header",
                get(&format!("HTTP/1.1\r\nhost: bkg\r\nx: {long}\r\n\r\n")),
            ),
            (
                "a long head without end",
                get(&format!("HTTP/1.1\r\nhost: bkg\r\nx: {long}")),
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_target_that_is_a_whole_address_is_taken_at_its_word() {
    let gateway = start().await;
    let host = address(&gateway);
    let mut client = Raw::to(&gateway).await;
    client
        .send(format!(
            "GET http://{host}/health/live HTTP/1.1\r\nhost: {host}\r\n\r\n"
        ))
        .await;
    assert!(client.answer().await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn a_method_that_no_route_takes_is_named_with_those_that_it_does() {
    let gateway = start().await;
    for (method, path, status) in [
        ("TRACE", "/health/live", "405"),
        ("DELETE", "/v1/models", "405"),
        ("BREW", "/v1/models", "405"),
        ("GET", "/nowhere", "404"),
        ("TRACE", "/nowhere", "404"),
    ] {
        let mut client = Raw::to(&gateway).await;
        let key = &gateway.key;
        client
            .send(format!(
                "{method} {path} HTTP/1.1\r\nhost: bkg\r\nauthorization: Bearer {key}\r\n\r\n"
            ))
            .await;
        let answer = client.answer().await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{method} {path}: {answer}"
        );
        let allows = answer.to_lowercase().contains("\r\nallow: get");
        assert_eq!(allows, status == "405", "{method} {path}: {answer}");
        assert!(!answer.contains(key), "TRACE echoes nothing: {answer}");
    }
}

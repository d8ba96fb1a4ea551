//! What callers write into the log: no line of their own, no command to a terminal, no secret.

use std::{
    io::{BufRead, BufReader, Read},
    process::Stdio,
};

use reqwest::Method;
use serde_json::{Value, json};

use super::wire;
use crate::{
    fake_upstream::{KEY, Reply, Upstream},
    gateway::{Gateway, answer, bkg, eventually},
    socket::Socket,
};

async fn start() -> Gateway {
    Gateway::start_with(&[("BKG_MODELS_DIR", "no-models")]).await
}

/// What an upstream that wants to be read on a terminal says.
const FORGED: &str = "\u{1b}[31m\r\nERROR forged\u{9b}2J\u{202e}\u{2028}";

fn forge(_: &Value) -> Reply {
    let body = json!({"error": {"message": FORGED}}).to_string();
    Reply::Whole("500 Oops", "content-type: application/json\r\n", body)
}

/// Everything that is in the log's ring, as one text, once a last request is in it.
async fn log(gateway: &Gateway) -> String {
    assert_eq!(
        answer(gateway.anonymous(Method::GET, "/said/last")).await.0,
        404
    );
    let mut text = String::new();
    for _ in 0..500 {
        let mut socket = Socket::open(gateway, "/ws/logs?follow=false", Some(&gateway.key))
            .await
            .unwrap();
        text = socket
            .rest()
            .await
            .iter()
            .map(Value::to_string)
            .collect::<Vec<_>>()
            .join("\n");
        if text.contains("/said/last ") {
            return text;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("the log does not show the last request: {text}");
}

#[tokio::test]
async fn nobody_writes_a_line_or_a_terminal_command_into_the_log() {
    let gateway = start().await;
    let upstream = Upstream::start(forge).await;
    upstream.join(&gateway).await;
    let harmful = [
        "\u{1b}[31mred",
        "a\rb",
        "\u{9b}2J",
        "\u{202e}txt.exe",
        "\u{2028}x",
        "\u{7f}",
        "\u{8}",
    ];
    let encoded = |text: &str| {
        text.bytes()
            .map(|byte| format!("%{byte:02x}"))
            .collect::<String>()
    };
    for text in harmful {
        // As it is, where HTTP lets it through.
        for sent in [
            format!("GET /said/{text} HTTP/1.1\r\nhost: g\r\nconnection: close\r\n\r\n"),
            format!("GET /said/x?q={text} HTTP/1.1\r\nhost: g\r\nconnection: close\r\n\r\n"),
            format!(
                "GET /said/x HTTP/1.1\r\nhost: g\r\nuser-agent: {text}\r\nx-request-id: {text}\r\n\
                 traceparent: {text}\r\nx-forwarded-for: {text}\r\nconnection: close\r\n\r\n"
            ),
        ] {
            wire::exchange(&gateway, sent).await;
        }
        // Encoded, where the gateway decodes it.
        let text = encoded(text);
        for path in [
            "/admin/plugins/",
            "/v1/models/",
            "/brainml/collections/",
            "/brainml/collections/c/documents/",
            "/said/",
        ] {
            let request = gateway.request(Method::GET, &format!("{path}{text}"));
            assert_ne!(answer(request).await.0, 200);
        }
    }
    let body = json!({"model": "\u{1b}[31m\r\nERROR forged", "messages": []});
    gateway.post("/v1/chat/completions", &body).await;
    let body = json!({"model": "far-chat", "messages": [{"role": "user", "content": "x"}]});
    assert_eq!(gateway.post("/v1/chat/completions", &body).await.0, 502);
    let text = log(&gateway).await;
    assert!(
        text.contains("ERROR forged"),
        "the upstream's words are logged"
    );
    let values: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let mut harmful = Vec::new();
    values.iter().for_each(|value| collect(value, &mut harmful));
    assert!(harmful.is_empty(), "{harmful:?}");
}

/// Texts with letters that do something to whoever prints them.
fn collect(value: &Value, found: &mut Vec<String>) {
    let acts = |letter: char| {
        letter.is_control() && letter != '\t'
            || matches!(letter, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    match value {
        Value::String(text) if text.chars().any(acts) => found.push(text.clone()),
        Value::Array(items) => items.iter().for_each(|item| collect(item, found)),
        Value::Object(fields) => fields.iter().for_each(|(name, value)| {
            collect(&Value::from(name.as_str()), found);
            collect(value, found);
        }),
        _ => (),
    }
}

/// Secrets that must be seen nowhere; the first is a password that holds.
const PASSWORD: &str = "canary-password-4417";
const WRONG_PASSWORD: &str = "canary-wrong-9120";
const QUERY: &str = "canary-query-3308";

#[tokio::test]
async fn a_secret_is_seen_in_no_log_no_state_and_no_error() {
    let password = ("BKG_ADMIN_PASSWORD", PASSWORD);
    let gateway = Gateway::start_with(&[
        ("BKG_MODELS_DIR", "no-models"),
        password,
        ("BKG_LOG__FILTER", "debug"),
    ])
    .await;
    let upstream = Upstream::start(|_| unreachable!("nobody asks it")).await;
    upstream.join(&gateway).await;
    let mut answers = Vec::new();
    let mut ask = async |request: reqwest::RequestBuilder| {
        let told = answer(request).await;
        answers.push(told.1.to_string());
        told.0
    };
    let login = |password: &str| {
        let body = json!({"username": "admin", "password": password});
        gateway.anonymous(Method::POST, "/auth/login").json(&body)
    };
    assert_eq!(ask(login(WRONG_PASSWORD)).await, 401);
    let opened = login(PASSWORD).send().await.unwrap();
    let cookie = opened.headers()["set-cookie"].to_str().unwrap();
    let cookie = cookie.split(';').next().unwrap().to_owned();
    let session = cookie.split_once('=').unwrap().1.to_owned();
    let wrong_key = format!("{}x", gateway.key);
    for key in [&gateway.key, &wrong_key] {
        for path in [
            "/v1/models",
            "/v1/models/none",
            "/nowhere",
            "/admin/plugins",
        ] {
            let get = |path: &str| gateway.anonymous(Method::GET, path);
            ask(get(path).bearer_auth(key)).await;
            ask(get(path).header("x-api-key", key)).await;
            ask(get(path).header("cookie", format!("bkg_session={key}"))).await;
            ask(get(&format!("{path}?api_key={key}&token={QUERY}"))).await;
            ask(get(path).header("authorization", key)).await;
        }
        // In bodies that are refused, in one way and another.
        for body in [
            json!({"name": {"a": key}}),
            json!(key),
            json!({"scopes": key}),
            json!([key]),
            json!({"name": "x", "scopes": ["*"], "expires_at": key}),
        ] {
            ask(gateway.request(Method::POST, "/admin/keys").json(&body)).await;
            ask(gateway.request(Method::POST, "/v1/embeddings").json(&body)).await;
            ask(gateway.anonymous(Method::POST, "/auth/login").json(&body)).await;
        }
        let broken = format!("{{\"password\":\"{key}\",\"password\":\"{PASSWORD}\"}}");
        let request = gateway.anonymous(Method::POST, "/auth/login").body(broken);
        assert_eq!(
            ask(request.header("content-type", "application/json")).await,
            400
        );
    }
    let with_cookie = gateway
        .anonymous(Method::GET, "/v1/models")
        .header("cookie", &cookie);
    assert_eq!(ask(with_cookie).await, 200);
    for path in [
        "/admin/plugins",
        "/admin/plugins/llmserver",
        "/admin/plugins/llmserver/config",
        "/admin/plugins/apikeys",
        "/openapi.json",
        "/health",
        "/admin/keys",
        "/admin/users",
    ] {
        assert_eq!(ask(gateway.request(Method::GET, path)).await, 200, "{path}");
    }
    let log = log(&gateway).await;
    assert!(log.contains("/auth/login"), "the log is looked at");
    let secrets = [
        PASSWORD,
        WRONG_PASSWORD,
        QUERY,
        KEY,
        &gateway.key,
        &wrong_key,
        &session,
    ];
    for secret in secrets {
        assert!(!log.contains(secret), "{secret} in the log");
        for told in &answers {
            assert!(!told.contains(secret), "{secret} in {told}");
        }
    }
}

/// Reads what the gateway prints up to where it says at which address it listens.
fn address(terminal: &mut impl BufRead) -> String {
    let mut line = String::new();
    loop {
        line.clear();
        assert!(terminal.read_line(&mut line).unwrap() > 0, "it starts");
        if let Some((_, host)) = line.split_once("listening on http://") {
            return host.trim().to_owned();
        }
    }
}

#[tokio::test]
async fn the_terminal_is_sent_no_command_either() {
    let data = tempfile::tempdir().unwrap();
    let env = [("BKG_MODELS_DIR".to_owned(), "no-models".to_owned())];
    let upstream = Upstream::start(forge).await;
    let entry = |settings: Value| json!({"kind": "builtin", "settings": settings});
    let plugins = json!({"plugins": {
        "apikeys": entry(json!({})), "brainml": entry(json!({})),
        "llmserver": entry(json!({"upstreams": [upstream.settings()]})),
    }});
    std::fs::write(data.path().join("plugins.json"), plugins.to_string()).unwrap();
    let mut program = bkg(data.path(), &env, &["serve"]);
    let mut child = program.stderr(Stdio::piped()).spawn().unwrap();
    let mut reader = BufReader::new(child.stderr.take().unwrap());
    let host = address(&mut reader);
    let sent = "GET /said/\u{9b}31m\u{202e}\u{2028} HTTP/1.1\r\nhost: g\r\nx-request-id: \u{9b}2J\r\nconnection: close\r\n\r\n";
    eventually("it answers", || async {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut stream = tokio::net::TcpStream::connect(&host).await.unwrap();
        stream.write_all(sent.as_bytes()).await.unwrap();
        let mut told = String::new();
        stream
            .read_to_string(&mut told)
            .await
            .is_ok_and(|_| told.starts_with("HTTP/1.1 4"))
    })
    .await;
    let mut chat = bkg(data.path(), &env, &["chat", "hello", "--model", "far-chat"]);
    let answered = tokio::task::spawn_blocking(move || chat.output().unwrap());
    assert!(!answered.await.unwrap().status.success());
    child.kill().unwrap();
    child.wait().unwrap();
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    assert!(text.contains("ERROR forged"), "{text:?}");
    let bad = text.chars().find(|letter| {
        letter.is_control() && *letter != '\n' || matches!(letter, '\u{2028}'..='\u{202e}')
    });
    assert_eq!(bad, None, "{text:?}");
}

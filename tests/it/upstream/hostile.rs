//! Upstreams that fail, lie, never end or never answer: a clear status, bounded memory, no hanging.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use reqwest::{Method, Response, header::RETRY_AFTER};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::{CHAT, NO_MODEL};
use crate::{
    fake_upstream::chunk,
    gateway::{Gateway, eventually},
    sse::Events,
};

const STREAM: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";

/// A server that misbehaves as the model that it is asked for is called.
struct Hostile {
    url: String,
    asked: Arc<Mutex<HashMap<String, usize>>>,
}

impl Hostile {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        let asked = Arc::<Mutex<HashMap<String, usize>>>::default();
        let counts = asked.clone();
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                let counts = counts.clone();
                tokio::spawn(async move {
                    let Some(model) = model(&mut socket).await else {
                        return;
                    };
                    let times = {
                        let mut counts = counts.lock().unwrap();
                        let times = counts.entry(model.clone()).or_insert(0);
                        *times += 1;
                        *times
                    };
                    misbehave(&mut socket, &model, times).await;
                });
            }
        });
        Self { url, asked }
    }

    /// Lets a gateway ask for `models`, each at an upstream of its own name.
    async fn join(&self, models: &[&str]) -> Gateway {
        let gateway = Gateway::start_with(&NO_MODEL).await;
        let upstream = |model: &&str| json!({"name": model, "base_url": self.url, "models": [model], "silence_seconds": 1});
        let upstreams: Vec<Value> = models.iter().map(upstream).collect();
        let body = json!({"settings": {"upstreams": upstreams}});
        let path = "/admin/plugins/llmserver/config";
        let (status, told) = gateway.put(path, &body).await;
        assert_eq!(status, 200, "{told}");
        gateway
    }

    fn times_asked(&self, model: &str) -> usize {
        let asked = self.asked.lock().unwrap();
        asked.get(model).copied().unwrap_or_default()
    }
}

async fn model(socket: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    while socket.read_buf(&mut bytes).await.ok()? > 0 {
        let text = String::from_utf8_lossy(&bytes);
        if let Some((_, body)) = text.split_once("\r\n\r\n")
            && let Ok(body) = serde_json::from_str::<Value>(body)
        {
            return Some(body["model"].as_str()?.to_owned());
        }
    }
    None
}

async fn misbehave(socket: &mut TcpStream, model: &str, times: usize) {
    let limit = "HTTP/1.1 429 Too Many\r\nretry-after: 60\r\ncontent-length: 0\r\n\r\n";
    let busy = "HTTP/1.1 503 Busy\r\nretry-after: 60\r\ncontent-length: 0\r\n\r\n";
    let broken = "HTTP/1.1 500 Oops\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    let passing = "HTTP/1.1 503 Busy\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    let good = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 10\r\n\r\n{\"id\":\"1\"}";
    match model {
        "hangs-up" => {}
        "no-http" => write(socket, "how do you do\r\n\r\n").await,
        "limit" => write(socket, limit).await,
        "busy" => write(socket, busy).await,
        "broken" => write(socket, broken).await,
        "passing" if times < 3 => write(socket, passing).await,
        "passing" => write(socket, good).await,
        "bad-json" => write(socket, &good.replace("\"}", "}}")).await,
        "endless-head" => {
            write(socket, "HTTP/1.1 200 OK\r\n").await;
            endless(socket, &"x-more: y\r\n".repeat(1000)).await;
        }
        "endless-body" => {
            write(socket, "HTTP/1.1 200 OK\r\n\r\n\"").await;
            endless(socket, &" ".repeat(1 << 20)).await;
        }
        "endless-line" => {
            write(socket, STREAM).await;
            write(socket, "data: \"").await;
            endless(socket, &"x".repeat(1 << 20)).await;
        }
        "long" => {
            write(
                socket,
                &whole(&json!({"id": "x".repeat(9 << 20)}).to_string()),
            )
            .await
        }
        // Each object of two bytes is read into hundreds.
        "puffed" => {
            write(
                socket,
                &whole(&format!("[{}{{}}]", "{\"\":0},".repeat(1 << 20))),
            )
            .await
        }
        "large-events" => {
            write(socket, STREAM).await;
            let event = chunk(&"x".repeat(1_000_000), None);
            endless(socket, &format!("data: {event}\n\n")).await;
        }
        "cut" => write(socket, &format!("{STREAM}data: {}\n\n", chunk("a", None))).await,
        "silent" => {
            // Until the gateway leaves.
            drop(socket.read_u8().await);
        }
        other => panic!("{other}"),
    }
}

fn whole(body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}")
}

async fn write(socket: &mut TcpStream, text: &str) {
    drop(socket.write_all(text.as_bytes()).await);
}

async fn endless(socket: &mut TcpStream, text: &str) {
    while socket.write_all(text.as_bytes()).await.is_ok() {}
}

async fn ask(gateway: &Gateway, model: &str, stream: bool) -> Response {
    let messages = json!([{"role": "user", "content": "hello"}]);
    let body = json!({"model": model, "stream": stream, "messages": messages});
    let request = gateway.request(Method::POST, CHAT).json(&body);
    request.send().await.unwrap()
}

/// The most memory that the process had, in MiB.
fn peak(gateway: &Gateway) -> u64 {
    memory(gateway, "VmHWM:")
}

fn memory(gateway: &Gateway, kind: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", gateway.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with(kind));
    let kib = line.unwrap().split_whitespace().nth(1).unwrap();
    kib.parse::<u64>().unwrap() / 1024
}

#[tokio::test]
async fn an_upstream_that_fails_lies_or_never_ends_is_a_clear_status_in_bounded_memory() {
    let upstream = Hostile::start().await;
    let cases = [
        ("hangs-up", false, 502),
        ("no-http", false, 502),
        ("limit", false, 429),
        ("busy", true, 503),
        ("broken", true, 502),
        ("bad-json", false, 502),
        ("endless-head", false, 502),
        ("endless-body", false, 502),
        ("endless-line", true, 502),
        ("silent", false, 504),
        ("silent", true, 504),
    ];
    let models: Vec<&str> = cases.iter().map(|case| case.0).collect();
    let gateway = upstream.join(&models).await;
    let before = peak(&gateway);
    for (model, stream, status) in cases {
        let response = ask(&gateway, model, stream).await;
        assert_eq!(response.status(), status, "{model}");
        let wait = response.headers().get(RETRY_AFTER).cloned();
        let told_to_wait = wait.is_some_and(|wait| wait == "60");
        assert_eq!(told_to_wait, ["limit", "busy"].contains(&model), "{model}");
        let told: Value = response.json().await.unwrap();
        assert!(told["error"]["message"].is_string(), "{model}: {told}");
    }
    let grown = peak(&gateway) - before;
    assert!(grown < 300, "the process grew by {grown} MiB");
    let calls = &gateway.plugin("llmserver").await["calls"];
    assert_eq!(calls["in_flight"], 0, "{calls}");
}

#[tokio::test]
async fn an_answer_that_is_long_or_huge_once_it_is_read_is_refused_with_what_to_do() {
    let upstream = Hostile::start().await;
    let gateway = upstream.join(&["long", "puffed"]).await;
    let before = peak(&gateway);
    for model in ["long", "puffed"] {
        let response = ask(&gateway, model, false).await;
        assert_eq!(response.status(), 502, "{model}");
        let told: Value = response.json().await.unwrap();
        let message = told["error"]["message"].as_str().unwrap();
        assert!(message.contains("8 MiB"), "{model}: {message}");
        assert!(message.contains("ask for fewer"), "{model}: {message}");
        assert_eq!(upstream.times_asked(model), 1, "the next is as long");
    }
    let grown = peak(&gateway) - before;
    assert!(grown < 100, "the process grew by {grown} MiB");
}

#[tokio::test]
async fn a_client_that_reads_nothing_of_large_events_costs_little_memory() {
    let upstream = Hostile::start().await;
    let gateway = upstream.join(&["large-events"]).await;
    // Not the peak: at the start passwords were hashed, which takes more than this.
    let resident = || memory(&gateway, "VmRSS:");
    let before = resident();
    let unread = ask(&gateway, "large-events", true).await;
    assert_eq!(unread.status(), 200);
    // What fits is taken at once; then the upstream waits.
    let mut known = 0;
    loop {
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        let now = resident();
        if now <= known {
            break;
        }
        known = now;
    }
    let grown = known.saturating_sub(before);
    assert!(grown < 28, "the process grew by {grown} MiB");
    drop(unread);
}

#[tokio::test]
async fn an_upstream_that_breaks_off_after_output_began_is_told_and_not_asked_again() {
    let upstream = Hostile::start().await;
    let gateway = upstream.join(&["cut"]).await;
    let body = json!({
        "model": "cut", "stream": true, "messages": [{"role": "user", "content": "hello"}],
    });
    let events = Events::of(gateway.request(Method::POST, CHAT).json(&body)).await;
    let values = events.values().await;
    assert_eq!(values[0], chunk("a", None));
    assert!(
        values.len() == 2 && values[1]["error"]["message"].is_string(),
        "{values:?}"
    );
    assert_eq!(upstream.times_asked("cut"), 1);
}

#[tokio::test]
async fn what_passes_is_tried_again_before_the_first_byte() {
    let upstream = Hostile::start().await;
    let gateway = upstream.join(&["passing"]).await;
    assert_eq!(ask(&gateway, "passing", false).await.status(), 200);
    assert_eq!(upstream.times_asked("passing"), 3);
    let scrape = metrics(&gateway).await;
    for line in [
        "bkg_upstream_requests_total{upstream=\"passing\",outcome=\"failed\"} 2",
        "bkg_upstream_requests_total{upstream=\"passing\",outcome=\"answered\"} 1",
        "bkg_upstream_breaker_open{upstream=\"passing\"} 0",
        "bkg_upstream_retries_total{upstream=\"passing\"} 2",
    ] {
        assert!(scrape.lines().any(|told| told == line), "{line}: {scrape}");
    }
}

#[tokio::test]
async fn an_upstreams_name_cannot_break_the_metrics_and_ends_with_its_settings() {
    let gateway = Gateway::start_with(&NO_MODEL).await;
    let path = "/admin/plugins/llmserver/config";
    let name = "a\"} 1\nb\\";
    let upstream = json!({"name": name, "base_url": "http://127.0.0.1:1/v1", "models": ["m"]});
    let body = json!({"settings": {"upstreams": [upstream]}});
    let (status, told) = gateway.put(path, &body).await;
    assert_eq!(status, 200, "{told}");
    let scrape = metrics(&gateway).await;
    let escaped = r#"bkg_upstream_retries_total{upstream="a\"} 1\nb\\"} 0"#;
    assert!(scrape.lines().any(|told| told == escaped), "{scrape}");
    let body = json!({"settings": {"upstreams": []}});
    assert_eq!(gateway.put(path, &body).await.0, 200);
    let scrape = metrics(&gateway).await;
    assert!(!scrape.contains("{upstream="), "{scrape}");
}

async fn metrics(gateway: &Gateway) -> String {
    let request = gateway.request(Method::GET, "/metrics");
    request.send().await.unwrap().text().await.unwrap()
}

#[tokio::test]
async fn five_failures_within_thirty_seconds_spare_the_upstream_and_its_callers() {
    let upstream = Hostile::start().await;
    let gateway = upstream.join(&["broken"]).await;
    for _ in 0..5 {
        assert_eq!(ask(&gateway, "broken", false).await.status(), 502);
    }
    let response = ask(&gateway, "broken", false).await;
    assert_eq!(response.status(), 503);
    assert!(response.headers().contains_key(RETRY_AFTER));
    assert_eq!(upstream.times_asked("broken"), 5);
    let scrape = metrics(&gateway).await;
    for line in [
        "bkg_upstream_requests_total{upstream=\"broken\",outcome=\"failed\"} 5",
        "bkg_upstream_requests_total{upstream=\"broken\",outcome=\"answered\"} 0",
        "bkg_upstream_breaker_open{upstream=\"broken\"} 1",
        "bkg_upstream_retries_total{upstream=\"broken\"} 0",
    ] {
        assert!(scrape.lines().any(|told| told == line), "{line}: {scrape}");
    }
    let gateway = &gateway;
    eventually("the log says that it is left alone", || async move {
        let path = "/admin/plugins/llmserver/logs?level=warn&limit=100";
        gateway.get(path).await.1.to_string().contains("left alone")
    })
    .await;
}

#[tokio::test]
async fn another_upstream_answers_for_one_that_fails() {
    let (bad, good) = (
        Hostile::start().await,
        super::Upstream::start(super::echo).await,
    );
    let gateway = bad.join(&[]).await;
    let upstreams = json!([
        {"name": "bad", "base_url": bad.url, "models": ["broken"], "weight": 1000},
        {"name": "good", "base_url": good.url(), "models": ["broken"], "weight": 0},
    ]);
    let body = json!({"settings": {"upstreams": upstreams}});
    let path = "/admin/plugins/llmserver/config";
    assert_eq!(gateway.put(path, &body).await.0, 200);
    assert_eq!(ask(&gateway, "broken", false).await.status(), 200);
    assert_eq!((bad.times_asked("broken"), good.times_asked()), (1, 1));
}

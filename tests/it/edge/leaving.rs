//! Clients that leave: their work ends with them, and the log says that they left.

use std::time::{Duration, Instant};

use rustls::version::TLS13;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{
    raw::Raw,
    tls::{self, Identity},
};
use crate::{
    fake_upstream::{Reply, Upstream, chunk},
    gateway::{Gateway, eventually},
};

fn hanging(_: &Value) -> Reply {
    Reply::Stream {
        first: vec![chunk("one", None)],
        rest: vec![],
    }
}

fn question(gateway: &Gateway, stream: bool) -> String {
    let body = json!({"model": "far-chat", "stream": stream,
        "messages": [{"role": "user", "content": "?"}]})
    .to_string();
    let (key, length) = (&gateway.key, body.len());
    format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {key}\r\n\
         content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    )
}

/// Waits until the upstream is left, which must be soon.
async fn ended(upstream: &Upstream, clients: usize) {
    let started = Instant::now();
    eventually("the upstream is left", || async {
        upstream.left() == clients
    })
    .await;
    // A second and what a busy machine adds; nothing else would end it for minutes.
    assert!(
        started.elapsed() < Duration::from_secs(5),
        "{:?}",
        started.elapsed()
    );
}

async fn counted_as_left(gateway: &Gateway, times: usize) {
    eventually("the metrics say that the client left", || async {
        let (_, page) = gateway.get("/metrics").await;
        let page = page.as_str().unwrap_or_default().to_owned();
        let line = page.lines().find(|line| {
            line.starts_with("bkg_http_requests_total")
                && line.contains("/v1/chat/completions")
                && line.contains("\"client_closed\"")
        });
        line.is_some_and(|line| line.ends_with(&format!(" {times}")))
    })
    .await;
}

#[tokio::test]
async fn a_client_that_leaves_ends_its_work_and_is_counted_as_closed() {
    let gateway = Gateway::start_with(&[("BKG_MODELS_DIR", "no-models")]).await;
    let upstream = Upstream::start(hanging).await;
    upstream.join(&gateway).await;
    let mut streaming = Raw::to(&gateway).await;
    streaming.send(question(&gateway, true)).await;
    streaming.0.read_exact(&mut [0; 64]).await.unwrap();
    drop(streaming);
    ended(&upstream, 1).await;
    counted_as_left(&gateway, 1).await;

    let mut waiting = Raw::to(&gateway).await;
    waiting.send(question(&gateway, false)).await;
    let upstream = &upstream;
    eventually("the upstream is asked", || async {
        upstream.times_asked() == 2
    })
    .await;
    drop(waiting);
    ended(upstream, 2).await;
}

#[tokio::test]
async fn a_client_that_leaves_over_tls_ends_its_work_too() {
    let folder = TempDir::new().unwrap();
    let (path, identity) = (folder.path().join("it.pem"), Identity::new());
    identity.put(&path);
    let gateway = tls::start(&path).await;
    let upstream = Upstream::start(hanging).await;
    let settings = json!({"settings": {"upstreams": [upstream.settings()]}}).to_string();
    let (key, length) = (&gateway.key, settings.len());
    let configure = format!(
        "PUT /admin/plugins/llmserver/config HTTP/1.1\r\nhost: localhost\r\n\
         authorization: Bearer {key}\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\n\r\n{settings}"
    );
    let mut client = tls::connect(&gateway, &identity, &TLS13).await.unwrap();
    client.write_all(configure.as_bytes()).await.unwrap();
    client.read_exact(&mut [0; 64]).await.unwrap();

    let mut client = tls::connect(&gateway, &identity, &TLS13).await.unwrap();
    client
        .write_all(question(&gateway, true).as_bytes())
        .await
        .unwrap();
    client.read_exact(&mut [0; 64]).await.unwrap();
    drop(client);
    ended(&upstream, 1).await;
}

/// The processor time that the gateway has used.
fn used(gateway: &Gateway) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", gateway.pid())).unwrap();
    let (_, after) = stat.rsplit_once(") ").unwrap();
    let ticks: u64 = after
        .split(' ')
        .skip(11)
        .take(2)
        .map(|n| n.parse::<u64>().unwrap())
        .sum();
    Duration::from_millis(ticks * 10)
}

#[tokio::test]
async fn a_client_that_asks_on_before_it_has_its_answer_burns_no_processor() {
    let gateway = Gateway::start_with(&[("BKG_MODELS_DIR", "no-models")]).await;
    let upstream = Upstream::start(hanging).await;
    upstream.join(&gateway).await;
    let mut client = Raw::to(&gateway).await;
    client.send(question(&gateway, true)).await;
    client.0.read_exact(&mut [0; 64]).await.unwrap();
    // More than anyone queues, and not more than the sockets hold.
    let next = "GET /health/live HTTP/1.1\r\nhost: localhost\r\n\r\n";
    client.send(next.repeat(6000)).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let before = used(&gateway);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let spent = used(&gateway) - before;
    assert!(spent < Duration::from_millis(300), "{spent:?} in a second");
    // The answer's end is not lost, and what was asked meanwhile is answered.
    upstream.release();
    let mut bytes = Vec::new();
    while super::raw::answers(&String::from_utf8_lossy(&bytes)) < 1000 {
        let read = tokio::time::timeout(crate::gateway::PATIENCE, client.0.read_buf(&mut bytes));
        assert!(read.await.expect("answers").unwrap() > 0, "closed");
    }
}

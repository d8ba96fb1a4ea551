//! How the gateway ends on SIGTERM: readiness goes first, what runs may finish, the rest is told.

use std::time::{Duration, Instant};

use futures_util::StreamExt;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    client_async,
    tungstenite::{Message, client::IntoClientRequest, protocol::frame::coding::CloseCode},
};

use crate::{
    fake_upstream::{Reply, Upstream, chunk},
    gateway::{Gateway, eventually},
    sse::Events,
};

/// These tests embed nothing, and a new setting waits for what is being embedded.
const NO_MODEL: (&str, &str) = ("BKG_MODELS_DIR", "no-models");

fn endless(_: &Value) -> Reply {
    Reply::Stream {
        first: vec![chunk("one ", None)],
        rest: vec![chunk("two", None), chunk("", Some("stop"))],
    }
}

/// A stream through the gateway that has begun and waits for its upstream.
async fn begun(gateway: &Gateway, upstream: &Upstream) -> Events {
    upstream.join(gateway).await;
    let body = json!({"model": "far-chat", "stream": true, "messages": [{"role": "user", "content": "?"}]});
    let request = gateway
        .request(Method::POST, "/v1/chat/completions")
        .json(&body);
    let mut events = Events::of(request).await;
    assert_eq!(events.value().await, chunk("one ", None));
    events
}

fn address(gateway: &Gateway) -> &str {
    gateway.url.strip_prefix("http://").unwrap()
}

/// Waits until nobody new is let in.
async fn closed(gateway: &Gateway) {
    eventually("the gateway takes nobody new", || async {
        TcpStream::connect(address(gateway)).await.is_err()
    })
    .await;
}

#[tokio::test]
async fn readiness_goes_first_while_requests_are_still_taken() {
    let env = [NO_MODEL, ("BKG_SERVER__DRAIN_ACCEPT_SECONDS", "4")];
    let mut gateway = Gateway::start_with(&env).await;
    assert_eq!(gateway.get("/health/ready").await.0, 200);
    let told = Instant::now();
    gateway.terminate();
    let waiting = &gateway;
    eventually("it is no longer ready", || async {
        waiting.get("/health/ready").await.0 == 503
    })
    .await;
    let (_, ready) = gateway.get("/health/ready").await;
    assert!(
        ready["reason"].as_str().unwrap().contains("shutting down"),
        "{ready}"
    );
    assert_eq!(gateway.get("/health/live").await.0, 200);
    assert_eq!(
        gateway.get("/v1/models").await.0,
        200,
        "new requests are still taken"
    );
    assert_eq!(gateway.ended().code(), Some(0));
    assert!(
        told.elapsed() >= Duration::from_secs(4),
        "{:?}",
        told.elapsed()
    );
}

#[tokio::test]
async fn a_running_stream_finishes() {
    let mut gateway = Gateway::start_with(&[NO_MODEL]).await;
    let upstream = Upstream::start(endless).await;
    let events = begun(&gateway, &upstream).await;
    gateway.terminate();
    closed(&gateway).await;
    upstream.release();
    assert_eq!(
        events.values().await,
        [chunk("two", None), chunk("", Some("stop"))]
    );
    assert_eq!(gateway.ended().code(), Some(0));
}

#[tokio::test]
async fn a_stream_that_does_not_finish_in_time_ends_with_an_error_and_done() {
    let env = [NO_MODEL, ("BKG_SERVER__DRAIN_SECONDS", "1")];
    let mut gateway = Gateway::start_with(&env).await;
    let upstream = Upstream::start(endless).await;
    let events = begun(&gateway, &upstream).await;
    gateway.terminate();
    let values = events.values().await;
    let message = values[0]["error"]["message"].as_str().unwrap();
    assert!(
        values.len() == 1 && message.contains("shutting down"),
        "{values:?}"
    );
    assert_eq!(gateway.ended().code(), Some(0));
    let upstream = &upstream;
    eventually("the upstream is left alone", || async {
        upstream.left() == 1
    })
    .await;
}

#[tokio::test]
async fn a_socket_is_closed_with_1012() {
    let mut gateway = Gateway::start_with(&[NO_MODEL]).await;
    let url = format!("ws://{}/ws/logs", address(&gateway));
    let mut request = url.into_client_request().unwrap();
    let key = format!("Bearer {}", gateway.key).parse().unwrap();
    request.headers_mut().insert("authorization", key);
    let stream = TcpStream::connect(address(&gateway)).await.unwrap();
    let (mut socket, _) = client_async(request, stream).await.unwrap();
    let hello = socket.next().await.unwrap().unwrap();
    assert!(hello.to_text().unwrap().contains("hello"), "{hello}");
    gateway.terminate();
    let reason = loop {
        if let Message::Close(reason) = socket.next().await.unwrap().unwrap() {
            break reason.expect("a reason");
        }
    };
    assert_eq!(reason.code, CloseCode::Restart);
    assert_eq!(u16::from(reason.code), 1012);
    drop(socket);
    assert_eq!(gateway.ended().code(), Some(0));
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_drain() {
    let mut gateway = Gateway::start_with(&[NO_MODEL]).await;
    gateway
        .index("c", &json!([{"id": "d", "text": "Lemons are sour."}]))
        .await;
    gateway.terminate();
    assert_eq!(gateway.ended().code(), Some(0));
    gateway.restart();
    let (status, document) = gateway.get("/brainml/collections/c/documents/d").await;
    assert_eq!(
        (status, &document["text"]),
        (200, &json!("Lemons are sour."))
    );
}

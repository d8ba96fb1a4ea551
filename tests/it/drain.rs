//! How the gateway ends on SIGTERM: readiness goes first, what runs may finish, the rest is told.

use std::time::{Duration, Instant};

use futures_util::{StreamExt, future::join_all};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    WebSocketStream, client_async,
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
    streaming(gateway).await
}

async fn streaming(gateway: &Gateway) -> Events {
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
    let mut socket = watching(&gateway).await;
    gateway.terminate();
    assert_eq!(closing(&mut socket).await, CloseCode::Restart);
    assert_eq!(u16::from(CloseCode::Restart), 1012);
    drop(socket);
    assert_eq!(gateway.ended().code(), Some(0));
}

/// A socket that has been greeted.
async fn watching(gateway: &Gateway) -> WebSocketStream<TcpStream> {
    let url = format!("ws://{}/ws/logs", address(gateway));
    let mut request = url.into_client_request().unwrap();
    let key = format!("Bearer {}", gateway.key).parse().unwrap();
    request.headers_mut().insert("authorization", key);
    let stream = TcpStream::connect(address(gateway)).await.unwrap();
    let (mut socket, _) = client_async(request, stream).await.unwrap();
    let hello = socket.next().await.unwrap().unwrap();
    assert!(hello.to_text().unwrap().contains("hello"), "{hello}");
    socket
}

/// With what the gateway closes the socket.
async fn closing(socket: &mut WebSocketStream<TcpStream>) -> CloseCode {
    loop {
        if let Message::Close(reason) = socket.next().await.unwrap().unwrap() {
            return reason.expect("a reason").code;
        }
    }
}

#[tokio::test]
async fn five_hundred_streams_and_sockets_end_in_good_order() {
    let env = [
        NO_MODEL,
        ("BKG_SERVER__DRAIN_ACCEPT_SECONDS", "1"),
        ("BKG_SERVER__DRAIN_SECONDS", "3"),
    ];
    let mut gateway = Gateway::start_with(&env).await;
    let upstream = Upstream::start(endless).await;
    upstream.join(&gateway).await;
    let streams = join_all((0..500).map(|_| streaming(&gateway))).await;
    let mut socket = watching(&gateway).await;
    let told = Instant::now();
    gateway.terminate();
    let waiting = &gateway;
    eventually("it is no longer ready", || async {
        waiting.get("/health/ready").await.0 == 503
    })
    .await;
    let ends = join_all(streams.into_iter().map(Events::values));
    let (ends, code) = tokio::join!(ends, closing(&mut socket));
    assert_eq!(code, CloseCode::Restart);
    for values in ends {
        let message = values[0]["error"]["message"].as_str().unwrap();
        assert!(
            values.len() == 1 && message.contains("shutting down"),
            "{values:?}"
        );
    }
    let took = told.elapsed();
    assert!(took >= Duration::from_secs(3), "{took:?}");
    drop(socket);
    assert_eq!(gateway.ended().code(), Some(0));
    // The settings' three seconds, and what a busy machine adds.
    assert!(
        told.elapsed() < Duration::from_secs(15),
        "{:?}",
        told.elapsed()
    );
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

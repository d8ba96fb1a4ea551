//! Clients that take their time: over the head, over the body, over the answer.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use tokio::{io::AsyncReadExt, time::sleep};

use super::raw::{Raw, answers, timed};
use crate::{
    fake_upstream::{Reply, Upstream, chunk},
    gateway::{Gateway, eventually},
};

const SLOW: Duration = Duration::from_millis(200);

/// Short deadlines, and no model to wait for.
const SHORT: [(&str, &str); 6] = [
    ("BKG_MODELS_DIR", "no-models"),
    ("BKG_SERVER__HEAD_SECONDS", "2"),
    ("BKG_SERVER__BODY_SECONDS", "2"),
    ("BKG_SERVER__BODY_RATE_SECONDS", "1"),
    ("BKG_SERVER__KEEP_ALIVE_SECONDS", "2"),
    ("BKG_SERVER__READER_SECONDS", "1"),
];

/// With a body whose length is said, and of which nothing has been sent.
fn head(gateway: &Gateway, path: &str, framing: &str) -> String {
    let key = &gateway.key;
    format!(
        "POST {path} HTTP/1.1\r\nhost: bkg\r\nauthorization: Bearer {key}\r\n\
         content-type: application/json\r\n{framing}\r\n\r\n"
    )
}

fn refused_as_slow(answer: &str) {
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(answer.contains("\"code\":\"request_timeout\""), "{answer}");
    assert!(
        answer.to_lowercase().contains("connection: close"),
        "{answer}"
    );
    assert_eq!(answers(answer), 1, "{answer}");
}

#[tokio::test]
async fn a_client_that_connects_and_says_nothing_is_sent_away() {
    let gateway = Gateway::start_with(&SHORT).await;
    let mut silent = Raw::to(&gateway).await;
    let (answer, took) = timed(silent.rest()).await;
    refused_as_slow(&answer);
    assert!(took >= SLOW, "{took:?}");
}

#[tokio::test]
async fn a_head_that_drips_in_is_cut_off_on_the_first_and_on_later_requests() {
    let gateway = Gateway::start_with(&SHORT).await;
    let dripping = "GET /health/live HTTP/1.1\r\nhost: bkg\r\nx: ".to_owned() + &"x".repeat(1000);
    let mut first = Raw::to(&gateway).await;
    first.drip(dripping.as_bytes(), SLOW).await;
    refused_as_slow(&first.rest().await);

    let mut second = Raw::to(&gateway).await;
    second
        .send("GET /health/live HTTP/1.1\r\nhost: bkg\r\n\r\n")
        .await;
    assert!(second.answer().await.starts_with("HTTP/1.1 200"));
    second.drip(dripping.as_bytes(), SLOW).await;
    refused_as_slow(&second.rest().await);
}

#[tokio::test]
async fn a_connection_without_a_request_is_closed_without_a_word() {
    let gateway = Gateway::start_with(&SHORT).await;
    let mut idle = Raw::to(&gateway).await;
    idle.send("GET /health/live HTTP/1.1\r\nhost: bkg\r\n\r\n")
        .await;
    assert!(idle.answer().await.starts_with("HTTP/1.1 200"));
    let (rest, took) = timed(idle.rest()).await;
    assert_eq!(rest, "");
    assert!(took >= Duration::from_secs(1), "{took:?}");
}

#[tokio::test]
async fn empty_lines_between_requests_are_no_head_that_is_answered() {
    let gateway = Gateway::start_with(&SHORT).await;
    let mut idle = Raw::to(&gateway).await;
    let request = "GET /health/live HTTP/1.1\r\nhost: bkg\r\n\r\n";
    idle.send(request).await;
    assert!(idle.answer().await.starts_with("HTTP/1.1 200"));
    idle.send("\r\n".to_owned() + request).await;
    assert!(idle.answer().await.starts_with("HTTP/1.1 200"));
    idle.send("\r\n\r\n").await;
    assert_eq!(idle.rest().await, "", "nothing was asked");
}

#[tokio::test]
async fn a_body_that_drips_in_is_cut_off_whatever_its_framing() {
    let gateway = Gateway::start_with(&SHORT).await;
    for (framing, body) in [
        ("content-length: 5000", "{".repeat(5000)),
        ("transfer-encoding: chunked", "1\r\n{\r\n".repeat(5000)),
    ] {
        let mut client = Raw::to(&gateway).await;
        client
            .send(head(&gateway, "/v1/chat/completions", framing))
            .await;
        client.drip(body.as_bytes(), SLOW).await;
        refused_as_slow(&client.rest().await);
    }
}

#[tokio::test]
async fn a_body_at_a_sane_pace_may_still_not_take_for_ever() {
    let gateway = Gateway::start_with(&SHORT).await;
    let mut client = Raw::to(&gateway).await;
    let framing = "content-length: 1000000";
    client
        .send(head(&gateway, "/v1/chat/completions", framing))
        .await;
    let talk = async {
        while client.send([b' '; 1000]).await {
            sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::select! {
        () = talk => {},
        () = sleep(Duration::from_secs(4)) => {},
    }
    refused_as_slow(&client.rest().await);
}

#[tokio::test]
async fn documents_may_take_longer_than_other_bodies() {
    let env = [SHORT.as_slice(), &[("BKG_SERVER__BODY_RATE", "1")]].concat();
    let gateway = Gateway::start_with(&env).await;
    gateway
        .index("c", &json!([{"id": "d", "text": "Lemons."}]))
        .await;
    let body = json!({"documents": [{"id": "e", "text": "Limes."}]}).to_string();
    let mut client = Raw::to(&gateway).await;
    let framing = format!("content-length: {}", body.len());
    let path = "/brainml/collections/c/documents";
    client.send(head(&gateway, path, &framing)).await;
    let (first, last) = body.split_at(10);
    for byte in first.bytes() {
        client.send([byte]).await;
        sleep(Duration::from_millis(300)).await;
    }
    client.send(last).await;
    let answer = client.answer().await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

/// More than the sockets' buffers hold.
fn flood(_: &Value) -> Reply {
    let piece = "x".repeat(64 << 10);
    Reply::Stream {
        first: (0..400).map(|_| chunk(&piece, None)).collect(),
        rest: vec![],
    }
}

#[tokio::test]
async fn a_client_that_never_reads_its_stream_is_cut_off_and_the_work_ended() {
    let gateway = Gateway::start_with(&SHORT).await;
    let upstream = Upstream::start(flood).await;
    upstream.join(&gateway).await;
    let body = json!({"model": "far-chat", "stream": true,
        "messages": [{"role": "user", "content": "?"}]})
    .to_string();
    let mut client = Raw::to(&gateway).await;
    let framing = format!("content-length: {}", body.len());
    client
        .send(head(&gateway, "/v1/chat/completions", &framing) + &body)
        .await;
    // The head has come, and with it the stream has begun.
    client.0.read_exact(&mut [0; 64]).await.unwrap();
    let upstream = &upstream;
    eventually("the upstream is left alone", || async {
        upstream.left() == 1
    })
    .await;
    let gateway = &gateway;
    eventually("the connection is gone", || async {
        gateway.get("/health/live").await.0 == 200
    })
    .await;
}

#[tokio::test]
async fn a_client_that_never_reads_a_large_answer_is_cut_off() {
    let gateway = Gateway::start_with(&SHORT).await;
    let text = "Lemons are sour. ".repeat(60_000);
    gateway
        .index("c", &json!([{"id": "d", "text": text}]))
        .await;
    let key = &gateway.key;
    let request = format!(
        "GET /brainml/collections/c/documents/d HTTP/1.1\r\nhost: bkg\r\n\
         authorization: Bearer {key}\r\n\r\n"
    );
    let mut client = Raw::to(&gateway).await;
    // Together far more than the sockets' buffers hold.
    client.send(request.repeat(16)).await;
    sleep(Duration::from_secs(3)).await;
    let (rest, _) = timed(client.rest()).await;
    assert!(answers(&rest) < 16, "{} whole answers", answers(&rest));
    let live = gateway
        .anonymous(Method::GET, "/health/live")
        .send()
        .await
        .unwrap();
    assert_eq!(live.status(), 200);
}

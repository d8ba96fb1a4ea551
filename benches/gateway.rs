//! What the gateway adds to a call of an upstream model: requests a second, latencies and the time to
//! a stream's first chunk, straight to a fast local upstream and through the running program.
//! Prints a table; with `--quick` from a tenth of the requests.
#![allow(
    clippy::as_conversions,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used,
    missing_docs,
    unreachable_pub,
    reason = "a bench that is surprised should fail"
)]

#[path = "../tests/it/gateway.rs"]
#[allow(dead_code, reason = "the tests use more of it")]
mod gateway;

use std::time::{Duration, Instant};

use actix_web::{App, HttpResponse, HttpServer, web};
use futures_util::{StreamExt, stream};
use reqwest::RequestBuilder;
use serde_json::{Value, json};

use crate::gateway::Gateway;

/// An upstream that answers at once, whole or in three chunks.
fn upstream() -> String {
    let (tell, address) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        actix_web::rt::System::new().block_on(async move {
            let app = || App::new().route("/v1/chat/completions", web::post().to(complete));
            let server = HttpServer::new(app).workers(1).bind("127.0.0.1:0").unwrap();
            tell.send(server.addrs().first().copied().unwrap()).unwrap();
            server.run().await
        })
    });
    format!("http://{}/v1", address.recv().unwrap())
}

async fn complete(body: web::Bytes) -> HttpResponse {
    let body: Value = serde_json::from_slice(&body).unwrap();
    let choice = |key: &str| json!([{"index": 0, key: {"role": "assistant", "content": "yes"}}]);
    if body.get("stream") != Some(&Value::Bool(true)) {
        let usage = json!({"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2});
        let answer = json!({
            "id": "c", "object": "chat.completion", "created": 0, "model": "fast",
            "choices": choice("message"), "usage": usage,
        });
        return HttpResponse::Ok().json(answer);
    }
    let chunk = json!({
        "id": "c", "object": "chat.completion.chunk", "created": 0, "model": "fast",
        "choices": choice("delta"),
    });
    let event = web::Bytes::from(format!("data: {chunk}\n\n"));
    let done = web::Bytes::from_static(b"data: [DONE]\n\n");
    let events = [event.clone(), event.clone(), event, done].map(Ok::<_, actix_web::Error>);
    HttpResponse::Ok()
        .content_type("text/event-stream")
        .streaming(stream::iter(events))
}

/// What one way of asking took.
struct Figures {
    /// Of each request, or of its first chunk; sorted.
    latencies: Vec<Duration>,
    elapsed: Duration,
}

impl Figures {
    fn row(&self, way: &str, what: &str) {
        let at = |share: usize| {
            let place = (self.latencies.len() * share / 100).min(self.latencies.len() - 1);
            self.latencies.get(place).unwrap().as_secs_f64() * 1e3
        };
        let count = u32::try_from(self.latencies.len()).unwrap();
        let rate = f64::from(count) / self.elapsed.as_secs_f64();
        let (half, most) = (at(50), at(99));
        println!("| {what:<28} | {way:<11} | {rate:>10.0} | {half:>7.2} | {most:>7.2} |");
    }
}

/// Sends `count` requests, `in_flight` at a time; a latency ends with the first bytes of the body.
async fn measure(request: &RequestBuilder, count: usize, in_flight: usize) -> Figures {
    let one = || async {
        let started = Instant::now();
        let response = request.try_clone().unwrap().send().await.unwrap();
        let response = response.error_for_status().unwrap();
        let mut body = response.bytes_stream();
        body.next().await.unwrap().unwrap();
        let took = started.elapsed();
        while let Some(more) = body.next().await {
            more.unwrap();
        }
        took
    };
    let warm_up = stream::iter(0..count / 10).map(|_| one());
    warm_up.buffer_unordered(in_flight).count().await;
    let started = Instant::now();
    let requests = stream::iter(0..count).map(|_| one());
    let mut latencies: Vec<Duration> = requests.buffer_unordered(in_flight).collect().await;
    let elapsed = started.elapsed();
    latencies.sort_unstable();
    Figures { latencies, elapsed }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let count = if std::env::args().any(|argument| argument == "--quick") {
        500
    } else {
        5000
    };
    let base = upstream();
    let gateway = Gateway::start().await;
    let settings = json!({"settings": {"upstreams": [
        {"name": "fast", "base_url": base, "models": ["fast"]},
    ]}});
    let (status, set) = gateway
        .put("/admin/plugins/llmserver/config", &settings)
        .await;
    assert_eq!(status, 200, "{set}");
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let ways = [
        ("direct", base.as_str()),
        ("through bkg", &format!("{}/v1", gateway.url)),
    ];
    println!("| what                         | way         | requests/s |  p50 ms |  p99 ms |");
    println!("|------------------------------|-------------|-----------:|--------:|--------:|");
    for (what, streamed, in_flight) in [
        ("whole, one after another", false, 1),
        ("whole, 32 in flight", false, 32),
        ("first chunk, 1 in flight", true, 1),
        ("first chunk, 32 in flight", true, 32),
    ] {
        for (way, base) in ways {
            let body = json!({
                "model": "fast", "stream": streamed,
                "messages": [{"role": "user", "content": "Are you there?"}],
            });
            let request = client.post(format!("{base}/chat/completions"));
            let request = request.bearer_auth(&gateway.key).json(&body);
            measure(&request, count, in_flight).await.row(way, what);
        }
    }
}

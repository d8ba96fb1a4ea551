//! Spans at an OpenTelemetry collector: whole traces arrive, and a collector that is slow, rude or
//! gone is nobody's trouble.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{KeyValue, any_value::Value as Any},
    trace::v1::{Span, span::SpanKind, status::StatusCode},
};
use prost::Message;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::{
    fake_upstream::{KEY, Reply, Upstream, chunk},
    gateway::{Gateway, bkg, eventually},
    sse::Events,
};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER: &str = "00f067aa0ba902b7";
const ENDPOINT: &str = "BKG_TELEMETRY__OTLP_ENDPOINT";

/// The status that a request is answered with; 0 is no answer at all.
type Answers = Box<dyn Fn(&ExportTraceServiceRequest) -> u16 + Send + Sync>;

/// A collector of the tests' own.
struct Collector {
    url: String,
    state: Arc<State>,
}

struct State {
    answers: Answers,
    heads: Mutex<Vec<String>>,
    got: Mutex<Vec<ExportTraceServiceRequest>>,
    asked: AtomicUsize,
}

impl Collector {
    /// Answers as `answers` says.
    async fn start(
        answers: impl Fn(&ExportTraceServiceRequest) -> u16 + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(State {
            answers: Box::new(answers),
            heads: Mutex::default(),
            got: Mutex::default(),
            asked: AtomicUsize::new(0),
        });
        let serving = state.clone();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(serve(socket, serving.clone()));
            }
        });
        Self { url, state }
    }

    /// All spans that were taken.
    fn spans(&self) -> Vec<Span> {
        let got = self.state.got.lock().unwrap();
        got.iter().flat_map(spans_of).cloned().collect()
    }

    /// The spans of one trace, once there are `count`.
    async fn trace(&self, id: &str, count: usize) -> Vec<Span> {
        let own = || {
            let mut spans = self.spans();
            spans.retain(|span| hex(&span.trace_id) == id);
            // A key's use is noted now and then.
            spans.retain(|span| span.name != "apikeys.authenticate");
            spans
        };
        eventually("the spans have come", || async { own().len() >= count }).await;
        assert_eq!(own().len(), count, "{:?}", own());
        own()
    }
}

async fn serve(mut socket: TcpStream, state: Arc<State>) {
    let mut bytes = Vec::new();
    while let Some((head, body)) = request(&mut socket, &mut bytes).await {
        let request = ExportTraceServiceRequest::decode(&*body).unwrap();
        let status = (state.answers)(&request);
        state.asked.fetch_add(1, SeqCst);
        match status {
            0 => return std::future::pending().await,
            200 => {
                state.heads.lock().unwrap().push(head);
                state.got.lock().unwrap().push(request);
            }
            _ => (),
        }
        let answer = format!("HTTP/1.1 {status} X\r\ncontent-length: 0\r\n\r\n");
        if socket.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

fn spans_of(request: &ExportTraceServiceRequest) -> impl Iterator<Item = &Span> {
    let resources = request.resource_spans.iter();
    let scopes = resources.flat_map(|resource| &resource.scope_spans);
    scopes.flat_map(|scope| &scope.spans)
}

/// Whether a request tells of the trace `id`.
fn holds(request: &ExportTraceServiceRequest, id: &str) -> bool {
    spans_of(request).any(|span| hex(&span.trace_id) == id)
}

/// The next request on a connection: its head in lower case, and its body.
async fn request(socket: &mut TcpStream, bytes: &mut Vec<u8>) -> Option<(String, Vec<u8>)> {
    loop {
        if let Some(end) = bytes.windows(4).position(|part| part == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
            let length = head.split_once("content-length: ").unwrap().1;
            let length: usize = length.lines().next().unwrap().parse().unwrap();
            if bytes.len() >= end + 4 + length {
                let body = bytes[end + 4..end + 4 + length].to_vec();
                bytes.drain(..end + 4 + length);
                return Some((head, body));
            }
        }
        if socket.read_buf(bytes).await.ok()? == 0 {
            return None;
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn told(attributes: &[KeyValue]) -> HashMap<&str, Value> {
    let told = attributes.iter().map(|pair| {
        let value = pair.value.clone().unwrap().value.unwrap();
        (pair.key.as_str(), json_of(&value))
    });
    told.collect()
}

fn json_of(value: &Any) -> Value {
    match value {
        Any::StringValue(text) => json!(text),
        Any::IntValue(number) => json!(number),
        Any::ArrayValue(values) => {
            let values = values.values.iter();
            let values = values.map(|value| json_of(value.value.as_ref().unwrap()));
            values.collect()
        }
        other => panic!("{other:?}"),
    }
}

fn span<'a>(spans: &'a [Span], name: &str) -> &'a Span {
    let found = spans.iter().find(|span| span.name == name);
    found.unwrap_or_else(|| panic!("no {name} in {spans:?}"))
}

fn chat(gateway: &Gateway, trace: &str, flags: &str) -> RequestBuilder {
    let messages = [json!({"role": "user", "content": "my dog is called Waldmeister"})];
    let body = json!({"model": "far-chat", "stream": true, "messages": messages});
    let request = gateway.request(Method::POST, "/v1/chat/completions");
    let parent = format!("00-{trace}-{CALLER}-{flags}");
    request.json(&body).header("traceparent", parent)
}

fn streamed(_: &Value) -> Reply {
    let usage = json!({"prompt_tokens": 7, "completion_tokens": 2});
    Reply::Stream {
        first: vec![chunk("one ", None)],
        rest: vec![
            chunk("two", Some("stop")),
            json!({"choices": [], "model": "far-chat", "usage": usage}),
        ],
    }
}

async fn gateway(env: &[(&str, &str)]) -> Gateway {
    let mut all = vec![("BKG_MODELS_DIR", "no-models")];
    all.extend(env);
    Gateway::start_with(&all).await
}

/// The value of one series of `/metrics`.
async fn metric(gateway: &Gateway, series: &str) -> f64 {
    let answer = gateway.request(Method::GET, "/metrics").send().await;
    let text = answer.unwrap().text().await.unwrap();
    let mut lines = text.lines().filter_map(|line| line.rsplit_once(' '));
    let found = lines.find(|(name, _)| *name == series);
    found.map_or(0.0, |(_, value)| value.parse().unwrap())
}

fn dropped(why: &str) -> String {
    format!("bkg_trace_spans_dropped_total{{reason=\"{why}\"}}")
}

#[tokio::test]
async fn a_streamed_chat_over_an_upstream_arrives_as_one_tree() {
    let collector = Collector::start(|_| 200).await;
    let gateway = gateway(&[
        (ENDPOINT, &collector.url),
        (
            "BKG_TELEMETRY__OTLP_HEADERS",
            "authorization=Bearer%20abc,x-org=7",
        ),
    ])
    .await;
    let upstream = Upstream::start(streamed).await;
    upstream.join(&gateway).await;
    let mut events = Events::of(chat(&gateway, TRACE, "01")).await;
    events.value().await;
    let pause = Duration::from_millis(200);
    tokio::time::sleep(pause).await;
    upstream.release();
    events.values().await;

    let spans = collector.trace(TRACE, 3).await;
    let server = span(&spans, "POST /v1/chat/completions");
    let call = span(&spans, "llm.chat");
    let client = span(&spans, "chat far-chat");
    assert_eq!(hex(&server.parent_span_id), CALLER);
    assert_eq!(call.parent_span_id, server.span_id);
    assert_eq!(client.parent_span_id, call.span_id);
    for (span, kind) in [
        (server, SpanKind::Server),
        (call, SpanKind::Internal),
        (client, SpanKind::Client),
    ] {
        assert_eq!(span.kind(), kind);
        assert_eq!(span.status, None);
        let took = span.end_time_unix_nano - span.start_time_unix_nano;
        assert!(u128::from(took) > pause.as_nanos(), "{span:?}");
    }
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos();
    let age = now - u128::from(server.start_time_unix_nano);
    assert!(age < Duration::from_secs(120).as_nanos(), "{age}");
    assert_eq!(told(&call.attributes)["bkg.plugin"], "llmserver");
    let attributes = told(&client.attributes);
    for (name, value) in [
        ("gen_ai.operation.name", json!("chat")),
        ("gen_ai.request.model", json!("far-chat")),
        ("gen_ai.provider.name", json!("far")),
        ("gen_ai.usage.input_tokens", json!(7)),
        ("gen_ai.usage.output_tokens", json!(2)),
        ("gen_ai.response.finish_reasons", json!(["stop"])),
        ("server.address", json!("127.0.0.1")),
    ] {
        assert_eq!(attributes[name], value, "{name}");
    }
    let got = collector.state.got.lock().unwrap();
    let resource = got[0].resource_spans[0].resource.as_ref().unwrap();
    assert_eq!(told(&resource.attributes)["service.name"], "bkg");
    let bytes: Vec<u8> = got.iter().flat_map(Message::encode_to_vec).collect();
    let text = String::from_utf8_lossy(&bytes);
    for secret in ["Waldmeister", "one ", KEY, &gateway.key] {
        assert!(!text.contains(secret), "{secret}");
    }
    let head = &collector.state.heads.lock().unwrap()[0];
    for line in [
        "post /v1/traces http/1.1",
        "content-type: application/x-protobuf",
        "authorization: bearer abc",
        "x-org: 7",
    ] {
        assert!(head.contains(line), "{line} in {head}");
    }
}

#[tokio::test]
async fn what_fails_arrives_as_an_error() {
    let collector = Collector::start(|_| 200).await;
    let gateway = gateway(&[(ENDPOINT, &collector.url)]).await;
    let refused = chat(&gateway, TRACE, "01").send().await.unwrap();
    assert_eq!(refused.status(), 404);
    let spans = collector.trace(TRACE, 2).await;
    let call = span(&spans, "llm.chat");
    assert_eq!(call.status.as_ref().unwrap().code(), StatusCode::Error);
    assert_eq!(told(&call.attributes)["error.type"], "unknown");
    let server = span(&spans, "POST /v1/chat/completions");
    assert_eq!(
        server.status, None,
        "a caller's mistake is no error of the server"
    );
}

#[tokio::test]
async fn the_environment_of_opentelemetry_counts_where_no_setting_does_and_unsampled_spans_stay() {
    let collector = Collector::start(|_| 200).await;
    let gateway = gateway(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.url),
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-org=8"),
        ("OTEL_SERVICE_NAME", "our-gateway"),
        ("BKG_TELEMETRY__SAMPLE", "0"),
    ])
    .await;
    assert_eq!(gateway.get("/v1/models").await.0, 200);
    let unsampled = TRACE.replace('4', "5");
    for (trace, flags) in [(&*unsampled, "00"), (TRACE, "01")] {
        chat(&gateway, trace, flags).send().await.unwrap();
    }
    collector.trace(TRACE, 2).await;
    assert_eq!(collector.spans().len(), 2, "{:?}", collector.spans());
    let got = collector.state.got.lock().unwrap();
    let resource = got[0].resource_spans[0].resource.as_ref().unwrap();
    assert_eq!(told(&resource.attributes)["service.name"], "our-gateway");
    assert!(collector.state.heads.lock().unwrap()[0].contains("x-org: 8"));
}

#[tokio::test]
async fn a_batch_is_brought_again_to_a_collector_that_is_busy_and_not_to_one_that_refuses() {
    let refused = TRACE.replace('4', "5");
    let (times_busy, times_refused) =
        (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (busy, refuses, id) = (times_busy.clone(), times_refused.clone(), refused.clone());
    let collector = Collector::start(move |request| {
        if holds(request, &id) {
            refuses.fetch_add(1, SeqCst);
            return 400;
        }
        match holds(request, TRACE) && busy.fetch_add(1, SeqCst) == 0 {
            true => 503,
            false => 200,
        }
    })
    .await;
    let gateway = gateway(&[(ENDPOINT, &collector.url)]).await;
    chat(&gateway, TRACE, "01").send().await.unwrap();
    collector.trace(TRACE, 2).await;
    assert_eq!(times_busy.load(SeqCst), 2);
    chat(&gateway, &refused, "01").send().await.unwrap();
    let (gateway, series) = (&gateway, dropped("refused"));
    eventually("the rest has been refused", || async {
        metric(gateway, &series).await >= 2.0
    })
    .await;
    assert_eq!(times_refused.load(SeqCst), 1);
    assert!(metric(gateway, "bkg_trace_spans_sent_total").await >= 2.0);
}

#[tokio::test]
async fn a_collector_that_never_answers_changes_nothing_for_callers_and_hardly_the_end() {
    let collector = Collector::start(|_| 0).await;
    let mut gateway = gateway(&[(ENDPOINT, &collector.url)]).await;
    let asked = &collector.state.asked;
    eventually("the collector has been asked", || async {
        gateway.get("/v1/models").await;
        asked.load(SeqCst) > 0
    })
    .await;
    // More than may wait: the last ones are dropped.
    let started = Instant::now();
    let statuses = futures_util::future::join_all((0..100).map(|_| gateway.get("/v1/models")));
    assert!(statuses.await.iter().all(|(status, _)| *status == 200));
    assert!(started.elapsed() < Duration::from_secs(8), "callers wait");
    gateway.terminate();
    let told = Instant::now();
    assert!(gateway.ended().success());
    assert!(
        told.elapsed() < Duration::from_secs(20),
        "{:?}",
        told.elapsed()
    );
}

#[tokio::test]
async fn a_collector_that_is_gone_costs_spans_which_are_counted() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let gateway = gateway(&[(ENDPOINT, &url)]).await;
    let gateway = &gateway;
    let unsent = dropped("unsent");
    eventually("the spans are counted as lost", || async {
        assert_eq!(gateway.get("/v1/models").await.0, 200);
        metric(gateway, &unsent).await > 0.0
    })
    .await;
    let path = "/admin/plugins/bkg/logs?level=warn&limit=1000";
    let logs = gateway.get(path).await.1["records"].to_string();
    assert_eq!(logs.matches("does not take spans").count(), 1, "{logs}");
}

#[tokio::test]
async fn the_last_spans_are_sent_before_the_end() {
    let collector = Collector::start(|_| 200).await;
    let mut gateway = gateway(&[(ENDPOINT, &collector.url)]).await;
    chat(&gateway, TRACE, "01").send().await.unwrap();
    gateway.terminate();
    assert!(gateway.ended().success());
    collector.trace(TRACE, 2).await;
}

#[test]
fn an_endpoint_that_is_none_ends_the_start_and_no_secret_is_told() {
    for (name, value, key) in [
        (ENDPOINT, "collector:4317", "telemetry.otlp_endpoint"),
        (
            "BKG_TELEMETRY__OTLP_HEADERS",
            "hush-hush",
            "telemetry.otlp_headers",
        ),
        ("BKG_TELEMETRY__SAMPLE", "1.5", "telemetry.sample"),
    ] {
        let data = tempfile::tempdir().unwrap();
        let own = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let env = [own(ENDPOINT, "http://127.0.0.1:9"), own(name, value)];
        let output = bkg(data.path(), &env, &["serve"]).output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{error}");
        assert!(error.contains(key) && !error.contains("hush"), "{error}");
    }
}

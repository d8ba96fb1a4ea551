//! Traces: one tree from a request to the upstream, whole to the last piece of a stream, with
//! nothing of what callers say in it.

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::{
    fake_upstream::{KEY, Reply, Upstream, chunk},
    gateway::{Gateway, answer, eventually},
    sse::Events,
};

const CHAT: &str = "/v1/chat/completions";
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER: &str = "00f067aa0ba902b7";
const SECRET: &str = "my dog is called Waldmeister";

async fn gateway_with(reply: fn(&Value) -> Reply) -> (Gateway, Upstream) {
    let gateway = Gateway::start_with(&[("BKG_MODELS_DIR", "no-models")]).await;
    let upstream = Upstream::start(reply).await;
    upstream.join(&gateway).await;
    (gateway, upstream)
}

fn chat(gateway: &Gateway, stream: bool) -> RequestBuilder {
    let messages = [json!({"role": "user", "content": SECRET})];
    let body = json!({"model": "far-chat", "stream": stream, "messages": messages});
    gateway.request(Method::POST, CHAT).json(&body)
}

fn traceparent() -> String {
    format!("00-{TRACE}-{CALLER}-01")
}

/// The trace, once it has `spans` spans; that a key's use is noted now and then does not count.
async fn trace(gateway: &Gateway, id: &str, spans: usize) -> Value {
    let path = format!("/admin/traces/{id}");
    let count = |trace: &Value| {
        let all = trace["spans"].as_array().into_iter().flatten();
        all.filter(|span| span["name"] != "apikeys.authenticate")
            .count()
    };
    eventually("the trace is whole", || async {
        let (status, told) = gateway.get(&path).await;
        status == 200 && count(&told) >= spans
    })
    .await;
    let trace = gateway.get(&path).await.1;
    assert_eq!(count(&trace), spans, "{trace}");
    trace
}

fn span<'a>(trace: &'a Value, name: &str) -> &'a Value {
    let spans = trace["spans"].as_array().unwrap();
    let found = spans.iter().find(|span| span["name"] == name);
    found.unwrap_or_else(|| panic!("no {name} in {trace}"))
}

/// When a span ends, in microseconds from the trace's start.
fn end(span: &Value) -> u64 {
    span["start_us"].as_u64().unwrap() + span["duration_us"].as_u64().unwrap()
}

/// The traces of one route, newest first.
async fn latest(gateway: &Gateway, query: &str) -> Vec<Value> {
    let (status, told) = gateway.get(&format!("/admin/traces?{query}")).await;
    assert_eq!(status, 200, "{told}");
    told["traces"].as_array().unwrap().clone()
}

#[tokio::test]
async fn a_streamed_chat_is_one_tree_that_ends_with_its_last_piece() {
    let reply = |_: &Value| Reply::Stream {
        first: vec![chunk("one ", None)],
        rest: vec![
            chunk("two", None),
            chunk("", Some("stop")),
            json!({"choices": [], "model": "far-chat", "usage": {"prompt_tokens": 7, "completion_tokens": 2}}),
        ],
    };
    let (gateway, upstream) = gateway_with(reply).await;
    let request = chat(&gateway, true).header("traceparent", traceparent());
    let mut events = Events::of(request).await;
    events.value().await;
    let pause = std::time::Duration::from_millis(200);
    tokio::time::sleep(pause).await;
    let (status, _) = gateway.get(&format!("/admin/traces/{TRACE}")).await;
    assert_eq!(status, 404, "it has not ended");
    upstream.release();
    events.values().await;

    let trace = trace(&gateway, TRACE, 3).await;
    let server = span(&trace, "POST /v1/chat/completions");
    let call = span(&trace, "llm.chat");
    let client = span(&trace, "chat far-chat");
    assert_eq!(server["parent_id"], Value::Null);
    assert_eq!(call["parent_id"], server["span_id"]);
    assert_eq!(client["parent_id"], call["span_id"]);
    for (span, kind, plugin) in [
        (server, "server", Value::Null),
        (call, "internal", "llmserver".into()),
        (client, "client", "llmserver".into()),
    ] {
        assert_eq!((&span["kind"], &span["plugin"]), (&kind.into(), &plugin));
        assert_eq!(span["status"], "ok", "{span}");
        let took = span["duration_us"].as_u64().unwrap();
        assert!(u128::from(took) > pause.as_micros(), "{span}");
        assert!(end(span) <= trace["duration_us"].as_u64().unwrap());
    }
    assert!(client["start_us"].as_u64() >= call["start_us"].as_u64());
    assert_eq!(server["attributes"]["http.response.status_code"], 200);
    assert_eq!(server["attributes"]["http.route"], CHAT);
    let told = &client["attributes"];
    for (name, value) in [
        ("gen_ai.operation.name", json!("chat")),
        ("gen_ai.provider.name", json!("far")),
        ("gen_ai.request.model", json!("far-chat")),
        ("gen_ai.response.model", json!("far-chat")),
        ("gen_ai.usage.input_tokens", json!(7)),
        ("gen_ai.usage.output_tokens", json!(2)),
        ("gen_ai.response.finish_reasons", json!(["stop"])),
        ("server.address", json!("127.0.0.1")),
        ("http.response.status_code", json!(200)),
    ] {
        assert_eq!(told[name], value, "{name} in {told}");
    }
    let text = trace.to_string();
    for secret in ["Waldmeister", "two", KEY, &gateway.key] {
        assert!(!text.contains(secret), "{secret} is in {text}");
    }
    let sent = format!(
        "traceparent: 00-{TRACE}-{}-01",
        client["span_id"].as_str().unwrap()
    );
    assert!(
        upstream.asked().head.contains(&sent),
        "{}",
        upstream.asked().head
    );
}

#[tokio::test]
async fn a_chat_over_documents_is_traced_through_every_plugin_that_it_touches() {
    let gateway = Gateway::start().await;
    let documents = json!([{"id": "d", "text": "A key is revoked with bkg keys revoke."}]);
    gateway.index("docs", &documents).await;
    let body = json!({"model": "bkg-extract", "messages": [{"role": "user", "content": "How is a key revoked?"}],
        "retrieval": {"collections": ["docs"]}});
    let request = gateway.request(Method::POST, CHAT).json(&body);
    let (status, told) = answer(request.header("traceparent", traceparent())).await;
    assert_eq!(status, 200, "{told}");
    let trace = trace(&gateway, TRACE, 4).await;
    let mut above = span(&trace, "POST /v1/chat/completions");
    for (name, plugin) in [
        ("llm.chat", "llmserver"),
        ("brainml.query", "brainml"),
        ("llm.embed", "llmserver"),
    ] {
        let below = span(&trace, name);
        assert_eq!(below["parent_id"], above["span_id"], "{trace}");
        assert_eq!(below["plugin"], plugin);
        above = below;
    }
}

#[tokio::test]
async fn an_upstream_that_refuses_and_a_client_that_leaves_are_told_as_errors() {
    let reply = |body: &Value| match body["stream"] == true {
        true => Reply::Stream {
            first: vec![chunk("one ", None)],
            rest: vec![],
        },
        false => Reply::Whole(
            "418 Teapot",
            "content-type: application/json\r\n",
            json!({"error": {"message": "no"}}).to_string(),
        ),
    };
    let (gateway, _upstream) = gateway_with(reply).await;
    let request = chat(&gateway, false).header("traceparent", traceparent());
    assert!(!request.send().await.unwrap().status().is_success());
    let refused = trace(&gateway, TRACE, 3).await;
    let client = span(&refused, "chat far-chat");
    assert_eq!(client["status"], "error");
    assert_eq!(client["attributes"]["error.type"], "418");
    assert_eq!(client["attributes"]["http.response.status_code"], 418);
    assert_eq!(span(&refused, "llm.chat")["status"], "error");

    let id = TRACE.replace('4', "5");
    let left = format!("00-{id}-{CALLER}-01");
    let mut events = Events::of(chat(&gateway, true).header("traceparent", left)).await;
    events.value().await;
    drop(events);
    let left = trace(&gateway, &id, 3).await;
    let server = span(&left, "POST /v1/chat/completions");
    assert_eq!(server["attributes"]["error.type"], "client_closed");
    for name in ["llm.chat", "chat far-chat"] {
        assert_eq!(
            span(&left, name)["attributes"]["error.type"],
            "cancelled",
            "{left}"
        );
    }
}

#[tokio::test]
async fn the_last_traces_are_listed_newest_first_and_picked_by_route_and_status() {
    let gateway = Gateway::start_with(&[("BKG_MODELS_DIR", "no-models")]).await;
    for path in [
        "/v1/models",
        "/nowhere?x=1",
        "/v1/models",
        "/health/live",
        "/metrics",
    ] {
        gateway.get(path).await;
    }
    let gateway = &gateway;
    eventually("the requests have ended", || async {
        latest(gateway, "route=/v1/models").await.len() == 2
    })
    .await;
    let models = latest(gateway, "route=/v1/models").await;
    assert!(models[0]["started_at"].as_str() > models[1]["started_at"].as_str());
    for (query, count) in [
        ("route=/v1/models&limit=1", 1),
        ("route=/v1/models&status=404", 0),
        ("status=404", 1),
        ("status=4xx", 1),
        ("route=/health/live", 0),
        ("route=/metrics", 0),
        ("route=/admin/traces", 0),
    ] {
        let found = latest(gateway, query).await;
        assert_eq!(found.len(), count, "{query}: {found:?}");
    }
    let lost = &latest(gateway, "status=404").await[0];
    assert_eq!(
        (&lost["route"], &lost["method"]),
        (&Value::Null, &json!("GET"))
    );
    assert!(lost["spans"].as_u64().unwrap() >= 1);
    let id = lost["trace_id"].as_str().unwrap();
    let whole = trace(gateway, id, 1).await;
    assert_eq!(whole["request_id"], lost["request_id"]);
    assert!(!whole.to_string().contains("nowhere"), "{whole}");
    for (path, status) in [
        ("/admin/traces?status=much", 422),
        ("/admin/traces/0af7651916cd43dd8448eb211c80319c", 404),
        ("/admin/traces/nonsense", 404),
    ] {
        assert_eq!(gateway.get(path).await.0, status, "{path}");
    }
    let key = gateway.new_key("llm.chat");
    for path in ["/admin/traces", &format!("/admin/traces/{id}")] {
        let request = gateway.anonymous(Method::GET, path).bearer_auth(&key);
        assert_eq!(answer(request).await.0, 403, "{path}");
    }
}

#[tokio::test]
async fn a_traceparent_that_is_none_or_comes_twice_begins_a_trace_of_its_own() {
    let gateway = Gateway::start_with(&[("BKG_MODELS_DIR", "no-models")]).await;
    let wrong = format!("00-{}-{CALLER}-01", TRACE.to_uppercase());
    let requests = [vec![wrong], vec![traceparent(), traceparent()], vec![]];
    for headers in requests {
        let request = gateway.request(Method::GET, "/v1/models");
        let add = |request: RequestBuilder, value| request.header("traceparent", value);
        let request = headers.into_iter().fold(request, add);
        assert_eq!(answer(request).await.0, 200);
    }
    let gateway = &gateway;
    eventually("the requests have ended", || async {
        latest(gateway, "route=/v1/models").await.len() == 3
    })
    .await;
    let traces = latest(gateway, "route=/v1/models").await;
    let mut ids: Vec<_> = traces
        .iter()
        .map(|one| one["trace_id"].to_string())
        .collect();
    assert!(
        ids.iter().all(|id| id.len() == 34 && !id.contains(TRACE)),
        "{ids:?}"
    );
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 3);
}

#[tokio::test]
async fn every_log_line_of_a_request_names_its_trace_whoever_writes_it() {
    let reply = |_: &Value| {
        let body = json!({"error": {"message": "no"}}).to_string();
        Reply::Whole("500 No", "content-type: application/json\r\n", body)
    };
    let (gateway, _upstream) = gateway_with(reply).await;
    let request = chat(&gateway, false).header("traceparent", traceparent());
    let sent = request.header("x-request-id", "mine").send().await;
    assert!(!sent.unwrap().status().is_success());
    let gateway = &gateway;
    for (plugin, says) in [("llmserver", "an attempt failed"), ("bkg", CHAT)] {
        let path = format!("/admin/plugins/{plugin}/logs?limit=1000");
        eventually("the line is kept, and tells both ids", || async {
            let told = gateway.get(&path).await.1;
            let lines = told["records"].as_array().unwrap();
            lines.iter().any(|line| {
                line["message"].as_str().unwrap().contains(says)
                    && line["fields"]["trace_id"] == TRACE
                    && line["fields"]["request_id"] == "mine"
            })
        })
        .await;
    }
}

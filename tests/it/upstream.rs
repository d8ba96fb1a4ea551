//! Models at an upstream: what passes through, what does not, and who hangs up on whom.

mod hostile;
mod limits;
mod reach;

use std::time::{Duration, Instant};

use reqwest::{Method, header::RETRY_AFTER};
use serde_json::{Value, json};

use crate::{
    fake_upstream::{KEY, Reply, Upstream, chunk},
    gateway::{Gateway, eventually},
    sse::Events,
};

const CHAT: &str = "/v1/chat/completions";

/// These tests embed nothing here, and a new setting waits for what is being embedded.
const NO_MODEL: [(&str, &str); 1] = [("BKG_MODELS_DIR", "no-models")];

async fn gateway_with(reply: fn(&Value) -> Reply) -> (Gateway, Upstream) {
    let gateway = Gateway::start_with(&NO_MODEL).await;
    let upstream = Upstream::start(reply).await;
    upstream.join(&gateway).await;
    (gateway, upstream)
}

fn hello(stream: bool) -> Value {
    json!({"model": "far-chat", "stream": stream, "messages": [{"role": "user", "content": "hello"}]})
}

fn echo(body: &Value) -> Reply {
    let answer = json!({"id": "up-1", "object": "chat.completion", "odd": {"kept": [1, null]}, "asked": body});
    Reply::Whole(
        "200 OK",
        "content-type: application/json\r\n",
        answer.to_string(),
    )
}

#[tokio::test]
async fn a_whole_answer_and_the_fields_that_nobody_here_knows_pass_unchanged() {
    let (gateway, upstream) = gateway_with(echo).await;
    let body = json!({
        "model": "far-chat",
        "messages": [
            {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,"}}], "name": "n"},
            {"role": "assistant", "content": null, "tool_calls": [{"id": "t", "type": "function"}]},
            {"role": "tool", "content": "4", "tool_call_id": "t"},
        ],
        "tools": [{"type": "function", "function": {"name": "f", "strict": true}}],
        "response_format": {"type": "json_object"},
        "temperature": 0.25, "seed": 7, "x_odd": {"deep": [1, null, "é"]},
    });
    let (status, told) = gateway.post(CHAT, &body).await;
    assert_eq!(
        (status, &told["odd"]),
        (200, &json!({"kept": [1, null]})),
        "{told}"
    );
    assert_eq!(told["asked"], body);
    let asked = upstream.asked();
    assert_eq!(asked.body, body);
    assert!(
        asked.head.starts_with("post /v1/chat/completions "),
        "{}",
        asked.head
    );
    assert!(
        asked.head.contains(&format!("authorization: bearer {KEY}")),
        "{}",
        asked.head
    );
    assert!(
        !asked.head.contains("bkg_"),
        "the caller's own key stays here"
    );

    let (_, models) = gateway.get("/v1/models").await;
    let models = models["data"].as_array().unwrap();
    let far = models
        .iter()
        .find(|model| model["id"] == "far-chat")
        .unwrap();
    assert_eq!(
        (&far["owned_by"], &far["engine"]),
        (&json!("far"), &json!("upstream"))
    );
}

#[tokio::test]
async fn a_stream_passes_chunk_by_chunk_as_it_comes() {
    let reply = |_: &Value| Reply::Stream {
        first: vec![chunk("one ", None)],
        rest: vec![chunk("two", None), chunk("", Some("stop"))],
    };
    let (gateway, upstream) = gateway_with(reply).await;
    let mut events = Events::of(gateway.request(Method::POST, CHAT).json(&hello(true))).await;
    assert_eq!(
        events.value().await,
        chunk("one ", None),
        "before the upstream has ended"
    );
    upstream.release();
    assert_eq!(
        events.values().await,
        [chunk("two", None), chunk("", Some("stop"))]
    );
    assert_eq!(upstream.left(), 0);
    let mut asked = hello(true);
    // The gateway accounts for what is used.
    asked["stream_options"] = json!({"include_usage": true});
    assert_eq!(upstream.asked().body, asked);
}

#[tokio::test]
async fn a_caller_that_leaves_in_mid_stream_closes_the_upstreams_connection_within_a_second() {
    let reply = |_: &Value| Reply::Stream {
        first: vec![chunk("one ", None)],
        rest: vec![],
    };
    let (gateway, upstream) = gateway_with(reply).await;
    let mut events = Events::of(gateway.request(Method::POST, CHAT).json(&hello(true))).await;
    events.value().await;
    assert_eq!(upstream.left(), 0);
    let left = Instant::now();
    drop(events);
    let upstream = &upstream;
    eventually("the upstream is left alone", || async {
        upstream.left() == 1
    })
    .await;
    assert!(
        left.elapsed() < Duration::from_secs(1),
        "{:?}",
        left.elapsed()
    );
    let gateway = &gateway;
    eventually("the call ends", || async {
        gateway.plugin("llmserver").await["calls"]["in_flight"] == 0
    })
    .await;
}

#[tokio::test]
async fn a_caller_that_leaves_before_any_answer_closes_the_upstreams_connection_too() {
    // No event at all: the caller waits for the head of a whole answer that never comes.
    let reply = |_: &Value| Reply::Stream {
        first: vec![],
        rest: vec![],
    };
    let (gateway, upstream) = gateway_with(reply).await;
    let request = gateway.request(Method::POST, CHAT).json(&hello(false));
    let waiting = tokio::spawn(request.send());
    let upstream = &upstream;
    eventually("the upstream is asked", || async {
        upstream.times_asked() == 1
    })
    .await;
    waiting.abort();
    eventually("the upstream is left alone", || async {
        upstream.left() == 1
    })
    .await;
}

fn fail(body: &Value) -> Reply {
    let json = "content-type: application/json\r\n";
    let limit = r#"{"error":{"message":"slow down","type":"rate","code":"rpm"}}"#;
    match body["messages"][0]["content"].as_str().unwrap() {
        "429" => Reply::Whole(
            "429 Too Many Requests",
            "retry-after: 7\r\n",
            limit.to_owned(),
        ),
        "500" => Reply::Whole("500 Oops", "", "<html>oops</html>".to_owned()),
        "401" => Reply::Whole(
            "401 Unauthorized",
            json,
            format!(r#"{{"error":"bad {KEY}"}}"#),
        ),
        "403" => Reply::Whole("403 Forbidden", json, r#"{"error":"wrong key"}"#.to_owned()),
        "garbage" => Reply::Whole("200 OK", json, "<html>".to_owned()),
        "half-way" => Reply::Stream {
            first: vec![chunk("a", None), json!({"error": {"message": "no memory"}})],
            rest: vec![],
        },
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn an_upstreams_failures_become_errors_in_openais_shape() {
    let (gateway, _upstream) = gateway_with(fail).await;
    for (what, status, kind, words) in [
        ("429", 429, "rate_limit_error", "slow down"),
        ("500", 502, "server_error", "500"),
        ("401", 502, "server_error", "key"),
        ("garbage", 502, "server_error", "no JSON"),
    ] {
        for streamed in [false, true] {
            if streamed && what == "garbage" {
                continue;
            }
            let mut body = hello(streamed);
            body["messages"][0]["content"] = json!(what);
            let request = gateway.request(Method::POST, CHAT).json(&body);
            let response = request.send().await.unwrap();
            assert_eq!(response.status(), status, "{what}");
            let wait = response.headers().get(RETRY_AFTER).cloned();
            assert_eq!(
                wait.is_some_and(|wait| wait == "7"),
                status == 429,
                "{what}"
            );
            let told: Value = response.json().await.unwrap();
            assert_eq!(told["error"]["type"], kind, "{told}");
            let message = told["error"]["message"].as_str().unwrap();
            assert!(
                message.contains(words) && message.contains("far"),
                "{message}"
            );
            assert!(!message.contains(KEY), "{message}");
        }
    }
    let mut body = hello(true);
    body["messages"][0]["content"] = json!("half-way");
    let events = Events::of(gateway.request(Method::POST, CHAT).json(&body)).await;
    let values = events.values().await;
    assert_eq!(values[0], chunk("a", None));
    let message = values[1]["error"]["message"].as_str().unwrap();
    assert!(
        values.len() == 2 && message.contains("no memory"),
        "{values:?}"
    );
}

#[tokio::test]
async fn an_upstream_that_is_not_there_is_a_502_and_the_rest_goes_on() {
    let gateway = Gateway::start_with(&NO_MODEL).await;
    let upstream =
        json!({"name": "gone", "base_url": "http://127.0.0.1:1/v1", "models": ["far-chat"]});
    let body = json!({"settings": {"upstreams": [upstream]}});
    assert_eq!(
        gateway
            .put("/admin/plugins/llmserver/config", &body)
            .await
            .0,
        200
    );
    let (status, told) = gateway.post(CHAT, &hello(false)).await;
    assert_eq!(
        (status, &told["error"]["type"]),
        (502, &json!("server_error")),
        "{told}"
    );
    assert!(
        told["error"]["message"].as_str().unwrap().contains("gone"),
        "{told}"
    );
    let body =
        json!({"model": "bkg-extract", "messages": [{"role": "user", "content": "what is bkg?"}]});
    assert_eq!(gateway.post(CHAT, &body).await.0, 200);
}

#[tokio::test]
async fn embeddings_of_an_upstream_pass_too() {
    let reply = |body: &Value| {
        let count = body["input"].as_array().unwrap().len();
        let data = (0..count).map(|index| json!({"index": index, "embedding": [index, 1.5]}));
        let answer = json!({"data": data.collect::<Vec<_>>(), "usage": {"prompt_tokens": 9}});
        Reply::Whole("200 OK", "", answer.to_string())
    };
    let (gateway, upstream) = gateway_with(reply).await;
    let body = json!({"model": "far-embed", "input": ["a", "b"], "dimensions": 2});
    let (status, made) = gateway.post("/v1/embeddings", &body).await;
    assert_eq!(status, 200, "{made}");
    assert_eq!(made["data"][1]["embedding"], json!([1.0, 1.5]));
    assert_eq!(
        (&made["model"], &made["usage"]["prompt_tokens"]),
        (&json!("far-embed"), &json!(9))
    );
    assert_eq!(upstream.asked().body["dimensions"], 2);
}

#[tokio::test]
async fn the_upstreams_key_is_never_shown_nor_logged() {
    let env = [NO_MODEL[0], ("BKG_LOG__FILTER", "trace")];
    let gateway = Gateway::start_with(&env).await;
    let upstream = Upstream::start(fail).await;
    upstream.join(&gateway).await;
    for what in ["500", "429", "401"] {
        let mut body = hello(false);
        body["messages"][0]["content"] = json!(what);
        let (_, told) = gateway.post(CHAT, &body).await;
        assert!(!told.to_string().contains(KEY), "{told}");
    }
    for path in [
        "/admin/plugins/llmserver/config",
        "/admin/plugins/llmserver",
        "/admin/plugins",
    ] {
        let (status, told) = gateway.get(path).await;
        assert!(
            status == 200 && !told.to_string().contains(KEY),
            "{path}: {told}"
        );
    }
    let (_, shown) = gateway.get("/admin/plugins/llmserver/config").await;
    let upstreams = &shown["settings"]["upstreams"]["value"];
    assert_eq!(upstreams[0]["api_key"], "(hidden)", "{shown}");
    // What is shown cannot be written back by accident: it would replace the key.
    let echo = json!({"settings": {"upstreams": upstreams}});
    let path = "/admin/plugins/llmserver/config";
    assert_eq!(gateway.put(path, &echo).await.0, 422);
    let asked = &gateway;
    eventually("the log tells of the refused key", || async move {
        let mut logged = String::new();
        for plugin in ["bkg", "llmserver", "brainml", "apikeys"] {
            let path = format!("/admin/plugins/{plugin}/logs?level=trace&limit=100000");
            logged += &asked.get(&path).await.1.to_string();
        }
        assert!(!logged.contains(KEY), "{logged}");
        logged.contains("does not accept the gateway's key")
    })
    .await;
    let shown = gateway.bkg(&["plugins", "show", "llmserver"]);
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(
        shown.contains("upstreams") && !shown.contains(KEY),
        "{shown}"
    );
}

//! `/metrics`: who may read it, that it tells the truth, and that nobody can make it grow.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{ErrorKind, Write},
    process::{Command, Stdio},
};

use futures_util::{StreamExt, stream};
use reqwest::{
    Method,
    header::{ACCEPT, CONTENT_TYPE},
};
use serde_json::{Value, json};

use crate::{
    fake_upstream::{Reply, Upstream, chunk},
    gateway::{Gateway, eventually},
    sse::Events,
};

/// What a scrape told: the values by series, such as `up{job="x"}`.
struct Scrape(BTreeMap<String, f64>);

impl Scrape {
    async fn of(gateway: &Gateway) -> Self {
        let answer = gateway
            .request(Method::GET, "/metrics")
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 200);
        let kind = answer.headers()[CONTENT_TYPE].to_str().unwrap();
        assert!(
            kind.starts_with("application/openmetrics-text; version=1.0.0"),
            "{kind}"
        );
        Self::read(&answer.text().await.unwrap())
    }

    /// As strict as Prometheus: a type before its values, each series once, an end.
    fn read(text: &str) -> Self {
        let (mut series, mut types) = (BTreeMap::new(), BTreeSet::new());
        let lines = text.strip_suffix("# EOF\n").expect("it is whole").lines();
        for line in lines {
            if let Some(described) = line.strip_prefix("# TYPE ") {
                let name = described.split(' ').next().unwrap();
                assert!(types.insert(name.to_owned()), "{name} is described twice");
            } else if !line.starts_with("# HELP ") {
                let (name, value) = line.rsplit_once(' ').unwrap();
                let family = name.split('{').next().unwrap();
                let known = ["", "_total", "_sum", "_count", "_bucket"]
                    .iter()
                    .any(|end| {
                        family
                            .strip_suffix(end)
                            .is_some_and(|family| types.contains(family))
                    });
                assert!(known, "{family} has no type");
                let before = series.insert(name.to_owned(), value.parse().expect(line));
                assert!(before.is_none(), "{name} is told twice");
            }
        }
        Self(series)
    }

    fn get(&self, series: &str) -> f64 {
        self.0.get(series).copied().unwrap_or_default()
    }

    /// The values that a label takes.
    fn labels(&self, label: &str) -> BTreeSet<&str> {
        let start = format!("{label}=\"");
        let values = self.0.keys().filter_map(|name| {
            let (_, rest) = name.split_once(&start)?;
            rest.split('"').next()
        });
        values.collect()
    }
}

fn requests(method: &str, route: &str, status: &str) -> String {
    format!("bkg_http_requests_total{{method=\"{method}\",route=\"{route}\",status=\"{status}\"}}")
}

fn calls(plugin: &str, capability: &str, outcome: &str) -> String {
    format!(
        "bkg_calls_total{{plugin=\"{plugin}\",capability=\"{capability}\",outcome=\"{outcome}\"}}"
    )
}

#[tokio::test]
async fn the_metrics_are_for_any_caller_who_is_known_and_nobody_else() {
    let gateway = Gateway::start().await;
    let stranger = gateway.anonymous(Method::GET, "/metrics").send();
    assert_eq!(stranger.await.unwrap().status(), 401);
    let key = gateway.new_key("llm.chat");
    let anyone = gateway.anonymous(Method::GET, "/metrics").bearer_auth(key);
    assert_eq!(anyone.send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn requests_calls_plugins_log_store_and_process_are_told() {
    let gateway = Gateway::start().await;
    for _ in 0..3 {
        assert_eq!(gateway.get("/v1/models").await.0, 200);
    }
    assert_eq!(gateway.get("/nowhere/at/all").await.0, 404);
    let path = "/admin/plugins/brainml/restart";
    assert_eq!(gateway.post(path, &json!({})).await.0, 200);
    let scrape = Scrape::of(&gateway).await;
    for (series, value) in [
        (requests("GET", "/v1/models", "200"), 3.0),
        (requests("GET", "other", "404"), 1.0),
        (
            "bkg_http_request_duration_seconds_count{route=\"/v1/models\"}".into(),
            3.0,
        ),
        ("bkg_http_requests_in_flight".into(), 1.0),
        (calls("llmserver", "llm.models", "served"), 3.0),
        (calls("llmserver", "llm.models", "refused"), 0.0),
        (
            "bkg_call_permits_taken{plugin=\"llmserver\",capability=\"llm.models\"}".into(),
            0.0,
        ),
        (
            "bkg_plugin_state{plugin=\"brainml\",state=\"running\"}".into(),
            1.0,
        ),
        (
            "bkg_plugin_state{plugin=\"brainml\",state=\"failed\"}".into(),
            0.0,
        ),
        ("bkg_plugin_generation{plugin=\"brainml\"}".into(), 2.0),
        ("bkg_store_writable".into(), 1.0),
        ("bkg_log_gaps_total".into(), 0.0),
        ("bkg_draining".into(), 0.0),
        ("bkg_http_connections_refused_total".into(), 0.0),
    ] {
        assert!(scrape.0.contains_key(&series), "{series}");
        assert!(
            (scrape.get(&series) - value).abs() < 0.1,
            "{series} {}",
            scrape.get(&series)
        );
    }
    for positive in [
        "bkg_http_connections",
        "bkg_log_records_total",
        "bkg_store_database_bytes",
        "bkg_call_permits{plugin=\"llmserver\",capability=\"llm.models\"}",
        "process_cpu_seconds_total",
        "process_resident_memory_bytes",
        "process_open_fds",
        "process_start_time_seconds",
    ] {
        assert!(scrape.get(positive) > 0.0, "{positive}");
    }
}

/// One of many requests that nobody would send in earnest.
async fn bother(gateway: &Gateway, n: usize) {
    let methods = [
        "GET", "POST", "PUT", "DELETE", "PATCH", "TRACE", "OPTIONS", "BREW",
    ];
    let method = match n % 9 {
        8 => format!("M{n}"),
        known => methods[known].to_owned(),
    };
    let path = match n % 7 {
        0 => format!("/x{n}/y?z={n}"),
        1 => format!("/brainml/collections/c{n}/stats"),
        2 => format!("/admin/keys/k{n}"),
        3 => format!("/v1/models/m{n}/deep"),
        4 => format!("/admin/plugins/p{n}/start"),
        5 => format!("/brainml/collections/c{n}/documents/d{n}"),
        _ => "/v1/chat/completions".to_owned(),
    };
    let body = json!({"model": format!("m{n}"), "messages": [{"role": "user", "content": "x"}]});
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    let request = match n % 3 {
        0 => gateway.anonymous(method, &path),
        _ => gateway.request(method, &path),
    };
    let request = request.header("user-agent", format!("agent-{n}"));
    let request = request
        .header("x-request-id", format!("id-{n}"))
        .json(&body);
    drop(request.send().await.unwrap().bytes().await);
}

#[tokio::test]
async fn random_paths_methods_models_and_headers_make_no_series() {
    let gateway = Gateway::start().await;
    let all = stream::iter(0..2_000).map(|n| bother(&gateway, n));
    all.buffer_unordered(16).count().await;
    let scrape = Scrape::of(&gateway).await;
    assert!(scrape.0.len() <= 2_000, "{} series", scrape.0.len());
    let total: f64 = scrape
        .0
        .iter()
        .filter(|(name, _)| name.starts_with("bkg_http_requests_total"))
        .map(|(_, value)| value)
        .sum();
    assert!(total >= 2_000.0, "each request is counted: {total}");
    let (_, document) = gateway.get("/openapi.json").await;
    let paths = document["paths"].as_object().unwrap();
    for route in scrape.labels("route") {
        // A pattern may say more of a parameter than the document does.
        let plain = route.replace(":.+}", "}");
        assert!(route == "other" || paths.contains_key(&plain), "{route}");
    }
    for method in scrape.labels("method") {
        assert!(!method.starts_with('M') && method != "BREW", "{method}");
    }
    let random = scrape
        .0
        .keys()
        .find(|name| name.contains("agent-") || name.contains("id-1"));
    assert_eq!(random, None);
}

#[tokio::test]
async fn a_scrape_answers_while_plugins_are_stopped() {
    let gateway = Gateway::start().await;
    for plugin in ["brainml", "llmserver", "apikeys"] {
        let path = format!("/admin/plugins/{plugin}/stop");
        let (status, told) = gateway.post(&path, &json!({})).await;
        assert_eq!(status, 200, "{told}");
    }
    let scrape = Scrape::of(&gateway).await;
    for plugin in ["apikeys", "brainml", "llmserver"] {
        let stopped = format!("bkg_plugin_state{{plugin=\"{plugin}\",state=\"stopped\"}}");
        assert!(scrape.get(&stopped) > 0.0, "{plugin}");
    }
}

#[tokio::test]
async fn a_client_that_leaves_before_or_in_an_answer_is_counted_as_gone() {
    let reply = |body: &Value| Reply::Stream {
        first: match body["stream"] == true {
            true => vec![chunk("one ", None)],
            false => vec![],
        },
        rest: vec![],
    };
    let gateway = Gateway::start_with(&[("BKG_MODELS_DIR", "no-models")]).await;
    let upstream = Upstream::start(reply).await;
    upstream.join(&gateway).await;
    let chat = |stream: bool| {
        let messages = [json!({"role": "user", "content": "hello"})];
        let body = json!({"model": "far-chat", "stream": stream, "messages": messages});
        gateway
            .request(Method::POST, "/v1/chat/completions")
            .json(&body)
    };
    let mut events = Events::of(chat(true)).await;
    events.value().await;
    drop(events);
    let impatient = chat(false).timeout(std::time::Duration::from_millis(300));
    assert!(impatient.send().await.unwrap_err().is_timeout());
    let gone = requests("POST", "/v1/chat/completions", "client_closed");
    let (gateway, gone) = (&gateway, &gone);
    eventually("both are counted, and nothing is under way", || async {
        let scrape = Scrape::of(gateway).await;
        let under_way = scrape.get("bkg_http_requests_in_flight");
        scrape.get(gone) > 1.5 && under_way < 1.5
    })
    .await;
}

#[tokio::test]
async fn tokens_are_told_by_models_that_exist_and_no_others() {
    let reply = |_: &Value| {
        let usage = json!({"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12});
        let answer = json!({"id": "a", "object": "chat.completion", "model": "far-chat",
            "choices": [], "usage": usage});
        let kind = "content-type: application/json\r\n";
        Reply::Whole("200 OK", kind, answer.to_string())
    };
    let gateway = Gateway::start_with(&[("BKG_MODELS_DIR", "no-models")]).await;
    let upstream = Upstream::start(reply).await;
    upstream.join(&gateway).await;
    for (model, expected) in [("far-chat", 200), ("far-chat", 200), ("made-up", 404)] {
        let messages = [json!({"role": "user", "content": "hello"})];
        let body = json!({"model": model, "messages": messages});
        let (status, told) = gateway.post("/v1/chat/completions", &body).await;
        assert_eq!(status, expected, "{told}");
    }
    let scrape = Scrape::of(&gateway).await;
    let tokens = |kind| format!("bkg_llm_tokens_total{{model=\"far-chat\",kind=\"{kind}\"}}");
    let told = [
        scrape.get(&tokens("prompt")),
        scrape.get(&tokens("completion")),
    ];
    assert_eq!(told.map(|count| count.to_string()), ["14", "10"]);
    assert_eq!(scrape.labels("model"), BTreeSet::from(["far-chat"]));
}

#[tokio::test]
async fn promtool_finds_nothing_wrong_with_the_page() {
    let reply = |_: &Value| Reply::Stream {
        first: vec![chunk("one ", None), chunk("two", Some("stop"))],
        rest: vec![],
    };
    let gateway = Gateway::start_with(&[("BKG_MODELS_DIR", "no-models")]).await;
    let upstream = Upstream::start(reply).await;
    upstream.join(&gateway).await;
    upstream.release();
    let messages = [json!({"role": "user", "content": "hello"})];
    let body = json!({"model": "far-chat", "stream": true, "messages": messages});
    let chat = gateway.request(Method::POST, "/v1/chat/completions");
    Events::of(chat.json(&body)).await.values().await;
    let answer = gateway.request(Method::GET, "/metrics");
    let answer = answer.header(ACCEPT, "text/plain").send().await.unwrap();
    let kind = answer.headers()[CONTENT_TYPE].to_str().unwrap();
    assert!(kind.starts_with("text/plain; version=0.0.4"), "{kind}");
    let page = answer.text().await.unwrap();
    let promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut promtool = match promtool {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return eprintln!("SKIPPED: no promtool; Debian's package prometheus has it");
        }
        promtool => promtool.unwrap(),
    };
    let mut stdin = promtool.stdin.take().unwrap();
    stdin.write_all(page.as_bytes()).unwrap();
    drop(stdin);
    let found = promtool.wait_with_output().unwrap();
    assert!(found.status.success(), "{found:?}");
}

#[tokio::test]
async fn models_tell_how_fast_they_answer_and_what_became_of_their_requests() {
    let reply = |body: &Value| match body["max_tokens"] == 1 {
        true => Reply::Stream {
            first: vec![chunk("one ", None), json!({"error": {"message": "broke"}})],
            rest: vec![],
        },
        false => Reply::Stream {
            first: vec![chunk("one ", None), chunk("two ", None)],
            rest: vec![chunk("three", Some("stop"))],
        },
    };
    let gateway = Gateway::start_with(&[("BKG_MODELS_DIR", "no-models")]).await;
    let upstream = Upstream::start(reply).await;
    upstream.join(&gateway).await;
    let chat = |most: u32| {
        let messages = [json!({"role": "user", "content": "hello"})];
        let body =
            json!({"model": "far-chat", "stream": true, "messages": messages, "max_tokens": most});
        let request = gateway.request(Method::POST, "/v1/chat/completions");
        Events::of(request.json(&body))
    };
    let mut slow = chat(9).await;
    slow.value().await;
    let pause = std::time::Duration::from_millis(300);
    tokio::time::sleep(pause).await;
    upstream.release();
    slow.values().await;
    chat(1).await.values().await;
    let (gateway, model) = (&gateway, "{model=\"far-chat\"");
    let outcome = |outcome| format!("bkg_model_requests_total{model},outcome=\"{outcome}\"}}");
    let (served, failed) = (outcome("served"), outcome("failed"));
    eventually("both are counted", || async {
        let scrape = Scrape::of(gateway).await;
        scrape.get(&served) + scrape.get(&failed) > 1.5
    })
    .await;
    let scrape = Scrape::of(gateway).await;
    assert_eq!(
        [&served, &failed].map(|name| scrape.get(name).to_string()),
        ["1", "1"]
    );
    let first = format!("bkg_model_time_to_first_token_seconds_count{model}}}");
    assert_eq!(scrape.get(&first).to_string(), "2");
    // From the first token to the last: the pause, for each of the two that followed the first.
    let further = |what| format!("bkg_model_time_per_output_token_seconds_{what}{model}}}");
    let each = scrape.get(&further("sum")) / scrape.get(&further("count"));
    let least = pause.as_secs_f64() / 2.0;
    assert!(each >= least * 0.9 / 2.0, "{each}");
    assert!(scrape.get(&first.replace("count", "sum")) < 60.0);
}

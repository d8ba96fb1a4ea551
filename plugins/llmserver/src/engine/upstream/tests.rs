//! Upstreams, against a server of the test's own over real sockets.

use std::time::Duration;

use messages::{
    fault::FaultKind,
    llmserver::{Chat, Complete, Completion, Embed, EmbedInput},
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::LocalSet,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::testing::{cx, cx_of, host, near};

/// What the server got: the head's first line, all headers in lower case, and the body.
struct Asked {
    head: String,
    body: Value,
}

/// A server for one connection: answers `reply`, then (if `hold`) waits for the client to leave.
struct Fake {
    address: String,
    asked: oneshot::Receiver<Asked>,
    left: oneshot::Receiver<()>,
}

async fn fake(reply: String, hold: bool) -> Fake {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}/v1/", listener.local_addr().unwrap());
    let (tell_asked, asked) = oneshot::channel();
    let (tell_left, left) = oneshot::channel();
    tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        tell_asked.send(request(&mut socket).await).ok();
        socket.write_all(reply.as_bytes()).await.unwrap();
        if hold {
            let mut rest = Vec::new();
            socket.read_to_end(&mut rest).await.ok();
            tell_left.send(()).ok();
        }
    });
    Fake {
        address,
        asked,
        left,
    }
}

async fn request(socket: &mut TcpStream) -> Asked {
    let mut bytes = Vec::new();
    loop {
        let mut piece = [0; 4096];
        let count = socket.read(&mut piece).await.unwrap();
        bytes.extend_from_slice(&piece[..count]);
        let text = String::from_utf8(bytes.clone()).unwrap();
        if let Some((head, body)) = text.split_once("\r\n\r\n")
            && let Ok(body) = serde_json::from_str(body)
        {
            return Asked {
                head: head.to_lowercase(),
                body,
            };
        }
    }
}

fn whole(status: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\n{headers}content-length: {length}\r\n\r\n{body}")
}

fn stream(events: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n{events}"
    )
}

fn upstreams(address: &str) -> Upstreams {
    let settings = json!({
        "name": "near", "base_url": address, "api_key": "sk-test",
        "models": ["big"], "embedding_models": ["vectors"],
    });
    let settings: UpstreamSettings = serde_json::from_value(settings).unwrap();
    Upstreams::new(&host(), &[settings], &near(), &UpstreamBoard::default())
}

fn chat(extra: Value) -> Chat {
    let mut body =
        json!({"model": "big", "messages": [{"role": "user", "content": "hi", "name": "n"}]});
    let fields = extra.as_object().unwrap().clone();
    body.as_object_mut().unwrap().extend(fields);
    serde_json::from_value(body).unwrap()
}

async fn ask(address: &str, extra: Value) -> Result<Completion, Fault> {
    let upstream = upstreams(address).chat("big").unwrap().unwrap();
    upstream.chat(chat(extra), cx()).await
}

async fn all(completion: Completion) -> (Vec<Value>, Option<Fault>) {
    let Completion::Chunks(mut deltas) = completion else {
        panic!("a stream was asked for");
    };
    let mut chunks = Vec::new();
    while let Some(item) = deltas.next().await {
        match item {
            Ok(chunk) => chunks.push(chunk),
            Err(fault) => return (chunks, Some(fault)),
        }
    }
    (chunks, None)
}

#[tokio::test]
async fn a_whole_answer_passes_unchanged_and_so_do_unknown_fields() {
    let answer = json!({"id": "1", "choices": [], "odd": {"x": [1, null]}});
    let fake = fake(whole("200 OK", "", &answer.to_string()), false).await;
    let extra = json!({"temperature": 0.5, "tools": [{"a": 1}], "x_odd": null});
    let Completion::Whole(got) = ask(&fake.address, extra.clone()).await.unwrap() else {
        panic!("no stream was asked for");
    };
    assert_eq!(got, answer);
    let asked = fake.asked.await.unwrap();
    assert!(
        asked.head.starts_with("post /v1/chat/completions "),
        "{}",
        asked.head
    );
    assert!(asked.head.contains("authorization: bearer sk-test"));
    assert_eq!(asked.body, serde_json::to_value(chat(extra)).unwrap());
    assert_eq!(asked.body["messages"][0]["name"], "n");
    assert_eq!(asked.body["tools"], json!([{"a": 1}]));
}

#[tokio::test]
async fn a_stream_passes_chunk_by_chunk_until_done() {
    let events =
        "data: {\"n\":1}\n\n: alive\n\ndata: {\"n\":2}\n\ndata: [DONE]\n\ndata: {\"n\":3}\n\n";
    let fake = fake(stream(events), false).await;
    let extra = json!({"stream": true, "stream_options": {"include_usage": true}});
    let work = async {
        let completion = ask(&fake.address, extra).await.unwrap();
        let (chunks, fault) = all(completion).await;
        assert_eq!(
            (chunks, fault),
            (vec![json!({"n": 1}), json!({"n": 2})], None)
        );
    };
    LocalSet::new().run_until(work).await;
    let asked = fake.asked.await.unwrap();
    assert_eq!(asked.body["stream_options"], json!({"include_usage": true}));
}

#[tokio::test]
async fn a_stream_that_breaks_off_or_reports_an_error_ends_with_a_fault() {
    let finished = r#"data: {"choices":[{"finish_reason":"stop"}]}"#;
    for (events, word) in [
        ("data: {\"n\":1}\n\n".to_owned(), "half-way"),
        (
            "data: {\"error\":{\"message\":\"out of memory\"}}\n\n".to_owned(),
            "out of memory",
        ),
        ("data: {\"n\n\n".to_owned(), "no JSON"),
        (format!("data: {}\n\n", "x".repeat(2 << 20)), "longer than"),
        (format!("{finished}\n\n"), ""),
    ] {
        let fake = fake(stream(&events), false).await;
        let work = async {
            match ask(&fake.address, json!({"stream": true})).await {
                Ok(begun) => all(begun).await.1,
                // Nothing has reached the caller: it is told by the status.
                Err(fault) => Some(fault),
            }
        };
        let fault = LocalSet::new().run_until(work).await;
        match fault {
            Some(fault) => assert!(!word.is_empty() && fault.message.contains(word), "{fault}"),
            None => assert_eq!(word, "", "a reason to stop is a whole stream"),
        }
    }
}

#[tokio::test]
async fn dropping_the_stream_closes_the_upstreams_connection_within_a_second() {
    let fake = fake(stream("data: {\"n\":1}\n\n"), true).await;
    let work = async {
        let completion = ask(&fake.address, json!({"stream": true})).await.unwrap();
        let Completion::Chunks(mut deltas) = completion else {
            panic!("a stream was asked for");
        };
        assert_eq!(deltas.next().await.unwrap().unwrap(), json!({"n": 1}));
        drop(deltas);
        timeout(Duration::from_secs(1), fake.left)
            .await
            .unwrap()
            .unwrap();
    };
    LocalSet::new().run_until(work).await;
}

#[tokio::test]
async fn a_cancelled_call_closes_the_upstreams_connection_before_any_answer() {
    let fake = fake(String::new(), true).await;
    let cancel = CancellationToken::new();
    let upstream = upstreams(&fake.address).chat("big").unwrap().unwrap();
    let work = upstream.chat(chat(json!({})), cx_of(&cancel));
    let leave = async {
        fake.asked.await.ok();
        cancel.cancel();
    };
    let (answer, ()) = tokio::join!(work, leave);
    assert_eq!(answer.unwrap_err().kind, FaultKind::Cancelled);
    timeout(Duration::from_secs(1), fake.left)
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn refusals_keep_the_upstreams_message_and_get_our_class() {
    let error =
        r#"{"error":{"message":"too long","param":"messages","code":"context_length_exceeded"}}"#;
    for (status, headers, body, kind, words) in [
        ("400 Bad Request", "", error, FaultKind::Invalid, "too long"),
        (
            "401 Unauthorized",
            "",
            r#"{"error":"wrong: sk-canary"}"#,
            FaultKind::Crashed,
            "key",
        ),
        (
            "404 Not Found",
            "",
            "{\"detail\":\"no model\"}",
            FaultKind::Unknown,
            "no model",
        ),
        (
            "429 Too Many",
            "retry-after: 7\r\n",
            "{}",
            FaultKind::LimitReached,
            "limit",
        ),
        ("500 Oops", "", "<html>", FaultKind::Crashed, "no reason"),
        (
            "302 Found",
            "location: http://127.0.0.1:1/\r\n",
            "",
            FaultKind::Crashed,
            "redirect",
        ),
    ] {
        let fake = fake(whole(status, headers, body), false).await;
        let fault = ask(&fake.address, json!({})).await.unwrap_err();
        assert_eq!(fault.kind, kind, "{fault}");
        assert!(!fault.message.contains("canary"), "{fault}");
        assert!(
            fault.message.contains(words) && fault.message.contains("near"),
            "{fault}"
        );
        let wait = headers
            .starts_with("retry")
            .then_some(Duration::from_secs(7));
        assert_eq!(fault.retry_after, wait);
        let code = (body == error).then_some("context_length_exceeded");
        assert_eq!(fault.code.as_deref(), code);
    }
}

#[tokio::test]
async fn an_upstreams_own_code_does_not_become_one_of_ours() {
    for (code, kept) in [("payload_too_large", false), ("insufficient_quota", true)] {
        let body = json!({"error": {"message": "no", "code": code}}).to_string();
        let fake = fake(whole("429 Too Many", "", &body), false).await;
        let fault = ask(&fake.address, json!({})).await.unwrap_err();
        assert_eq!(fault.code.as_deref(), kept.then_some(code));
    }
}

#[tokio::test]
async fn an_upstream_that_is_not_there_is_a_fault_without_its_address() {
    let fault = ask("http://127.0.0.1:1/v1", json!({})).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Crashed);
    assert!(
        fault.message.contains("near") && !fault.message.contains("127.0.0.1:1/"),
        "{fault}"
    );
}

#[tokio::test]
async fn retrieval_is_refused_rather_than_ignored() {
    let fault = ask("http://127.0.0.1:1", json!({"retrieval": {}}))
        .await
        .unwrap_err();
    assert_eq!(fault.param.as_deref(), Some("retrieval"));
}

#[tokio::test]
async fn legacy_completions_go_to_their_own_path() {
    let fake = fake(whole("200 OK", "", "{\"id\":\"2\"}"), false).await;
    let upstream = upstreams(&fake.address).chat("big").unwrap().unwrap();
    let body: Complete =
        serde_json::from_value(json!({"model": "big", "prompt": ["a", "b"], "best_of": 2}))
            .unwrap();
    upstream.complete(body, cx()).await.unwrap();
    let asked = fake.asked.await.unwrap();
    assert!(asked.head.starts_with("post /v1/completions "));
    assert_eq!(
        asked.body,
        json!({"model": "big", "prompt": ["a", "b"], "best_of": 2})
    );
}

#[tokio::test]
async fn embeddings_come_back_in_order_and_must_be_complete() {
    let data = json!([{"index": 1, "embedding": [2.0]}, {"index": 0, "embedding": [1.0]}]);
    let answer = json!({"data": data, "usage": {"prompt_tokens": 5}}).to_string();
    let texts: Vec<EmbedInput> = ["a", "b", "c"]
        .map(|t| EmbedInput::Text(t.to_owned()))
        .to_vec();
    for (count, complete) in [(2, true), (3, false)] {
        let fake = fake(whole("200 OK", "", &answer), false).await;
        let body = Embed {
            model: None,
            inputs: texts[..count].to_vec(),
            dimensions: Some(1),
        };
        let upstream = upstreams(&fake.address)
            .embedding("vectors")
            .unwrap()
            .unwrap();
        match upstream.embed(&body, &cx()).await {
            Ok(got) => {
                assert!(complete);
                assert_eq!(got.vectors, [[1.0], [2.0]]);
                assert_eq!((got.prompt_tokens, got.model_hash.len()), (5, 64));
            }
            Err(fault) => assert!(!complete && fault.message.contains("one vector"), "{fault}"),
        }
        let asked = fake.asked.await.unwrap();
        assert_eq!(asked.body["dimensions"], 1);
        assert_eq!(asked.body["input"].as_array().unwrap().len(), count);
    }
}

#[test]
fn a_bad_upstream_disables_itself_alone() {
    let settings = [
        json!({"name": "unset", "base_url": "http://h/v1", "api_key_env": "BKG_NOT_SET_ANYWHERE",
            "models": ["lost", "shared"]}),
        json!({"name": "astray", "base_url": "no address", "embedding_models": ["lost"]}),
        json!({"name": "good", "base_url": "http://h/v1", "models": ["fine", "shared"]}),
    ];
    let settings = settings.map(|one| serde_json::from_value(one).unwrap());
    let upstreams = Upstreams::new(&host(), &settings, &near(), &UpstreamBoard::default());
    let listed = upstreams.list(0).into_iter().map(|model| model.id);
    assert_eq!(listed.collect::<Vec<_>>(), ["fine", "shared"]);
    for model in ["fine", "shared"] {
        assert_eq!(upstreams.chat(model).unwrap().unwrap().name(), "good");
    }
    let fault = upstreams.chat("lost").unwrap_err();
    assert_eq!(fault.kind, FaultKind::Crashed);
    assert!(fault.message.contains("upstream unset"), "{fault}");
    let fault = upstreams.embedding("lost").unwrap_err();
    assert!(fault.message.contains("upstream astray"), "{fault}");
    assert!(upstreams.chat("unheard-of").unwrap().is_none());
}

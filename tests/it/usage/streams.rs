//! Streams: what they use is known whether or not their clients ask, and wait for it.

use reqwest::Method;
use serde_json::{Value, json};

use super::{CHAT, ask, gateway_with, limited, question, used};
use crate::{
    fake_upstream::{Reply, chunk},
    gateway::{Gateway, answer, eventually},
    sse::Events,
};

/// Tells its usage to those who ask, as OpenAI does.
fn told(body: &Value) -> Reply {
    let mut rest = vec![chunk("two", None), chunk("", Some("stop"))];
    if body["stream_options"]["include_usage"] == true {
        rest.push(
            json!({"id": "up-1", "object": "chat.completion.chunk", "choices": [],
            "usage": {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12}}),
        );
    }
    Reply::Stream {
        first: vec![chunk("one ", None)],
        rest,
    }
}

fn streamed() -> Value {
    let mut body = question();
    body["stream"] = json!(true);
    body
}

async fn stream(gateway: &Gateway, key: &str, body: &Value) -> Events {
    let request = gateway.anonymous(Method::POST, CHAT).bearer_auth(key);
    Events::of(request.json(body)).await
}

#[tokio::test]
async fn a_stream_is_booked_by_its_usage_which_is_told_to_those_alone_who_ask() {
    let (gateway, upstream) = gateway_with(told).await;
    let (id, key) = limited(&gateway, json!({"monthly_tokens": 1000})).await;
    let silent = stream(&gateway, &key, &streamed()).await;
    upstream.release();
    let events = silent.values().await;
    let expected = [
        chunk("one ", None),
        chunk("two", None),
        chunk("", Some("stop")),
    ];
    assert_eq!(events, expected);
    let mut asking = streamed();
    asking["stream_options"] = json!({"include_usage": true});
    let events = stream(&gateway, &key, &asking).await.values().await;
    assert_eq!(events.len(), 4);
    assert_eq!(events[3]["usage"]["total_tokens"], 12);
    let gateway = &gateway;
    let id = &id;
    eventually("both are booked", || async move {
        let booked = used(gateway, id, "model").await;
        booked["total"]["requests"] == 2
            && booked["total"]["prompt_tokens"] == 14
            && booked["total"]["completion_tokens"] == 10
            && booked["usage"][0]["model"] == "far-chat"
    })
    .await;
}

/// Goes on whatever it was told.
fn endless(_: &Value) -> Reply {
    Reply::Stream {
        first: (0..500).map(|_| chunk("word ", None)).collect(),
        rest: vec![chunk("", Some("stop"))],
    }
}

/// The texts of a stream's events, and why the last choice ended.
fn told_in(events: &[Value]) -> (usize, &Value) {
    let texts = events.iter().filter(|event| {
        let said = event["choices"][0]["delta"]["content"].as_str();
        said.is_some_and(|said| !said.is_empty())
    });
    let mut choices = events.iter().filter_map(|event| event["choices"].get(0));
    (
        texts.count(),
        &choices.next_back().unwrap()["finish_reason"],
    )
}

#[tokio::test]
async fn an_upstream_that_minds_no_bound_is_cut_off_at_what_its_key_has_set_aside() {
    let (gateway, upstream) = gateway_with(endless).await;
    let (id, key) = limited(&gateway, json!({"monthly_tokens": 300})).await;
    let mut asking = streamed();
    asking["stream_options"] = json!({"include_usage": true});
    let events = stream(&gateway, &key, &asking).await.values().await;
    assert_eq!(told_in(&events), (50, &json!("length")));
    let usage = &events.last().unwrap()["usage"];
    assert_eq!(usage["completion_tokens"], 50, "{usage}");
    let (gateway, id, upstream) = (&gateway, &id, &upstream);
    eventually("it is booked, and the upstream left", || async move {
        let told = used(gateway, id, "key").await;
        told["total"]["completion_tokens"] == 50 && upstream.left() == 1
    })
    .await;
    // No bound is named, and 221 are left: those that the prompt leaves are set aside bit by bit.
    let mut open = streamed();
    open.as_object_mut().unwrap().remove("max_tokens");
    let events = stream(gateway, &key, &open).await.values().await;
    let (texts, reason) = told_in(&events);
    assert!((100..=192).contains(&texts), "{texts}");
    assert_eq!(reason, "length");
    eventually("no more than the budget is used", || async move {
        let told = used(gateway, id, "key").await;
        told["total"]["requests"] == 2 && told["total"]["total_tokens"].as_u64().unwrap() <= 300
    })
    .await;
}

#[tokio::test]
async fn an_answer_within_its_bound_is_not_cut_however_long_its_words_are() {
    let wordy = |_: &Value| Reply::Stream {
        first: (0..50).map(|_| chunk("incomprehensible", None)).collect(),
        rest: vec![chunk("", Some("stop"))],
    };
    let (gateway, upstream) = gateway_with(wordy).await;
    let (_, key) = limited(&gateway, json!({"monthly_tokens": 1_000})).await;
    upstream.release();
    let events = stream(&gateway, &key, &streamed()).await.values().await;
    assert_eq!(told_in(&events), (50, &json!("stop")));
}

#[tokio::test]
async fn a_client_that_leaves_a_stream_pays_for_what_it_got_and_frees_its_place() {
    let (gateway, _upstream) = gateway_with(told).await;
    let limits = json!({"concurrent_requests": 1, "monthly_tokens": 1000});
    let (id, key) = limited(&gateway, limits).await;
    let mut events = stream(&gateway, &key, &streamed()).await;
    events.value().await;
    let second = ask(&gateway, &key, &streamed()).await;
    assert_eq!(second.status(), 429, "the first is still at work");
    assert_eq!(second.headers()["retry-after"], "1");
    drop(events);
    let (gateway, id, key) = (&gateway, &id, &key);
    eventually("the client's leaving is noticed", || async move {
        let told = used(gateway, id, "status").await;
        let rows = told["usage"].as_array().unwrap();
        rows.iter().any(|row| row["status"] == 499)
    })
    .await;
    let told = used(gateway, id, "status").await;
    let left = told["usage"].as_array().unwrap().iter();
    let left = left.clone().find(|row| row["status"] == 499).unwrap();
    // A quarter of 84 bytes and 8 for the message; "one " is one token.
    assert_eq!(
        (&left["prompt_tokens"], &left["completion_tokens"]),
        (&json!(29), &json!(1)),
        "{told}"
    );
    let again = stream(gateway, key, &streamed()).await;
    drop(again);
}

#[tokio::test]
async fn a_client_that_leaves_before_the_answer_pays_for_its_prompt() {
    let mute = |_: &Value| Reply::Stream {
        first: vec![],
        rest: vec![],
    };
    let (gateway, upstream) = gateway_with(mute).await;
    let (id, key) = limited(&gateway, json!({"monthly_tokens": 1000})).await;
    let request = gateway.anonymous(Method::POST, CHAT).bearer_auth(&key);
    let request = tokio::spawn(request.json(&question()).send());
    let (gateway, id, upstream) = (&gateway, &id, &upstream);
    eventually("the upstream is asked", || async move {
        upstream.times_asked() == 1
    })
    .await;
    request.abort();
    eventually("the client's leaving is booked", || async move {
        let told = used(gateway, id, "status").await;
        told["usage"][0]["status"] == 499 && told["total"]["total_tokens"] == 29
    })
    .await;
}

#[tokio::test]
async fn an_upstream_that_breaks_off_before_its_answer_costs_nothing() {
    let broken = |_: &Value| Reply::Whole("500 Internal Server Error", "", "no".to_owned());
    let (gateway, _upstream) = gateway_with(broken).await;
    let (id, key) = limited(&gateway, json!({"monthly_tokens": 1000})).await;
    let status = ask(&gateway, &key, &question()).await.status().as_u16();
    assert!(status >= 500, "{status}");
    let told = used(&gateway, &id, "key").await;
    assert_eq!(told["total"]["total_tokens"], 0, "{told}");
}

#[tokio::test]
async fn a_key_revoked_in_mid_stream_lets_the_answer_end_and_is_booked_for_it() {
    let (gateway, upstream) = gateway_with(told).await;
    let (id, key) = limited(&gateway, json!({"monthly_tokens": 1000})).await;
    let mut events = stream(&gateway, &key, &streamed()).await;
    events.value().await;
    let path = format!("/admin/keys/{id}");
    assert_eq!(answer(gateway.request(Method::DELETE, &path)).await.0, 204);
    assert_eq!(ask(&gateway, &key, &question()).await.status(), 401);
    upstream.release();
    assert_eq!(events.values().await.len(), 2);
    let (gateway, id) = (&gateway, &id);
    eventually("it is booked", || async move {
        used(gateway, id, "key").await["total"]["total_tokens"] == 12
    })
    .await;
}

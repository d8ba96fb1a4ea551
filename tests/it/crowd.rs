//! Many streams at once: as many as the setting says, and not one more.

use futures_util::future::join_all;
use reqwest::{Method, header::RETRY_AFTER};
use serde_json::{Value, json};

use crate::{
    fake_upstream::{Reply, Upstream, chunk},
    gateway::Gateway,
    sse::Events,
};

const CHAT: &str = "/v1/chat/completions";

async fn gateway_with(env: &[(&str, &str)]) -> (Gateway, Upstream) {
    let no_model = [("BKG_MODELS_DIR", "no-models")];
    let gateway = Gateway::start_with(&[&no_model, env].concat()).await;
    let upstream = Upstream::start(reply).await;
    upstream.join(&gateway).await;
    (gateway, upstream)
}

fn reply(_: &Value) -> Reply {
    Reply::Stream {
        first: vec![chunk("wait", None)],
        rest: vec![chunk(" for it", Some("stop"))],
    }
}

fn hello(gateway: &Gateway) -> reqwest::RequestBuilder {
    let body = json!({
        "model": "far-chat", "stream": true,
        "messages": [{"role": "user", "content": "hello"}],
    });
    gateway.request(Method::POST, CHAT).json(&body)
}

/// Opens `count` streams, each of which has begun and not ended.
async fn open(gateway: &Gateway, count: usize) -> Vec<Events> {
    let opened = (0..count).map(|_| async {
        let mut events = Events::of(hello(gateway)).await;
        let first = events.value().await;
        assert_eq!(first["choices"][0]["delta"]["content"], "wait");
        events
    });
    join_all(opened).await
}

async fn end(streams: Vec<Events>) {
    for events in streams {
        let last = events.values().await;
        let text = &last.last().unwrap()["choices"][0]["delta"]["content"];
        assert_eq!(text, " for it");
    }
}

#[tokio::test]
async fn a_hundred_streams_at_once_are_all_served_to_their_end() {
    let (gateway, upstream) = gateway_with(&[]).await;
    let streams = open(&gateway, 100).await;
    upstream.release();
    end(streams).await;
    assert_eq!(upstream.left(), 0);
}

#[tokio::test]
async fn one_stream_more_than_the_setting_allows_is_refused_and_costs_the_others_nothing() {
    let (gateway, upstream) = gateway_with(&[("BKG_SERVER__CHATS_AT_ONCE", "2")]).await;
    let streams = open(&gateway, 2).await;
    let refused = hello(&gateway).send().await.unwrap();
    assert_eq!(refused.status(), 503);
    assert!(refused.headers().contains_key(RETRY_AFTER));
    upstream.release();
    end(streams).await;
    end(open(&gateway, 2).await).await;
}

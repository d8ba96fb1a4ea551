//! What keys may use, and what they have used: at the real program, against a server that answers
//! with a usage of its own.

mod documents;
mod keys;
mod streams;

use std::time::Instant;

use reqwest::{Method, Response};
use serde_json::{Value, json};

use crate::{
    database,
    fake_upstream::{Reply, Upstream},
    gateway::{Gateway, answer, eventually},
};

const CHAT: &str = "/v1/chat/completions";

const NO_MODEL: [(&str, &str); 1] = [("BKG_MODELS_DIR", "no-models")];

/// A gateway with the model `far-chat` at a server that answers as `reply` says.
async fn gateway_with(reply: fn(&Value) -> Reply) -> (Gateway, Upstream) {
    let gateway = Gateway::start_with(&NO_MODEL).await;
    let upstream = Upstream::start(reply).await;
    upstream.join(&gateway).await;
    (gateway, upstream)
}

/// Makes a key with limits: its id and its secret.
async fn limited(gateway: &Gateway, limits: Value) -> (String, String) {
    let body = json!({"name": "limited", "scopes": ["llm.chat"], "limits": limits});
    let (status, made) = gateway.post("/admin/keys", &body).await;
    assert_eq!(status, 201, "{made}");
    assert_eq!(made["limits"], limits);
    let text = |field: &str| made[field].as_str().unwrap().to_owned();
    (text("id"), text("key"))
}

/// A question that is taken for 50 tokens, and whose answer costs 50 at the most.
fn question() -> Value {
    json!({"model": "far-chat", "max_tokens": 50,
        "messages": [{"role": "user", "content": "x".repeat(84)}]})
}

/// Answers what the question may cost at the most.
fn costly(_: &Value) -> Reply {
    let answer = json!({"id": "up", "object": "chat.completion", "model": "far-chat",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "y"}, "finish_reason": "length"}],
        "usage": {"prompt_tokens": 50, "completion_tokens": 50, "total_tokens": 100}});
    let json = "content-type: application/json\r\n";
    Reply::Whole("200 OK", json, answer.to_string())
}

async fn ask(gateway: &Gateway, key: &str, body: &Value) -> Response {
    let request = gateway.anonymous(Method::POST, CHAT).bearer_auth(key);
    request.json(body).send().await.unwrap()
}

/// What the key has used, one row a group.
async fn used(gateway: &Gateway, id: &str, by: &str) -> Value {
    let (status, told) = gateway
        .get(&format!("/admin/usage?group_by={by}&key={id}"))
        .await;
    assert_eq!(status, 200, "{told}");
    told
}

fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    let value = response.headers().get(name);
    value
        .unwrap_or_else(|| panic!("no {name}"))
        .to_str()
        .unwrap()
}

#[tokio::test]
async fn fifty_at_once_on_a_budget_for_ten_get_exactly_ten_answers() {
    let (gateway, _upstream) = gateway_with(costly).await;
    let (id, key) = limited(&gateway, json!({"monthly_tokens": 1000})).await;
    let body = question();
    let all = (0..50).map(|_| ask(&gateway, &key, &body));
    let mut let_in = 0;
    for response in futures_util::future::join_all(all).await {
        match response.status().as_u16() {
            200 => let_in += 1,
            status => {
                assert_eq!(status, 429);
                assert!(header(&response, "retry-after").parse::<u64>().unwrap() > 0);
                let told: Value = response.json().await.unwrap();
                assert_eq!(told["error"]["code"], "insufficient_quota", "{told}");
                assert_eq!(told["error"]["type"], "rate_limit_error", "{told}");
            }
        }
    }
    assert_eq!(let_in, 10);
    let told = used(&gateway, &id, "status,model").await;
    let total = &told["total"];
    let rows = told["usage"].as_array().unwrap();
    let row = |status: u16, model: &str| {
        let found = rows.iter().find(|row| row["status"] == status);
        let row = found.unwrap_or_else(|| panic!("no {status}: {told}"));
        assert_eq!(row["model"], model, "{told}");
        (row["requests"].clone(), row["total_tokens"].clone())
    };
    assert_eq!(row(200, "far-chat"), (json!(10), json!(1000)));
    assert_eq!(row(429, ""), (json!(40), json!(0)));
    assert_eq!(
        (&total["requests"], &total["total_tokens"]),
        (&json!(50), &json!(1000))
    );
}

#[tokio::test]
async fn a_burst_beyond_the_requests_of_a_minute_is_refused_with_the_time_to_wait() {
    let gateway = Gateway::start_with(&NO_MODEL).await;
    let (_, key) = limited(&gateway, json!({"requests_per_minute": 10})).await;
    let started = Instant::now();
    let all = (0..50).map(|_| {
        let request = gateway.anonymous(Method::GET, "/v1/models");
        request.bearer_auth(&key).send()
    });
    let mut let_in = 0;
    for response in futures_util::future::join_all(all).await {
        let response = response.unwrap();
        assert_eq!(header(&response, "x-ratelimit-limit-requests"), "10");
        match response.status().as_u16() {
            200 => let_in += 1,
            status => {
                assert_eq!(status, 429);
                assert_eq!(header(&response, "x-ratelimit-remaining-requests"), "0");
                let wait: u64 = header(&response, "retry-after").parse().unwrap();
                assert!((1..=6).contains(&wait), "{wait}");
                let told: Value = response.json().await.unwrap();
                assert_eq!(told["error"]["code"], "rate_limit_exceeded", "{told}");
            }
        }
    }
    let refilled = started.elapsed().as_secs() / 6 + 1;
    assert!((10..=10 + refilled).contains(&let_in), "{let_in}");
}

#[tokio::test]
async fn every_answer_tells_how_the_limits_stand() {
    let (gateway, _upstream) = gateway_with(costly).await;
    let limits = json!({"requests_per_minute": 60, "tokens_per_minute": 6000});
    let (_, key) = limited(&gateway, limits).await;
    let response = ask(&gateway, &key, &question()).await;
    assert_eq!(response.status(), 200);
    assert_eq!(header(&response, "x-ratelimit-limit-requests"), "60");
    assert_eq!(header(&response, "x-ratelimit-limit-tokens"), "6000");
    assert_eq!(header(&response, "x-ratelimit-remaining-requests"), "59");
    assert!(
        ["1s", "0s"].contains(&header(&response, "x-ratelimit-reset-requests"))
            || header(&response, "x-ratelimit-reset-requests").ends_with("ms")
    );
    let left: u64 = header(&response, "x-ratelimit-remaining-tokens")
        .parse()
        .unwrap();
    assert!((5900..6000).contains(&left), "{left}");
    let wrong = ask(&gateway, &key, &json!({"model": "far-chat"})).await;
    assert_eq!(wrong.status(), 400);
    header(&wrong, "x-ratelimit-remaining-requests");
    let free = gateway
        .request(Method::GET, "/v1/models")
        .send()
        .await
        .unwrap();
    assert!(free.headers().get("x-ratelimit-limit-requests").is_none());
}

#[tokio::test]
async fn a_request_that_failed_before_any_work_is_not_charged() {
    let (gateway, _upstream) = gateway_with(costly).await;
    let (id, key) = limited(&gateway, json!({"monthly_tokens": 100})).await;
    let mut unknown = question();
    unknown["model"] = json!("random-9f3a");
    for _ in 0..3 {
        assert_eq!(ask(&gateway, &key, &unknown).await.status(), 404);
    }
    let told = used(&gateway, &id, "model").await;
    assert_eq!(told["total"]["total_tokens"], 0, "{told}");
    assert_eq!(
        told["usage"][0]["model"], "",
        "only real models are named: {told}"
    );
    assert_eq!(ask(&gateway, &key, &question()).await.status(), 200);
    assert_eq!(ask(&gateway, &key, &question()).await.status(), 429);
}

#[tokio::test]
async fn a_request_too_large_for_its_key_says_so_and_a_shorter_one_is_answered() {
    let (gateway, upstream) = gateway_with(costly).await;
    let (_, key) = limited(&gateway, json!({"tokens_per_minute": 150})).await;
    let mut large = question();
    large["max_tokens"] = json!(1000);
    let refused = ask(&gateway, &key, &large).await;
    assert_eq!(refused.status(), 429);
    let told: Value = refused.json().await.unwrap();
    assert!(
        told["error"]["message"]
            .as_str()
            .unwrap()
            .contains("too large"),
        "{told}"
    );
    let mut open = question();
    open.as_object_mut().unwrap().remove("max_tokens");
    assert_eq!(ask(&gateway, &key, &open).await.status(), 200);
    let capped = &upstream.asked().body["max_completion_tokens"];
    assert_eq!(*capped, 100, "no answer is longer than what is left");
}

#[tokio::test]
async fn a_key_with_plenty_left_has_no_answer_cut_short() {
    let (gateway, upstream) = gateway_with(costly).await;
    let (_, key) = limited(&gateway, json!({"monthly_tokens": 10_000_000})).await;
    let mut open = question();
    open.as_object_mut().unwrap().remove("max_tokens");
    assert_eq!(ask(&gateway, &key, &open).await.status(), 200);
    let asked = upstream.asked().body;
    assert_eq!(asked.get("max_completion_tokens"), None, "{asked}");
}

#[tokio::test]
async fn a_restart_of_apikeys_forgives_nothing() {
    let gateway = Gateway::start_with(&NO_MODEL).await;
    let (id, key) = limited(&gateway, json!({"requests_per_minute": 1})).await;
    let get = || {
        let request = gateway.anonymous(Method::GET, "/v1/models");
        answer(request.bearer_auth(&key))
    };
    assert_eq!(get().await.0, 200);
    let (status, told) = gateway
        .post("/admin/plugins/apikeys/restart", &json!({}))
        .await;
    assert_eq!(status, 200, "{told}");
    assert_eq!(get().await.0, 429);
    let told = used(&gateway, &id, "status").await;
    assert_eq!(told["total"]["requests"], 2, "{told}");
}

#[tokio::test]
async fn a_kill_loses_nothing_that_is_older_than_a_second_and_forgives_no_budget() {
    let (mut gateway, _upstream) = gateway_with(costly).await;
    let (id, key) = limited(&gateway, json!({"monthly_tokens": 250})).await;
    for _ in 0..2 {
        assert_eq!(ask(&gateway, &key, &question()).await.status(), 200);
    }
    let data = gateway.data.path().to_owned();
    let written = format!("SELECT SUM(requests) AS number FROM usage_lines WHERE key_id = '{id}'");
    // Nobody asks for it: it is written by itself.
    eventually("the use is written down", || async {
        database::number(&data, &written) == Some(2)
    })
    .await;
    gateway.kill();
    assert_eq!(database::integrity(&data), "ok");
    gateway.restart();
    let told = used(&gateway, &id, "key").await;
    assert_eq!(told["total"]["total_tokens"], 200, "{told}");
    assert_eq!(
        ask(&gateway, &key, &question()).await.status(),
        429,
        "50 are left"
    );
}

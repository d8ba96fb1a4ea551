//! Documents and questions are read by an embedding model too, and their tokens are counted.

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    fake_upstream::{Reply, Upstream},
    gateway::{Gateway, answer, eventually},
};

const DOCUMENTS: &str = "/brainml/collections/docs/documents";
const QUERY: &str = "/brainml/collections/docs/query";

/// A vector an input, for 100 tokens each.
fn vectors(body: &Value) -> Reply {
    let count = body["input"].as_array().unwrap().len();
    let data = (0..count).map(|index| json!({"index": index, "embedding": [1.0, 0.5]}));
    let data: Vec<Value> = data.collect();
    let answer = json!({"data": data, "usage": {"prompt_tokens": 100 * count}});
    Reply::Whole("200 OK", "", answer.to_string())
}

/// A gateway that embeds at an upstream, and the secret and the id of a key with a budget.
async fn start(budget: u64) -> (Gateway, Upstream, String, String) {
    let gateway = Gateway::start_with(&super::NO_MODEL).await;
    let upstream = Upstream::start(vectors).await;
    let settings = json!({"embedding_model": "far-embed", "upstreams": [upstream.settings()]});
    let path = "/admin/plugins/llmserver/config";
    let (status, told) = gateway.put(path, &json!({"settings": settings})).await;
    assert_eq!(status, 200, "{told}");
    let (status, told) = gateway.put("/brainml/collections/docs", &json!({})).await;
    assert_eq!(status, 200, "{told}");
    let scopes = ["brainml.index", "brainml.query"];
    let body = json!({"name": "n", "scopes": scopes, "limits": {"monthly_tokens": budget}});
    let (status, made) = gateway.post("/admin/keys", &body).await;
    assert_eq!(status, 201, "{made}");
    let text = |field: &str| made[field].as_str().unwrap().to_owned();
    let (key, id) = (text("key"), text("id"));
    (gateway, upstream, key, id)
}

async fn post(gateway: &Gateway, key: &str, path: &str, body: &Value) -> (u16, Value) {
    let request = gateway.anonymous(Method::POST, path).bearer_auth(key);
    answer(request.json(body)).await
}

fn document(bytes: usize) -> Value {
    json!({"documents": [{"id": "a", "text": "word ".repeat(bytes / 5)}]})
}

#[tokio::test]
async fn what_documents_and_questions_cost_comes_off_the_budget_of_their_key() {
    let (gateway, _upstream, key, id) = start(1_000).await;
    let (status, indexed) = post(&gateway, &key, DOCUMENTS, &document(800)).await;
    assert_eq!(status, 200, "{indexed}");
    // A quarter of the bytes, whoever was faster with the embedding.
    let cost = indexed["tokens"].as_u64().unwrap();
    assert!((200..=400).contains(&cost), "{indexed}");
    let (status, again) = post(&gateway, &key, DOCUMENTS, &document(800)).await;
    assert_eq!(
        (status, &again["tokens"]),
        (200, &json!(0)),
        "nothing is new"
    );
    let (status, found) = post(&gateway, &key, QUERY, &json!({"query": "word"})).await;
    assert_eq!((status, &found["tokens"]), (200, &json!(100)), "{found}");
    let lexical = json!({"query": "word", "mode": "lexical"});
    let (status, found) = post(&gateway, &key, QUERY, &lexical).await;
    assert_eq!((status, &found["tokens"]), (200, &json!(0)), "{found}");
    let (asked, key_id) = (&gateway, &id);
    eventually("it is booked", || async move {
        super::used(asked, key_id, "key").await["total"]["prompt_tokens"] == cost + 100
    })
    .await;
}

#[tokio::test]
async fn documents_beyond_the_budget_of_their_key_are_refused_before_any_work() {
    let (gateway, _upstream, key, id) = start(1_000).await;
    let (status, told) = post(&gateway, &key, DOCUMENTS, &document(4_000)).await;
    let code = &told["error"]["code"];
    assert_eq!(
        (status, code),
        (429, &json!("insufficient_quota")),
        "{told}"
    );
    assert_eq!(gateway.get(&format!("{DOCUMENTS}/a")).await.0, 404);
    let (status, told) = post(&gateway, &key, QUERY, &json!({"query": "w".repeat(4_000)})).await;
    assert_eq!((status, &told["error"]["code"]), (429, code), "{told}");
    let used = super::used(&gateway, &id, "key").await;
    assert_eq!(used["total"]["total_tokens"], 0, "{used}");
}

//! What a collection holds, as people look through it.

use reqwest::Method;
use serde_json::{Value, json};

use super::{DOCS, refused};
use crate::gateway::{Gateway, answer, eventually, has_model};

async fn listed(gateway: &Gateway, query: &str) -> Value {
    let (status, page) = gateway.get(&format!("{DOCS}/documents{query}")).await;
    assert_eq!(status, 200, "{query}: {page}");
    page
}

fn ids(page: &Value) -> Vec<&str> {
    let documents = page["documents"].as_array().unwrap().iter();
    documents.map(|one| one["id"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_list_goes_on_where_it_ended_although_documents_come_and_go() {
    let gateway = Gateway::start_with(&[("BKG_MODELS_DIR", "no-models")]).await;
    let documents: Vec<Value> = ["e", "a", "d", "b", "c"]
        .map(|id| json!({"id": id, "text": format!("text of {id}"), "metadata": {"n": 1}}))
        .into();
    gateway.index("docs", &json!(documents)).await;
    let first = listed(&gateway, "?limit=2").await;
    assert_eq!((ids(&first), &first["next"]), (vec!["a", "b"], &json!("b")));
    let a = &first["documents"][0];
    assert_eq!(
        a,
        &json!({"id": "a", "bytes": 9, "chunks": 1, "revision": a["revision"], "metadata": {"n": 1}})
    );
    assert!(a["revision"].as_u64().unwrap() > 0, "{a}");

    // The last one of the first part goes, and one comes before it.
    let gone = gateway.request(Method::DELETE, &format!("{DOCS}/documents/b"));
    assert_eq!(answer(gone).await.0, 200);
    gateway
        .index("docs", &json!([{"id": "aa", "text": "late"}]))
        .await;
    let second = listed(&gateway, "?limit=2&after=b").await;
    assert_eq!(
        (ids(&second), &second["next"]),
        (vec!["c", "d"], &json!("d"))
    );
    let third = listed(&gateway, "?limit=2&after=d").await;
    assert_eq!((ids(&third), &third["next"]), (vec!["e"], &Value::Null));
    let whole = listed(&gateway, "").await;
    assert_eq!(ids(&whole), ["a", "aa", "c", "d", "e"]);
    assert_eq!(whole["next"], Value::Null);
    let exact = listed(&gateway, "?limit=5").await;
    assert_eq!(exact["next"], Value::Null, "nothing comes after the last");
}

#[tokio::test]
async fn wildcards_in_a_wish_are_letters() {
    let gateway = Gateway::start_with(&[("BKG_MODELS_DIR", "no-models")]).await;
    let documents = json!([
        {"id": "notes/100%.md", "text": ""},
        {"id": "notes/1000.md", "title": "A Thousand", "text": ""},
        {"id": "a_b", "text": ""},
        {"id": "acb", "title": "50% off\\on", "text": ""},
    ]);
    gateway.index("docs", &documents).await;
    for (wish, found) in [
        ("100%25", vec!["notes/100%.md"]),
        ("a_b", vec!["a_b"]),
        ("A_B", vec!["a_b"]),
        ("thousand", vec!["notes/1000.md"]),
        ("notes/", vec!["notes/100%.md", "notes/1000.md"]),
        ("%25", vec!["acb", "notes/100%.md"]),
        ("f%5Co", vec!["acb"]),
        ("%5C%25", vec![]),
        ("", vec!["a_b", "acb", "notes/100%.md", "notes/1000.md"]),
        ("'%20OR%20''='", vec![]),
    ] {
        let page = listed(&gateway, &format!("?query={wish}")).await;
        assert_eq!(ids(&page), found, "{wish}");
    }
    let list = |query: &str| {
        let path = format!("{DOCS}/documents{query}");
        let gateway = &gateway;
        async move { gateway.get(&path).await }
    };
    assert_eq!(refused(list("?limit=0").await), "limit");
    assert_eq!(refused(list("?limit=1001").await), "limit");
    let long = format!("?query={}", "x".repeat(513));
    assert_eq!(refused(list(&long).await), "query");
    assert_eq!(list("?limit=x").await.0, 400);
    assert_eq!(list("?before=x").await.0, 400);
}

#[tokio::test]
async fn chunks_are_parts_of_the_text_whatever_the_id() {
    let gateway = Gateway::start().await;
    let text = "Der Flügel trägt 東京 und naïve Zoë 🛩️ über Ångström. ".repeat(40);
    let documents = json!([
        {"id": "dir/ä.md", "text": text},
        {"id": "dir/ä.md/chunks", "text": "another document"},
        {"id": "empty", "text": ""},
    ]);
    gateway.index("docs", &documents).await;
    let path = |id: &str| format!("{DOCS}/documents/{id}");
    let (status, told) = gateway.get(&path("dir/ä.md/chunks")).await;
    assert_eq!(status, 200, "{told}");
    let chunks = told["chunks"].as_array().unwrap();
    assert!(chunks.len() > 1, "the text is longer than one chunk");
    for (number, chunk) in chunks.iter().enumerate() {
        let offset = |name: &str| usize::try_from(chunk[name].as_u64().unwrap()).unwrap();
        let range = offset("start")..offset("end");
        assert_eq!(text.get(range), chunk["text"].as_str(), "{chunk}");
        assert_eq!(chunk["chunk_id"], format!("dir/ä.md#{number}"));
    }
    let same = gateway.get(&path("dir%2F%C3%A4.md/chunks")).await.1;
    assert_eq!(same["chunks"].as_array().map(Vec::len), Some(chunks.len()));

    // A slash that is written as %2F belongs to the id.
    let (status, document) = gateway.get(&path("dir%2F%C3%A4.md%2Fchunks")).await;
    assert_eq!(
        (status, &document["text"]),
        (200, &json!("another document"))
    );
    let none = gateway.get(&path("empty/chunks")).await;
    assert_eq!(none, (200, json!({"chunks": []})));

    let model = has_model();
    eventually(
        "vectors are there exactly where there is a model",
        || async {
            let told = gateway.get(&path("dir/ä.md/chunks")).await.1;
            let chunks = told["chunks"].as_array().unwrap().clone();
            chunks.iter().all(|chunk| chunk["embedded"] == model)
        },
    )
    .await;
    let (status, said) = gateway.get(&path("none/chunks")).await;
    assert_eq!(
        (status, &said["error"]["code"]),
        (404, &json!("document_not_found"))
    );
    let post = gateway.request(Method::POST, &path("empty/chunks"));
    let (status, said) = answer(post).await;
    assert_eq!(status, 405, "{said}");
    let message = said["error"]["message"].as_str().unwrap();
    assert!(message.contains("takes GET, DELETE, not POST"), "{message}");
}

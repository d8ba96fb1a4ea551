//! What plugins say that they hold in memory.

use reqwest::Method;
use serde_json::{Value, json};

use crate::gateway::{Gateway, answer, eventually, has_model};

async fn held(gateway: &Gateway, plugin: &str) -> Option<u64> {
    gateway.plugin(plugin).await["memory_bytes"].as_u64()
}

async fn delete(gateway: &Gateway, collection: &str) -> u16 {
    let path = format!("/brainml/collections/{collection}");
    answer(gateway.request(Method::DELETE, &path)).await.0
}

async fn metrics(gateway: &Gateway) -> String {
    let page = gateway.request(Method::GET, "/metrics").send().await;
    page.unwrap().text().await.unwrap()
}

#[tokio::test]
async fn an_index_counts_as_long_as_it_is_there() {
    let gateway = Gateway::start_with(&super::NO_MODEL).await;
    eventually("the guide is there and goes", || async {
        delete(&gateway, "bkg").await == 204
    })
    .await;
    let nothing = || async { held(&gateway, "brainml").await == Some(0) };
    eventually("nothing is held", nothing).await;
    let words: Vec<String> = (0..2000).map(|n| format!("word{n}x")).collect();
    let document = json!([{"id": "d", "text": words.join(" ")}]);
    gateway.index("c", &document).await;
    eventually("the index is counted", || async {
        held(&gateway, "brainml").await > Some(100_000)
    })
    .await;
    let line = "bkg_plugin_memory_bytes{plugin=\"brainml\"}";
    assert!(metrics(&gateway).await.contains(line));
    assert_eq!(delete(&gateway, "c").await, 204);
    eventually("nothing is held again", nothing).await;

    let stop = gateway
        .post("/admin/plugins/brainml/stop", &json!({}))
        .await;
    assert_eq!((stop.0, &stop.1["memory_bytes"]), (200, &Value::Null));
    assert!(!metrics(&gateway).await.contains(line));
}

#[tokio::test]
async fn keys_and_models_count() {
    let gateway = Gateway::start().await;
    eventually("the table is told", || async {
        held(&gateway, "apikeys").await > Some(0)
    })
    .await;
    let before = held(&gateway, "apikeys").await;
    let key = json!({"name": "k", "scopes": ["llm.chat"]});
    assert_eq!(gateway.post("/admin/keys", &key).await.0, 201);
    eventually("the table has grown", || async {
        held(&gateway, "apikeys").await > before
    })
    .await;
    if has_model() {
        // The guide is embedded.
        eventually("the model is counted", || async {
            held(&gateway, "llmserver").await > Some(80 << 20)
        })
        .await;
    }
}

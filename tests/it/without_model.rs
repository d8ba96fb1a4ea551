//! Without the embedding model the gateway runs, says so, and searches by words alone; with it, it
//! makes up for what was missed.

use serde_json::{Value, json};

use crate::gateway::{Gateway, eventually, has_model, models};

const MODEL: &str = "all-MiniLM-L6-v2";

async fn start(models: &tempfile::TempDir) -> Gateway {
    let path = models.path().to_str().unwrap();
    let gateway = Gateway::start_with(&[("BKG_MODELS_DIR", path)]).await;
    let documents = json!([
        {"id": "cars", "text": "An automobile needs petrol and a driver."},
        {"id": "bread", "text": "Bread is baked from flour, water and salt."},
    ]);
    gateway.index("docs", &documents).await;
    gateway
}

async fn listed(gateway: &Gateway) -> Vec<Value> {
    let (status, models) = gateway.get("/v1/models").await;
    assert_eq!(status, 200, "{models}");
    let models = models["data"].as_array().unwrap().iter();
    models.map(|model| model["id"].clone()).collect()
}

async fn embed(gateway: &Gateway) -> (u16, Value) {
    let body = json!({"model": MODEL, "input": "a text"});
    gateway.post("/v1/embeddings", &body).await
}

async fn search(gateway: &Gateway, query: &str) -> Value {
    let body = json!({"query": query});
    let (status, found) = gateway.post("/brainml/collections/docs/query", &body).await;
    assert_eq!(status, 200, "{found}");
    found
}

#[tokio::test]
async fn only_what_is_there_is_offered_and_an_error_says_how_to_get_the_rest() {
    let empty = tempfile::tempdir().unwrap();
    let gateway = start(&empty).await;
    assert_eq!(listed(&gateway).await, ["bkg-extract"]);
    let (status, refused) = embed(&gateway).await;
    assert_eq!(status, 404, "{refused}");
    assert_eq!(refused["error"]["code"], "model_not_found", "{refused}");
    let message = refused["error"]["message"].as_str().unwrap();
    assert!(
        message.contains(&format!("bkg models pull {MODEL}")),
        "{message}"
    );
}

#[tokio::test]
async fn search_works_by_words_and_says_that_it_does() {
    let empty = tempfile::tempdir().unwrap();
    let gateway = start(&empty).await;
    let found = search(&gateway, "driver").await;
    assert_eq!(found["degraded"], true, "{found}");
    assert_eq!(found["results"][0]["document_id"], "cars", "{found}");
    assert_eq!(found["results"][0]["lexical_rank"], 1, "{found}");
    assert!(found["results"][0].get("vector_rank").is_none(), "{found}");
    assert_eq!(search(&gateway, "vehicle").await["results"], json!([]));
}

#[tokio::test]
async fn a_model_that_arrives_later_is_used_without_a_restart() {
    if !has_model() {
        return;
    }
    let empty = tempfile::tempdir().unwrap();
    let gateway = start(&empty).await;
    assert_eq!(embed(&gateway).await.0, 404);
    let from = models().join(MODEL);
    let pulled = gateway.bkg(&["models", "pull", MODEL, "--from", from.to_str().unwrap()]);
    assert!(pulled.status.success(), "{pulled:?}");
    assert!(listed(&gateway).await.contains(&json!(MODEL)));
    let (status, made) = embed(&gateway).await;
    assert_eq!(status, 200, "{made}");
    assert_eq!(made["data"][0]["embedding"].as_array().unwrap().len(), 384);
    eventually("the collection has its vectors", || async {
        let (_, stats) = gateway.get("/brainml/collections/docs/stats").await;
        stats["degraded"] == false && stats["vectors"] == 2
    })
    .await;
    let found = search(&gateway, "vehicle").await;
    assert_eq!(found["degraded"], false, "{found}");
    assert_eq!(found["results"][0]["document_id"], "cars", "{found}");
    assert_eq!(gateway.plugin("llmserver").await["generation"], 1);
}

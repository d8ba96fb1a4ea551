//! Chat and completions from documents, with citations, whole and streamed.

use reqwest::Method;
use serde_json::{Value, json};

use super::{CHAT, error};
use crate::{gateway::Gateway, sse::Events};

/// A collection whose texts hold characters of one to four bytes.
async fn indexed() -> Gateway {
    let gateway = Gateway::start().await;
    let documents = json!([
        {"id": "alps/glacier.md", "title": "Glaciers",
         "text": "Überall glänzt Eis. 🏔 The Aletsch glacier is twenty kilometres long. It shrinks."},
        {"id": "bread", "text": "Sourdough bread rises overnight — slowly — in a cool kitchen."},
        {"id": "empty", "text": ""},
    ]);
    gateway.index("notes", &documents).await;
    gateway
}

fn question(text: &str) -> Value {
    json!({
        "model": "bkg-extract",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": [{"type": "text", "text": text}]},
        ],
        "retrieval": {"collections": ["notes"], "top_k": 5},
        "temperature": 0.2,
    })
}

/// Every citation must resolve to bytes of its document that the answer quotes.
async fn check_citations(gateway: &Gateway, text: &str, annotations: &Value) -> Vec<String> {
    let mut documents = Vec::new();
    for annotation in annotations.as_array().unwrap() {
        assert_eq!(annotation["type"], "file_citation");
        let citation = &annotation["file_citation"];
        let field = |name: &str| citation[name].as_str().unwrap().to_owned();
        let (collection, id) = (field("collection"), field("document_id"));
        let path = format!("/brainml/collections/{collection}/documents/{id}");
        let (status, document) = gateway.get(&path).await;
        assert_eq!(status, 200, "{document}");
        assert_eq!(citation["title"], document["title"]);
        let place = |name: &str| usize::try_from(citation[name].as_u64().unwrap()).unwrap();
        let bytes = &document["text"].as_str().unwrap().as_bytes()[place("start")..place("end")];
        let quoted = std::str::from_utf8(bytes).unwrap();
        assert!(
            !quoted.is_empty() && text.contains(&format!("“{quoted}”")),
            "{quoted:?} in {text}"
        );
        documents.push(id);
    }
    documents
}

#[tokio::test]
async fn an_answer_quotes_its_documents_and_its_citations_resolve() {
    let gateway = indexed().await;
    let (status, told) = gateway
        .post(CHAT, &question("How long is the Aletsch glacier?"))
        .await;
    assert_eq!(
        (status, &told["object"]),
        (200, &json!("chat.completion")),
        "{told}"
    );
    assert_eq!(told["model"], "bkg-extract");
    assert!(told["id"].as_str().unwrap().starts_with("chatcmpl-"));
    let choice = &told["choices"][0];
    assert_eq!(
        (&choice["index"], &choice["finish_reason"]),
        (&json!(0), &json!("stop"))
    );
    let message = &choice["message"];
    assert_eq!(message["role"], "assistant");
    let text = message["content"].as_str().unwrap();
    assert!(text.contains("twenty kilometres"), "{text}");
    let cited = check_citations(&gateway, text, &message["annotations"]).await;
    assert_eq!(cited.first().map(String::as_str), Some("alps/glacier.md"));
    let usage = &told["usage"];
    let count = |name: &str| usage[name].as_u64().unwrap();
    assert!(
        count("prompt_tokens") > 5 && count("completion_tokens") > 5,
        "{usage}"
    );
    assert_eq!(
        count("prompt_tokens") + count("completion_tokens"),
        count("total_tokens")
    );
}

#[tokio::test]
async fn a_stream_carries_the_same_answer_in_openais_chunks() {
    let gateway = indexed().await;
    let mut body = question("How long is the Aletsch glacier?");
    let (_, whole) = gateway.post(CHAT, &body).await;
    body["stream"] = json!(true);
    body["stream_options"] = json!({"include_usage": true});
    let ask = gateway.request(Method::POST, CHAT).json(&body);
    let mut chunks = Events::of(ask).await.values().await;
    for chunk in &chunks {
        assert_eq!(chunk["object"], "chat.completion.chunk");
        assert_eq!(
            (&chunk["id"], &chunk["model"]),
            (&chunks[0]["id"], &json!("bkg-extract"))
        );
    }
    let usage = chunks.pop().unwrap();
    assert_eq!(
        (&usage["choices"], &usage["usage"]),
        (&json!([]), &whole["usage"])
    );
    let choices: Vec<Value> = chunks
        .iter()
        .map(|chunk| chunk["choices"][0].clone())
        .collect();
    assert_eq!(choices[0]["delta"]["role"], "assistant");
    let (last, before) = choices.split_last().unwrap();
    assert!(
        before
            .iter()
            .all(|choice| choice["finish_reason"].is_null())
    );
    assert!(
        before
            .iter()
            .all(|choice| choice["delta"].get("annotations").is_none())
    );
    let text: String = before
        .iter()
        .filter_map(|choice| choice["delta"]["content"].as_str())
        .collect();
    let message = &whole["choices"][0]["message"];
    assert_eq!(text, message["content"].as_str().unwrap());
    assert_eq!(last["finish_reason"], "stop");
    assert_eq!(last["delta"]["annotations"], message["annotations"]);
    assert!(before.len() > 5, "word by word");

    body.as_object_mut().unwrap().remove("stream_options");
    let ask = gateway.request(Method::POST, CHAT).json(&body);
    let chunks = Events::of(ask).await.values().await;
    assert!(
        chunks.iter().all(|chunk| chunk.get("usage").is_none()),
        "nobody asked for the usage"
    );
}

#[tokio::test]
async fn where_nothing_fits_the_answer_says_so_and_cites_nothing() {
    let gateway = indexed().await;
    let mut body = question("zyzzyva quasar xylophone?");
    let (status, told) = gateway.post(CHAT, &body).await;
    assert_eq!(status, 200, "{told}");
    let message = &told["choices"][0]["message"];
    assert_eq!(message["annotations"], json!([]), "{message}");
    let text = message["content"].as_str().unwrap();
    assert!(text.contains("found nothing"), "{text}");
    body["stream"] = json!(true);
    let ask = gateway.request(Method::POST, CHAT).json(&body);
    let chunks = Events::of(ask).await.values().await;
    let last = chunks.last().unwrap();
    assert_eq!(last["choices"][0]["delta"]["annotations"], json!([]));
}

#[tokio::test]
async fn retrieval_from_a_collection_that_is_not_there_is_a_404_before_any_stream() {
    let gateway = indexed().await;
    let mut body = question("How long is the Aletsch glacier?");
    body["retrieval"] = json!({"collections": ["notes", "nowhere"]});
    for streamed in [false, true] {
        body["stream"] = json!(streamed);
        let (status, told) = gateway.post(CHAT, &body).await;
        let message = error(&told)["message"].as_str().unwrap();
        assert!(status == 404 && message.contains("nowhere"), "{told}");
    }
    body["retrieval"] = json!({"collection": "notes"});
    let (status, told) = gateway.post(CHAT, &body).await;
    assert_eq!(
        (status, &error(&told)["param"]),
        (400, &json!("collection")),
        "{told}"
    );
}

#[tokio::test]
async fn legacy_completions_answer_whole_and_in_pieces() {
    let gateway = indexed().await;
    let mut body = json!({"model": "bkg-extract", "prompt": "How long is the Aletsch glacier?"});
    let (status, told) = gateway.post("/v1/completions", &body).await;
    assert_eq!(
        (status, &told["object"]),
        (200, &json!("text_completion")),
        "{told}"
    );
    let text = told["choices"][0]["text"].as_str().unwrap();
    assert!(text.contains("twenty kilometres"), "{text}");
    assert_eq!(told["choices"][0]["finish_reason"], "stop");
    body["stream"] = json!(true);
    let ask = gateway.request(Method::POST, "/v1/completions").json(&body);
    let chunks = Events::of(ask).await.values().await;
    let pieces = chunks
        .iter()
        .map(|chunk| chunk["choices"][0]["text"].as_str().unwrap());
    assert_eq!(pieces.collect::<String>(), text);
    assert!(
        chunks
            .iter()
            .all(|chunk| chunk["object"] == "text_completion")
    );
}

#[tokio::test]
async fn max_tokens_cuts_the_answer_and_says_length() {
    let gateway = indexed().await;
    let mut body = question("How long is the Aletsch glacier?");
    body["max_tokens"] = json!(6);
    let (_, told) = gateway.post(CHAT, &body).await;
    assert_eq!(told["choices"][0]["finish_reason"], "length", "{told}");
    assert!(
        told["usage"]["completion_tokens"].as_u64().unwrap() <= 6,
        "{told}"
    );
}

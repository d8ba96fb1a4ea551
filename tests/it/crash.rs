//! `kill -9` in the middle of indexing: what was acknowledged is there afterwards, whole.

use std::{collections::BTreeMap, time::Duration};

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::{
    database,
    gateway::{Gateway, eventually, has_model},
};

const COLLECTION: &str = "/brainml/collections/docs";

/// What the gateway has confirmed: texts by document.
type Ledger = BTreeMap<String, String>;

/// Documents of one request, and one that it replaces.
const BATCH: usize = 12;

#[tokio::test]
async fn ten_kills_while_indexing_lose_nothing_that_was_acknowledged() {
    let mut gateway = Gateway::start().await;
    gateway.put(COLLECTION, &json!({})).await;
    let mut kept = Ledger::new();
    for round in 0..10 {
        for batch in 0..2 {
            let documents = documents(round, batch);
            let indexed = send(batch_request(&gateway, &documents)).await;
            assert_eq!(indexed, Some(200));
            kept.extend(documents);
        }
        let cut = documents(round, 2);
        let answer = tokio::spawn(send(batch_request(&gateway, &cut)));
        // Another moment each time: while rows are written, indexed, and embedded.
        tokio::time::sleep(Duration::from_millis(round * 12)).await;
        gateway.kill();
        let acknowledged = answer.await.unwrap().is_some();
        assert_eq!(database::integrity(gateway.data.path()), "ok");
        gateway.restart();
        if acknowledged || all_or_none(&gateway, &cut).await {
            kept.extend(cut);
        }
        check_documents(&gateway, &kept).await;
        check_stats(&gateway, &kept).await;
    }
    caught_up(&gateway).await;
    check_stats(&gateway, &kept).await;
    same_order_as_a_fresh_gateway(&gateway, &kept).await;
}

/// A batch: documents of its own, and one that replaces what the round before had put there.
fn documents(round: u64, batch: usize) -> Ledger {
    let own = (0..BATCH).map(|at| (format!("r{round}-b{batch}-{at:02}"), at));
    let before = format!("r{}-b{batch}-00", round.saturating_sub(1));
    let replaced = std::iter::once((before, BATCH)).take(usize::from(round > 0));
    let text = |at| text(round, batch, at);
    own.chain(replaced).map(|(id, at)| (id, text(at))).collect()
}

/// A sentence with a word that no other document has, and others that many have.
fn text(round: u64, batch: usize, at: usize) -> String {
    const WHO: [&str; 7] = [
        "pilot", "baker", "nurse", "judge", "sailor", "farmer", "poet",
    ];
    const DOES: [&str; 5] = ["repairs", "paints", "studies", "sells", "borrows"];
    const WHAT: [&str; 11] = [
        "wings",
        "bread",
        "rivers",
        "violins",
        "maps",
        "engines",
        "gardens",
        "clocks",
        "letters",
        "bridges",
        "telescopes",
    ];
    let number = usize::try_from(round).unwrap() * 40 + batch * (BATCH + 1) + at;
    let pick = |list: &'static [&str]| list[number % list.len()];
    let (who, does, what) = (pick(&WHO), pick(&DOES), pick(&WHAT));
    format!("The {who} {does} {what}. {}", word(number))
}

fn word(number: usize) -> String {
    format!("quux{number}k")
}

fn batch_request(gateway: &Gateway, documents: &Ledger) -> RequestBuilder {
    let documents = documents
        .iter()
        .map(|(id, text)| json!({"id": id, "text": text}));
    let body = json!({"documents": documents.collect::<Vec<_>>()});
    let path = format!("{COLLECTION}/documents");
    gateway.request(Method::POST, &path).json(&body)
}

/// The answer's status, where there is an answer.
async fn send(request: RequestBuilder) -> Option<u16> {
    let answer = request.send().await.ok()?;
    let status = answer.status().as_u16();
    answer.bytes().await.ok().map(|_| status)
}

/// Whether an unacknowledged request took effect; it never takes half an effect.
async fn all_or_none(gateway: &Gateway, cut: &Ledger) -> bool {
    let mut there = 0;
    for (id, text) in cut {
        let (status, document) = gateway.get(&format!("{COLLECTION}/documents/{id}")).await;
        there += usize::from(status == 200 && document["text"] == **text);
    }
    assert!(there == 0 || there == cut.len(), "{there} of {}", cut.len());
    there > 0
}

async fn check_documents(gateway: &Gateway, kept: &Ledger) {
    for (id, text) in kept {
        let (status, document) = gateway.get(&format!("{COLLECTION}/documents/{id}")).await;
        assert_eq!(status, 200, "{id}: {document}");
        assert_eq!(document["text"], **text, "{id}");
        let unique = text.split(' ').next_back().unwrap();
        assert_eq!(
            search(gateway, unique, "lexical").await,
            [id.as_str()],
            "{unique}"
        );
    }
}

async fn check_stats(gateway: &Gateway, kept: &Ledger) {
    let (_, stats) = gateway.get(&format!("{COLLECTION}/stats")).await;
    let bytes: usize = kept.values().map(String::len).sum();
    assert_eq!(stats["documents"], kept.len(), "{stats}");
    assert_eq!(stats["chunks"], kept.len(), "{stats}");
    assert_eq!(stats["bytes"], bytes, "{stats}");
}

/// The indexes reach what the database holds, without being asked.
async fn caught_up(gateway: &Gateway) {
    if !has_model() {
        return;
    }
    eventually("the indexes catch up", || async {
        let (_, stats) = gateway.get(&format!("{COLLECTION}/stats")).await;
        let all = stats["degraded"] == false && stats["vectors"] == stats["chunks"];
        all && ask(gateway, "anything", "hybrid").await["degraded"] == false
    })
    .await;
}

async fn same_order_as_a_fresh_gateway(gateway: &Gateway, kept: &Ledger) {
    let fresh = Gateway::start().await;
    fresh.put(COLLECTION, &json!({})).await;
    let indexed = send(batch_request(&fresh, kept)).await;
    assert_eq!(indexed, Some(200));
    caught_up(&fresh).await;
    for query in [
        "the pilot paints violins",
        "garden",
        "who mends motors?",
        "quux17k letters",
    ] {
        for mode in ["lexical", "hybrid"] {
            let expected = search(&fresh, query, mode).await;
            assert!(!expected.is_empty() || mode == "lexical", "{query}");
            assert_eq!(
                search(gateway, query, mode).await,
                expected,
                "{query}, {mode}"
            );
        }
    }
}

/// Ids of the documents that are found, best first.
async fn search(gateway: &Gateway, query: &str, mode: &str) -> Vec<String> {
    let found = ask(gateway, query, mode).await;
    let results = found["results"].as_array().unwrap().iter();
    let id = |hit: &Value| hit["document_id"].as_str().unwrap().to_owned();
    results.map(id).collect()
}

async fn ask(gateway: &Gateway, query: &str, mode: &str) -> Value {
    let body = json!({"query": query, "mode": mode, "top_k": 100});
    let (status, found) = gateway.post(&format!("{COLLECTION}/query"), &body).await;
    assert_eq!(status, 200, "{found}");
    found
}

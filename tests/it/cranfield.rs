//! A real collection of documents with real questions, end to end: `bkg index`, then every question
//! over HTTP, by words alone so that it takes seconds and not minutes.

use std::collections::HashMap;

use serde_json::{Value, json};

use crate::gateway::{Gateway, test_data};

/// The grades of one question's documents.
type Grades = HashMap<String, f64>;

fn judgements(text: &str) -> HashMap<String, Grades> {
    let mut all: HashMap<String, Grades> = HashMap::new();
    for line in text.lines().skip(1) {
        let [query, document, grade]: [&str; 3] =
            line.split('\t').collect::<Vec<_>>().try_into().unwrap();
        let grades = all.entry(query.to_owned()).or_default();
        grades.insert(document.to_owned(), grade.parse().unwrap());
    }
    all
}

/// nDCG@10 with linear gain: Järvelin and Kekäläinen, "Cumulated gain-based evaluation of IR
/// techniques" (2002).
fn ndcg(found: &[String], grades: &Grades) -> f64 {
    let gain = |gains: &[f64]| -> f64 {
        let places = gains.iter().take(10).enumerate();
        places
            .map(|(at, gain)| gain / (at as f64 + 2.0).log2())
            .sum()
    };
    let gains: Vec<f64> = found
        .iter()
        .map(|id| grades.get(id).copied().unwrap_or(0.0))
        .collect();
    let mut best: Vec<f64> = grades.values().copied().collect();
    best.sort_by(|a, b| b.total_cmp(a));
    gain(&gains) / gain(&best)
}

#[tokio::test]
async fn words_alone_find_what_the_judges_found() {
    let Some(folder) = test_data("cranfield") else {
        return;
    };
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    let gateway = Gateway::start_with(&[("BKG_MODELS_DIR", "no-models")]).await;
    let corpus = folder.canonicalize().unwrap().join("corpus.jsonl");
    let indexed = gateway.bkg(&[
        "index",
        corpus.to_str().unwrap(),
        "--collection",
        "cranfield",
    ]);
    assert!(indexed.status.success(), "{indexed:?}");
    let (_, stats) = gateway.get("/brainml/collections/cranfield/stats").await;
    assert_eq!(stats["documents"], 1400, "the two empty ones too: {stats}");

    let judged = judgements(&read("qrels.tsv"));
    let questions = read("queries.jsonl");
    let (mut sum, mut count) = (0.0, 0.0);
    for line in questions.lines() {
        let question: Value = serde_json::from_str(line).unwrap();
        let body = json!({
            "query": question["text"], "top_k": 10, "group": "document", "mode": "lexical",
        });
        let (status, answer) = gateway
            .post("/brainml/collections/cranfield/query", &body)
            .await;
        assert_eq!(status, 200, "{answer}");
        let hits = answer["results"].as_array().unwrap();
        let found: Vec<String> = hits
            .iter()
            .map(|hit| hit["document_id"].as_str().unwrap().to_owned())
            .collect();
        sum += ndcg(&found, &judged[question["_id"].as_str().unwrap()]);
        count += 1.0;
    }
    let mean = sum / count;
    eprintln!("nDCG@10 of words alone over {count} questions: {mean:.4}");
    assert!(mean >= 0.51, "nDCG@10 {mean:.4}");
}

//! Ranking quality on Cranfield: test data that is not shipped, read from `BKG_TEST_DATA`.

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    path::PathBuf,
};

use messages::brainml::Group;
use serde_json::Value;

use crate::{
    fixture::{analyzed, question},
    index::Index,
    search::search,
};

/// Relevance grades by query and document.
type Judgements = BTreeMap<String, HashMap<String, u32>>;

fn data() -> Option<PathBuf> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    let data = std::env::var_os("BKG_TEST_DATA").map_or(root.join("../shared/data"), PathBuf::from);
    let cranfield = data.join("cranfield");
    cranfield.is_dir().then_some(cranfield)
}

fn rows(path: PathBuf) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn judgements(path: PathBuf) -> Judgements {
    let mut judgements = Judgements::new();
    for line in fs::read_to_string(path).unwrap().lines().skip(1) {
        let mut fields = line.split('\t');
        let mut next = || fields.next().unwrap().to_owned();
        let (query, document, grade) = (next(), next(), next().parse().unwrap());
        judgements.entry(query).or_default().insert(document, grade);
    }
    judgements
}

/// Normalised discounted cumulative gain of the first ten (Järvelin and Kekäläinen 2002), with the
/// grade as gain.
fn ndcg(ranking: &[String], grades: &HashMap<String, u32>) -> f64 {
    let gain = |grades: &mut dyn Iterator<Item = u32>| -> f64 {
        let discounts = (2..12_u32).map(|rank| f64::from(rank).log2());
        grades
            .zip(discounts)
            .map(|(grade, discount)| f64::from(grade) / discount)
            .sum()
    };
    let mut ideal: Vec<u32> = grades.values().copied().collect();
    ideal.sort_unstable_by(|a, b| b.cmp(a));
    let mut got = ranking
        .iter()
        .map(|document| grades.get(document).copied().unwrap_or(0));
    gain(&mut got) / gain(&mut ideal.into_iter())
}

#[test]
fn words_alone_rank_cranfield_well() {
    let Some(data) = data() else {
        eprintln!("SKIPPED: no Cranfield under BKG_TEST_DATA or ../shared/data");
        return;
    };
    let mut index = Index::default();
    for (row, document) in (1..).zip(rows(data.join("corpus.jsonl"))) {
        let field = |name: &str| document[name].as_str().unwrap().to_owned();
        index.put(analyzed(
            row,
            &field("_id"),
            &field("title"),
            &field("text"),
        ));
    }
    let judgements = judgements(data.join("qrels.tsv"));
    let mut sum = 0.0;
    for query in rows(data.join("queries.jsonl")) {
        let mut question = question(query["text"].as_str().unwrap());
        question.group = Group::Document;
        let found = search(&[&index], &question).unwrap();
        let ranking: Vec<String> = found
            .iter()
            .map(|found| {
                let slot = index.catalog.slot(found.chunk).unwrap();
                let document = index.catalog.chunk(slot).unwrap().document;
                index
                    .catalog
                    .document(document)
                    .unwrap()
                    .external_id
                    .clone()
            })
            .collect();
        sum += ndcg(&ranking, &judgements[query["_id"].as_str().unwrap()]);
    }
    let mean = sum / 225.0;
    println!(
        "Cranfield, words alone: nDCG@10 {mean:.4}, {} chunks",
        index.catalog.live_chunks()
    );
    assert!(mean >= 0.51, "nDCG@10 {mean}");
}

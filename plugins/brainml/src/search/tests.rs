//! Several indexes as one list, filters, groups, and both legs together.

use messages::brainml::{Filter, Group, Mode};
use serde_json::json;

use super::*;
use crate::{
    fixture::{analyzed, index, question, with_metadata},
    index::Model,
};

fn ids(indexes: &[&Index], question: &Question) -> Vec<String> {
    let found = search(indexes, question).unwrap();
    let id = |found: &Found| {
        let catalog = &indexes[found.source].catalog;
        let chunk = catalog.chunk(catalog.slot(found.chunk).unwrap()).unwrap();
        catalog
            .document(chunk.document)
            .unwrap()
            .external_id
            .clone()
    };
    found.iter().map(id).collect()
}

const DOCUMENTS: [(&str, &str); 5] = [
    ("a", "the lift of a wing"),
    ("b", "heat in slabs and in wings"),
    ("c", "wing wing wing"),
    ("d", "the lift of a wing"),
    ("e", "nothing of the kind"),
];

#[test]
fn pooled_indexes_rank_as_one_merged_index() {
    let merged = index(&DOCUMENTS);
    let (left, right) = (index(&DOCUMENTS[..2]), index(&DOCUMENTS[2..]));
    for query in ["wing lift", "heat wing wing", "kind", "slabs of nothing"] {
        let question = question(query);
        assert_eq!(
            ids(&[&left, &right], &question),
            ids(&[&merged], &question),
            "{query}"
        );
        let scores = |indexes: &[&Index]| -> Vec<f64> {
            search(indexes, &question)
                .unwrap()
                .iter()
                .map(|found| found.score)
                .collect()
        };
        assert_eq!(scores(&[&left, &right]), scores(&[&merged]), "{query}");
    }
}

#[test]
fn equal_scores_are_ordered_by_document_id_however_they_came() {
    let reversed: Vec<_> = DOCUMENTS.iter().rev().copied().collect();
    assert_eq!(ids(&[&index(&reversed)], &question("lift")), ["a", "d"]);
    assert_eq!(ids(&[&index(&DOCUMENTS)], &question("lift")), ["a", "d"]);
}

#[test]
fn filters_come_before_ranking() {
    let mut index = Index::default();
    for row in 1..=30 {
        let document = analyzed(row, &format!("{row:02}"), "", "wing");
        index.put(with_metadata(document, json!({"year": 1900 + row})));
    }
    let mut question = question("wing");
    question.top_k = 2;
    let filter = json!({"type": "gt", "key": "year", "value": 1925});
    question.filter = Some(serde_json::from_value::<Filter>(filter).unwrap());
    assert_eq!(ids(&[&index], &question), ["26", "27"]);
}

#[test]
fn coverage_is_the_share_of_idf_that_is_there() {
    let index = index(&DOCUMENTS);
    let found = search(&[&index], &question("lift wing")).unwrap();
    assert_eq!(found[0].coverage, 1.0);
    let unknown = search(&[&index], &question("wing zeppelin")).unwrap();
    assert!(unknown[0].coverage < 0.3, "{}", unknown[0].coverage);
}

#[test]
fn stop_words_alone_are_ranked_by_and_cover_nothing() {
    let index = index(&[("a", "tell me who you are"), ("b", "a wing")]);
    let found = search(&[&index], &question("who are you?")).unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].coverage, 0.0);
}

/// Documents with vectors at the given angles, in hundredths of a radian.
fn with_vectors(documents: &[(&str, &str, u8)]) -> Index {
    let mut index = Index::default();
    index.adopt(Some(Model {
        name: "m".into(),
        hash: "h".into(),
    }));
    for (row, (id, text, angle)) in (1..).zip(documents) {
        let mut document = analyzed(row, id, "", text);
        document.chunks[0].vector = Some(at(*angle));
        index.put(document);
    }
    index
}

fn at(angle: u8) -> Vec<f32> {
    let (sin, cos) = (f32::from(angle) / 100.0).sin_cos();
    vec![cos, sin, 0.0, 0.0]
}

#[test]
fn both_legs_count_and_say_their_ranks() {
    let index = with_vectors(&[
        ("a", "wing", 90),
        ("b", "wing flutter", 40),
        ("c", "slab", 0),
    ]);
    let mut question = question("flutter");
    question.mode = Mode::Hybrid;
    question.vector = Some(("h".into(), at(0)));
    question.explain = true;
    let found = search(&[&index], &question).unwrap();
    assert_eq!(ids(&[&index], &question), ["b", "c", "a"]);
    assert_eq!(
        (found[0].lexical_rank, found[0].vector_rank),
        (Some(1), Some(2))
    );
    assert_eq!(
        (found[1].lexical_rank, found[1].vector_rank),
        (None, Some(1))
    );
    assert!((found[0].cosine.unwrap() - 0.4_f32.cos()).abs() < 0.01);
    let explanation = found[0].explanation.as_ref().unwrap();
    assert_eq!(explanation.lexical_scaled, Some(1.0));
    assert_eq!(explanation.terms.len(), 1);
    assert_eq!(explanation.lexical, Some(explanation.terms[0].1));
    let fused = 0.5 + 0.5 * explanation.vector_scaled.unwrap();
    assert_eq!(found[0].score, fused);
}

#[test]
fn a_vector_of_another_model_is_not_compared() {
    let index = with_vectors(&[("a", "wing", 0)]);
    let mut question = question("slab");
    question.mode = Mode::Vector;
    question.vector = Some(("other".into(), at(0)));
    assert!(search(&[&index], &question).unwrap().is_empty());
    question.vector = Some(("h".into(), at(0)));
    assert_eq!(ids(&[&index], &question), ["a"]);
}

#[test]
fn a_group_is_its_best_chunk_and_counts_once() {
    let long = format!(
        "{} flutter flutter. {}",
        "filler ".repeat(150),
        "wing. ".repeat(150)
    );
    let mut index = index(&[("b", "flutter of a wing")]);
    index.put(analyzed(2, "a", "", &long));
    let mut question = question("flutter wing");
    question.group = Group::Document;
    let found = ids(&[&index], &question);
    assert_eq!(found, ["b", "a"]);
    question.group = Group::Chunk;
    assert!(ids(&[&index], &question).len() > 2);
    question.group = Group::Document;
    question.top_k = 1;
    assert_eq!(ids(&[&index], &question), ["b"]);
}

#[test]
fn a_large_index_is_searched_by_its_graph_and_a_narrow_filter_by_scanning() {
    let mut index = Index::default();
    index.adopt(Some(Model {
        name: "m".into(),
        hash: "h".into(),
    }));
    for row in 1..=4500_i16 {
        let mut document = analyzed(row.into(), &format!("{row:04}"), "", "wing");
        let (sin, cos) = (f32::from(row) / 3000.0).sin_cos();
        document.chunks[0].vector = Some(vec![cos, sin]);
        index.put(with_metadata(document, json!({"row": row})));
    }
    let mut question = question("nothing");
    question.mode = Mode::Vector;
    question.vector = Some(("h".into(), vec![1.0, 0.0]));
    let found = search(&[&index], &question).unwrap();
    // bf16 makes neighbours at these angles equal, so that only about the nearest come first.
    assert_eq!(found.len(), 10);
    assert!(
        found.iter().all(|found| found.chunk / 1000 < 400),
        "{found:?}"
    );
    let narrow = json!({"type": "gt", "key": "row", "value": 4480});
    question.filter = Some(serde_json::from_value::<Filter>(narrow).unwrap());
    let found = search(&[&index], &question).unwrap();
    assert!(
        found.iter().all(|found| found.chunk / 1000 > 4480),
        "{found:?}"
    );
    assert_eq!(found.len(), 10);
}

#[test]
fn as_many_documents_are_found_as_were_asked_for_though_one_has_the_nearest_chunks() {
    let mut index = Index::default();
    index.adopt(Some(Model {
        name: "m".into(),
        hash: "h".into(),
    }));
    let mut long = analyzed(1, "long", "", "wing");
    long.chunks = (0..4200)
        .map(|at| {
            let mut chunk = long.chunks[0].clone();
            (chunk.id, chunk.vector) = (1000 + at, Some(vec![1.0, 0.0, 0.0, 0.0]));
            chunk
        })
        .collect();
    index.put(long);
    for row in 10..15 {
        let mut document = analyzed(row, &row.to_string(), "", "slab");
        document.chunks[0].vector = Some(at(90));
        index.put(document);
    }
    let mut question = question("nothing");
    question.mode = Mode::Vector;
    question.group = Group::Document;
    question.top_k = 5;
    question.vector = Some(("h".into(), at(0)));
    assert_eq!(ids(&[&index], &question), ["long", "10", "11", "12", "13"]);
}

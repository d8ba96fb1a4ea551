//! The word index against a scorer that looks at every text.

use proptest::prelude::*;

use crate::{
    analyzer::Analyzer,
    fixture::{analyzed, question},
    index::Index,
    search::search,
};

/// BM25 by the book, over all texts there are.
fn by_the_book(texts: &[(u8, String)], query: &str) -> Vec<(f64, u8)> {
    let analyzer = Analyzer::default();
    let counts: Vec<_> = texts
        .iter()
        .map(|(id, text)| (*id, analyzer.count([text.as_str()])))
        .collect();
    let length = |at: usize| f64::from(counts[at].1.values().sum::<u32>());
    let all = f64::from(u32::try_from(counts.len()).unwrap());
    let mean = (0..counts.len()).map(length).sum::<f64>() / all;
    let score = |at: usize| -> f64 {
        let shares = analyzer
            .count_query(query)
            .into_iter()
            .map(|(term, repeats)| {
                let with = counts
                    .iter()
                    .filter(|(_, counts)| counts.contains_key(&term))
                    .count();
                let with = f64::from(u32::try_from(with).unwrap());
                let idf = (1.0 + (all - with + 0.5) / (with + 0.5)).ln();
                let count = f64::from(counts[at].1.get(&term).copied().unwrap_or(0));
                let saturation = count + 1.2 * (0.25 + 0.75 * length(at) / mean);
                idf * f64::from(repeats) * count * 2.2 / saturation
            });
        shares.sum()
    };
    let mut ranking: Vec<_> = (0..counts.len())
        .map(|at| (score(at), counts[at].0))
        .collect();
    ranking.retain(|(score, _)| *score > 0.0);
    ranking.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    ranking.truncate(10);
    ranking
}

fn ranking(index: &Index, query: &str) -> Vec<(f64, u8)> {
    let found = search(&[index], &question(query)).unwrap();
    let ranked = found
        .iter()
        .map(|found| (found.score, u8::try_from(found.chunk / 1000).unwrap()));
    ranked.collect()
}

fn put(index: &mut Index, id: u8, text: &str) {
    index.put(analyzed(id.into(), &format!("{id:03}"), "", text));
}

/// Puts and removes documents at random, over few ids and few words.
fn history() -> impl Strategy<Value = Vec<(u8, Option<String>)>> {
    let text =
        proptest::collection::vec("[a-e]{1}x|wing|lift|the", 1..12).prop_map(|w| w.join(" "));
    proptest::collection::vec((0..90_u8, proptest::option::weighted(0.6, text)), 0..300)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_history_ranks_as_the_book_says_and_as_a_fresh_index(
        history in history(),
        query in "(ax|bx|cx|wing|lift)( ax| wing| bx| lift){0,4}",
    ) {
        let mut index = Index::default();
        let mut texts = std::collections::BTreeMap::new();
        for (id, text) in history {
            match text {
                Some(text) => {
                    put(&mut index, id, &text);
                    texts.insert(id, text);
                }
                None => {
                    index.remove(id.into());
                    texts.remove(&id);
                }
            }
        }
        let mut fresh = Index::default();
        texts.iter().for_each(|(id, text)| put(&mut fresh, *id, text));
        let got = ranking(&index, &query);
        prop_assert_eq!(&got, &ranking(&fresh, &query));
        let expected = by_the_book(&texts.into_iter().collect::<Vec<_>>(), &query);
        let ids = |ranking: &[(f64, u8)]| ranking.iter().map(|(_, id)| *id).collect::<Vec<_>>();
        prop_assert_eq!(ids(&got), ids(&expected));
        for ((got, _), (expected, _)) in got.iter().zip(&expected) {
            prop_assert!((got - expected).abs() < 1e-9);
        }
    }
}

#[test]
fn a_repeated_query_word_weighs_more() {
    let index = crate::fixture::index(&[("a", "wing stall"), ("b", "flap stall")]);
    let first = |query: &str| ranking(&index, query).first().unwrap().1;
    assert_eq!(first("wing flap flap"), 2);
    assert_eq!(first("wing wing flap"), 1);
}

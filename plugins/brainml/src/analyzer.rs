//! Turns text into terms: words of Unicode, lower-cased and stemmed.

use std::{borrow::Cow, collections::BTreeMap};

use rust_stemmers::{Algorithm, Stemmer};
use unicode_segmentation::UnicodeSegmentation;

use crate::stop_words::is_stop_word;

/// Longer "words" are encoded data that nobody types into a search box, in bytes.
const LONGEST_WORD: usize = 128;

/// The terms of one text and how often each occurs. Ordered, so that sums over it are repeatable.
pub(crate) type TermCounts = BTreeMap<String, u32>;

/// Says what a term is. One analyzer serves documents and queries alike; a change here makes every
/// persisted word index worthless, so [`VERSION`](Analyzer::VERSION) must grow with it.
pub(crate) struct Analyzer {
    stemmer: Stemmer,
}

impl Default for Analyzer {
    fn default() -> Self {
        Self {
            stemmer: Stemmer::create(Algorithm::English),
        }
    }
}

impl Analyzer {
    /// Written into persisted word indexes; those of another version are rebuilt.
    pub(crate) const VERSION: u64 = 1;

    /// The terms of a document's text, stop words included: their statistics stay true, and a
    /// query made of nothing else still finds something.
    pub(crate) fn count<'a>(&self, texts: impl IntoIterator<Item = &'a str>) -> TermCounts {
        let mut counts = TermCounts::new();
        for word in texts.into_iter().flat_map(words) {
            *counts.entry(self.stem(&word)).or_default() += 1;
        }
        counts
    }

    /// The terms of a query: without stop words, unless nothing would be left.
    pub(crate) fn count_query(&self, query: &str) -> TermCounts {
        let mut counts = TermCounts::new();
        for word in words(query).filter(|word| !is_stop_word(word)) {
            *counts.entry(self.stem(&word)).or_default() += 1;
        }
        if counts.is_empty() {
            self.count([query])
        } else {
            counts
        }
    }

    /// Whether a query has any word but stop words.
    pub(crate) fn says_something(query: &str) -> bool {
        words(query).any(|word| !is_stop_word(&word))
    }

    fn stem(&self, word: &str) -> String {
        self.stemmer.stem(word).into_owned()
    }
}

fn words(text: &str) -> impl Iterator<Item = Cow<'_, str>> {
    text.unicode_words()
        .filter(|word| word.len() <= LONGEST_WORD)
        .map(fold)
}

fn fold(word: &str) -> Cow<'_, str> {
    let plain = word
        .bytes()
        .all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase());
    if plain {
        Cow::Borrowed(word)
    } else {
        // The stemmer knows possessives by the typewriter's apostrophe alone.
        Cow::Owned(word.to_lowercase().replace('’', "'"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms(counts: &TermCounts) -> Vec<(&str, u32)> {
        counts.iter().map(|(t, n)| (t.as_str(), *n)).collect()
    }

    #[test]
    fn words_are_folded_stemmed_and_counted() {
        let counts = Analyzer::default().count(["Wings, WING!", "winging"]);
        assert_eq!(terms(&counts), [("wing", 3)]);
    }

    #[test]
    fn stop_words_are_dropped_from_queries_and_kept_in_documents() {
        let analyzer = Analyzer::default();
        let query = analyzer.count_query("what is the lift of a wing");
        assert_eq!(terms(&query), [("lift", 1), ("wing", 1)]);
        assert!(analyzer.count(["the lift"]).contains_key("the"));
    }

    #[test]
    fn a_query_of_stop_words_keeps_them() {
        let counts = Analyzer::default().count_query("to be or not to be");
        assert_eq!(counts.get("be"), Some(&2));
    }

    #[test]
    fn typographic_apostrophes_count_as_plain_ones() {
        let analyzer = Analyzer::default();
        assert_eq!(
            analyzer.count(["aircraft’s"]),
            analyzer.count(["aircraft's"])
        );
    }

    #[test]
    fn encoded_data_is_no_word() {
        assert!(
            Analyzer::default()
                .count(["a".repeat(129).as_str()])
                .is_empty()
        );
    }
}

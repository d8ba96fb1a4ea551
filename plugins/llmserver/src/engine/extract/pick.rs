//! Which passages are near enough, and which of their sentences to quote.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

use messages::brainml::Hit;

use super::{sentences, words};
use crate::settings::ExtractSettings;

/// A sentence longer than this is cut, at white space, for the quote. In bytes.
pub(crate) const LONGEST: usize = 800;

/// A passage to quote. `text` is exactly `start..end` of the document's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Quote {
    pub(crate) collection: String,
    pub(crate) document_id: String,
    pub(crate) title: Option<String>,
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) text: String,
}

/// The quotes that answer `question`, best hit first, at most one a hit. Empty when no hit is near
/// enough, which is judged on raw cosine and on term coverage alone: fused scores are scaled to
/// the candidates, so the best of them is near 1 however far all are. A question without a word
/// that carries meaning is judged on cosine alone: any text covers the words of "who are you?".
pub(crate) fn pick(question: &str, hits: &[Hit], settings: &ExtractSettings) -> Vec<Quote> {
    let words = words::distinct(question);
    let covers = |hit: &Hit| !words.is_empty() && hit.coverage >= settings.coverage;
    let near = hits
        .iter()
        .filter(|hit| is_like(hit, settings) || covers(hit));
    let near: Vec<&Hit> = near.collect();
    let weights = weights(&words, &near);
    let mut quotes: Vec<Quote> = Vec::new();
    for hit in near {
        if quotes.len() == settings.quotes {
            break;
        }
        if let Some(quote) = best(hit, &weights, settings.quote_bytes)
            && !quotes.iter().any(|other| overlaps(other, &quote))
        {
            quotes.push(quote);
        }
    }
    quotes
}

fn is_like(hit: &Hit, settings: &ExtractSettings) -> bool {
    hit.cosine.is_some_and(|cosine| cosine >= settings.cosine)
}

/// The weight of each word of the question: the fewer sentences have it, the more it tells
/// (inverse document frequency, with the hits' sentences as documents).
fn weights(question: &BTreeSet<String>, hits: &[&Hit]) -> BTreeMap<String, f64> {
    let mut counts: BTreeMap<String, u32> = question.iter().map(|word| (word.clone(), 0)).collect();
    let mut sentences = 0_u32;
    for hit in hits {
        for sentence in split(&hit.text) {
            sentences += 1;
            for word in words::distinct(sentence.1) {
                counts.entry(word).and_modify(|count| *count += 1);
            }
        }
    }
    let weight = |count| (1.0 + f64::from(sentences) / f64::from(1 + count)).ln();
    counts
        .into_iter()
        .map(|(word, count)| (word, weight(count)))
        .collect()
}

/// The sentence of `hit` that shares most of the question's weight (the first of equals), with
/// the sentences after it until the quote has `enough` bytes.
fn best(hit: &Hit, weights: &BTreeMap<String, f64>, enough: usize) -> Option<Quote> {
    let sentences: Vec<_> = split(&hit.text).collect();
    let scores = sentences.iter().map(|(_, text)| overlap(text, weights));
    let (from, _) = scores
        .enumerate()
        .reduce(|best, next| if next.1 > best.1 { next } else { best })?;
    let mut chosen = sentences.iter().skip(from).map(|(range, _)| range.clone());
    let mut range = chosen.next()?;
    for next in chosen {
        if range.len() >= enough || next.end - range.start > LONGEST {
            break;
        }
        range.end = next.end;
    }
    quote(hit, range)
}

fn quote(hit: &Hit, range: Range<usize>) -> Option<Quote> {
    let text = shortened(hit.text.get(range.clone())?);
    let start = hit.start + u64::try_from(range.start).ok()?;
    Some(Quote {
        collection: hit.collection.clone(),
        document_id: hit.document_id.clone(),
        title: hit.title.clone(),
        start,
        end: start + u64::try_from(text.len()).ok()?,
        text: text.to_owned(),
    })
}

fn overlap(sentence: &str, weights: &BTreeMap<String, f64>) -> f64 {
    let words = words::distinct(sentence);
    words.iter().filter_map(|word| weights.get(word)).sum()
}

/// `text` cut to [`LONGEST`] bytes, after a whole word where there is one.
fn shortened(text: &str) -> &str {
    if text.len() <= LONGEST {
        return text;
    }
    let cut = text
        .get(..text.floor_char_boundary(LONGEST))
        .unwrap_or(text);
    let word = cut.rsplit_once(char::is_whitespace).map(|(head, _)| head);
    word.unwrap_or(cut).trim_end()
}

fn split(text: &str) -> impl Iterator<Item = (Range<usize>, &str)> {
    sentences::split(text)
        .into_iter()
        .filter_map(|range| Some((range.clone(), text.get(range)?)))
}

/// Chunks of a document overlap, and so may what is quoted from them.
fn overlaps(one: &Quote, other: &Quote) -> bool {
    let same_place = one.collection == other.collection
        && one.document_id == other.document_id
        && one.start < other.end
        && other.start < one.end;
    same_place || one.text == other.text
}

#[cfg(test)]
mod tests;

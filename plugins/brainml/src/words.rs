//! The word index: BM25 over chunks, with statistics that follow every delete exactly.

use std::collections::HashMap;

use crate::{
    analyzer::TermCounts,
    catalog::{Catalog, Slot},
};

/// How fast repeating a term in a chunk stops to count (Robertson and Zaragoza 2009, section 3.4).
const K1: f64 = 1.2;
/// How much a chunk's length counts.
const B: f64 = 0.75;

/// One term in one chunk: eight bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Posting {
    /// The chunk.
    pub(crate) slot: Slot,
    /// How often it holds the term.
    pub(crate) count: u32,
}

/// For each term the chunks that hold it, by ascending slot.
#[derive(Debug, Default)]
pub(crate) struct Words {
    terms: HashMap<Box<str>, Vec<Posting>>,
    /// Bytes of terms and postings, kept up as they change: adding them up takes too long.
    bytes: usize,
}

/// Counts over all chunks that are ranked together, of one index or of several.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    /// How many chunks there are.
    pub(crate) chunks: u64,
    /// How many terms they have together.
    pub(crate) terms: u64,
}

impl Totals {
    /// Those of several indexes together.
    pub(crate) fn pooled<'a>(catalogs: impl IntoIterator<Item = &'a Catalog>) -> Self {
        let mut totals = Self::default();
        for catalog in catalogs {
            totals.chunks += u64::try_from(catalog.live_chunks()).unwrap_or(u64::MAX);
            totals.terms += catalog.terms();
        }
        totals
    }

    /// How much a term says that `chunks` of all chunks hold: the logarithm of its odds, kept
    /// positive by the added one (as Lucene does).
    pub(crate) fn idf(&self, chunks: u64) -> f64 {
        let (all, with) = (real(self.chunks), real(chunks));
        (1.0 + (all - with + 0.5) / (with + 0.5)).ln()
    }

    fn mean_terms(&self) -> f64 {
        real(self.terms.max(1)) / real(self.chunks.max(1))
    }
}

/// Counts stay far below 2^53, where `f64` is exact.
#[expect(
    clippy::as_conversions,
    reason = "the standard library has no other way from u64 to f64"
)]
fn real(count: u64) -> f64 {
    count as f64
}

/// A query's term with its weight: its idf, times how often the query repeats it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct WeightedTerm {
    /// The term.
    pub(crate) term: String,
    /// How much it says, from [`Totals::idf`].
    pub(crate) idf: f64,
    /// How often the query holds it.
    pub(crate) repeats: u32,
}

impl Words {
    /// Adds a chunk's terms. Slots only grow, so postings stay sorted.
    pub(crate) fn add(&mut self, slot: Slot, counts: &TermCounts) {
        for (term, count) in counts {
            let posting = Posting {
                slot,
                count: *count,
            };
            self.bytes += size_of::<Posting>();
            match self.terms.get_mut(term.as_str()) {
                Some(postings) => postings.push(posting),
                None => {
                    self.bytes += term_bytes(term);
                    self.terms.insert(term.as_str().into(), vec![posting]);
                }
            }
        }
    }

    /// Follows a compaction of the catalog.
    pub(crate) fn compact(&mut self, moved: &[Option<Slot>]) {
        self.terms.retain(|_, postings| {
            postings.retain_mut(|posting| {
                let target = moved.get(posting.slot.index()).copied().flatten();
                posting.slot = target.unwrap_or(posting.slot);
                target.is_some()
            });
            postings.shrink_to_fit();
            !postings.is_empty()
        });
        let each = self.terms.iter();
        let bytes =
            each.map(|(term, postings)| term_bytes(term) + size_of_val(postings.as_slice()));
        self.bytes = bytes.sum();
    }

    /// About how many bytes this takes in memory.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.bytes
    }

    /// How many chunks hold a term.
    pub(crate) fn chunks_with(&self, term: &str, catalog: &Catalog) -> u64 {
        let postings = self.postings(term);
        let live = if catalog.chunks().len() == catalog.live_chunks() {
            postings.len()
        } else {
            let live = |posting: &&Posting| catalog.chunk(posting.slot).is_some_and(|c| c.live);
            postings.iter().filter(live).count()
        };
        u64::try_from(live).unwrap_or(u64::MAX)
    }

    /// The BM25 score of every slot for a query; 0 where no term occurs. Terms are added in the
    /// order given, so equal queries give equal bits.
    pub(crate) fn scores(
        &self,
        query: &[WeightedTerm],
        totals: &Totals,
        catalog: &Catalog,
    ) -> Vec<f64> {
        let mut scores = vec![0.0; catalog.chunks().len()];
        for weighted in query {
            for posting in self.postings(&weighted.term) {
                if let Some(score) = scores.get_mut(posting.slot.index()) {
                    *score += share(weighted, posting, totals, catalog);
                }
            }
        }
        scores
    }

    /// What one term adds to the score of a chunk.
    pub(crate) fn score(
        &self,
        term: &WeightedTerm,
        slot: Slot,
        totals: &Totals,
        catalog: &Catalog,
    ) -> f64 {
        self.posting(&term.term, slot)
            .map_or(0.0, |posting| share(term, posting, totals, catalog))
    }

    /// Whether a chunk holds a term.
    pub(crate) fn holds(&self, term: &str, slot: Slot) -> bool {
        self.posting(term, slot).is_some()
    }

    /// All terms with their postings, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &[Posting])> {
        self.terms
            .iter()
            .map(|(term, postings)| (term.as_ref(), postings.as_slice()))
    }

    /// Takes a term's postings as they were persisted.
    pub(crate) fn insert(&mut self, term: &str, postings: Vec<Posting>) {
        self.bytes += term_bytes(term) + size_of_val(postings.as_slice());
        self.terms.insert(term.into(), postings);
    }

    /// How many terms there are.
    pub(crate) fn len(&self) -> usize {
        self.terms.len()
    }

    fn posting(&self, term: &str, slot: Slot) -> Option<&Posting> {
        let postings = self.postings(term);
        let at = postings
            .binary_search_by_key(&slot, |posting| posting.slot)
            .ok()?;
        postings.get(at)
    }

    fn postings(&self, term: &str) -> &[Posting] {
        self.terms.get(term).map_or(&[], Vec::as_slice)
    }
}

/// What a term takes without its postings.
fn term_bytes(term: &str) -> usize {
    size_of::<(Box<str>, Vec<Posting>)>() + term.len()
}

/// BM25 of one term in one chunk (Robertson and Zaragoza 2009, equation 3.15).
#[inline]
fn share(term: &WeightedTerm, posting: &Posting, totals: &Totals, catalog: &Catalog) -> f64 {
    let Some(chunk) = catalog.chunk(posting.slot) else {
        return 0.0;
    };
    let count = f64::from(posting.count);
    let length = 1.0 - B + B * f64::from(chunk.terms) / totals.mean_terms();
    term.idf * f64::from(term.repeats) * count * (K1 + 1.0) / (count + K1 * length)
}

#[cfg(test)]
mod tests;

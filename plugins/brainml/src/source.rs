//! One of the indexes that a search looks into, with what the question makes of it.

use messages::brainml::Filter;

use crate::{
    catalog::{Catalog, Chunk, Slot},
    filter,
    index::Index,
    leg::Ranked,
    vectors::{Cosines, VectorError, Vectors},
    words::{Totals, WeightedTerm},
};

/// Indexes with fewer vectors are scanned: exact, repeatable, and about as fast.
const SCANNED_BELOW: usize = 4096;
/// So are the chunks that pass a filter, if they are fewer than one in this many.
const SCANNED_SHARE: usize = 10;

/// An index under a question.
#[derive(Debug)]
pub(crate) struct Source<'a> {
    /// What is searched.
    pub(crate) index: &'a Index,
    at: usize,
    /// By position of the document; none where all count.
    allowed: Option<Vec<bool>>,
    lexical: Vec<f64>,
    vectors: Option<(&'a Vectors, &'a [f32])>,
}

impl<'a> Source<'a> {
    /// The index at position `at` of those searched, without filter, words or vector.
    pub(crate) fn new(at: usize, index: &'a Index) -> Self {
        Self {
            index,
            at,
            allowed: None,
            lexical: Vec::new(),
            vectors: None,
        }
    }

    /// Only documents that the filter lets pass count.
    pub(crate) fn filtered(mut self, filter: Option<&Filter>) -> Self {
        self.allowed = filter.map(|filter| {
            let catalog = &self.index.catalog;
            let mut allowed = vec![false; catalog.positions()];
            for (at, document) in catalog.documents() {
                if let Some(allowed) = allowed.get_mut(at) {
                    *allowed = filter::holds(filter, &document.metadata);
                }
            }
            allowed
        });
        self
    }

    /// Scores every chunk by the question's terms.
    pub(crate) fn scored(mut self, terms: &[WeightedTerm], totals: &Totals) -> Self {
        self.lexical = self.index.words.scores(terms, totals, &self.index.catalog);
        self
    }

    /// Measures against the question's vector, if it is of the index's model.
    pub(crate) fn measured(mut self, vector: Option<&'a (String, Vec<f32>)>) -> Self {
        self.vectors = vector.and_then(|(hash, query)| {
            let model = self.index.model.as_ref()?;
            let vectors = self.index.vectors.as_ref()?;
            let fits = model.hash == *hash && vectors.dimensions() == query.len();
            fits.then_some((vectors, query.as_slice()))
        });
        self
    }

    /// Every chunk that counts and has one of the question's words, by slot.
    pub(crate) fn worded(&self) -> impl Iterator<Item = Ranked<'a>> {
        let scores = self.lexical.iter().enumerate();
        let scored = scores.filter(|(_, score)| **score > 0.0);
        scored.filter_map(|(slot, score)| self.ranked(Slot::at(slot), *score))
    }

    /// The chunks that count and are nearest to the question's vector, by slot, and whether there may
    /// be more: all of a small index or selection, else about `depth` from the graph.
    ///
    /// # Errors
    /// When the vector index refuses.
    pub(crate) fn near(&self, depth: usize) -> Result<(Vec<Ranked<'a>>, bool), VectorError> {
        let Some((vectors, query)) = self.vectors else {
            return Ok((Vec::new(), false));
        };
        let chunks = self.index.catalog.chunks();
        let scan = vectors.len() < SCANNED_BELOW.max(depth)
            || self.allowed.is_some() && self.selected() < chunks.len() / SCANNED_SHARE;
        let slots: Vec<Slot> = if scan {
            (0..chunks.len())
                .map(Slot::at)
                .filter(|slot| self.counts(*slot))
                .collect()
        } else {
            let passes = |key| self.slot(key).is_some_and(|slot| self.counts(slot));
            let mut slots: Vec<_> = vectors
                .near(query, depth, passes)?
                .into_iter()
                .filter_map(|key| self.slot(key))
                .collect();
            slots.sort_unstable();
            slots
        };
        let mut cosines = vectors.cosines(query);
        let near = slots.into_iter().filter_map(|slot| {
            let cosine = cosines.with(self.chunk(slot)?.id)?;
            self.ranked(slot, f64::from(cosine))
        });
        Ok((near.collect(), !scan))
    }

    /// The BM25 score of a chunk.
    pub(crate) fn lexical(&self, slot: Slot) -> f64 {
        self.lexical.get(slot.index()).copied().unwrap_or(0.0)
    }

    /// Measures single chunks against the question's vector.
    pub(crate) fn cosines(&self) -> Option<Cosines<'a>> {
        self.vectors.map(|(vectors, query)| vectors.cosines(query))
    }

    /// A chunk by its slot.
    pub(crate) fn chunk(&self, slot: Slot) -> Option<&'a Chunk> {
        self.index.catalog.chunk(slot)
    }

    fn slot(&self, chunk: i64) -> Option<Slot> {
        self.index.catalog.slot(chunk)
    }

    fn counts(&self, slot: Slot) -> bool {
        self.chunk(slot).is_some_and(|chunk| {
            let allowed = self.allowed.as_ref();
            chunk.live && allowed.is_none_or(|allowed| allowed.get(chunk.document) == Some(&true))
        })
    }

    /// How many chunks count.
    fn selected(&self) -> usize {
        let catalog: &Catalog = &self.index.catalog;
        let counts = |at| {
            self.allowed
                .as_ref()
                .is_none_or(|allowed| allowed.get(at) == Some(&true))
        };
        let documents = catalog.documents().filter(|(at, _)| counts(*at));
        documents.map(|(_, document)| document.slots.len()).sum()
    }

    /// The chunk with a score, if it counts.
    pub(crate) fn ranked(&self, slot: Slot, score: f64) -> Option<Ranked<'a>> {
        let chunk = self.chunk(slot).filter(|_| self.counts(slot))?;
        let external_id = &self.index.catalog.document(chunk.document)?.external_id;
        let (start, document) = (chunk.start, chunk.document);
        Some(Ranked {
            score,
            external_id,
            start,
            place: (self.at, slot),
            document,
        })
    }
}

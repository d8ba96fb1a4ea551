//! Ranks the chunks of one or more indexes as one list.

use std::collections::BTreeMap;

use messages::brainml::{Explanation, Filter, Group, Mode};

use crate::{
    analyzer::TermCounts,
    catalog::Slot,
    fusion::{Fused, Legs, fuse},
    index::Index,
    leg::{Leg, Place, Ranked},
    source::Source,
    vectors::VectorError,
    words::{Totals, WeightedTerm},
};

/// Each leg proposes at least this many candidates: fewer make the scales of fusion jump.
const FEWEST_CANDIDATES: usize = 200;

/// A question, ready to be ranked against.
#[derive(Debug)]
pub(crate) struct Question {
    /// Its terms.
    pub(crate) terms: TermCounts,
    /// Whether its terms are about anything: stop words alone are ranked by, but cover nothing.
    pub(crate) says_something: bool,
    /// Its vector of unit length, behind the hash of the model that made it.
    pub(crate) vector: Option<(String, Vec<f32>)>,
    /// Which documents count.
    pub(crate) filter: Option<Filter>,
    /// Which legs are used.
    pub(crate) mode: Mode,
    /// What a result is.
    pub(crate) group: Group,
    /// How many results.
    pub(crate) top_k: usize,
    /// Whether results explain their scores.
    pub(crate) explain: bool,
}

/// A ranked chunk; the fields that [`Hit`](messages::brainml::Hit) has too mean the same.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Found {
    /// Position of its index among those searched.
    pub(crate) source: usize,
    /// Its row.
    pub(crate) chunk: i64,
    pub(crate) score: f64,
    pub(crate) lexical_rank: Option<u32>,
    pub(crate) vector_rank: Option<u32>,
    pub(crate) cosine: Option<f32>,
    pub(crate) coverage: f32,
    pub(crate) explanation: Option<Explanation>,
}

/// Ranks. Equal scores are ordered by document id, then by position in the document, then by the
/// order of `indexes`.
///
/// # Errors
/// When a vector index refuses.
pub(crate) fn search(indexes: &[&Index], question: &Question) -> Result<Vec<Found>, VectorError> {
    let totals = Totals::pooled(indexes.iter().map(|index| &index.catalog));
    let terms = weigh(indexes, &question.terms, &totals);
    let sources: Vec<Source<'_>> = (0..)
        .zip(indexes)
        .map(|(at, index)| {
            Source::new(at, index)
                .filtered(question.filter.as_ref())
                .scored(&terms, &totals)
                .measured(question.vector.as_ref())
        })
        .collect();
    Search {
        question,
        totals,
        terms,
        sources,
    }
    .run()
}

fn weigh(indexes: &[&Index], counts: &TermCounts, totals: &Totals) -> Vec<WeightedTerm> {
    let weighted = counts.iter().map(|(term, repeats)| {
        let with = indexes
            .iter()
            .map(|index| index.words.chunks_with(term, &index.catalog));
        WeightedTerm {
            term: term.clone(),
            idf: totals.idf(with.sum()),
            repeats: *repeats,
        }
    });
    weighted.collect()
}

struct Search<'a> {
    question: &'a Question,
    totals: Totals,
    terms: Vec<WeightedTerm>,
    sources: Vec<Source<'a>>,
}

/// The ranks of one candidate in both legs.
#[derive(Debug, Clone, Copy, Default)]
struct Ranks {
    lexical: Option<u32>,
    vector: Option<u32>,
}

/// A candidate with all its scores.
struct Scored<'a> {
    ranked: Ranked<'a>,
    ranks: Ranks,
    legs: Legs,
    fused: Fused,
}

impl<'a> Search<'a> {
    fn run(&self) -> Result<Vec<Found>, VectorError> {
        let mut ranks: BTreeMap<Place, Ranks> = BTreeMap::new();
        if self.question.mode != Mode::Vector {
            for (rank, ranked) in (1..).zip(self.by_words()) {
                ranks.entry(ranked.place).or_default().lexical = Some(rank);
            }
        }
        if self.question.mode != Mode::Lexical {
            for (rank, ranked) in (1..).zip(self.by_vectors()?) {
                ranks.entry(ranked.place).or_default().vector = Some(rank);
            }
        }
        let scored = self.score(ranks);
        Ok(self
            .best(scored)
            .iter()
            .map(|scored| self.found(scored))
            .collect())
    }

    /// How many candidates each leg proposes.
    fn depth(&self) -> usize {
        match self.question.mode {
            Mode::Hybrid => FEWEST_CANDIDATES.max(2 * self.question.top_k),
            Mode::Vector => FEWEST_CANDIDATES.max(self.question.top_k),
            Mode::Lexical => self.question.top_k,
        }
    }

    fn by_words(&self) -> Vec<Ranked<'a>> {
        let mut leg = Leg::new(self.question.group, self.depth());
        self.sources
            .iter()
            .flat_map(Source::worded)
            .for_each(|ranked| leg.offer(ranked));
        leg.finish()
    }

    /// Looks further until there are enough results: near chunks may all be of a few documents.
    fn by_vectors(&self) -> Result<Vec<Ranked<'a>>, VectorError> {
        let mut depth = 2 * self.depth();
        loop {
            let mut leg = Leg::new(self.question.group, self.depth());
            let mut more = false;
            for source in &self.sources {
                let (near, has_more) = source.near(depth)?;
                near.into_iter().for_each(|ranked| leg.offer(ranked));
                more |= has_more;
            }
            let best = leg.finish();
            if best.len() >= self.question.top_k || !more {
                return Ok(best);
            }
            depth *= 4;
        }
    }

    /// Gives every candidate both its scores, whichever leg proposed it.
    fn score(&self, ranks: BTreeMap<Place, Ranks>) -> Vec<Scored<'a>> {
        let mut cosines: Vec<_> = self.sources.iter().map(Source::cosines).collect();
        let mut scored: Vec<Scored<'a>> = Vec::with_capacity(ranks.len());
        for ((at, slot), ranks) in ranks {
            let ranked = self.sources.get(at).and_then(|source| {
                let measure = cosines.get_mut(at).and_then(Option::as_mut);
                let vector = measure.and_then(|measure| measure.with(source.chunk(slot)?.id));
                let legs = Legs {
                    lexical: source.lexical(slot),
                    vector: vector.map(f64::from),
                };
                Some((source.ranked(slot, 0.0)?, legs))
            });
            scored.extend(ranked.map(|(ranked, legs)| Scored {
                ranked,
                ranks,
                legs,
                fused: Fused::default(),
            }));
        }
        let legs: Vec<Legs> = scored.iter().map(|scored| scored.legs).collect();
        for (scored, fused) in scored.iter_mut().zip(fuse(&legs)) {
            scored.fused = fused;
            scored.ranked.score = match self.question.mode {
                Mode::Hybrid => fused.score,
                Mode::Lexical => scored.legs.lexical,
                Mode::Vector => scored.legs.vector.unwrap_or(0.0),
            };
        }
        scored
    }

    fn best(&self, mut scored: Vec<Scored<'a>>) -> Vec<Scored<'a>> {
        scored.sort_unstable_by(|a, b| b.ranked.cmp(&a.ranked));
        if self.question.group == Group::Document {
            let mut seen = std::collections::HashSet::new();
            scored.retain(|scored| seen.insert((scored.ranked.place.0, scored.ranked.document)));
        }
        scored.truncate(self.question.top_k);
        scored
    }

    fn found(&self, scored: &Scored<'_>) -> Found {
        let (at, slot) = scored.ranked.place;
        let chunk = self.sources.get(at).and_then(|source| source.chunk(slot));
        Found {
            source: at,
            chunk: chunk.map_or(0, |chunk| chunk.id),
            score: scored.ranked.score,
            lexical_rank: scored.ranks.lexical,
            vector_rank: scored.ranks.vector,
            cosine: scored.legs.vector.map(single),
            coverage: single(self.coverage(at, slot)),
            explanation: self.question.explain.then(|| self.explain(scored)),
        }
    }

    /// The question's terms that a chunk has.
    fn covered(&self, at: usize, slot: Slot) -> impl Iterator<Item = &WeightedTerm> {
        let words = self.sources.get(at).map(|source| &source.index.words);
        let holds =
            move |term: &&WeightedTerm| words.is_some_and(|words| words.holds(&term.term, slot));
        self.terms.iter().filter(holds)
    }

    fn coverage(&self, at: usize, slot: Slot) -> f64 {
        let mass = |terms: &mut dyn Iterator<Item = &WeightedTerm>| {
            terms.map(|term| term.idf).sum::<f64>()
        };
        let all = mass(&mut self.terms.iter());
        if all > 0.0 && self.question.says_something {
            mass(&mut self.covered(at, slot)) / all
        } else {
            0.0
        }
    }

    fn explain(&self, scored: &Scored<'_>) -> Explanation {
        let (at, slot) = scored.ranked.place;
        let source = self.sources.get(at);
        let share = |term: &WeightedTerm| {
            let score = source.map(|source| {
                source
                    .index
                    .words
                    .score(term, slot, &self.totals, &source.index.catalog)
            });
            (term.term.clone(), score.unwrap_or(0.0))
        };
        Explanation {
            lexical: (self.question.mode != Mode::Vector).then_some(scored.legs.lexical),
            lexical_scaled: (self.question.mode == Mode::Hybrid).then_some(scored.fused.lexical),
            vector: scored.legs.vector,
            vector_scaled: scored.legs.vector.map(|_| scored.fused.vector),
            terms: self.covered(at, slot).map(share).collect(),
        }
    }
}

#[expect(
    clippy::as_conversions,
    reason = "the standard library has no other way from f64 to f32"
)]
fn single(number: f64) -> f32 {
    number as f32
}

#[cfg(test)]
mod tests;

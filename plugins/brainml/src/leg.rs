//! One leg of a search: the best candidates, in an order that ties cannot change.

use std::cmp::Ordering;

use messages::brainml::Group;

use crate::{catalog::Slot, top::Top};

/// Where a chunk is: the position of its index among those searched, and its slot there.
pub(crate) type Place = (usize, Slot);

/// A chunk with a score. Greater is better: by score, then by the smaller document id, then by the
/// earlier position in the document, then by the earlier place.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ranked<'a> {
    /// What it is ranked by.
    pub(crate) score: f64,
    /// The id that its document's owner gave it.
    pub(crate) external_id: &'a str,
    /// Its byte offset in the document's text.
    pub(crate) start: u32,
    /// Where it is.
    pub(crate) place: Place,
    /// Position of its document in the catalog of its index.
    pub(crate) document: usize,
}

impl Ranked<'_> {
    fn is_of_same_document(&self, other: &Self) -> bool {
        (self.place.0, self.document) == (other.place.0, other.document)
    }
}

impl Ord for Ranked<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        let by_score = self.score.total_cmp(&other.score);
        by_score
            .then_with(|| other.external_id.cmp(self.external_id))
            .then_with(|| other.start.cmp(&self.start))
            .then_with(|| other.place.cmp(&self.place))
    }
}

impl PartialOrd for Ranked<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Ranked<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Ranked<'_> {}

/// Collects the best chunks, or the best chunk of each of the best documents. Chunks of one document
/// are offered one after another.
#[derive(Debug)]
pub(crate) struct Leg<'a> {
    group: Group,
    top: Top<Ranked<'a>>,
    best_of_document: Option<Ranked<'a>>,
}

impl<'a> Leg<'a> {
    /// Room for the best `depth`.
    pub(crate) fn new(group: Group, depth: usize) -> Self {
        Self {
            group,
            top: Top::new(depth),
            best_of_document: None,
        }
    }

    /// Shows a chunk.
    pub(crate) fn offer(&mut self, ranked: Ranked<'a>) {
        if self.group == Group::Chunk {
            return self.top.offer(ranked);
        }
        match &mut self.best_of_document {
            Some(best) if best.is_of_same_document(&ranked) => *best = ranked.max(*best),
            best => {
                if let Some(done) = best.replace(ranked) {
                    self.top.offer(done);
                }
            }
        }
    }

    /// What was collected, best first.
    pub(crate) fn finish(mut self) -> Vec<Ranked<'a>> {
        self.best_of_document
            .take()
            .into_iter()
            .for_each(|best| self.top.offer(best));
        self.top.into_sorted()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranked(score: f64, external_id: &str, start: u32, document: usize) -> Ranked<'_> {
        Ranked {
            score,
            external_id,
            start,
            place: (0, Slot(start)),
            document,
        }
    }

    #[test]
    fn ties_go_to_the_smaller_id_then_to_the_earlier_position() {
        let mut leg = Leg::new(Group::Chunk, 3);
        for chunk in [
            ranked(1.0, "b", 0, 1),
            ranked(1.0, "a", 9, 0),
            ranked(1.0, "a", 0, 0),
        ] {
            leg.offer(chunk);
        }
        let order: Vec<_> = leg
            .finish()
            .iter()
            .map(|r| (r.external_id, r.start))
            .collect();
        assert_eq!(order, [("a", 0), ("a", 9), ("b", 0)]);
    }

    #[test]
    fn a_document_counts_once_by_its_best_chunk() {
        let mut leg = Leg::new(Group::Document, 2);
        for chunk in [
            ranked(1.0, "a", 0, 0),
            ranked(3.0, "a", 5, 0),
            ranked(2.0, "b", 0, 1),
            ranked(0.5, "c", 0, 2),
        ] {
            leg.offer(chunk);
        }
        let order: Vec<_> = leg
            .finish()
            .iter()
            .map(|r| (r.external_id, r.start))
            .collect();
        assert_eq!(order, [("a", 5), ("b", 0)]);
    }
}

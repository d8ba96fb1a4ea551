//! Joins the two legs of a search: each scaled to 0..1 over all candidates, then averaged.
//!
//! Fixed equal weights beat reciprocal rank fusion on nearly every collection that was measured,
//! and weights tuned on a collection's own judgements never beat them.

/// The scores of one candidate.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Legs {
    /// Its BM25 score; 0 where it has none of the words.
    pub(crate) lexical: f64,
    /// Its cosine; absent without a vector.
    pub(crate) vector: Option<f64>,
}

/// The scores of one candidate on the scale of all of them.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Fused {
    /// The BM25 score scaled to 0..1.
    pub(crate) lexical: f64,
    /// The cosine scaled to 0..1; 0 without a vector.
    pub(crate) vector: f64,
    /// The mean of both; where no candidate has a vector, the BM25 score alone.
    pub(crate) score: f64,
}

/// Fuses candidates, in their order.
pub(crate) fn fuse(candidates: &[Legs]) -> Vec<Fused> {
    let lexical = Scale::over(candidates.iter().map(|legs| legs.lexical));
    let vector = Scale::over(candidates.iter().filter_map(|legs| legs.vector));
    candidates
        .iter()
        .map(|legs| {
            let lexical = lexical.map_or(0.0, |scale| scale.scaled(legs.lexical));
            let Some(vector) = vector else {
                return Fused {
                    lexical,
                    vector: 0.0,
                    score: lexical,
                };
            };
            let vector = legs.vector.map_or(0.0, |cosine| vector.scaled(cosine));
            Fused {
                lexical,
                vector,
                score: 0.5 * lexical + 0.5 * vector,
            }
        })
        .collect()
}

#[derive(Clone, Copy)]
struct Scale {
    least: f64,
    most: f64,
}

impl Scale {
    fn over(scores: impl Iterator<Item = f64>) -> Option<Self> {
        scores.fold(None, |scale, score| {
            let Self { least, most } = scale.unwrap_or(Self {
                least: score,
                most: score,
            });
            Some(Self {
                least: least.min(score),
                most: most.max(score),
            })
        })
    }

    /// Equal scores all count as best, unless there is nothing to them.
    fn scaled(&self, score: f64) -> f64 {
        let span = self.most - self.least;
        if span > 0.0 {
            (score - self.least) / span
        } else if self.most > 0.0 {
            1.0
        } else {
            0.0
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scores(candidates: &[(f64, Option<f64>)]) -> Vec<f64> {
        let legs = candidates
            .iter()
            .map(|&(lexical, vector)| Legs { lexical, vector });
        fuse(&legs.collect::<Vec<_>>())
            .iter()
            .map(|fused| fused.score)
            .collect()
    }

    #[test]
    fn each_leg_is_scaled_and_counts_half() {
        let fused = scores(&[(10.0, Some(0.25)), (5.0, Some(0.75)), (0.0, Some(0.5))]);
        // Scaled words 1, 0.5, 0; scaled vectors 0, 1, 0.5.
        assert_eq!(fused, [0.5, 0.75, 0.25]);
    }

    #[test]
    fn a_candidate_without_a_vector_counts_as_the_farthest() {
        assert_eq!(
            scores(&[(4.0, None), (2.0, Some(0.5)), (0.0, Some(0.1))]),
            [0.5, 0.75, 0.0]
        );
    }

    #[test]
    fn without_any_vector_the_words_count_alone() {
        assert_eq!(
            scores(&[(4.0, None), (2.0, None), (0.0, None)]),
            [1.0, 0.5, 0.0]
        );
    }

    #[test]
    fn equal_scores_are_best_unless_they_are_nothing() {
        assert_eq!(scores(&[(3.0, Some(0.4))]), [1.0]);
        assert_eq!(scores(&[(0.0, Some(0.4))]), [0.5]);
        assert!(scores(&[]).is_empty());
    }
}

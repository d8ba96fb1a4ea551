//! How requests to upstreams went: `llmserver` counts, the metrics read. The board lies outside the
//! plugin, so that a restart forgets nothing.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
};

/// What became of one request to an upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpstreamOutcome {
    /// It answered to the end.
    Answered,
    /// It said no.
    Refused,
    /// It was not reached, broke off, or answered with an error of its own.
    Failed,
    /// It took too long.
    TimedOut,
    /// Nobody waited any more.
    Cancelled,
}

/// How often one outcome came about: its name in the metrics, and the count.
pub type OutcomeCount = (&'static str, u64);

/// The figures of one upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamFigures {
    /// Its name in the settings.
    pub name: String,
    /// Requests that have ended.
    pub outcomes: [OutcomeCount; 5],
    /// Requests among them that followed a failed one of the same call.
    pub retries: u64,
    /// Whether it has failed again and again, and has not answered since.
    pub breaker_open: bool,
}

/// Counts for one upstream.
#[derive(Debug, Default)]
pub struct UpstreamMeter {
    answered: AtomicU64,
    refused: AtomicU64,
    failed: AtomicU64,
    timed_out: AtomicU64,
    cancelled: AtomicU64,
    retries: AtomicU64,
    breaker_open: AtomicBool,
}

impl UpstreamMeter {
    /// A request has ended.
    pub fn ended(&self, outcome: UpstreamOutcome) {
        let count = match outcome {
            UpstreamOutcome::Answered => &self.answered,
            UpstreamOutcome::Refused => &self.refused,
            UpstreamOutcome::Failed => &self.failed,
            UpstreamOutcome::TimedOut => &self.timed_out,
            UpstreamOutcome::Cancelled => &self.cancelled,
        };
        count.fetch_add(1, Relaxed);
    }

    /// A request follows a failed one of the same call.
    pub fn retried(&self) {
        self.retries.fetch_add(1, Relaxed);
    }

    /// It is left alone from now on, or in use again.
    pub fn breaker(&self, open: bool) {
        self.breaker_open.store(open, Relaxed);
    }

    fn figures(&self, name: &str) -> UpstreamFigures {
        let count = |count: &AtomicU64| count.load(Relaxed);
        UpstreamFigures {
            name: name.to_owned(),
            outcomes: [
                ("answered", count(&self.answered)),
                ("refused", count(&self.refused)),
                ("failed", count(&self.failed)),
                ("timed_out", count(&self.timed_out)),
                ("cancelled", count(&self.cancelled)),
            ],
            retries: count(&self.retries),
            breaker_open: self.breaker_open.load(Relaxed),
        }
    }
}

/// The meters of the upstreams that the settings name, and of no others: their names are labels.
#[derive(Debug, Default)]
pub struct UpstreamBoard(Mutex<BTreeMap<String, Arc<UpstreamMeter>>>);

impl UpstreamBoard {
    /// The meters of `names`, in their order. What is counted already stays; an upstream that is no
    /// longer named is forgotten.
    pub fn name<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> Vec<Arc<UpstreamMeter>> {
        let mut meters = self.lock();
        let mut old = std::mem::take(&mut *meters);
        let named = names.into_iter().map(|name| {
            let meter = meters.entry(name.to_owned());
            let meter = meter.or_insert_with(|| old.remove(name).unwrap_or_default());
            meter.clone()
        });
        named.collect()
    }

    /// All of them, by name.
    pub fn figures(&self) -> Vec<UpstreamFigures> {
        let meters = self.lock();
        let figures = meters.iter().map(|(name, meter)| meter.figures(name));
        figures.collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Arc<UpstreamMeter>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_longer_named_is_forgotten_and_the_rest_is_kept() {
        let board = UpstreamBoard::default();
        let meters = board.name(["far", "near"]);
        meters[0].ended(UpstreamOutcome::Answered);
        meters[1].retried();
        board.name(["near", "new"]);
        let figures = board.figures();
        let told: Vec<_> = figures
            .iter()
            .map(|one| (&*one.name, one.retries))
            .collect();
        assert_eq!(told, [("near", 1), ("new", 0)]);
        board.name(["far"]);
        assert_eq!(board.figures()[0].outcomes[0], ("answered", 0));
    }
}

//! The calls of one capability: the permits that bound them, and what became of them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use arc_swap::ArcSwapOption;
use tokio::sync::Semaphore;

use crate::{
    fault::FaultKind,
    histogram::{Buckets, Histogram},
    plugin::CallCounts,
};

/// The calls of one capability since the gateway's start. It outlives the plugin's stops and starts.
#[derive(Debug)]
pub(crate) struct Traffic {
    capability: &'static str,
    permits: ArcSwapOption<Permits>,
    outcomes: Outcomes,
    latency: Histogram,
}

/// The permits of one tenure. What a thread that was abandoned still holds is not among them.
#[derive(Debug)]
struct Permits {
    free: Arc<Semaphore>,
    limit: usize,
}

#[derive(Debug, Default)]
struct Outcomes {
    served: AtomicU64,
    refused: AtomicU64,
    rejected: AtomicU64,
    failed: AtomicU64,
    timed_out: AtomicU64,
    cancelled: AtomicU64,
}

/// The calls of one capability, as of now.
#[derive(Debug, Clone, PartialEq)]
pub struct TrafficFigures {
    /// The capability, such as `llm.chat`.
    pub capability: &'static str,
    /// How many calls may be at work at the same time.
    pub permits: usize,
    /// How many permits are taken.
    pub permits_taken: usize,
    /// What became of the calls; `in_flight` and `panics` are known for the plugin alone and are 0
    /// here.
    pub counts: CallCounts,
    /// How long the calls took that were let in.
    pub latency: Buckets,
}

impl Traffic {
    pub(crate) fn new(capability: &'static str) -> Self {
        Self {
            capability,
            permits: ArcSwapOption::empty(),
            outcomes: Outcomes::default(),
            latency: Histogram::default(),
        }
    }

    pub(crate) fn capability(&self) -> &'static str {
        self.capability
    }

    /// Says which permits bound the calls from now on.
    pub(crate) fn begin(&self, free: Arc<Semaphore>, limit: usize) {
        self.permits.store(Some(Arc::new(Permits { free, limit })));
    }

    pub(crate) fn count_refusal(&self) {
        self.outcomes.refused.fetch_add(1, Relaxed);
    }

    pub(crate) fn count(&self, took: Duration, fault: Option<FaultKind>) {
        let outcomes = &self.outcomes;
        let counter = match fault {
            None => &outcomes.served,
            Some(FaultKind::TimedOut) => &outcomes.timed_out,
            Some(FaultKind::Cancelled) => &outcomes.cancelled,
            Some(
                FaultKind::Crashed
                | FaultKind::Internal
                | FaultKind::StorageFull
                | FaultKind::StorageFailed,
            ) => &outcomes.failed,
            Some(
                FaultKind::Overloaded
                | FaultKind::Restarting
                | FaultKind::Stopped
                | FaultKind::Failed,
            ) => &outcomes.refused,
            Some(_) => &outcomes.rejected,
        };
        counter.fetch_add(1, Relaxed);
        self.latency.record(took);
    }

    pub(crate) fn counts(&self) -> CallCounts {
        let outcomes = &self.outcomes;
        CallCounts {
            served: outcomes.served.load(Relaxed),
            refused: outcomes.refused.load(Relaxed),
            rejected: outcomes.rejected.load(Relaxed),
            failed: outcomes.failed.load(Relaxed),
            timed_out: outcomes.timed_out.load(Relaxed),
            cancelled: outcomes.cancelled.load(Relaxed),
            ..CallCounts::default()
        }
    }

    pub(crate) fn latency(&self) -> Buckets {
        self.latency.read()
    }

    pub(crate) fn figures(&self) -> TrafficFigures {
        let permits = self.permits.load();
        let limit = permits.as_ref().map_or(0, |permits| permits.limit);
        let free = permits
            .as_ref()
            .map_or(0, |permits| permits.free.available_permits());
        TrafficFigures {
            capability: self.capability,
            permits: limit,
            permits_taken: limit.saturating_sub(free),
            counts: self.counts(),
            latency: self.latency(),
        }
    }
}

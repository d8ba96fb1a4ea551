//! The last traces, in memory.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use messages::trace::{Span, SpanKind, TraceId};

use super::kept::Kept;
use crate::http::tally::Ended;

/// Traces that are kept.
const MOST: usize = 200;

/// The last requests with their traces.
#[derive(Debug, Default)]
pub(super) struct Ring(Mutex<VecDeque<Arc<Entry>>>);

/// A request that has ended.
#[derive(Debug)]
pub(crate) struct Entry {
    kept: Arc<Kept>,
    /// The request's id.
    pub(crate) request_id: Arc<str>,
    /// The method.
    pub(crate) method: String,
    /// The pattern of its route; nothing where none was found.
    pub(crate) route: Option<String>,
    /// The status that was sent, or 499 where the client left.
    pub(crate) status: u16,
    /// From its head to the end of its answer.
    pub(crate) took: Duration,
}

/// Which traces a reader wants.
#[derive(Debug, Default)]
pub(crate) struct Wish {
    /// How many at the most.
    pub(crate) limit: usize,
    /// Requests of this route alone.
    pub(crate) route: Option<String>,
    /// Requests that ended so alone.
    pub(crate) status: Option<StatusWish>,
}

/// Which statuses a reader wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StatusWish {
    /// This one.
    Exactly(u16),
    /// All that begin with this digit.
    Class(u16),
}

impl StatusWish {
    fn holds(self, status: u16) -> bool {
        match self {
            Self::Exactly(wanted) => status == wanted,
            Self::Class(digit) => status / 100 == digit,
        }
    }
}

/// All that is kept of one trace: several requests, where a caller made them in one.
#[derive(Debug)]
pub(crate) struct Whole {
    /// The first request.
    pub(crate) first: Arc<Entry>,
    /// The spans of all, in the order in which they began.
    pub(crate) spans: Vec<WholeSpan>,
    /// Spans that there was no room for.
    pub(crate) left_out: u64,
    /// From the first span's beginning to the end of the last.
    pub(crate) took: Duration,
}

/// A span within its trace.
#[derive(Debug)]
pub(crate) struct WholeSpan {
    /// The span.
    pub(crate) span: Arc<Span>,
    /// From the trace's beginning to the span's.
    pub(crate) start: Duration,
}

impl Entry {
    pub(super) fn new(kept: Arc<Kept>, ended: Ended) -> Self {
        Self {
            kept,
            request_id: ended.facts.request_id,
            method: ended.facts.method,
            route: ended.facts.route,
            status: ended.status,
            took: ended.took,
        }
    }

    /// The id of its trace.
    pub(crate) fn trace_id(&self) -> TraceId {
        self.kept.id()
    }

    /// When it began.
    pub(crate) fn began_at(&self) -> Timestamp {
        self.kept.began_at()
    }

    /// How many of its spans have ended.
    pub(crate) fn spans(&self) -> usize {
        self.kept.count()
    }
}

impl Ring {
    pub(super) fn keep(&self, entry: Entry) {
        let entry = Arc::new(entry);
        let mut ring = self.lock();
        let oldest = (ring.len() >= MOST).then(|| ring.pop_front());
        ring.push_back(entry);
        drop(ring);
        // Its spans are many: nobody is to wait for that.
        drop(oldest);
    }

    pub(super) fn latest(&self, wish: &Wish) -> Vec<Arc<Entry>> {
        let mut entries: Vec<_> = self.lock().iter().cloned().collect();
        entries.sort_by_key(|entry| std::cmp::Reverse(entry.began_at()));
        let route = wish.route.as_deref();
        let wanted = entries.into_iter().filter(|entry| {
            route.is_none_or(|route| entry.route.as_deref() == Some(route))
                && wish.status.is_none_or(|status| status.holds(entry.status))
        });
        wanted.take(wish.limit).collect()
    }

    pub(super) fn find(&self, id: TraceId) -> Option<Whole> {
        let mut entries: Vec<_> = self.lock().iter().cloned().collect();
        entries.retain(|entry| entry.trace_id() == id);
        let first = entries.iter().min_by_key(|entry| entry.kept.began_at());
        let first = first.cloned()?;
        let spans = entries.iter().flat_map(|entry| entry.kept.spans());
        let mut spans: Vec<WholeSpan> = spans
            .map(|span| WholeSpan {
                start: first.kept.until(span.started),
                span,
            })
            .collect();
        spans.sort_by_key(|one| (one.start, one.span.kind != SpanKind::Server));
        let ends = spans.iter().map(|one| first.kept.until(one.span.ended));
        Some(Whole {
            took: ends.max().unwrap_or_default(),
            left_out: entries.iter().map(|entry| entry.kept.left_out()).sum(),
            first,
            spans,
        })
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Arc<Entry>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

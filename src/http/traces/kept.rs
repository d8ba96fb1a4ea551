//! The spans of one request, as they end.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use jiff::Timestamp;
use messages::trace::{Recorder, Span, SpanKind, TraceId};

use crate::telemetry::{Exporter, Finished};

/// Most spans of one request; the rest is counted.
const MOST_SPANS: usize = 256;
/// Most bytes of one request's spans.
const MOST_BYTES: usize = 64 << 10;

/// The spans of one request. Some may end after the request: who leaves does not stop at once what
/// was under way.
#[derive(Debug)]
pub(crate) struct Kept {
    id: TraceId,
    began: Instant,
    began_at: Timestamp,
    exporter: Option<Exporter>,
    spans: Mutex<Spans>,
}

#[derive(Debug, Default)]
struct Spans {
    all: Vec<Arc<Span>>,
    bytes: usize,
    left_out: u64,
}

impl Kept {
    /// Nothing yet of the trace `id`, which begins now; its spans go to `exporter` too.
    pub(super) fn new(id: TraceId, exporter: Option<Exporter>) -> Self {
        Self {
            id,
            began: Instant::now(),
            began_at: Timestamp::now(),
            exporter,
            spans: Mutex::default(),
        }
    }

    /// The trace's id.
    pub(super) fn id(&self) -> TraceId {
        self.id
    }

    /// When it began.
    pub(super) fn began_at(&self) -> Timestamp {
        self.began_at
    }

    /// From the trace's beginning to `instant`.
    pub(super) fn until(&self, instant: Instant) -> Duration {
        instant.saturating_duration_since(self.began)
    }

    /// The spans that have ended so far.
    pub(super) fn spans(&self) -> Vec<Arc<Span>> {
        self.lock().all.clone()
    }

    /// How many have ended.
    pub(super) fn count(&self) -> usize {
        self.lock().all.len()
    }

    /// How many there was no room for.
    pub(super) fn left_out(&self) -> u64 {
        self.lock().left_out
    }

    fn export(&self, span: &Arc<Span>) {
        let Some(exporter) = &self.exporter else {
            return;
        };
        let began = u64::try_from(self.began_at.as_nanosecond()).unwrap_or_default();
        let later = u64::try_from(self.until(span.started).as_nanos()).unwrap_or_default();
        exporter.offer(Finished {
            trace: self.id,
            started: began.saturating_add(later),
            span: span.clone(),
        });
    }

    fn lock(&self) -> MutexGuard<'_, Spans> {
        self.spans.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Recorder for Kept {
    fn record(&self, span: Span) {
        let size = size(&span);
        let span = Arc::new(span);
        self.export(&span);
        let mut spans = self.lock();
        let room = spans.all.len() < MOST_SPANS && spans.bytes + size <= MOST_BYTES;
        // Without the request's own span the others would hang in the air.
        if room || span.kind == SpanKind::Server {
            spans.bytes += size;
            spans.all.push(span);
        } else {
            spans.left_out += 1;
        }
    }
}

fn size(span: &Span) -> usize {
    let attributes = span.attributes.iter();
    let attributes = attributes.map(|one| size_of_val(one) + one.1.size());
    size_of::<Span>() + span.name.len() + attributes.sum::<usize>()
}

#[cfg(test)]
mod tests {
    use messages::trace::{Attribute, SpanId};

    use super::*;

    fn span(kind: SpanKind, text: usize) -> Span {
        Span {
            id: SpanId::random(),
            parent: None,
            name: "x".into(),
            kind,
            plugin: None,
            started: Instant::now(),
            ended: Instant::now(),
            error: None,
            attributes: vec![("a", Attribute::from("x".repeat(text)))],
        }
    }

    #[test]
    fn a_request_of_very_many_spans_is_bounded_and_keeps_its_own() {
        for text in [0, 10_000] {
            let kept = Kept::new(TraceId::random(), None);
            for _ in 0..1_000 {
                kept.record(span(SpanKind::Internal, text));
            }
            kept.record(span(SpanKind::Server, text));
            let spans = kept.spans();
            assert!(spans.len() <= MOST_SPANS + 1, "{}", spans.len());
            let bytes: usize = spans.iter().map(|span| size(span)).sum();
            assert!(bytes <= MOST_BYTES + 2 * text + 1_000, "{bytes}");
            assert_eq!(spans.last().unwrap().kind, SpanKind::Server);
            let known = u64::try_from(spans.len()).unwrap() + kept.left_out();
            assert_eq!(known, 1_001);
        }
    }
}

//! Sends sampled spans to a collector: OTLP over HTTP, in protobuf.
//!
//! Whoever ends a span hands it over without waiting. One task sends what has gathered; while the
//! collector is slow or gone, nothing happens but that spans are dropped and counted.

mod batch;
mod post;
mod target;

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use messages::trace::{Span, TraceId};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use self::post::Courier;
pub(crate) use self::target::TargetError;
use crate::settings;

/// Spans that may wait; one more is dropped.
const MOST_WAITING: usize = 8_192;
/// So many do not wait for more.
const ENOUGH: usize = 2_048;
/// How long spans gather.
const GATHER: Duration = Duration::from_secs(1);
/// How long the end of the gateway may be held up by spans.
const FLUSH_WITHIN: Duration = Duration::from_secs(2);

/// Where spans that have ended are handed over. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Exporter(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    waiting: Mutex<Vec<Finished>>,
    arrived: Notify,
    enough: Notify,
    counts: Counts,
    closing: CancellationToken,
    closed: CancellationToken,
}

/// A span with what it does not know itself.
#[derive(Debug, Clone)]
pub(crate) struct Finished {
    /// The trace that it is a part of.
    pub(crate) trace: TraceId,
    /// When it began, in nanoseconds of Unix time.
    pub(crate) started: u64,
    /// The span.
    pub(crate) span: Arc<Span>,
}

#[derive(Debug, Default)]
struct Counts {
    sent: AtomicU64,
    overflowed: AtomicU64,
    refused: AtomicU64,
    unsent: AtomicU64,
}

/// What has become of spans since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct ExportFigures {
    /// Taken by the collector.
    pub(crate) sent: u64,
    /// Dropped because too many waited.
    pub(crate) overflowed: u64,
    /// Refused by the collector.
    pub(crate) refused: u64,
    /// Given up, because the collector could not be reached or did not answer.
    pub(crate) unsent: u64,
}

impl Exporter {
    /// Starts to send to the collector of the settings; nothing where they name none.
    ///
    /// # Errors
    /// Where the settings cannot be used.
    pub(crate) fn start(settings: &settings::Telemetry) -> Result<Option<Self>, TargetError> {
        let Some(courier) = Courier::new(settings)? else {
            return Ok(None);
        };
        let shared = Arc::<Shared>::default();
        log::info!("traces are sent to {}", courier.place());
        actix_web::rt::spawn(send(shared.clone(), courier));
        Ok(Some(Self(shared)))
    }

    /// Hands a span over. Never waits.
    pub(crate) fn offer(&self, span: Finished) {
        let mut waiting = self.0.waiting();
        if waiting.len() >= MOST_WAITING {
            self.0.counts.overflowed.fetch_add(1, Relaxed);
            return;
        }
        waiting.push(span);
        let count = waiting.len();
        drop(waiting);
        // Waking the task costs more than all the rest: once for many spans.
        match count {
            1 => self.0.arrived.notify_one(),
            ENOUGH => self.0.enough.notify_one(),
            _ => (),
        }
    }

    /// The figures as of now.
    pub(crate) fn figures(&self) -> ExportFigures {
        let counts = &self.0.counts;
        ExportFigures {
            sent: counts.sent.load(Relaxed),
            overflowed: counts.overflowed.load(Relaxed),
            refused: counts.refused.load(Relaxed),
            unsent: counts.unsent.load(Relaxed),
        }
    }

    /// Sends what is left, if the collector takes it soon.
    pub(crate) async fn close(&self) {
        self.0.closing.cancel();
        let closed = self.0.closed.cancelled();
        if tokio::time::timeout(FLUSH_WITHIN, closed).await.is_err() {
            log::warn!("the last spans were not sent: the collector is slow");
        }
    }
}

impl Shared {
    fn waiting(&self) -> MutexGuard<'_, Vec<Finished>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until spans have gathered, or the gateway ends, and takes them.
    async fn gathered(&self) -> Vec<Finished> {
        tokio::select! {
            () = self.arrived.notified() => tokio::select! {
                () = tokio::time::sleep(GATHER) => (),
                () = self.enough.notified() => (),
                () = self.closing.cancelled() => (),
            },
            () = self.closing.cancelled() => (),
        }
        std::mem::take(&mut *self.waiting())
    }
}

/// Sends until the gateway ends and nothing is left.
async fn send(shared: Arc<Shared>, mut courier: Courier) {
    loop {
        let last = shared.closing.is_cancelled();
        let spans = shared.gathered().await;
        for batch in spans.chunks(batch::MOST) {
            courier
                .deliver(batch, &shared.closing, &shared.counts)
                .await;
        }
        if last && spans.is_empty() {
            break;
        }
    }
    shared.closed.cancel();
}

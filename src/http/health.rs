//! Whether the gateway lives, and whether it is ready for work.

use std::time::Duration;

use actix_web::{HttpResponse, get, web};
use futures_util::future::BoxFuture;
use messages::{
    fault::Fault,
    plugin::{PluginState, Status},
};
use serde::Serialize;
use tokio::{
    sync::Mutex,
    time::{Instant, timeout},
};
use utoipa::ToSchema;

use super::{
    Edge,
    caller::{Allowed, Anyone},
    tls::CertificateStatus,
};

/// A short answer.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Health {
    /// `ok` or `unavailable`.
    status: &'static str,
    /// Why not, where it is not `ok`.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// Everything about the gateway's health.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct HealthDetail {
    /// Ready or not, and why.
    #[serde(flatten)]
    health: Health,
    /// The gateway's version.
    version: &'static str,
    /// Seconds since the start.
    uptime_seconds: u64,
    /// Connections of everyone, the owner's aside.
    connections: usize,
    /// The certificate, where the gateway encrypts by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate: Option<CertificateStatus>,
    /// All plugins.
    plugins: Vec<PluginState>,
}

/// Whether the process answers.
#[utoipa::path(tag = "health", responses((status = 200, body = Health)))]
#[get("/health/live")]
pub(crate) async fn live() -> HttpResponse {
    HttpResponse::Ok().json(ok())
}

/// Whether the gateway is ready: the store can be written, `apikeys` runs, and it is not draining.
#[utoipa::path(tag = "health", responses(
    (status = 200, body = Health), (status = 503, body = Health)
))]
#[get("/health/ready")]
pub(crate) async fn ready(edge: web::Data<Edge>) -> HttpResponse {
    let health = readiness(&edge).await;
    match health.reason {
        None => HttpResponse::Ok().json(health),
        Some(_) => HttpResponse::ServiceUnavailable().json(health),
    }
}

/// Readiness, version, uptime and the state of every plugin.
#[utoipa::path(tag = "health", responses((status = 200, body = HealthDetail)), security(("key" = [])))]
#[get("/health")]
pub(crate) async fn detail(caller: Allowed<Anyone>) -> HttpResponse {
    let edge = caller.edge();
    HttpResponse::Ok().json(HealthDetail {
        health: readiness(edge).await,
        version: env!("CARGO_PKG_VERSION"),
        uptime_seconds: edge.started.elapsed().as_secs(),
        connections: edge.places.in_use(),
        certificate: edge.certificate.as_ref().map(|shown| shown.status()),
        plugins: edge.directory.states(),
    })
}

fn ok() -> Health {
    Health {
        status: "ok",
        reason: None,
    }
}

async fn readiness(edge: &Edge) -> Health {
    let reason = if edge.drain.is_draining() {
        Some("the gateway is shutting down".to_owned())
    } else if !runs(edge, "apikeys") {
        Some("apikeys is not running".to_owned())
    } else {
        edge.store.look().await.err().map(|fault| fault.message)
    };
    match reason {
        None => ok(),
        reason => Health {
            status: "unavailable",
            reason,
        },
    }
}

/// Whether the store can be written, looked at once a second at the most, however many ask: the look
/// takes the one write lock, and anyone may ask.
pub(crate) struct StoreHealth {
    check: StoreCheck,
    patience: Patience,
    known: Mutex<Known>,
}

/// What has been found, and the look under way, with its beginning: while one hangs, no others pile
/// up behind it.
#[derive(Default)]
struct Known {
    last: Option<(Instant, Result<(), Fault>)>,
    under_way: Option<(Instant, Look)>,
}

type Look = BoxFuture<'static, Result<(), Fault>>;

/// How the store is looked at.
pub(crate) type StoreCheck = Box<dyn Fn() -> Look + Send + Sync>;

/// How patient a look is.
#[derive(Debug, Clone, Copy)]
struct Patience {
    /// How long an answer holds.
    look_every: Duration,
    /// How long an asker waits. A store that takes longer to be written may be busy, and not broken:
    /// a long write holds its lock.
    busy_after: Duration,
    /// A look that takes longer than this has met a disk that hangs, or as good as that.
    hangs_after: Duration,
}

const PATIENCE: Patience = Patience {
    look_every: Duration::from_secs(1),
    busy_after: Duration::from_secs(2),
    hangs_after: Duration::from_secs(5),
};

impl Patience {
    /// What is said of a store that has not been written `for_long`.
    fn judge(self, for_long: Duration) -> Result<(), Fault> {
        if for_long < self.hangs_after {
            return Ok(());
        }
        let seconds = for_long.as_secs();
        Err(Fault::overloaded(format!(
            "the store has taken no write for {seconds} s: its disk hangs, or a write is very long"
        )))
    }
}

impl StoreHealth {
    /// Nothing is known until somebody asks.
    pub(crate) fn new(check: StoreCheck) -> Self {
        Self {
            check,
            patience: PATIENCE,
            known: Mutex::default(),
        }
    }

    /// Whether the store can be written, as of at most a second ago.
    pub(crate) async fn look(&self) -> Result<(), Fault> {
        let mut known = self.known.lock().await;
        if let Some((at, found)) = &known.last
            && at.elapsed() < self.patience.look_every
        {
            return found.clone();
        }
        let begin = || (Instant::now(), (self.check)());
        // It stays where it is: an asker that leaves must not end it.
        let (since, look) = known.under_way.get_or_insert_with(begin);
        let found = match timeout(self.patience.busy_after, look).await {
            Ok(found) => {
                known.under_way = None;
                found
            }
            Err(_) => self.patience.judge(since.elapsed()),
        };
        known.last = Some((Instant::now(), found.clone()));
        found
    }
}

fn runs(edge: &Edge, name: &str) -> bool {
    let gate = edge.directory.gate(name);
    gate.is_some_and(|gate| gate.status() == Status::Running)
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    };

    use futures_util::FutureExt;
    use tokio::sync::Notify;

    use super::*;

    /// Nobody waits, and everything is a hang.
    const NONE: Patience = Patience {
        look_every: Duration::ZERO,
        busy_after: Duration::ZERO,
        hangs_after: Duration::ZERO,
    };

    #[tokio::test]
    async fn a_store_that_hangs_is_not_ready_and_gathers_no_looks() {
        let (begun, freed) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
        let (count, end) = (begun.clone(), freed.clone());
        let health = StoreHealth::new(Box::new(move || {
            count.fetch_add(1, SeqCst);
            let end = end.clone();
            async move {
                end.notified().await;
                Ok(())
            }
            .boxed()
        }));
        let health = StoreHealth {
            patience: NONE,
            ..health
        };
        for _ in 0..10 {
            let fault = health.look().await.unwrap_err();
            assert!(fault.message.contains("hangs"), "{fault}");
        }
        assert_eq!(begun.load(SeqCst), 1);
        freed.notify_one();
        assert_eq!(health.look().await, Ok(()));
    }

    #[test]
    fn a_long_write_is_no_disk_that_hangs() {
        let told = |seconds| PATIENCE.judge(Duration::from_secs(seconds));
        assert_eq!(told(4), Ok(()));
        assert!(told(5).is_err());
    }
}

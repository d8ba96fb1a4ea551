//! Whether the gateway lives, and whether it is ready for work.

use std::time::{Duration, Instant};

use actix_web::{HttpResponse, get, web};
use futures_util::future::BoxFuture;
use messages::{
    fault::Fault,
    plugin::{PluginState, Status},
};
use serde::Serialize;
use tokio::{sync::Mutex, time::timeout};
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
    last: Mutex<Option<(Instant, Result<(), Fault>)>>,
}

/// How the store is looked at.
pub(crate) type StoreCheck = Box<dyn Fn() -> BoxFuture<'static, Result<(), Fault>> + Send + Sync>;

/// How long an answer holds.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A store that takes longer than this to be written is busy, and not broken: a long write holds
/// its lock.
const BUSY_AFTER: Duration = Duration::from_secs(2);

impl StoreHealth {
    /// Nothing is known until somebody asks.
    pub(crate) fn new(check: StoreCheck) -> Self {
        Self {
            check,
            last: Mutex::default(),
        }
    }

    /// Whether the store can be written, as of at most a second ago.
    pub(crate) async fn look(&self) -> Result<(), Fault> {
        let mut last = self.last.lock().await;
        if let Some((at, known)) = &*last
            && at.elapsed() < LOOK_EVERY
        {
            return known.clone();
        }
        let found = timeout(BUSY_AFTER, (self.check)()).await.unwrap_or(Ok(()));
        *last = Some((Instant::now(), found.clone()));
        found
    }
}

fn runs(edge: &Edge, name: &str) -> bool {
    let gate = edge.directory.gate(name);
    gate.is_some_and(|gate| gate.status() == Status::Running)
}

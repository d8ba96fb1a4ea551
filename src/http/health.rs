//! Whether the gateway lives, and whether it is ready for work.

use actix_web::{HttpResponse, get, web};
use messages::plugin::{PluginState, Status};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    Edge,
    caller::{Allowed, Anyone},
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
        (edge.store_check)().await.err().map(|fault| fault.message)
    };
    match reason {
        None => ok(),
        reason => Health {
            status: "unavailable",
            reason,
        },
    }
}

fn runs(edge: &Edge, name: &str) -> bool {
    let gate = edge.directory.gate(name);
    gate.is_some_and(|gate| gate.status() == Status::Running)
}

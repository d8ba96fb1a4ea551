//! `/metrics`: what Prometheus reads.
//!
//! Every figure but one is read from what others publish or count anyway: a scrape sends no message,
//! so it answers whatever the plugins do. It has the store looked at, as readiness does and at most
//! once a second for both. Label values are few whatever callers send: routes are those of the
//! gateway, models and upstreams are those that exist, and the rest is `other`.

mod gauges;
mod models;
mod page;
mod plain;
mod plugins;
mod process;
pub(crate) mod requests;
mod upstreams;

use actix_web::{HttpRequest, HttpResponse, get, http::header::CONTENT_TYPE, web};
use messages::fault::Fault;
use prometheus_client::{encoding::text::encode, registry::Registry};

use self::{gauges::Gauges, plugins::Plugins, process::Process, upstreams::Upstreams};
use super::{
    caller::{Allowed, Anyone},
    error::Problem,
};

/// The text format that `encode` writes and every Prometheus since 2.5 reads.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Everything that is counted, in the text format of OpenMetrics, or for those who ask for `text/plain`
/// alone in the older one.
#[utoipa::path(tag = "health", responses(
    (status = 200, description = "the metrics, as Prometheus reads them", body = String)
), security(("key" = []), ("session" = [])))]
#[get("/metrics")]
pub(crate) async fn read_metrics(
    caller: Allowed<Anyone>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let edge = caller.edge();
    let writable = edge.store.look().await.is_ok();
    let (requests, gauges) = (edge.requests.figures(), Gauges::of(edge, writable));
    let plugins = Plugins::of(&edge.directory);
    let upstreams = Upstreams::of(&edge.upstreams);
    // Reading about the process and the files may block.
    let written = web::block(move || {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(requests));
        registry.register_collector(Box::new(plugins));
        registry.register_collector(Box::new(upstreams));
        registry.register_collector(Box::new(gauges));
        registry.register_collector(Box::new(Process));
        let mut text = String::new();
        encode(&mut text, &registry).map(|()| text)
    });
    let unwritten = |error: &dyn std::fmt::Display| Fault::internal(format!("metrics: {error}"));
    let text = written.await.map_err(|error| unwritten(&error))?;
    let text = text.map_err(|error| unwritten(&error))?;
    let (kind, text) = match plain::is_wanted(&request) {
        true => (plain::KIND, plain::rewrite(&text)),
        false => (OPEN_METRICS, text),
    };
    Ok(HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, kind))
        .body(text))
}

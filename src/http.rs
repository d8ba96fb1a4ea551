//! The HTTP edge: every route, and the order of the middleware.

pub(crate) mod access;
pub(crate) mod address;
pub(crate) mod admin;
pub(crate) mod auth;
pub(crate) mod booking;
pub(crate) mod brainml;
pub(crate) mod caller;
pub(crate) mod conversations;
pub(crate) mod cors;
pub(crate) mod cross_site;
pub(crate) mod drain;
pub(crate) mod error;
pub(crate) mod headers;
pub(crate) mod health;
pub(crate) mod json;
pub(crate) mod limits;
pub(crate) mod metrics;
pub(crate) mod openai;
pub(crate) mod openapi;
pub(crate) mod request_id;
pub(crate) mod server;
pub(crate) mod site;
pub(crate) mod tally;
pub(crate) mod tls;
pub(crate) mod traces;
pub(crate) mod ws;

use std::{path::Path, sync::Arc, time::Instant};

use messages::{apikeys::Credentials, line::Directory, upstreams::UpstreamBoard};
use utoipa_actix_web::{scope, service_config::ServiceConfig};

pub(crate) use self::drain::Drain;
use self::{
    auth::CookiePolicy,
    server::{body::Pace, places::Places},
    tls::Certificate,
};

/// What all handlers share.
pub(crate) struct Edge {
    /// Who answers what, and the states of all plugins.
    pub(crate) directory: Directory,
    /// The published keys and sessions.
    pub(crate) credentials: Arc<Credentials>,
    /// How requests to upstreams went.
    pub(crate) upstreams: Arc<UpstreamBoard>,
    /// The log's ring, for the sockets.
    pub(crate) logs: ws::Logs,
    /// The readers of the sockets.
    pub(crate) readers: Arc<ws::Readers>,
    /// Whether the store can be written.
    pub(crate) store: health::StoreHealth,
    /// How backups are made and listed.
    pub(crate) backups: admin::backups::Backups,
    /// The places for connections.
    pub(crate) places: Places,
    /// The certificate, where connections are encrypted.
    pub(crate) certificate: Option<Arc<Certificate>>,
    /// How fast bodies must come.
    pub(crate) pace: Pace,
    /// How the gateway ends.
    pub(crate) drain: Arc<Drain>,
    /// The address that people see, where it is not the one that is listened on.
    pub(crate) public_url: Option<String>,
    /// The proxies before the gateway.
    pub(crate) proxies: address::Proxies,
    /// The web pages of other origins that are let in.
    pub(crate) cors: cors::Cors,
    /// Whether people reach the gateway by https, if only through a proxy.
    pub(crate) encrypted: bool,
    /// How the session cookie is sent.
    pub(crate) cookies: CookiePolicy,
    /// The largest body of a question to a model, in bytes.
    pub(crate) body_limit: usize,
    /// The largest body of documents, in bytes.
    pub(crate) documents_limit: usize,
    /// The requests of all time, for the metrics.
    pub(crate) requests: metrics::requests::Requests,
    /// The traces of the last requests.
    pub(crate) traces: traces::Traces,
    /// The database's file, whose size is told.
    pub(crate) database: Arc<Path>,
    /// The models that have answered.
    pub(crate) models: openai::known::KnownModels,
    /// Tokens set aside for an answer whose length its request does not name.
    pub(crate) completion_tokens: u64,
    /// The settings that the gateway was started with.
    pub(crate) settings: admin::settings::InForce,
    /// When the gateway started.
    pub(crate) started: Instant,
}

impl Edge {
    /// Whether connections are encrypted by the gateway itself.
    pub(crate) fn is_tls(&self) -> bool {
        self.certificate.is_some()
    }

    /// Takes note of a request that has ended.
    pub(crate) fn count(&self, mut ended: tally::Ended) {
        booking::book(&ended, self.credentials.ledger());
        access::log(&ended);
        self.requests.count(&ended);
        if let Some(span) = ended.facts.span.take() {
            self.traces.end(span, ended);
        }
    }
}

/// Every route. What is registered here is in `/openapi.json`, and nothing else is. What no route
/// takes may be a file or a page of the admin site ([`site::page`]).
pub(crate) fn routes(app: &mut ServiceConfig<'_>) {
    let documents = scope("/brainml/collections/{name}/documents")
        .service(brainml::index)
        .service(brainml::list_documents)
        // Before the document itself, whose id may hold slashes.
        .service(brainml::list_chunks)
        .service(brainml::read_document)
        .service(brainml::forget);
    app.service(documents)
        .service(health::live)
        .service(health::ready)
        .service(health::detail)
        .service(metrics::read_metrics)
        .service(auth::login)
        .service(auth::logout)
        .service(auth::current)
        .service(auth::end)
        .service(auth::change_password)
        .service(auth::begin_totp)
        .service(auth::confirm_totp)
        .service(auth::end_totp)
        .service(openai::models::list)
        .service(openai::models::one)
        .service(openai::chat::chat)
        .service(openai::completions::complete)
        .service(openai::embeddings::embeddings)
        .service(conversations::list)
        .service(conversations::create)
        .service(conversations::read)
        .service(conversations::update)
        .service(conversations::remove)
        .service(conversations::export)
        .service(admin::plugins::list)
        .service(ws::history::read_history)
        .service(admin::plugins::start)
        .service(admin::plugins::stop)
        .service(admin::plugins::restart)
        .service(admin::plugins::configuration)
        .service(admin::plugins::configure)
        .service(admin::plugins::inspect)
        .service(admin::settings::list)
        .service(admin::keys::create)
        .service(admin::keys::list)
        .service(admin::keys::update)
        .service(admin::keys::rotate)
        .service(admin::keys::revoke)
        .service(admin::usage::read_usage)
        .service(admin::users::create)
        .service(admin::users::list)
        .service(admin::users::change)
        .service(admin::audit::list)
        .service(admin::audit::verify)
        .service(admin::models::pull)
        .service(admin::backups::create)
        .service(admin::backups::list)
        .service(admin::traces::list)
        .service(admin::traces::read)
        .service(brainml::list)
        .service(brainml::create)
        .service(brainml::read)
        .service(brainml::remove)
        .service(brainml::read_stats)
        .service(brainml::search)
        .service(ws::logs::watch_logs)
        .service(ws::plugins::watch_plugins)
        .service(openapi::read_openapi);
}

//! The traces of requests: begun at the edge, kept in a small ring for people to look at.
//!
//! The spans of a request are those that its calls leave behind (`messages::trace`), below one of
//! its own. Looking at traces, health and metrics leaves none.

mod kept;
mod ring;

use std::sync::Arc;

use actix_web::{HttpMessage, HttpRequest, dev::ServiceRequest};
use messages::trace::{OpenSpan, Parent, SpanId, Trace, TraceId};

pub(crate) use self::ring::{Entry, StatusWish, Whole, WholeSpan, Wish};
use self::{kept::Kept, ring::Ring};
use super::{
    site,
    tally::{CLIENT_CLOSED, Ended},
};
use crate::telemetry::{ExportFigures, Exporter};

/// What asks so often, or looks at traces itself, that traces of it would only be in the way.
const UNTRACED: [&str; 3] = ["/health", "/metrics", "/admin/traces"];

/// The traces of all requests.
#[derive(Debug)]
pub(crate) struct Traces {
    ring: Ring,
    /// The share of traces that are called sampled where the caller has not decided, 0 to 1.
    sample: f64,
    /// Where sampled spans are handed over.
    exporter: Option<Exporter>,
}

/// A request's span under way.
#[derive(Debug)]
pub(crate) struct RequestSpan {
    span: OpenSpan,
    kept: Arc<Kept>,
}

impl Traces {
    /// Traces of which a share of `sample` is called sampled, and handed to `exporter`.
    pub(crate) fn new(sample: f64, exporter: Option<Exporter>) -> Self {
        Self {
            ring: Ring::default(),
            sample,
            exporter,
        }
    }

    /// Begins the trace of `request`, or takes over its caller's; with the request's own span,
    /// unless nobody wants to see it.
    pub(crate) fn begin(&self, request: &ServiceRequest) -> (Trace, Option<RequestSpan>) {
        let told = parent(request);
        let id = told.map_or_else(TraceId::random, |told| told.trace);
        let sampled = told.map_or_else(|| self.draws(id), |told| told.sampled);
        let above = told.map(|told| told.span);
        let unrecorded = || {
            let span = above.unwrap_or_else(SpanId::random);
            (Trace::unrecorded(id, span, sampled), None)
        };
        let looking = UNTRACED.iter().any(|path| request.path().starts_with(path));
        if looking || site::answers(request.request()) {
            return unrecorded();
        }
        let exporter = self.exporter.clone().filter(|_| sampled);
        let kept = Arc::new(Kept::new(id, exporter));
        let span = Trace::begin(id, above, sampled, kept.clone());
        match span.trace().cloned() {
            Some(trace) => (trace, Some(RequestSpan { span, kept })),
            None => unrecorded(),
        }
    }

    /// Ends the span of a request and keeps its trace.
    pub(crate) fn end(&self, request: RequestSpan, ended: Ended) {
        let RequestSpan { span, kept } = request;
        describe(&span, &ended);
        drop(span);
        self.ring.keep(Entry::new(kept, ended));
    }

    /// The latest traces that `wish` wants.
    pub(crate) fn latest(&self, wish: &Wish) -> Vec<Arc<Entry>> {
        self.ring.latest(wish)
    }

    /// All that is kept of one trace.
    pub(crate) fn find(&self, id: TraceId) -> Option<Whole> {
        self.ring.find(id)
    }

    /// What has become of the spans that were handed over.
    pub(crate) fn exported(&self) -> ExportFigures {
        let exporter = self.exporter.as_ref();
        exporter.map(Exporter::figures).unwrap_or_default()
    }

    fn draws(&self, id: TraceId) -> bool {
        id.place() < self.sample || self.sample >= 1.0
    }
}

/// The trace that `request` belongs to.
pub(crate) fn of(request: &HttpRequest) -> Option<Trace> {
    request.extensions().get::<Trace>().cloned()
}

/// What a single, well-formed `traceparent` says.
fn parent(request: &ServiceRequest) -> Option<Parent> {
    let mut all = request.headers().get_all("traceparent");
    let only = all.next().filter(|_| all.next().is_none())?;
    only.to_str().ok()?.trim().parse().ok()
}

/// Tells what is known of a request, by OpenTelemetry's conventions. Its path may hold anything,
/// so that only the route is told.
fn describe(span: &OpenSpan, ended: &Ended) {
    let (facts, status) = (&ended.facts, ended.status);
    match &facts.route {
        Some(route) => {
            span.rename(format!("{} {route}", facts.method));
            span.set("http.route", route.clone());
        }
        None => span.rename(facts.method.clone()),
    }
    span.set("http.request.method", facts.method.clone());
    span.set("http.response.status_code", u64::from(status));
    span.set("http.response.body.size", ended.bytes);
    span.set("bkg.request_id", facts.request_id.to_string());
    if let Some(caller) = &facts.caller {
        span.set("bkg.caller", caller.id.clone());
    }
    if let Some(kind) = facts.broke_off {
        span.fail(kind.name());
    }
    match status {
        CLIENT_CLOSED => span.fail("client_closed"),
        500.. => span.fail(status.to_string()),
        _ => (),
    }
}

//! The traces of the last requests.

use std::{collections::HashSet, sync::Arc};

use actix_web::{HttpResponse, get, web};
use jiff::Timestamp;
use messages::{
    fault::Fault,
    trace::{SpanId, SpanKind, TraceId},
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};

use crate::http::{
    caller::{Admin, Allowed},
    error::{ErrorBody, Problem},
    traces::{Entry, StatusWish, Whole, WholeSpan, Wish},
};

/// Which traces a reader wants.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct TraceWish {
    /// How many at the most; 200 are kept.
    #[serde(default = "fifty")]
    limit: usize,
    /// Requests of this route alone, as the API lists it, such as `/v1/chat/completions`.
    route: Option<String>,
    /// Requests of this status alone, such as `503`, or of a class, such as `5xx`; 499 are those
    /// whose client left.
    status: Option<String>,
}

fn fifty() -> usize {
    50
}

/// Requests with their traces.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TraceList {
    /// Newest first.
    traces: Vec<TraceSummary>,
}

/// A request that has ended.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TraceSummary {
    /// The id of its trace, 32 hexadecimal digits.
    #[schema(value_type = String)]
    trace_id: TraceId,
    /// Its id, as in the answer's `x-request-id`.
    #[schema(value_type = String)]
    request_id: Arc<str>,
    /// The pattern of its route; nothing where none was found.
    route: Option<String>,
    /// The method.
    method: String,
    /// The status that was sent; 499 where the client left before the end.
    status: u16,
    /// When it began.
    #[schema(value_type = String, format = DateTime)]
    started_at: Timestamp,
    /// From its head to the end of its answer, in microseconds.
    duration_us: u64,
    /// How many spans have ended.
    spans: usize,
}

/// A trace with its spans. Where a caller made several requests in one trace, the first is told and
/// the spans of all.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TraceDetail {
    /// The trace's id, 32 hexadecimal digits.
    #[schema(value_type = String)]
    trace_id: TraceId,
    /// The request's id.
    #[schema(value_type = String)]
    request_id: Arc<str>,
    /// The pattern of its route.
    route: Option<String>,
    /// The method.
    method: String,
    /// The status.
    status: u16,
    /// When it began.
    #[schema(value_type = String, format = DateTime)]
    started_at: Timestamp,
    /// From the beginning of the first span to the end of the last, in microseconds.
    duration_us: u64,
    /// Spans that there was no room for.
    spans_left_out: u64,
    /// In the order in which they began.
    spans: Vec<TraceSpan>,
}

/// One span.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TraceSpan {
    /// Its id, 16 hexadecimal digits.
    #[schema(value_type = String)]
    span_id: SpanId,
    /// The span above it; nothing where that is not one of this trace's spans here.
    #[schema(value_type = Option<String>)]
    parent_id: Option<SpanId>,
    /// What was done.
    name: String,
    /// `server`, `internal` or `client`.
    #[schema(value_type = String)]
    kind: SpanKind,
    /// Who did it; nothing for the gateway itself.
    #[schema(value_type = Option<String>)]
    plugin: Option<Arc<str>>,
    /// From the trace's beginning to its own, in microseconds.
    start_us: u64,
    /// How long it took, in microseconds.
    duration_us: u64,
    /// `ok` or `error`.
    status: &'static str,
    /// What else is known, by the names of OpenTelemetry's conventions.
    #[schema(value_type = Object)]
    attributes: Map<String, Value>,
}

impl TraceSummary {
    fn of(entry: &Entry) -> Self {
        Self {
            trace_id: entry.trace_id(),
            request_id: entry.request_id.clone(),
            route: entry.route.clone(),
            method: entry.method.clone(),
            status: entry.status,
            started_at: entry.began_at(),
            duration_us: micros(entry.took),
            spans: entry.spans(),
        }
    }
}

impl TraceDetail {
    fn of(whole: &Whole) -> Self {
        let known: HashSet<SpanId> = whole.spans.iter().map(|one| one.span.id).collect();
        let spans = whole.spans.iter().map(|one| TraceSpan::of(one, &known));
        let first = TraceSummary::of(&whole.first);
        Self {
            trace_id: first.trace_id,
            request_id: first.request_id,
            route: first.route,
            method: first.method,
            status: first.status,
            started_at: first.started_at,
            duration_us: micros(whole.took),
            spans_left_out: whole.left_out,
            spans: spans.collect(),
        }
    }
}

impl TraceSpan {
    fn of(one: &WholeSpan, known: &HashSet<SpanId>) -> Self {
        let span = &one.span;
        let attributes = span.attributes.iter().map(|(name, value)| {
            let value = serde_json::to_value(value).unwrap_or_default();
            ((*name).to_owned(), value)
        });
        let error = span.error.as_ref();
        let error = error.map(|error| ("error.type".to_owned(), error.as_ref().into()));
        Self {
            span_id: span.id,
            parent_id: span.parent.filter(|parent| known.contains(parent)),
            name: span.name.to_string(),
            kind: span.kind,
            plugin: span.plugin.clone(),
            start_us: micros(one.start),
            duration_us: micros(span.ended.saturating_duration_since(span.started)),
            status: if error.is_some() { "error" } else { "ok" },
            attributes: attributes.chain(error).collect(),
        }
    }
}

fn micros(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// Lists the last requests with their traces. Those of health, of the metrics and of traces
/// themselves are not among them.
#[utoipa::path(tag = "traces", params(TraceWish), responses(
    (status = 200, body = TraceList), (status = 422, body = ErrorBody)
), security(("key" = [])))]
#[get("/admin/traces")]
pub(crate) async fn list(
    caller: Allowed<Admin>,
    wish: web::Query<TraceWish>,
) -> Result<HttpResponse, Problem> {
    let TraceWish {
        limit,
        route,
        status,
    } = wish.into_inner();
    let wish = Wish {
        limit,
        route,
        status: status.as_deref().map(status_wish).transpose()?,
    };
    let entries = caller.edge().traces.latest(&wish);
    Ok(HttpResponse::Ok().json(TraceList {
        traces: entries
            .iter()
            .map(|entry| TraceSummary::of(entry))
            .collect(),
    }))
}

/// Reads one trace with its spans, as long as it is among the last.
#[utoipa::path(tag = "traces", params(("trace_id" = String, Path)), responses(
    (status = 200, body = TraceDetail), (status = 404, body = ErrorBody)
), security(("key" = [])))]
#[get("/admin/traces/{trace_id}")]
pub(crate) async fn read(
    caller: Allowed<Admin>,
    trace_id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let id = trace_id.parse().ok();
    let whole = id.and_then(|id: TraceId| caller.edge().traces.find(id));
    let gone = || {
        Fault::unknown(format!(
            "there is no trace {trace_id:?} among the last ones"
        ))
    };
    let whole = whole.ok_or_else(gone)?;
    Ok(HttpResponse::Ok().json(TraceDetail::of(&whole)))
}

/// `503` or `5xx`.
fn status_wish(text: &str) -> Result<StatusWish, Fault> {
    let wish = match text.strip_suffix("xx") {
        Some(digit) => digit.parse().ok().map(StatusWish::Class),
        None => text.parse().ok().map(StatusWish::Exactly),
    };
    let wrong = || Fault::unprocessable("status must be such as 503 or 5xx").with_param("status");
    wish.ok_or_else(wrong)
}

//! The one place where a fault becomes an HTTP status and a body in OpenAI's shape.

use std::{collections::BTreeSet, fmt};

use actix_web::{
    HttpRequest, HttpResponse, ResponseError,
    dev::ResourceDef,
    error::PayloadError,
    http::{
        StatusCode,
        header::{self, HeaderValue},
    },
    web,
};
use messages::{
    fault::{Fault, FaultKind},
    json::{Flaw, JsonError},
};
use serde::Serialize;
use utoipa::{
    ToSchema,
    openapi::{OpenApi, PathItem},
};

/// A fault on its way to a caller.
#[derive(Debug, Clone)]
pub(crate) struct Problem {
    fault: Fault,
    /// The status, where HTTP has a closer one than the fault's class.
    status: Option<StatusCode>,
}

/// The body of every answer that is not a success.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ErrorBody {
    /// What went wrong.
    pub(crate) error: ErrorDetail,
}

/// What went wrong, as OpenAI spells it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ErrorDetail {
    /// A sentence for people.
    pub(crate) message: String,
    /// The class, such as `invalid_request_error`.
    pub(crate) r#type: &'static str,
    /// The parameter at fault.
    pub(crate) param: Option<String>,
    /// A machine-readable code.
    pub(crate) code: Option<String>,
}

impl From<Fault> for Problem {
    fn from(fault: Fault) -> Self {
        Self {
            fault,
            status: None,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fault.fmt(out)
    }
}

/// The status and OpenAI's `type` of a class of faults.
fn class(kind: FaultKind) -> (u16, &'static str) {
    match kind {
        FaultKind::Invalid => (400, "invalid_request_error"),
        FaultKind::Unauthenticated => (401, "authentication_error"),
        FaultKind::Denied => (403, "permission_error"),
        FaultKind::Unknown => (404, "invalid_request_error"),
        FaultKind::Conflict => (409, "conflict_error"),
        FaultKind::Unprocessable => (422, "invalid_request_error"),
        FaultKind::LimitReached => (429, "rate_limit_error"),
        // No caller is there to read this one; the number is what access logs use.
        FaultKind::Cancelled => (499, "cancelled"),
        FaultKind::Internal => (500, "server_error"),
        FaultKind::Crashed => (502, "server_error"),
        FaultKind::Overloaded | FaultKind::Restarting | FaultKind::Stopped | FaultKind::Failed => {
            (503, "service_unavailable_error")
        }
        FaultKind::TimedOut => (504, "timeout_error"),
        FaultKind::StorageFull => (507, "storage_full_error"),
        FaultKind::StorageFailed => (507, "storage_failed_error"),
    }
}

impl Problem {
    /// A malformed request for which HTTP has a status of its own.
    pub(crate) fn with_status(status: StatusCode, code: &str, message: &str) -> Self {
        Self {
            fault: Fault::invalid(message).with_code(code),
            status: Some(status),
        }
    }

    /// The body alone, for streams that break off.
    pub(crate) fn body(&self) -> ErrorBody {
        let fault = &self.fault;
        ErrorBody {
            error: ErrorDetail {
                message: fault.message.clone(),
                r#type: class(fault.kind).1,
                param: fault.param.clone(),
                code: fault.code.clone(),
            },
        }
    }
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        let by_class = || StatusCode::from_u16(class(self.fault.kind).0).ok();
        let status = self.status.or_else(by_class);
        status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status_code());
        if self.fault.kind == FaultKind::Unauthenticated {
            response.insert_header((header::WWW_AUTHENTICATE, "Bearer realm=\"bkg\""));
        }
        if let Some(wait) = self.fault.retry_after {
            let seconds = wait.as_millis().div_ceil(1000).max(1);
            response.insert_header((header::RETRY_AFTER, seconds.to_string()));
        }
        response.json(self.body())
    }
}

/// OpenAI knows no 422: under `/v1` what is well-formed but wrong is a 400.
pub(crate) fn as_openai(fault: Fault) -> Problem {
    let kind = match fault.kind {
        FaultKind::Unprocessable => FaultKind::Invalid,
        kind => kind,
    };
    Fault { kind, ..fault }.into()
}

/// Routes whose last parameter may hold slashes, which the generated document does not tell.
const DEEP: [&str; 2] = [
    "/v1/models/{model}",
    "/brainml/collections/{name}/documents/{id}",
];

/// The methods of every route, to tell a wrong method from an unknown path.
#[derive(Debug)]
pub(crate) struct Methods {
    routes: Vec<(ResourceDef, Vec<&'static str>)>,
    /// What the paths of routes begin with, such as `admin`.
    first: BTreeSet<String>,
}

impl Methods {
    /// Reads them from the generated document.
    pub(crate) fn of(document: &OpenApi) -> Self {
        let routes = document.paths.paths.iter();
        Self {
            routes: routes
                .clone()
                .map(|(path, item)| (route(path), methods(item)))
                .collect(),
            first: routes.map(|(path, _)| first(path).to_owned()).collect(),
        }
    }

    /// Whether `path` is where routes are, so that it can be no page of the site.
    pub(crate) fn begins_route(&self, path: &str) -> bool {
        self.first.contains(first(path))
    }

    fn allowed(&self, path: &str) -> Vec<&'static str> {
        let matching = self.routes.iter().filter(|(route, _)| route.is_match(path));
        let mut allowed: Vec<_> = matching.flat_map(|(_, methods)| methods.clone()).collect();
        // A path may be one of two routes, where an id may hold slashes.
        let mut seen = std::collections::HashSet::new();
        allowed.retain(|method| seen.insert(*method));
        allowed
    }
}

fn first(path: &str) -> &str {
    path.split('/').nth(1).unwrap_or_default()
}

fn route(path: &str) -> ResourceDef {
    match path.strip_suffix('}').filter(|_| DEEP.contains(&path)) {
        Some(open) => ResourceDef::new(format!("{open}:.+}}")),
        None => ResourceDef::new(path),
    }
}

fn methods(item: &PathItem) -> Vec<&'static str> {
    let known = [
        ("GET", &item.get),
        ("PUT", &item.put),
        ("POST", &item.post),
        ("DELETE", &item.delete),
        ("PATCH", &item.patch),
    ];
    let present = known
        .into_iter()
        .filter(|(_, operation)| operation.is_some());
    present.map(|(name, _)| name).collect()
}

/// What no route takes: an unknown path, or a known one with a method that it does not have.
pub(crate) async fn nowhere(request: HttpRequest, methods: web::Data<Methods>) -> HttpResponse {
    let (method, path) = (request.method(), request.path());
    let allowed = methods.allowed(path);
    if allowed.is_empty() {
        let fault = Fault::unknown(format!(
            "there is nothing at {path}; /openapi.json lists every route"
        ));
        return Problem::from(fault.with_code("unknown_url")).error_response();
    }
    let allowed = allowed.join(", ");
    let problem = Problem::with_status(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        &format!("{path} takes {allowed}, not {method}"),
    );
    let mut response = problem.error_response();
    if let Ok(value) = HeaderValue::from_str(&allowed) {
        response.headers_mut().insert(header::ALLOW, value);
    }
    response
}

/// A body of at most `limit` bytes that cannot be taken in at all.
pub(crate) fn bad_payload(error: &PayloadError, limit: usize) -> Problem {
    match error {
        PayloadError::Overflow => too_large(limit),
        _ => Fault::invalid(format!("the body cannot be read: {error}")).into(),
    }
}

/// JSON that is refused whatever it says.
pub(crate) fn flawed(error: &JsonError) -> Problem {
    let fault = Fault::invalid(format!("the body is not JSON as it is taken here: {error}"));
    let fault = match &error.flaw {
        Flaw::Twice(name) => fault.with_param(name),
        _ => fault,
    };
    fault.with_code("invalid_json").into()
}

/// A body of more than `limit` bytes.
pub(crate) fn too_large(limit: usize) -> Problem {
    Problem::with_status(
        StatusCode::PAYLOAD_TOO_LARGE,
        "payload_too_large",
        &format!("the body is larger than {limit} bytes"),
    )
}

/// A body of a kind that is not taken.
pub(crate) fn unsupported(message: &str) -> Problem {
    Problem::with_status(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "unsupported_media_type",
        message,
    )
}

/// What was sent to `path` and is no JSON, or JSON of the wrong shape.
pub(crate) fn unreadable(error: &serde_json::Error, path: &str) -> Fault {
    match error.is_data() {
        true => misshapen(error, path),
        false => Fault::invalid(format!("the body is not JSON: {error}")),
    }
}

/// JSON whose shape is wrong: well-formed but wrong, which under `/v1` OpenAI calls invalid. The
/// parameter is named where serde names it.
fn misshapen(error: &serde_json::Error, path: &str) -> Fault {
    let text = without_value(error.to_string());
    let named = text.split('`').nth(1).map(str::to_owned);
    let fault = match path.starts_with("/v1/") {
        true => Fault::invalid(text.clone()),
        false => Fault::unprocessable(text.clone()),
    };
    match named {
        Some(param) if text.contains("field") => fault.with_param(param),
        _ => fault,
    }
}

/// What serde says of a wrong value without the value, which may be a secret in the wrong place.
fn without_value(text: String) -> String {
    let quoted = text.find(": string \"").zip(text.rfind("\", expected "));
    let parts = quoted.and_then(|(start, end)| Some((text.get(..start)?, text.get(end + 1..)?)));
    match parts {
        Some((before, after)) => format!("{before}: a string{after}"),
        None => text,
    }
}

/// A query string that cannot be read.
pub(crate) fn bad_query(
    error: actix_web::error::QueryPayloadError,
    _: &HttpRequest,
) -> actix_web::Error {
    let text = format!("the query string cannot be read: {error}");
    Problem::from(Fault::invalid(text)).into()
}

/// A path whose parameters cannot be read.
pub(crate) fn bad_path(error: actix_web::error::PathError, _: &HttpRequest) -> actix_web::Error {
    let text = format!("the path cannot be read: {error}");
    Problem::from(Fault::invalid(text)).into()
}

//! The outermost middleware: every request has an id, every panic an answer, and every answer is
//! counted when it has ended.

use std::{panic::AssertUnwindSafe, sync::Arc};

use actix_web::{
    Error, HttpMessage, HttpRequest,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    error::InternalError,
    http::{
        ConnectionType, StatusCode,
        header::{CONTENT_ENCODING, HeaderMap, HeaderName, HeaderValue},
    },
    middleware::Next,
};
use futures_util::FutureExt;
use messages::fault::{Fault, panic_text};

use super::{
    Edge,
    caller::edge,
    error::{Problem, unsupported},
    headers::Guise,
    server::{turn::Turn, verdict::slow_body},
    tally::{Counted, Tally, Unanswered},
};

/// The header that tells it.
pub(crate) const HEADER: HeaderName = HeaderName::from_static("x-request-id");

/// The id of a request: the caller's own where it is a sane one, else made here.
#[derive(Debug, Clone)]
pub(crate) struct RequestId(Arc<str>);

impl RequestId {
    fn from_headers(headers: &HeaderMap) -> Self {
        let given = headers.get(HEADER).and_then(|value| value.to_str().ok());
        let sane = |id: &&str| {
            (1..=128).contains(&id.len())
                && id
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte))
        };
        Self(given.filter(sane).map_or_else(made, Arc::from))
    }

    fn header(&self) -> HeaderValue {
        // Every id is made of characters that a header may hold.
        HeaderValue::from_str(&self.0).unwrap_or_else(|_| HeaderValue::from_static("-"))
    }

    /// The id of `request`.
    pub(crate) fn of(request: &HttpRequest) -> Arc<str> {
        let id = request.extensions().get::<Self>().cloned();
        id.map_or_else(made, |id| id.0)
    }
}

fn made() -> Arc<str> {
    format!("req_{:032x}", rand::random::<u128>()).into()
}

/// Wraps everything else.
pub(crate) async fn around<B: MessageBody + 'static>(
    mut request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<Counted>, Error> {
    let id = RequestId::from_headers(request.headers());
    let edge = edge(request.request()).ok();
    let tally = Tally::begin(&request, id.0.clone());
    let turn = Turn::begin(&mut request, edge.as_ref().map(|edge| edge.pace));
    if let Some(edge) = &edge {
        edge.requests.begin();
    }
    let guise = Guise::new(
        id.header(),
        edge.as_deref().map(|edge| &**edge),
        request.headers(),
    );
    let refused =
        |error: &Error| refused(error, &guise, &tally, edge.as_deref().map(|edge| &**edge));
    request.extensions_mut().insert(id.clone());
    request.extensions_mut().insert(tally.clone());
    if let Some(mut answer) = guise.preflight(&request) {
        guise.put_on(answer.headers_mut());
        let (answer, status) = (request.into_response(answer), StatusCode::NO_CONTENT);
        return Ok(answer.map_body(|_, body| Counted::new(body, status, tally, edge, turn)));
    }
    if request.headers().contains_key(CONTENT_ENCODING) {
        return Err(refused(&encoding_refused().into()));
    }
    let what = format!("{} {}", request.method(), request.path());
    let unanswered = Unanswered::new(tally.clone(), edge.clone());
    let outcome = AssertUnwindSafe(next.call(request)).catch_unwind().await;
    unanswered.answered();
    if turn.was_slow() {
        // Whatever the handler made of a body that broke off.
        return Err(refused(&slow_body().into()));
    }
    match outcome {
        Ok(Ok(mut response)) => {
            guise.put_on(response.headers_mut());
            let status = response.status();
            tally.route(response.request());
            let counted = |body: B| Counted::new(body.boxed(), status, tally, edge, turn);
            Ok(response.map_body(|_, body| counted(body)))
        }
        Ok(Err(error)) => Err(refused(&error)),
        Err(panic) => {
            let text = panic_text(&*panic);
            log::error!("a request handler panicked over {what}: {text}");
            Err(refused(&panicked().into()))
        }
    }
}

/// An answer that is an error of the middleware: with the request's id, and counted.
fn refused(error: &Error, guise: &Guise, tally: &Tally, edge: Option<&Edge>) -> Error {
    let mut response = error.error_response();
    guise.put_on(response.headers_mut());
    if response.status() == StatusCode::REQUEST_TIMEOUT {
        response
            .head_mut()
            .set_connection_type(ConnectionType::Close);
    }
    tally.end(response.status().as_u16(), 0, edge);
    InternalError::from_response(error.to_string(), response).into()
}

fn encoding_refused() -> Problem {
    unsupported("compressed bodies are not taken; send it without Content-Encoding")
}

fn panicked() -> Problem {
    Fault::internal("the gateway failed over this request; its log says how").into()
}

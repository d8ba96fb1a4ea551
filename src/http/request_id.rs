//! The outermost middleware: every request has an id, every panic an answer, every answer a line
//! in the log.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Instant};

use actix_web::{
    Error, HttpMessage, HttpRequest,
    body::{EitherBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    error::InternalError,
    http::header::{CONTENT_ENCODING, HeaderMap, HeaderName, HeaderValue},
    middleware::Next,
};
use futures_util::FutureExt;
use messages::fault::{Fault, panic_text};

use super::error::{Problem, unsupported};

const HEADER: HeaderName = HeaderName::from_static("x-request-id");

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
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B>>, Error> {
    let id = RequestId::from_headers(request.headers());
    let line = AccessLine::new(&request, &id);
    request.extensions_mut().insert(id.clone());
    if request.headers().contains_key(CONTENT_ENCODING) {
        return Err(line.refused(&id, &encoding_refused().into()));
    }
    match AssertUnwindSafe(next.call(request)).catch_unwind().await {
        Ok(Ok(mut response)) => {
            response.headers_mut().insert(HEADER, id.header());
            line.write(response.status().as_u16());
            Ok(response.map_into_left_body())
        }
        Ok(Err(error)) => Err(line.refused(&id, &error)),
        Err(panic) => {
            let text = panic_text(&*panic);
            log::error!("a request handler panicked over {}: {text}", line.what);
            Err(line.refused(&id, &panicked().into()))
        }
    }
}

fn encoding_refused() -> Problem {
    unsupported("compressed bodies are not taken; send it without Content-Encoding")
}

fn panicked() -> Problem {
    Fault::internal("the gateway failed over this request; its log says how").into()
}

/// What is logged of a request once its head has been answered.
struct AccessLine {
    what: String,
    id: Arc<str>,
    started: Instant,
}

impl AccessLine {
    fn new(request: &ServiceRequest, id: &RequestId) -> Self {
        Self {
            // The query is left out: people put secrets there.
            what: format!("{} {}", request.method(), request.path()),
            id: id.0.clone(),
            started: Instant::now(),
        }
    }

    fn write(&self, status: u16) {
        let took = self.started.elapsed().as_secs_f64() * 1e3;
        log::info!(request_id = &*self.id, status = status; "{} {status} {took:.1} ms", self.what);
    }

    /// Logs an answer that is an error of the middleware, and gives it the request's id.
    fn refused(&self, id: &RequestId, error: &Error) -> Error {
        let mut response = error.error_response();
        response.headers_mut().insert(HEADER, id.header());
        self.write(response.status().as_u16());
        InternalError::from_response(error.to_string(), response).into()
    }
}

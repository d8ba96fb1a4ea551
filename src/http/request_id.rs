//! The outermost middleware: every request has an id, every panic an answer, and every answer is
//! counted when it has ended.

use std::{panic::AssertUnwindSafe, sync::Arc};

use actix_web::{
    Error, HttpMessage, HttpRequest,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    error::InternalError,
    http::{
        ConnectionType,
        header::{CONTENT_ENCODING, HeaderMap, HeaderName, HeaderValue},
    },
    middleware::Next,
    web,
};
use futures_util::FutureExt;
use messages::{
    about::About,
    fault::{Fault, panic_text},
};

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
    let refused = |error: &Error| {
        let edge = edge.as_deref().map(|edge| &**edge);
        refused(error, &guise, &tally, edge, turn.is_last())
    };
    let about = edge.as_ref().map(|edge| trace(edge, &request, &id, &tally));
    request.extensions_mut().insert(id.clone());
    request.extensions_mut().insert(tally.clone());
    if let Err(problem) = turn.check(&request) {
        return Err(refused(&problem.into()));
    }
    if let Some(mut answer) = guise.preflight(&request) {
        guise.put_on(answer.headers_mut());
        return Ok(counted(request.into_response(answer), tally, edge, turn));
    }
    if request.headers().contains_key(CONTENT_ENCODING) {
        return Err(refused(&encoding_refused().into()));
    }
    let unanswered = Unanswered::new(tally.clone(), edge.clone());
    let work = AssertUnwindSafe(next.call(request)).catch_unwind();
    let outcome = match about.clone() {
        Some(about) => about.around(work).await,
        None => work.await,
    };
    unanswered.answered();
    if turn.was_slow() {
        // Whatever the handler made of a body that broke off.
        return Err(refused(&slow_body().into()));
    }
    match outcome {
        Ok(Ok(mut response)) => {
            guise.put_on(response.headers_mut());
            tally.route(response.request());
            Ok(counted(response, tally, edge, turn))
        }
        Ok(Err(error)) => Err(refused(&error)),
        Err(panic) => {
            let text = panic_text(&*panic);
            tally.note(|facts| {
                let (method, path) = (&facts.method, &facts.path);
                let say = || log::error!("a request handler panicked over {method} {path}: {text}");
                match about {
                    Some(about) => about.during(say),
                    None => say(),
                }
            });
            Err(refused(&panicked().into()))
        }
    }
}

/// Begins the trace of `request`, and notes what its log lines carry.
fn trace(edge: &Edge, request: &ServiceRequest, id: &RequestId, tally: &Tally) -> About {
    let (trace, span) = edge.traces.begin(request);
    let about = About {
        request_id: id.0.clone(),
        trace_id: trace.id(),
    };
    tally.note(|facts| {
        facts.about = Some(about.clone());
        facts.span = span;
    });
    request.extensions_mut().insert(trace);
    about
}

/// An answer that ends its request's tally and turn when its body has ended.
fn counted<B: MessageBody + 'static>(
    response: ServiceResponse<B>,
    tally: Tally,
    edge: Option<web::Data<Edge>>,
    turn: Turn,
) -> ServiceResponse<Counted> {
    let status = response.status();
    response.map_body(|_, body| Counted::new(body.boxed(), status, tally, edge, turn))
}

/// An answer that is an error of the middleware: with the request's id, and counted.
fn refused(error: &Error, guise: &Guise, tally: &Tally, edge: Option<&Edge>, last: bool) -> Error {
    let mut response = error.error_response();
    guise.put_on(response.headers_mut());
    if last {
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

#[cfg(test)]
mod tests {
    use std::{net::SocketAddr, time::Duration};

    use actix_web::{App, HttpResponse, HttpServer, dev::ServerHandle, middleware::from_fn};
    use futures_util::{StreamExt, stream};
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpStream,
        time::timeout,
    };

    use super::*;

    async fn panics() -> HttpResponse {
        panic!("on purpose")
    }

    async fn fails() -> Result<web::Bytes, Error> {
        // Until the first piece is on its way.
        tokio::time::sleep(Duration::from_millis(20)).await;
        panic!("on purpose")
    }

    async fn breaks_off() -> HttpResponse {
        let first = stream::iter([Ok::<_, Error>(web::Bytes::from_static(b"first"))]);
        HttpResponse::Ok().streaming(first.chain(stream::once(fails())))
    }

    fn serve() -> (SocketAddr, ServerHandle) {
        let app = || {
            App::new()
                .wrap(from_fn(around))
                .route("/panics", web::get().to(panics))
                .route("/breaks-off", web::get().to(breaks_off))
                .route("/fine", web::get().to(HttpResponse::Ok))
        };
        let server = HttpServer::new(app).workers(1).disable_signals();
        let server = server.bind(("127.0.0.1", 0)).unwrap();
        let address = server.addrs()[0];
        let server = server.run();
        let handle = server.handle();
        actix_web::rt::spawn(server);
        (address, handle)
    }

    /// Asks over `stream` and reads until `last` has come or the connection ends.
    async fn ask(stream: &mut TcpStream, path: &str, last: &str) -> String {
        let head = format!("GET {path} HTTP/1.1\r\nhost: g\r\nx-request-id: mine\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut told = Vec::new();
        let read = async {
            while !String::from_utf8_lossy(&told).contains(last) {
                if stream.read_buf(&mut told).await.unwrap_or(0) == 0 {
                    break;
                }
            }
        };
        timeout(Duration::from_secs(60), read).await.unwrap();
        String::from_utf8(told).unwrap()
    }

    #[actix_web::test]
    async fn a_handler_that_panics_is_an_answer_and_its_connection_goes_on() {
        let (address, handle) = serve();
        let mut stream = TcpStream::connect(address).await.unwrap();
        for _ in 0..3 {
            let told = ask(&mut stream, "/panics", "}}").await;
            assert!(told.starts_with("HTTP/1.1 500 "), "{told}");
            assert!(told.contains("x-request-id: mine\r\n"), "{told}");
            assert!(
                told.contains("x-content-type-options: nosniff\r\n"),
                "{told}"
            );
            assert!(told.contains("\"type\":\"server_error\""), "{told}");
            assert!(!told.contains("on purpose"), "{told}");
        }
        let told = ask(&mut stream, "/fine", "\r\n\r\n").await;
        assert!(told.starts_with("HTTP/1.1 200 "), "{told}");
        handle.stop(false).await;
    }

    #[actix_web::test]
    async fn a_body_that_panics_is_cut_and_never_looks_whole() {
        let (address, handle) = serve();
        for _ in 0..3 {
            let mut stream = TcpStream::connect(address).await.unwrap();
            let told = ask(&mut stream, "/breaks-off", "0\r\n\r\n").await;
            assert!(told.starts_with("HTTP/1.1 200 "), "{told}");
            assert!(told.ends_with("first\r\n"), "{told}");
        }
        let mut stream = TcpStream::connect(address).await.unwrap();
        let told = ask(&mut stream, "/fine", "\r\n\r\n").await;
        assert!(told.starts_with("HTTP/1.1 200 "), "{told}");
        handle.stop(false).await;
    }
}

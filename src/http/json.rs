//! JSON bodies: of the right type, no larger than their route takes, and judged before anything is
//! made of them.

use std::{marker::PhantomData, ops::Deref};

use actix_web::{
    FromRequest, HttpRequest,
    dev::Payload,
    http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderMap},
    web,
};
use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, future::LocalBoxFuture};
use messages::{
    fault::Fault,
    json::{self, JsonError},
};
use serde::de::DeserializeOwned;

use super::{
    Edge,
    caller::{confirm, edge},
    error::{Problem, bad_payload, flawed, too_large, unreadable, unsupported},
};

/// A body that was JSON, of a route that takes as much as `R` says.
pub(crate) struct Json<T, R = Small>(T, PhantomData<R>);

/// How large a body may be.
pub(crate) trait Room: 'static {
    /// In bytes.
    fn most(edge: &Edge) -> usize;
}

/// What a person types or a script says.
pub(crate) struct Small;

/// What a model is asked.
pub(crate) struct Prompt;

/// Documents to index.
pub(crate) struct Bulk;

/// A conversation to keep: 4 MiB of it, and what white space and escapes a client adds.
pub(crate) struct Talk;

impl Room for Small {
    fn most(edge: &Edge) -> usize {
        edge.body_limit.min(64 << 10)
    }
}

impl Room for Prompt {
    fn most(edge: &Edge) -> usize {
        edge.body_limit
    }
}

impl Room for Bulk {
    fn most(edge: &Edge) -> usize {
        edge.documents_limit
    }
}

impl Room for Talk {
    fn most(_: &Edge) -> usize {
        5 << 20
    }
}

impl<T, R> Json<T, R> {
    /// What the body said.
    pub(crate) fn into_inner(self) -> T {
        self.0
    }
}

impl<T, R> Deref for Json<T, R> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: DeserializeOwned + Send + 'static, R: Room> FromRequest for Json<T, R> {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (request, payload) = (request.clone(), payload.take());
        Box::pin(async move {
            let limit = R::most(&*edge(&request)?);
            is_json(request.headers())?;
            let body = read(request.headers(), payload, limit).await?;
            confirm(&request).await?;
            let value = parse(body, request.path()).await?;
            Ok(Self(value, PhantomData))
        })
    }
}

/// A body that may be left out.
pub(crate) struct Maybe<T>(Option<T>);

impl<T> Maybe<T> {
    /// What the body said, where there was one.
    pub(crate) fn into_inner(self) -> Option<T> {
        self.0
    }
}

impl<T: DeserializeOwned + Send + 'static> FromRequest for Maybe<T> {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (request, payload) = (request.clone(), payload.take());
        Box::pin(async move {
            let limit = Small::most(&*edge(&request)?);
            let body = read(request.headers(), payload, limit).await?;
            confirm(&request).await?;
            if body.is_empty() {
                return Ok(Self(None));
            }
            is_json(request.headers())?;
            let value = parse(body, request.path()).await?;
            Ok(Self(Some(value)))
        })
    }
}

/// Refuses what does not say that it is JSON, in UTF-8 if it says how it is written.
fn is_json(headers: &HeaderMap) -> Result<(), Problem> {
    let said = headers.get(CONTENT_TYPE);
    let said = said.and_then(|value| value.to_str().ok()).unwrap_or("");
    let mut parts = said.split(';').map(str::trim);
    let kind = parts.next().unwrap_or("").to_ascii_lowercase();
    let json =
        kind == "application/json" || (kind.starts_with("application/") && kind.ends_with("+json"));
    let charset = parts.find_map(|part| {
        let (name, value) = part.split_once('=')?;
        let named = name.trim_end().eq_ignore_ascii_case("charset");
        named.then(|| value.trim_start().trim_matches('"'))
    });
    if !json {
        let wanted = "the body must be JSON, sent with Content-Type: application/json";
        return Err(unsupported(wanted));
    }
    match charset.is_none_or(|charset| charset.eq_ignore_ascii_case("utf-8")) {
        true => Ok(()),
        false => Err(unsupported("the body must be written in UTF-8")),
    }
}

/// Reads a body of at most `limit` bytes. One that says that it is larger is not read at all.
async fn read(headers: &HeaderMap, mut body: Payload, limit: usize) -> Result<Bytes, Problem> {
    let told = headers.get(CONTENT_LENGTH);
    let told = told.and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if told.is_some_and(|told| usize::try_from(told).map_or(true, |told| told > limit)) {
        return Err(too_large(limit));
    }
    // Most bodies come in one piece, which is then not copied.
    let mut only = Bytes::new();
    let mut pieces = BytesMut::new();
    while let Some(piece) = body.next().await {
        let piece = piece.map_err(|error| bad_payload(&error, limit))?;
        if only.len().max(pieces.len()) + piece.len() > limit {
            return Err(too_large(limit));
        }
        if only.is_empty() && pieces.is_empty() {
            only = piece;
            continue;
        }
        if pieces.is_empty() {
            pieces.extend_from_slice(&std::mem::take(&mut only));
        }
        pieces.extend_from_slice(&piece);
    }
    Ok(match pieces.is_empty() {
        true => only,
        false => pieces.freeze(),
    })
}

/// Bodies beyond this many bytes are read by a thread that may block: a worker has others to serve,
/// and reading a megabyte takes it milliseconds.
const LONG: usize = 256 << 10;

async fn parse<T: DeserializeOwned + Send + 'static>(
    body: Bytes,
    path: &str,
) -> Result<T, Problem> {
    let judged = match body.len() > LONG {
        true => web::block(move || judge(&body)).await,
        false => Ok(judge(&body)),
    };
    let judged = judged.map_err(|_| Fault::internal("reading the body broke off"))?;
    let read = judged.map_err(|error| flawed(&error))?;
    read.map_err(|error| unreadable(&error, path).into())
}

/// What the body says, once it is known that all would read the same.
fn judge<T: DeserializeOwned>(body: &[u8]) -> Result<serde_json::Result<T>, JsonError> {
    json::check(body).map(|()| serde_json::from_slice(body))
}

#[cfg(test)]
mod tests {
    use actix_http::BoxedPayloadStream;
    use actix_web::{ResponseError, test::TestRequest};
    use futures_util::stream;

    use super::*;

    fn judged(kind: &str) -> bool {
        let request = TestRequest::default().insert_header((CONTENT_TYPE, kind));
        is_json(request.to_http_request().headers()).is_ok()
    }

    #[test]
    fn json_is_known_by_its_type() {
        for kind in [
            "application/json",
            "Application/JSON ; charset=UTF-8",
            "application/json;charset=\"utf-8\"",
            "application/problem+json",
        ] {
            assert!(judged(kind), "{kind}");
        }
        for kind in [
            "",
            "text/plain",
            "text/json",
            "application/jsonp",
            "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=x",
            "text/plain; application/json",
            "application/json; charset=utf-16",
            "application/json; charset=\"iso-8859-1\"",
        ] {
            assert!(!judged(kind), "{kind}");
        }
    }

    /// The thread that has read it.
    struct Reader(std::thread::ThreadId);

    impl<'de> serde::Deserialize<'de> for Reader {
        fn deserialize<D: serde::Deserializer<'de>>(text: D) -> Result<Self, D::Error> {
            serde::de::IgnoredAny::deserialize(text)?;
            Ok(Self(std::thread::current().id()))
        }
    }

    #[tokio::test]
    async fn a_long_body_keeps_no_worker_from_others() {
        let here = std::thread::current().id();
        for (length, elsewhere) in [(10, false), (LONG + 1, true)] {
            let body = format!("\"{}\"", "x".repeat(length)).into();
            let Ok(Reader(thread)) = parse(body, "/").await else {
                panic!("it is JSON");
            };
            assert_eq!(thread != here, elsewhere, "{length}");
        }
    }

    async fn taken(length: Option<usize>, pieces: &[&'static str]) -> Result<Bytes, u16> {
        let mut request = TestRequest::default();
        if let Some(length) = length {
            request = request.insert_header((CONTENT_LENGTH, length));
        }
        let pieces: Vec<_> = pieces.iter().map(|piece| Ok(Bytes::from(*piece))).collect();
        let payload: BoxedPayloadStream = Box::pin(stream::iter(pieces));
        let body = Payload::Stream { payload };
        let read = read(request.to_http_request().headers(), body, 8).await;
        read.map_err(|problem| problem.status_code().as_u16())
    }

    #[tokio::test]
    async fn a_body_is_read_up_to_its_limit_and_not_a_byte_further() {
        assert_eq!(
            taken(Some(8), &["1234", "5678"]).await,
            Ok("12345678".into())
        );
        assert_eq!(
            taken(None, &["1", "", "2345", "678"]).await,
            Ok("12345678".into())
        );
        assert_eq!(taken(None, &[]).await, Ok(Bytes::new()));
        assert_eq!(taken(None, &["12345678", "9"]).await, Err(413));
        assert_eq!(taken(None, &["123456789"]).await, Err(413));
        assert_eq!(taken(Some(9), &[]).await, Err(413));
        assert_eq!(taken(Some(usize::MAX), &[]).await, Err(413));
    }
}

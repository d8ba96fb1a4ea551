//! Streams as OpenAI sends them: `data: …` lines, closed by `data: [DONE]`.

use std::{convert::Infallible, sync::Arc};

use actix_web::{
    HttpResponse,
    http::header::{CACHE_CONTROL, HeaderValue},
};
use bytes::Bytes;
use futures_util::{Stream, stream};
use messages::{fault::Fault, stream::Deltas};
use serde::Serialize;

use crate::http::{
    Drain,
    error::{ErrorBody, as_openai},
};

const DONE: &[u8] = b"data: [DONE]\n\n";

/// An answer in pieces. Dropping its body, as happens when the client leaves, drops the deltas and
/// so cancels the work.
pub(crate) fn respond<T: Serialize + 'static>(
    deltas: Deltas<T>,
    drain: &Arc<Drain>,
) -> HttpResponse {
    respond_with(deltas, drain, |_| Fate::Sent)
}

/// What becomes of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is sent.
    Sent,
    /// It is not.
    LeftOut,
    /// It is sent, and the stream ends with it: its work is cancelled.
    Last,
}

/// The same, where `pass` sees each item first: it may change it, and says what becomes of it. A
/// fault, which ends the stream, it sees too.
pub(crate) fn respond_with<T: Serialize + 'static>(
    deltas: Deltas<T>,
    drain: &Arc<Drain>,
    pass: impl FnMut(Result<&mut T, &Fault>) -> Fate + 'static,
) -> HttpResponse {
    HttpResponse::Ok()
        .content_type("text/event-stream; charset=utf-8")
        .insert_header((CACHE_CONTROL, "no-store"))
        // Reverse proxies would otherwise hold the pieces back.
        .insert_header(("x-accel-buffering", HeaderValue::from_static("no")))
        .streaming(events(deltas, drain.clone(), pass))
}

enum State<T, P> {
    Open(Deltas<T>, P),
    Done,
    Closed,
}

/// The events, with a fault as an error event: a client must be able to tell an answer that broke
/// off from one that ended.
fn events<T: Serialize>(
    deltas: Deltas<T>,
    drain: Arc<Drain>,
    pass: impl FnMut(Result<&mut T, &Fault>) -> Fate,
) -> impl Stream<Item = Result<Bytes, Infallible>> {
    stream::unfold(State::Open(deltas, pass), move |state| {
        let drain = drain.clone();
        async move {
            match state {
                State::Open(mut deltas, mut pass) => {
                    let next = tokio::select! {
                        next = next(&mut deltas, &mut pass) => next,
                        () = drain.cut() => Some(Err(Fault::stopped("the gateway is shutting down"))),
                    };
                    let (bytes, state) = match next {
                        Some(Ok((item, Fate::Last))) => (event(&item), State::Done),
                        Some(Ok((item, _))) => (event(&item), State::Open(deltas, pass)),
                        Some(Err(fault)) => {
                            pass(Err(&fault));
                            (event(&error(fault)), State::Done)
                        }
                        None => (Bytes::from_static(DONE), State::Closed),
                    };
                    Some((Ok(bytes), state))
                }
                State::Done => Some((Ok(Bytes::from_static(DONE)), State::Closed)),
                State::Closed => None,
            }
        }
    })
}

/// The next item that passes.
async fn next<T>(
    deltas: &mut Deltas<T>,
    pass: &mut impl FnMut(Result<&mut T, &Fault>) -> Fate,
) -> Option<Result<(T, Fate), Fault>> {
    loop {
        match deltas.next().await? {
            Ok(mut item) => match pass(Ok(&mut item)) {
                Fate::LeftOut => (),
                fate => return Some(Ok((item, fate))),
            },
            Err(fault) => return Some(Err(fault)),
        }
    }
}

fn event<T: Serialize>(item: &T) -> Bytes {
    let mut line = b"data: ".to_vec();
    if serde_json::to_writer(&mut line, item).is_err() {
        line.extend_from_slice(b"{}");
    }
    line.extend_from_slice(b"\n\n");
    line.into()
}

fn error(fault: Fault) -> ErrorBody {
    as_openai(fault).body()
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;
    use messages::call::{Cx, Origin};
    use tokio::time::{Duration, Instant};

    use super::*;

    async fn read(end: impl FnOnce(messages::stream::Outlet<u8>), drain: Arc<Drain>) -> String {
        let deadline = Instant::now() + Duration::from_secs(60);
        let (outlet, deltas) = Cx::new(Origin::internal("test"), deadline, None).stream(4);
        outlet.send(7).await.unwrap();
        end(outlet);
        let events: Vec<_> = events(deltas, drain, |_| Fate::Sent).collect().await;
        let bytes: Vec<u8> = events
            .into_iter()
            .flat_map(|event| event.unwrap())
            .collect();
        String::from_utf8(bytes).unwrap()
    }

    #[tokio::test]
    async fn a_finished_answer_ends_with_done() {
        let text = read(messages::stream::Outlet::finish, Arc::default()).await;
        assert_eq!(text, "data: 7\n\ndata: [DONE]\n\n");
    }

    #[tokio::test]
    async fn an_answer_that_broke_off_says_so_before_done() {
        let text = read(drop, Arc::default()).await;
        assert!(text.starts_with("data: 7\n\ndata: {\"error\":{"), "{text}");
        assert!(text.ends_with("data: [DONE]\n\n"), "{text}");
    }

    #[tokio::test]
    async fn a_stream_is_cut_with_an_error_event_when_the_drain_is_over() {
        let drain = Arc::new(Drain::default());
        drain.begin();
        drain.cut_now();
        let mut kept = None;
        let text = read(|outlet| kept = Some(outlet), drain).await;
        assert!(text.contains("shutting down"), "{text}");
        assert!(text.ends_with("data: [DONE]\n\n"), "{text}");
    }
}

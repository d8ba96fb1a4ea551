//! What is known of a request when it has ended, for its line in the log and whatever else counts
//! requests. An answer has ended when its body has, which for a stream is much later than its head.

use std::{
    any::Any,
    net::IpAddr,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use actix_web::{
    HttpMessage, HttpRequest,
    body::{BodySize, BoxBody, MessageBody},
    dev::ServiceRequest,
    http::StatusCode,
    web::{self, Bytes},
};
use messages::{
    about::About,
    apikeys::Caller,
    fault::{FaultKind, panic_text},
    usage::{Admission, Moment},
};

use super::{Edge, address, server::turn::Turn, traces::RequestSpan};

/// The status in logs of an answer whose client left before its end, as nginx has it.
pub(crate) const CLIENT_CLOSED: u16 = 499;

/// What one request was and used. Handlers add to it while it is at work; clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Tally(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    started: Instant,
    facts: Mutex<Facts>,
    ended: AtomicBool,
}

/// What was learnt of a request on its way.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    /// The request's id.
    pub(crate) request_id: Arc<str>,
    /// The method, such as `GET`.
    pub(crate) method: String,
    /// The path without its query: people put secrets there.
    pub(crate) path: String,
    /// The pattern of the route; nothing where none was found.
    pub(crate) route: Option<String>,
    /// Where it came from; nothing over the owner's socket.
    pub(crate) address: Option<IpAddr>,
    /// Who asked; nothing where nobody was recognised.
    pub(crate) caller: Option<Arc<Caller>>,
    /// The id of the model that answered: only one that exists, so that there are few.
    pub(crate) model: Option<Arc<str>>,
    /// The place of the request among those of its key, and the tokens set aside for it.
    pub(crate) admission: Option<Admission>,
    /// Tokens read.
    pub(crate) prompt_tokens: u64,
    /// Tokens written.
    pub(crate) completion_tokens: u64,
    /// From its head to the first and to the last piece of a stream that said something.
    pub(crate) first_piece: Option<Duration>,
    pub(crate) last_piece: Option<Duration>,
    /// Why its stream broke off.
    pub(crate) broke_off: Option<FaultKind>,
    /// What its log lines carry.
    pub(crate) about: Option<About>,
    /// Its span; nothing where nobody wants to see it.
    pub(crate) span: Option<RequestSpan>,
}

/// A request that has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// What was learnt of it.
    pub(crate) facts: Facts,
    /// The status that was sent, or [`CLIENT_CLOSED`].
    pub(crate) status: u16,
    /// From its head to the end of its answer.
    pub(crate) took: Duration,
    /// Bytes of the answer's body that were handed to the connection.
    pub(crate) bytes: u64,
}

impl Tally {
    /// Begins to count for `request`.
    pub(crate) fn begin(request: &ServiceRequest, request_id: Arc<str>) -> Self {
        Self(Arc::new(Shared {
            started: Instant::now(),
            facts: Mutex::new(Facts {
                request_id,
                method: request.method().to_string(),
                path: request.path().to_owned(),
                address: address::of(request.request()),
                ..Facts::default()
            }),
            ended: AtomicBool::new(false),
        }))
    }

    /// The tally of `request`.
    pub(crate) fn of(request: &HttpRequest) -> Option<Self> {
        request.extensions().get::<Self>().cloned()
    }

    /// Adds to what is known.
    pub(crate) fn note(&self, add: impl FnOnce(&mut Facts)) {
        add(&mut self.facts());
    }

    /// Notes that a piece of a stream has come that says something.
    pub(crate) fn piece(&self) {
        let at = self.0.started.elapsed();
        self.note(|facts| {
            facts.first_piece.get_or_insert(at);
            facts.last_piece = Some(at);
        });
    }

    /// Notes the pattern of the route that `request` was led to, where there is one.
    pub(crate) fn route(&self, request: &HttpRequest) {
        self.note(|facts| {
            if facts.route.is_none() {
                facts.route = request.match_pattern();
            }
        });
    }

    /// Says that the request has ended, to all who count; said again it counts for nothing. What
    /// its key has used is settled first.
    pub(crate) fn end(&self, status: u16, bytes: u64, edge: Option<&Edge>) {
        if self.0.ended.swap(true, Relaxed) {
            return;
        }
        let mut facts = std::mem::take(&mut *self.facts());
        if let Some(mut admission) = facts.admission.take() {
            let used = facts.prompt_tokens.saturating_add(facts.completion_tokens);
            admission.settle(used, Moment::now());
        }
        let ended = Ended {
            facts,
            status,
            took: self.0.started.elapsed(),
            bytes,
        };
        if let Some(edge) = edge {
            edge.count(ended);
        }
    }

    fn facts(&self) -> MutexGuard<'_, Facts> {
        self.0.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends a tally as left by its client, unless an answer was found: who leaves while a handler is at
/// work has its future dropped, and nothing else tells.
pub(crate) struct Unanswered {
    tally: Option<Tally>,
    edge: Option<web::Data<Edge>>,
}

impl Unanswered {
    /// Watches `tally`.
    pub(crate) fn new(tally: Tally, edge: Option<web::Data<Edge>>) -> Self {
        let tally = Some(tally);
        Self { tally, edge }
    }

    /// There is an answer, which ends the tally.
    pub(crate) fn answered(mut self) {
        self.tally = None;
    }
}

impl Drop for Unanswered {
    fn drop(&mut self) {
        if let Some(tally) = &self.tally {
            tally.end(CLIENT_CLOSED, 0, self.edge.as_ref().map(|edge| &***edge));
        }
    }
}

/// A body that ends its request's tally: when it has been sent, or when it is dropped before, as
/// happens when the client leaves.
pub(crate) struct Counted {
    body: BoxBody,
    left: Left,
    sent: u64,
    status: StatusCode,
    tally: Tally,
    edge: Option<web::Data<Edge>>,
    about: Option<About>,
    _turn: Turn,
}

/// How much of a body has not been sent.
enum Left {
    /// So many bytes; at none it is whole.
    Bytes(u64),
    /// That will be known at the end.
    Unknown,
    /// More than will ever be: the body panicked.
    Broken,
}

impl Counted {
    /// Counts `body`, the answer of `status`, which ends its `turn`.
    pub(crate) fn new(
        body: BoxBody,
        status: StatusCode,
        tally: Tally,
        edge: Option<web::Data<Edge>>,
        turn: Turn,
    ) -> Self {
        let left = match body.size() {
            BodySize::None => Left::Bytes(0),
            BodySize::Sized(bytes) => Left::Bytes(bytes),
            // A socket's life is not a request's.
            BodySize::Stream if status == StatusCode::SWITCHING_PROTOCOLS => Left::Bytes(0),
            BodySize::Stream => Left::Unknown,
        };
        let about = tally.facts().about.clone();
        Self {
            body,
            about,
            left,
            sent: 0,
            status,
            tally,
            edge,
            _turn: turn,
        }
    }
}

impl Counted {
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Box<dyn std::error::Error>>>> {
        let body = AssertUnwindSafe(|| Pin::new(&mut self.body).poll_next(cx));
        catch_unwind(body).unwrap_or_else(|panic| Poll::Ready(Some(self.broken(&*panic))))
    }

    /// The end of a body that panicked. It is not polled again, and its connection is closed, so
    /// that nobody takes what was sent for the whole.
    fn broken(&mut self, panic: &(dyn Any + Send)) -> Result<Bytes, Box<dyn std::error::Error>> {
        let text = panic_text(panic);
        let request_id = self.tally.facts().request_id.clone();
        log::error!(request_id = &*request_id; "an answer under way panicked: {text}");
        self.left = Left::Broken;
        self.body = BoxBody::new(());
        Err("the answer broke off".into())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let status = match self.left {
            Left::Broken => StatusCode::INTERNAL_SERVER_ERROR.as_u16(),
            Left::Bytes(0) => self.status.as_u16(),
            _ => CLIENT_CLOSED,
        };
        let edge = self.edge.as_ref().map(|edge| &***edge);
        self.tally.end(status, self.sent, edge);
    }
}

impl MessageBody for Counted {
    type Error = Box<dyn std::error::Error>;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        let polled = match self.about.clone() {
            Some(about) => about.during(|| self.poll(cx)),
            None => self.poll(cx),
        };
        match &polled {
            Poll::Ready(None) => self.left = Left::Bytes(0),
            Poll::Ready(Some(Ok(bytes))) => {
                let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
                self.sent = self.sent.saturating_add(length);
                if let Left::Bytes(left) = &mut self.left {
                    *left = left.saturating_sub(length);
                }
            }
            Poll::Ready(Some(Err(_))) | Poll::Pending => (),
        }
        polled
    }
}

//! A call: one question with everything that travels beside it.

use std::{
    borrow::Cow,
    fmt::Debug,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{
    about::About,
    apikeys::Caller,
    fault::Fault,
    gate::Permit,
    stream::{self, Deltas, Outlet},
    trace::{OpenSpan, SpanKind, Trace},
};

/// A question that one plugin answers. The type is the address: whoever serves it gets it.
pub trait Capability: Send + 'static {
    /// What comes back.
    type Reply: Send + 'static;
    /// The capability's name, as scopes and `plugins.json` spell it, such as `llm.embed`.
    const NAME: &'static str;
    /// How long an answer may take (for a stream: until its end).
    const DEADLINE: Duration;
}

/// Where a call comes from: handed on unchanged from the edge through every plugin that it touches.
#[derive(Debug, Clone)]
pub struct Origin {
    /// The id that the answer's `x-request-id` and every log line about it carry.
    pub request_id: Arc<str>,
    /// Where in the request's trace the work stands; nothing for work of our own account.
    pub trace: Option<Trace>,
    /// Who asks, with which scopes.
    pub caller: Arc<Caller>,
    /// The client's address; nothing for the owner's socket and the gateway's own work.
    pub address: Option<IpAddr>,
    /// No call made for this origin outlives this instant.
    pub deadline: Option<Instant>,
    /// Fires when whoever asked has gone away.
    pub cancel: CancellationToken,
}

impl Origin {
    /// The origin of work that a plugin does on its own account, such as catching up after a start.
    pub fn internal(plugin: &str) -> Self {
        Self {
            request_id: format!("internal-{plugin}").into(),
            trace: None,
            caller: Arc::new(Caller::owner()),
            address: None,
            deadline: None,
            cancel: CancellationToken::new(),
        }
    }

    /// What the log lines of this work carry.
    pub fn about(&self) -> Option<About> {
        let trace = self.trace.as_ref()?;
        Some(About {
            request_id: self.request_id.clone(),
            trace_id: trace.id(),
        })
    }

    /// A span of this work.
    pub fn open_span(
        &self,
        kind: SpanKind,
        name: impl Into<Cow<'static, str>>,
        plugin: Option<Arc<str>>,
    ) -> OpenSpan {
        match &self.trace {
            Some(trace) => trace.open(kind, name, plugin),
            None => OpenSpan::untaken(None),
        }
    }
}

/// The context of one call. It holds the call's permit and its span, so it lives as long as the work
/// does.
#[derive(Debug)]
pub struct Cx {
    origin: Origin,
    deadline: Instant,
    permit: Option<Arc<Permit>>,
    span: Option<Arc<OpenSpan>>,
    in_hand: InHand,
}

/// Whether a plugin's handler has a call in hand. A panic leaves it there, and so the caller learns
/// that it was this call that brought the plugin down, and not one ahead of it in the queue.
#[derive(Debug, Clone, Default)]
pub struct InHand(Arc<AtomicBool>);

impl InHand {
    /// Says that the handler begins.
    pub fn take(&self) {
        self.0.store(true, SeqCst);
    }

    /// Says that the handler has returned.
    pub fn put_down(&self) {
        self.0.store(false, SeqCst);
    }

    pub(crate) fn is_taken(&self) -> bool {
        self.0.load(SeqCst)
    }
}

impl Cx {
    /// A context under `origin` that ends at `deadline`; `origin.cancel` is the call's own token.
    pub fn new(origin: Origin, deadline: Instant, permit: Option<Permit>) -> Self {
        Self {
            origin,
            deadline,
            permit: permit.map(Arc::new),
            span: None,
            in_hand: InHand::default(),
        }
    }

    /// The same context, whose call is `span`.
    #[must_use]
    pub(crate) fn within(self, span: Arc<OpenSpan>) -> Self {
        let span = Some(span);
        Self { span, ..self }
    }

    /// The same call's context once more, for work that goes on elsewhere: the permit is given back
    /// when the last of them is dropped.
    pub(crate) fn share(&self) -> Self {
        Self {
            origin: self.origin.clone(),
            deadline: self.deadline,
            permit: self.permit.clone(),
            span: self.span.clone(),
            in_hand: self.in_hand.clone(),
        }
    }

    /// Who asks, with which scopes.
    pub fn caller(&self) -> &Caller {
        &self.origin.caller
    }

    /// The request's id.
    pub fn request_id(&self) -> &str {
        &self.origin.request_id
    }

    /// What the log lines of this call carry.
    pub fn about(&self) -> Option<About> {
        self.origin.about()
    }

    /// A span for a part of this call's work.
    pub fn open_span(&self, kind: SpanKind, name: impl Into<Cow<'static, str>>) -> OpenSpan {
        let own = self.span.as_ref().and_then(|span| span.plugin());
        self.origin.open_span(kind, name, own.cloned())
    }

    /// Says that this call's work ends with `fault`.
    pub(crate) fn fail(&self, fault: &Fault) {
        if let Some(span) = &self.span {
            span.fail(fault.kind.name());
        }
    }

    /// When the answer stops being of use.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Fires when the caller has gone away or the deadline has passed.
    pub fn cancel(&self) -> &CancellationToken {
        &self.origin.cancel
    }

    /// Whether the plugin's handler has this call in hand; kept by the supervisor.
    pub fn in_hand(&self) -> &InHand {
        &self.in_hand
    }

    /// Whether nobody waits for the answer any more.
    pub fn is_over(&self) -> bool {
        self.origin.cancel.is_cancelled() || Instant::now() >= self.deadline
    }

    /// The origin for calls made on behalf of this one: same caller, same request, and neither a
    /// later deadline nor a longer life.
    pub fn origin(&self) -> Origin {
        Origin {
            deadline: Some(self.deadline),
            ..self.origin.clone()
        }
    }

    /// Turns this call into a stream of at most `capacity` unread items: the worker keeps the
    /// outlet, the caller gets the deltas, and dropping the deltas cancels the work.
    pub fn stream<T: Send + 'static>(self, capacity: usize) -> (Outlet<T>, Deltas<T>) {
        stream::channel(self, capacity)
    }
}

/// A message in a plugin's mailbox.
#[derive(Debug)]
pub struct Call<C> {
    /// The question.
    pub body: C,
    /// What travels beside it.
    pub cx: Cx,
}

impl<C: Capability> actix::Message for Call<C> {
    type Result = Result<C::Reply, Fault>;
}

//! What a connection is at: waiting, hearing a head, or busy with a request. It decides how long the
//! next byte may take. The server's own timers know the first head alone, so that a second request
//! could drip in for ever.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    task::{Context, Waker},
    time::Duration,
};

use tokio::time::Instant;

use crate::settings;

/// How long a connection that is to be closed is still listened to, so that its last answer is not
/// lost to what the client goes on to send.
pub(super) const LINGER: Duration = Duration::from_secs(1);

/// How long a client may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// For a head.
    pub(super) head: Duration,
    /// For the next request.
    pub(super) idle: Duration,
    /// To take the next piece of an answer.
    pub(super) reading: Duration,
}

impl Limits {
    /// As the settings say.
    pub(super) fn of(settings: &settings::Server) -> Self {
        Self {
            head: settings.head_seconds.into(),
            idle: settings.keep_alive_seconds.into(),
            reading: settings.reader_seconds.into(),
        }
    }
}

/// What a connection is at. The connection and the request on it share one; both are on one thread.
#[derive(Debug)]
pub(crate) struct Pulse {
    limits: Limits,
    requests: Cell<usize>,
    body: Cell<bool>,
    early: Cell<bool>,
    awaited: Cell<Awaited>,
    leaving: Cell<bool>,
    task: RefCell<Option<Waker>>,
}

/// What a connection without a request waits for, and since when.
#[derive(Debug, Clone, Copy)]
pub(super) enum Awaited {
    /// The rest of a head.
    Head(Instant),
    /// A request.
    Request(Instant),
}

impl Pulse {
    /// A new connection, whose first head is awaited.
    pub(super) fn new(limits: Limits) -> Rc<Self> {
        Rc::new(Self {
            limits,
            requests: Cell::new(0),
            body: Cell::new(false),
            early: Cell::new(false),
            awaited: Cell::new(Awaited::Head(Instant::now())),
            leaving: Cell::new(false),
            task: RefCell::default(),
        })
    }

    /// Remembers whom to wake.
    pub(super) fn watch(&self, cx: &Context<'_>) {
        let mut task = self.task.borrow_mut();
        if !task.as_ref().is_some_and(|task| task.will_wake(cx.waker())) {
            *task = Some(cx.waker().clone());
        }
    }

    /// Some bytes have come. Empty lines before a head are no part of it (RFC 9112, section 2.2).
    pub(super) fn heard(&self, bytes: &[u8]) {
        let empty = bytes.iter().all(|byte| matches!(byte, b'\r' | b'\n'));
        if self.requests.get() == 0
            && !empty
            && let Awaited::Request(_) = self.awaited.get()
            && !self.leaving.get()
        {
            self.awaited.set(Awaited::Head(Instant::now()));
        }
    }

    /// What is awaited; nothing while a request is at work.
    pub(super) fn awaited(&self) -> Option<Awaited> {
        (self.requests.get() == 0).then(|| self.awaited.get())
    }

    /// Whether what comes now is not for the request at work.
    pub(super) fn is_early(&self) -> bool {
        self.requests.get() > 0 && !self.body.get()
    }

    /// Something has come that must wait for its turn.
    pub(super) fn keep_early(&self) {
        self.early.set(true);
    }

    /// Whether the request at work has a body that is not whole.
    pub(super) fn expect_body(&self, more: bool) {
        self.body.set(more);
    }

    /// When what is awaited must have come.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.awaited().map(|awaited| match awaited {
            Awaited::Head(since) => since + self.limits.head,
            Awaited::Request(since) if self.leaving.get() => since + LINGER,
            Awaited::Request(since) => since + self.limits.idle,
        })
    }

    /// How long the client may take over the next piece of an answer.
    pub(super) fn reading(&self) -> Duration {
        self.limits.reading
    }

    /// A request has come.
    pub(super) fn begin(&self) {
        self.requests.set(self.requests.get() + 1);
        self.body.set(false);
    }

    /// A request has its answer.
    pub(super) fn end(&self) {
        self.requests.set(self.requests.get().saturating_sub(1));
        self.awaited.set(Awaited::Request(Instant::now()));
        if (self.leaving.get() || self.early.take())
            && let Some(task) = &*self.task.borrow()
        {
            // The connection has asked for bytes already, and knows of no reason to ask again.
            task.wake_by_ref();
        }
    }

    /// This request is the connection's last, whatever the client still sends.
    pub(super) fn leave(&self) {
        self.leaving.set(true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        head: Duration::from_secs(5),
        idle: Duration::from_secs(60),
        reading: Duration::from_secs(30),
    };

    /// Seconds from now to the deadline.
    fn left(pulse: &Pulse) -> Option<f64> {
        pulse
            .deadline()
            .map(|at| (at - Instant::now()).as_secs_f64().round())
    }

    #[test]
    fn every_head_has_its_deadline_and_not_the_first_alone() {
        let pulse = Pulse::new(LIMITS);
        assert_eq!(left(&pulse), Some(5.0), "from connecting");
        pulse.begin();
        assert_eq!(left(&pulse), None, "a request may take its time");
        pulse.end();
        assert_eq!(left(&pulse), Some(60.0), "between requests");
        pulse.heard(b"\r\n");
        assert_eq!(left(&pulse), Some(60.0), "an empty line begins nothing");
        pulse.heard(b"\r\nG");
        let deadline = pulse.deadline();
        assert_eq!(left(&pulse), Some(5.0), "from the first byte");
        pulse.heard(b"E");
        assert_eq!(pulse.deadline(), deadline, "further bytes win nothing");
    }

    #[test]
    fn a_connection_that_is_to_be_closed_is_heard_a_moment_longer() {
        let pulse = Pulse::new(LIMITS);
        pulse.begin();
        pulse.leave();
        pulse.end();
        pulse.heard(b"G");
        assert_eq!(left(&pulse), Some(1.0));
    }
}

//! The pace of a request's body: the server would wait for its next byte for ever.

use std::{
    cell::Cell,
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
    time::Duration,
};

use actix_web::{dev::Payload, error::PayloadError, web::Bytes};
use futures_util::Stream;
use tokio::time::{Instant, Sleep, sleep_until};

use super::pulse::Pulse;
use crate::settings;

/// How fast bodies must come.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    whole: Duration,
    whole_documents: Duration,
    rate: u64,
    window: Duration,
}

impl Pace {
    /// As the settings say.
    pub(crate) fn of(settings: &settings::Server) -> Self {
        Self {
            whole: settings.body_seconds.into(),
            whole_documents: settings.documents_body_seconds.into(),
            rate: settings.body_rate,
            window: settings.body_rate_seconds.into(),
        }
    }

    /// `body`, at this pace; `path` is decoded, as routes are found. What is too slow is an error in its reader's eyes, and noted in `slow`.
    pub(super) fn keep(
        self,
        body: Payload,
        path: &str,
        slow: Rc<Cell<bool>>,
        pulse: Option<Rc<Pulse>>,
    ) -> Payload {
        let payload = Box::pin(Paced {
            body,
            pace: self,
            whole: match is_documents(path) {
                true => self.whole_documents,
                false => self.whole,
            },
            waiting: None,
            slow,
            pulse,
        });
        Payload::Stream { payload }
    }
}

/// Documents are large, and have limits of their own.
fn is_documents(path: &str) -> bool {
    path.starts_with("/brainml/collections/") && path.ends_with("/documents")
}

struct Paced {
    body: Payload,
    pace: Pace,
    whole: Duration,
    /// From the first time that a byte was wanted and not there: most bodies come with their head,
    /// and cost no timer.
    waiting: Option<Waiting>,
    slow: Rc<Cell<bool>>,
    pulse: Option<Rc<Pulse>>,
}

impl Paced {
    /// What comes from now on is another request's.
    fn end(&mut self) {
        if let Some(pulse) = self.pulse.take() {
            pulse.expect_body(false);
        }
    }
}

impl Drop for Paced {
    fn drop(&mut self) {
        self.end();
    }
}

struct Waiting {
    end: Instant,
    window: Instant,
    bytes: u64,
    timer: Pin<Box<Sleep>>,
}

impl Waiting {
    fn begin(pace: Pace, whole: Duration) -> Self {
        let now = Instant::now();
        let (end, window) = (now + whole, now + pace.window);
        Self {
            end,
            window,
            bytes: 0,
            timer: Box::pin(sleep_until(end.min(window))),
        }
    }

    /// Ready when the body is too slow.
    fn poll_slow(&mut self, cx: &mut Context<'_>, pace: Pace) -> Poll<()> {
        loop {
            ready!(self.timer.as_mut().poll(cx));
            let now = Instant::now();
            let wanted = pace.rate.saturating_mul(pace.window.as_secs());
            if now >= self.end || self.bytes < wanted {
                return Poll::Ready(());
            }
            (self.window, self.bytes) = (now + pace.window, 0);
            self.timer.as_mut().reset(self.end.min(self.window));
        }
    }
}

impl Stream for Paced {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        let polled = Pin::new(&mut this.body).poll_next(cx);
        if let (Poll::Ready(Some(Ok(bytes))), Some(waiting)) = (&polled, &mut this.waiting) {
            let more = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
            waiting.bytes = waiting.bytes.saturating_add(more);
        }
        if let Poll::Ready(None | Some(Err(_))) = polled {
            this.end();
        }
        if polled.is_ready() {
            return polled;
        }
        let begin = || Waiting::begin(this.pace, this.whole);
        ready!(
            this.waiting
                .get_or_insert_with(begin)
                .poll_slow(cx, this.pace)
        );
        this.slow.set(true);
        let error = io::Error::new(io::ErrorKind::TimedOut, "the body comes too slowly");
        Poll::Ready(Some(Err(PayloadError::Io(error))))
    }
}

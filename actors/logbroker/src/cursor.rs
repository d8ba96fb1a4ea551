//! A cursor: one reader's place in the ring, and the stream of what it finds from there.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytestring::ByteString;
use futures_util::{Stream, stream};
use messages::log_record::Level;

use crate::ring::{Entry, Ring};

/// A frame is sent once it holds this many bytes of records.
const FRAME: usize = 32 * 1024;

/// Which records a reader wants.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Those of this plugin alone.
    pub plugin: Option<Arc<str>>,
    /// Those that are at least this bad.
    pub level: Option<Level>,
}

impl Filter {
    pub(crate) fn takes(&self, entry: &Entry) -> bool {
        let plugin = self.plugin.as_ref();
        plugin.is_none_or(|plugin| *plugin == entry.plugin)
            && self.level.is_none_or(|level| entry.level <= level)
    }
}

/// Where a reader left off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resume {
    /// The epoch of `after`; none stands for the present one.
    pub epoch: Option<String>,
    /// The last number that it has seen.
    pub after: u64,
}

/// What a reader is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// Records as JSON, in the order of their numbers.
    Records(Vec<ByteString>),
    /// Records that were lost to this reader, whether or not they would have passed its filter.
    Gap {
        /// The first that was lost.
        from: u64,
        /// The last that was lost.
        to: u64,
        /// How many.
        count: u64,
    },
}

impl Frame {
    /// The frame as a JSON object with a `type`, as `/ws/logs` sends it.
    pub fn to_json(&self) -> ByteString {
        match self {
            Self::Records(records) => {
                let size: usize = records.iter().map(|record| record.len() + 1).sum();
                let mut text = String::with_capacity(size + 32);
                text.push_str(r#"{"type":"records","records":["#);
                for (at, record) in records.iter().enumerate() {
                    if at > 0 {
                        text.push(',');
                    }
                    text.push_str(record);
                }
                text.push_str("]}");
                text.into()
            }
            Self::Gap { from, to, count } => {
                format!(r#"{{"type":"gap","from":{from},"to":{to},"count":{count}}}"#).into()
            }
        }
    }
}

/// One reader's place in the ring: a stream of frames that never ends.
#[expect(
    missing_debug_implementations,
    reason = "the wake-up stream has no text"
)]
pub struct Cursor {
    ring: Ring,
    filter: Filter,
    /// The next number to look at.
    next: u64,
    news: Pin<Box<dyn Stream<Item = ()> + Send>>,
    /// One frame was just given; let it be written before the next.
    resting: bool,
}

impl Cursor {
    pub(crate) fn new(ring: Ring, filter: Filter, resume: Option<&Resume>) -> Self {
        let news = stream::unfold(ring.subscribe(), |mut head| async move {
            head.changed().await.ok().map(|()| ((), head))
        });
        Self {
            next: first(&ring, resume),
            ring,
            filter,
            news: Box::pin(news),
            resting: false,
        }
    }

    /// The next frame, where there is something to tell.
    fn look(&mut self) -> Option<Frame> {
        let head = self.ring.head();
        let (mut records, mut size) = (Vec::new(), 0);
        while self.next <= head && size < FRAME {
            match self.ring.get(self.next) {
                Some(entry) => {
                    self.next += 1;
                    if self.filter.takes(&entry) {
                        size += entry.json.len();
                        records.push(entry.json);
                    }
                }
                // What was read before the gap goes first.
                None if records.is_empty() => return Some(self.gap(head)),
                None => break,
            }
        }
        (!records.is_empty()).then_some(Frame::Records(records))
    }

    /// Passes over everything that is not there, and counts it.
    fn gap(&mut self, head: u64) -> Frame {
        let from = self.next;
        let mut to = from.max(self.ring.oldest().saturating_sub(1)).min(head);
        while to < head && self.ring.get(to + 1).is_none() {
            to += 1;
        }
        self.next = to + 1;
        let count = self.next - from;
        self.ring.count_gap(count);
        log::debug!("a reader was too slow for {count} log records");
        Frame::Gap { from, to, count }
    }
}

fn first(ring: &Ring, resume: Option<&Resume>) -> u64 {
    let same_epoch = |resume: &&Resume| {
        let epoch = resume.epoch.as_deref();
        epoch.is_none_or(|epoch| epoch == ring.epoch())
    };
    resume
        .filter(same_epoch)
        .map_or_else(|| ring.oldest(), |resume| resume.after.min(ring.head()) + 1)
}

impl Drop for Cursor {
    fn drop(&mut self) {
        self.ring.unsubscribe();
    }
}

impl Stream for Cursor {
    type Item = Frame;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Frame>> {
        if std::mem::take(&mut self.resting) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        loop {
            if let Some(frame) = self.look() {
                self.resting = true;
                return Poll::Ready(Some(frame));
            }
            // Nothing to tell: wait for news, and look again where some came meanwhile.
            if ready!(self.news.as_mut().poll_next(cx)).is_none() {
                return Poll::Ready(None);
            }
        }
    }
}

#[cfg(test)]
mod tests;

//! The ring: the last records, each in the slot that its number says. One writer, any number of
//! readers; a slot is locked for as long as a pointer is copied.

use std::sync::{
    Arc, PoisonError, RwLock,
    atomic::{
        AtomicU64, AtomicUsize,
        Ordering::{Acquire, Relaxed, Release},
    },
};

use bytestring::ByteString;
use jiff::Timestamp;
use messages::log_record::{Level, LogRecord};
use serde::Serialize;
use tokio::sync::watch;

use crate::{
    cursor::{Cursor, Filter, Resume},
    intake::Arrivals,
};

/// How much is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Records in the ring.
    pub records: usize,
    /// Bytes of encoded records in the ring.
    pub bytes: usize,
    /// Records that may wait for the broker.
    pub waiting: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            records: 16_384,
            bytes: 32 << 20,
            waiting: 8_192,
        }
    }
}

/// The ring of records, shared. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Ring(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    epoch: String,
    limits: Limits,
    slots: Box<[RwLock<Option<Entry>>]>,
    /// The oldest number that is kept; the broker alone changes it.
    oldest: AtomicU64,
    /// The last number that is settled: its record is in its slot, or was dropped.
    head: watch::Sender<u64>,
    counts: Counts,
}

#[derive(Debug, Default)]
struct Counts {
    stored: AtomicU64,
    dropped: AtomicU64,
    bytes: AtomicUsize,
    subscribers: AtomicUsize,
    gaps: AtomicU64,
    lost: AtomicU64,
}

/// A record as readers get it.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) seq: u64,
    pub(crate) plugin: Arc<str>,
    pub(crate) level: Level,
    /// The record as JSON.
    pub(crate) json: ByteString,
}

/// What a reader is told first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename = "hello")]
pub struct Hello {
    /// Names this run of the gateway; numbers of another epoch mean nothing here.
    pub epoch: String,
    /// The oldest number that is still kept.
    pub oldest: u64,
    /// The number that the next record will have at least.
    pub next: u64,
}

/// The ring's figures, as of now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Figures {
    /// Records stored since the start.
    pub stored: u64,
    /// Records dropped since the start because too many waited.
    pub dropped: u64,
    /// Bytes of encoded records in the ring.
    pub bytes: usize,
    /// Readers.
    pub subscribers: usize,
    /// Gaps that readers were told of.
    pub gaps: u64,
    /// Records in those gaps.
    pub lost: u64,
}

impl Ring {
    pub(crate) fn new(limits: Limits) -> Self {
        let slots = (0..limits.records.max(1)).map(|_| RwLock::new(None));
        Self(Arc::new(Shared {
            epoch: format!("{:x}", Timestamp::now().as_nanosecond()),
            limits,
            slots: slots.collect(),
            oldest: AtomicU64::new(1),
            head: watch::Sender::new(0),
            counts: Counts::default(),
        }))
    }

    /// Names this run of the gateway.
    pub fn epoch(&self) -> &str {
        &self.0.epoch
    }

    /// What a reader is told first.
    pub fn hello(&self) -> Hello {
        Hello {
            epoch: self.0.epoch.clone(),
            oldest: self.oldest(),
            next: self.head() + 1,
        }
    }

    /// The figures as of now.
    pub fn figures(&self) -> Figures {
        let counts = &self.0.counts;
        Figures {
            stored: counts.stored.load(Relaxed),
            dropped: counts.dropped.load(Relaxed),
            bytes: counts.bytes.load(Relaxed),
            subscribers: counts.subscribers.load(Relaxed),
            gaps: counts.gaps.load(Relaxed),
            lost: counts.lost.load(Relaxed),
        }
    }

    /// A reader of the records that pass `filter`, from where `resume` says, or from the oldest.
    pub fn follow(&self, filter: Filter, resume: Option<&Resume>) -> Cursor {
        Cursor::new(self.clone(), filter, resume)
    }

    /// The last records that pass `filter`, at most `limit`, as JSON, oldest first.
    pub fn recent(&self, filter: &Filter, limit: usize) -> Vec<ByteString> {
        let newest_first = (self.oldest()..=self.head()).rev();
        let entries = newest_first.filter_map(|seq| self.get(seq));
        let mut records: Vec<ByteString> = entries
            .filter(|entry| filter.takes(entry))
            .map(|entry| entry.json)
            .take(limit)
            .collect();
        records.reverse();
        records
    }

    /// Stores what arrived and wakes the readers once. Only the broker writes.
    pub(crate) fn write(&self, arrivals: Arrivals) {
        let counts = &self.0.counts;
        counts.dropped.store(arrivals.dropped, Relaxed);
        for record in arrivals.records {
            self.store(record);
        }
        self.0.head.send_replace(arrivals.last_seq);
    }

    fn store(&self, record: LogRecord) {
        // A record is plain data with string keys, which always encodes.
        let json = serde_json::to_string(&record).unwrap_or_default();
        let (seq, size) = (record.seq, json.len());
        self.make_room(seq, size);
        let entry = Entry {
            seq,
            plugin: record.plugin,
            level: record.level,
            json: json.into(),
        };
        self.exchange(seq, |slot| slot.replace(entry));
        self.0.counts.bytes.fetch_add(size, Relaxed);
        self.0.counts.stored.fetch_add(1, Relaxed);
    }

    /// Gives up the oldest records until the one numbered `seq`, of `size` bytes, is within the
    /// limits.
    fn make_room(&self, seq: u64, size: usize) {
        let capacity = u64::try_from(self.0.slots.len()).unwrap_or(u64::MAX);
        let first = (seq + 1).saturating_sub(capacity);
        let full = || self.0.counts.bytes.load(Relaxed) + size > self.0.limits.bytes;
        let mut oldest = self.oldest();
        while oldest < seq && (oldest < first || full()) {
            let here = oldest;
            self.exchange(here, |slot| slot.take_if(|entry| entry.seq == here));
            oldest += 1;
        }
        self.0.oldest.store(oldest, Release);
    }

    /// Changes a slot; what was in it no longer counts.
    fn exchange(&self, seq: u64, change: impl FnOnce(&mut Option<Entry>) -> Option<Entry>) {
        let Some(slot) = self.slot(seq) else { return };
        let mut slot = slot.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(before) = change(&mut slot) {
            self.0.counts.bytes.fetch_sub(before.json.len(), Relaxed);
        }
    }

    /// The record of this number, where it is still there.
    pub(crate) fn get(&self, seq: u64) -> Option<Entry> {
        let slot = self.slot(seq)?.read();
        let slot = slot.unwrap_or_else(PoisonError::into_inner);
        slot.as_ref().filter(|entry| entry.seq == seq).cloned()
    }

    fn slot(&self, seq: u64) -> Option<&RwLock<Option<Entry>>> {
        let slots = &self.0.slots;
        let at = seq.checked_rem(u64::try_from(slots.len()).ok()?)?;
        slots.get(usize::try_from(at).ok()?)
    }

    pub(crate) fn oldest(&self) -> u64 {
        self.0.oldest.load(Acquire)
    }

    pub(crate) fn head(&self) -> u64 {
        *self.0.head.borrow()
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<u64> {
        self.0.counts.subscribers.fetch_add(1, Relaxed);
        self.0.head.subscribe()
    }

    pub(crate) fn unsubscribe(&self) {
        self.0.counts.subscribers.fetch_sub(1, Relaxed);
    }

    pub(crate) fn count_gap(&self, lost: u64) {
        self.0.counts.gaps.fetch_add(1, Relaxed);
        self.0.counts.lost.fetch_add(lost, Relaxed);
    }
}

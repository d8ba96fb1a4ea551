//! The intake: where a record gets its number, and waits for the broker without making anyone wait.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use messages::log_record::LogRecord;
use tokio::sync::Notify;

/// Hands records to the broker. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Intake(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    capacity: usize,
    waiting: Mutex<Waiting>,
    arrived: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    records: Vec<LogRecord>,
    last_seq: u64,
    dropped: u64,
}

/// What waited, as of one moment.
#[derive(Debug)]
pub(crate) struct Arrivals {
    /// In the order of their numbers, which have holes where records were dropped.
    pub(crate) records: Vec<LogRecord>,
    /// The last number that was given away.
    pub(crate) last_seq: u64,
    /// Records dropped since the start.
    pub(crate) dropped: u64,
}

impl Intake {
    /// An intake where at most `capacity` records wait.
    pub(crate) fn new(capacity: usize) -> Self {
        Self(Arc::new(Shared {
            capacity,
            waiting: Mutex::default(),
            arrived: Notify::new(),
        }))
    }

    /// Numbers a record and leaves it for the broker; a full queue costs the record and spends its
    /// number. Never waits for a reader.
    pub fn offer(&self, mut record: LogRecord) {
        let mut waiting = self.waiting();
        waiting.last_seq += 1;
        if waiting.records.len() < self.0.capacity {
            record.seq = waiting.last_seq;
            waiting.records.push(record);
        } else {
            waiting.dropped += 1;
        }
        drop(waiting);
        self.0.arrived.notify_one();
    }

    /// Waits until something has arrived and takes all of it.
    pub(crate) async fn take(&self) -> Arrivals {
        self.0.arrived.notified().await;
        self.take_now()
    }

    /// Takes all that has arrived.
    pub(crate) fn take_now(&self) -> Arrivals {
        let mut waiting = self.waiting();
        Arrivals {
            records: std::mem::take(&mut waiting.records),
            last_seq: waiting.last_seq,
            dropped: waiting.dropped,
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        let lock = self.0.waiting.lock();
        lock.unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::record;

    #[test]
    fn numbers_are_given_in_order_and_spent_when_full() {
        let intake = Intake::new(2);
        for _ in 0..5 {
            intake.offer(record("bkg"));
        }
        let first = intake.take_now();
        let seqs: Vec<u64> = first.records.iter().map(|record| record.seq).collect();
        assert_eq!((seqs, first.last_seq, first.dropped), (vec![1, 2], 5, 3));
        intake.offer(record("bkg"));
        let next = intake.take_now();
        assert_eq!(
            (next.records[0].seq, next.last_seq, next.dropped),
            (6, 6, 3)
        );
    }
}

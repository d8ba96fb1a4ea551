//! What all sockets share: how long a reader may be silent, and how many were lost to that.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

/// The readers of all sockets together.
#[derive(Debug)]
pub(crate) struct Readers {
    pub(super) silence: Duration,
    lost: AtomicU64,
}

impl Readers {
    /// Readers that may say nothing, not even to pings, and take nothing for `silence`.
    pub(crate) fn new(silence: Duration) -> Self {
        let lost = AtomicU64::new(0);
        Self { silence, lost }
    }

    /// How many were dropped because they were silent for longer.
    pub(crate) fn dropped(&self) -> u64 {
        self.lost.load(Relaxed)
    }

    /// One has been dropped.
    pub(super) fn lost(&self, path: &str) {
        let dropped = self.lost.fetch_add(1, Relaxed) + 1;
        log::warn!("dropped a reader of {path} that took nothing; {dropped} so far");
    }
}

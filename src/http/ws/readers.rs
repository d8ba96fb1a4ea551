//! What all sockets share: how long a reader may be silent, and how many were lost to that.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

/// The readers of all sockets together.
#[derive(Debug)]
pub(crate) struct Readers {
    pub(super) silence: Duration,
    patience: Duration,
    lost: AtomicU64,
}

impl Readers {
    /// Readers that may say nothing for `silence`, not even to pings. One that takes nothing is cut
    /// off by its connection after `stall`.
    pub(crate) fn new(silence: Duration, stall: Duration) -> Self {
        Self {
            silence,
            patience: silence.min(stall),
            lost: AtomicU64::new(0),
        }
    }

    /// How often a reader is asked whether it is still there, and its credential is looked at.
    pub(super) fn beat(&self) -> Duration {
        self.patience / 6
    }

    /// After how long without a beat a session has been held up by a reader that takes nothing.
    pub(super) fn held_up(&self) -> Duration {
        self.patience / 2
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

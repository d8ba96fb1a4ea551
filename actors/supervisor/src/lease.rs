//! A plugin's right to its gate: from an operator's start until the stop, or until it is abandoned.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

use messages::{
    gate::{Card, Gate},
    plugin::Status,
};
use tokio_util::sync::CancellationToken;

/// What the root supervisor and a plugin's own thread share. Once it is closed, the thread can no
/// longer change what the world sees: a panic while stopping does not let callers in again, and a
/// thread that was abandoned while it hung does not speak for its successor.
#[derive(Debug)]
pub(crate) struct Lease {
    gate: Arc<Gate>,
    closed: AtomicBool,
    stop: CancellationToken,
    lives: CancellationToken,
}

impl Lease {
    pub(crate) fn new(gate: Arc<Gate>) -> Arc<Self> {
        Arc::new(Self {
            gate,
            closed: AtomicBool::new(false),
            stop: CancellationToken::new(),
            lives: CancellationToken::new(),
        })
    }

    pub(crate) fn gate(&self) -> &Arc<Gate> {
        &self.gate
    }

    pub(crate) fn name(&self) -> &str {
        self.gate.name()
    }

    /// Fires when the plugin must stop now.
    pub(crate) fn stop(&self) -> &CancellationToken {
        &self.stop
    }

    /// A token for one more life; all of them end with the lease.
    pub(crate) fn new_life(&self) -> CancellationToken {
        self.lives.child_token()
    }

    /// Takes the gate away from the plugin's thread, which may go on working.
    pub(crate) fn close(&self) {
        self.closed.store(true, SeqCst);
    }

    /// Ends whatever is left of the plugin, as far as it listens.
    pub(crate) fn end(&self) {
        self.close();
        self.stop.cancel();
        self.lives.cancel();
    }

    /// The gate, while the plugin's thread may still speak for it.
    fn open(&self) -> Option<&Gate> {
        (!self.closed.load(SeqCst)).then_some(&*self.gate)
    }

    pub(crate) fn set_status(&self, status: Status) {
        if let Some(gate) = self.open() {
            gate.set_status(status);
        }
    }

    pub(crate) fn set_retry_in(&self, wait: Duration) {
        if let Some(gate) = self.open() {
            gate.set_retry_in(wait);
        }
    }

    pub(crate) fn edit_card(&self, edit: impl FnOnce(&mut Card)) {
        if let Some(gate) = self.open() {
            gate.edit_card(edit);
        }
    }
}

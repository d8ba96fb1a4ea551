//! A tenure: one plugin's time between a start and a stop, with the thread that it lives on.

use std::{io, sync::Arc, time::Duration};

use actix::Arbiter;
use futures_util::FutureExt;
use messages::{gate::Gate, line::Directory};
use serde_json::Value;
use tokio::{sync::oneshot, task::JoinHandle, time::timeout};

use crate::{lease::Lease, registry::Registration, watcher::watch};

/// The gateway's hold on a plugin that was started.
pub(crate) struct Tenure {
    lease: Arc<Lease>,
    arbiter: Arbiter,
    watcher: JoinHandle<()>,
}

impl Tenure {
    /// Starts the plugin on a thread of its own, and the watch over that thread.
    pub(crate) fn begin(
        registration: &Registration,
        gate: &Arc<Gate>,
        directory: &Directory,
        settings: Value,
    ) -> io::Result<Self> {
        let arbiter = Arbiter::try_new()?;
        let lease = Lease::new(gate.clone());
        let thread = arbiter.handle();
        let Registration { policy, start, .. } = registration;
        start(lease.clone(), directory.clone(), settings.into(), &thread);
        let watcher = actix::spawn(watch(gate.clone(), thread, policy.hang_after));
        Ok(Self {
            lease,
            arbiter,
            watcher,
        })
    }

    /// Takes the gate away from the plugin's thread, which goes on with the calls at work.
    pub(crate) fn close(&self) {
        self.lease.close();
    }

    /// Stops the plugin, and abandons its thread when that has not ended within `limit`.
    pub(crate) async fn end(self, limit: Duration) {
        self.lease.stop().cancel();
        let Self {
            lease,
            arbiter,
            watcher,
        } = self;
        let ended = match ended(arbiter) {
            Ok(ended) => timeout(limit, ended).await.is_ok(),
            Err(_) => false,
        };
        if !ended {
            log::error!(target: lease.name(), "did not stop within {limit:.1?}: thread abandoned");
        }
        lease.end();
        watcher.abort();
    }

    /// Lets go of a plugin that has failed: its thread ends by itself.
    pub(crate) fn abandon(self) {
        self.watcher.abort();
        self.lease.end();
    }
}

/// Fires when the arbiter's thread has ended. Joining blocks, so a thread does it that may linger
/// for as long as the one it waits for.
fn ended(arbiter: Arbiter) -> io::Result<impl Future<Output = ()>> {
    let (tell, told) = oneshot::channel();
    std::thread::Builder::new()
        .name("supervisor-join".to_owned())
        .spawn(move || {
            // How the thread ended is already in the log.
            drop(arbiter.join());
            let _gone = tell.send(());
        })?;
    Ok(told.map(drop))
}

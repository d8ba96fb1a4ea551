//! Watches a plugin's thread from outside: a thread that hangs cannot say so itself.

use std::{sync::Arc, time::Duration};

use actix::ArbiterHandle;
use messages::{gate::Gate, plugin::Status};
use tokio::{
    sync::oneshot,
    time::{sleep, timeout},
};

/// Probes the thread until it ends. A probe is a task that does nothing; it comes back as soon as
/// the thread gets round to its tasks.
pub(crate) async fn watch(gate: Arc<Gate>, thread: ArbiterHandle, hang_after: Duration) {
    loop {
        sleep(hang_after / 2).await;
        // A factory may take its time on the thread.
        if gate.status() != Status::Running {
            continue;
        }
        let (back, mut probe) = oneshot::channel();
        let sent = thread.spawn(async move {
            let _late = back.send(());
        });
        if !sent {
            return;
        }
        if timeout(hang_after, &mut probe).await.is_err() {
            note(&gate, true, hang_after);
            if probe.await.is_err() {
                return;
            }
            note(&gate, false, hang_after);
        }
    }
}

fn note(gate: &Gate, hanging: bool, hang_after: Duration) {
    if gate.set_hanging(hanging) {
        let name = gate.name();
        if hanging {
            log::error!(target: name, "hangs: its thread has not answered for {hang_after:.1?}");
        } else {
            log::warn!(target: name, "no longer hangs");
        }
    }
}

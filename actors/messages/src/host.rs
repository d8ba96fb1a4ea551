//! What a plugin's factory is given: its settings, ports to others, and places to do work.

use std::{io, panic::AssertUnwindSafe, sync::Arc, thread::JoinHandle};

use futures_util::FutureExt;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::{
    call::{Capability, Origin},
    fault::{Fault, panic_text},
    line::{Directory, Gate},
    log_record::tag_thread,
    port::Port,
};

/// The plugin's side of the supervisor, made anew for each of its lives.
#[derive(Debug, Clone)]
pub struct Host {
    name: Arc<str>,
    settings: Arc<Value>,
    directory: Directory,
    gate: Arc<Gate>,
    life: CancellationToken,
}

impl Host {
    /// The host of one life of the plugin behind `gate`; `life` is cancelled when that life ends.
    pub fn new(
        settings: Arc<Value>,
        directory: Directory,
        gate: Arc<Gate>,
        life: CancellationToken,
    ) -> Self {
        Self {
            name: gate.name().into(),
            settings,
            directory,
            gate,
            life,
        }
    }

    /// The plugin's effective settings.
    ///
    /// # Errors
    /// [`Unprocessable`](crate::fault::FaultKind::Unprocessable) with what serde found wrong.
    pub fn settings<T: DeserializeOwned>(&self) -> Result<T, Fault> {
        T::deserialize(&*self.settings)
            .map_err(|error| Fault::unprocessable(format!("settings of {}: {error}", self.name)))
    }

    /// A port for the plugin's own account; use [`Port::within`] for work on behalf of a call.
    pub fn port<C: Capability>(&self) -> Port<C> {
        let origin = Origin {
            cancel: self.life.clone(),
            ..Origin::internal(&self.name)
        };
        Port::new(self.directory.clone(), origin)
    }

    /// Cancelled when this life of the plugin ends.
    pub fn life(&self) -> &CancellationToken {
        &self.life
    }

    /// Runs a background task on the plugin's own thread until it is done or this life ends. A
    /// panic in it is logged and counted, and nothing more.
    pub fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        let host = self.clone();
        actix::spawn(async move {
            let guarded = AssertUnwindSafe(task).catch_unwind();
            tokio::select! {
                () = host.life.cancelled() => (),
                done = guarded => if let Err(panic) = done {
                    host.report_panic("a background task", &*panic);
                },
            }
        });
    }

    /// Starts a thread of the plugin's, whose log lines carry the plugin's name. It must end by
    /// itself when [`Host::life`] does.
    ///
    /// # Errors
    /// When the system has no thread to give.
    pub fn thread<T: Send + 'static>(
        &self,
        name: &str,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<JoinHandle<T>> {
        let tag = self.name.clone();
        std::thread::Builder::new()
            .name(format!("{tag}-{name}"))
            .spawn(move || {
                tag_thread(tag);
                work()
            })
    }

    /// Runs work that blocks or computes on a thread for such work, and waits for it.
    ///
    /// # Errors
    /// [`Crashed`](crate::fault::FaultKind::Crashed) when it panics; the plugin lives on.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Fault> {
        let tag = self.name.clone();
        let task = tokio::task::spawn_blocking(move || {
            tag_thread(tag);
            work()
        });
        task.await.map_err(|error| match error.try_into_panic() {
            Ok(panic) => self.report_panic("a worker", &*panic),
            Err(_) => Fault::cancelled("the gateway is stopping"),
        })
    }

    /// Logs and counts a panic that cost one call or one background task, and answers the fault
    /// for whoever waited for it.
    pub fn report_panic(&self, place: &str, panic: &(dyn std::any::Any + Send)) -> Fault {
        let text = panic_text(panic);
        self.gate.count_panic();
        log::error!(target: &self.name, "{place} panicked: {text}");
        Fault::crashed(format!("{} panicked over this call: {text}", self.name))
    }
}

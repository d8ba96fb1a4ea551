//! What a plugin's factory is given: its settings, ports to others, and places to do work.

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread::JoinHandle,
};

use futures_util::FutureExt;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::{
    about::About,
    call::{Capability, Cx, Origin},
    fault::{Fault, panic_text},
    gate::Gate,
    line::Directory,
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
    memory: Arc<AtomicU64>,
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
            name: gate.name().clone(),
            settings,
            directory,
            memory: gate.memory(),
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

    /// Publishes how many bytes this life of the plugin holds in memory, by its own account: what
    /// it can add up at little cost, such as indexes and weights.
    pub fn tell_memory(&self, bytes: u64) {
        self.memory.store(bytes, Relaxed);
    }

    /// Cancelled when this life of the plugin ends.
    pub fn life(&self) -> &CancellationToken {
        &self.life
    }

    /// Runs a background task on the plugin's own thread until it is done or this life ends. A
    /// panic in it is logged and counted, and nothing more. What a call spawns is still about that
    /// call's request.
    pub fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        let host = self.clone();
        let work = async move {
            let guarded = AssertUnwindSafe(task).catch_unwind();
            tokio::select! {
                () = host.life.cancelled() => (),
                done = guarded => if let Err(panic) = done {
                    host.report_panic("a background task", &*panic);
                },
            }
        };
        match About::now() {
            Some(about) => drop(actix::spawn(about.around(work))),
            None => drop(actix::spawn(work)),
        }
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

    /// Runs work of the plugin's own account that blocks or computes, on a thread for such work, and
    /// waits for it. Work on behalf of a call goes through [`Host::run_for`].
    ///
    /// # Errors
    /// [`Crashed`](crate::fault::FaultKind::Crashed) when it panics; the plugin lives on.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Fault> {
        let host = self.clone();
        let guarded = move || {
            tag_thread(host.name.clone());
            // Caught here and not at the other end, where nobody may wait any more.
            catch_unwind(AssertUnwindSafe(work))
                .map_err(|panic| host.report_panic("a worker", &*panic))
        };
        let about = About::now();
        let task = tokio::task::spawn_blocking(move || match about {
            Some(about) => about.during(guarded),
            None => guarded(),
        });
        task.await
            .unwrap_or_else(|_| Err(Fault::cancelled("the gateway is stopping")))
    }

    /// As [`Host::run`], on behalf of a call. Such work cannot be broken off, so it keeps the call's
    /// permit until it is done, also when the caller leaves before; and it does not begin at all
    /// when the call is over by the time a thread is free.
    ///
    /// # Errors
    /// As [`Host::run`], and [`Cancelled`](crate::fault::FaultKind::Cancelled) when it did not begin.
    pub async fn run_for<T: Send + 'static>(
        &self,
        cx: &Cx,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Fault> {
        let cx = cx.share();
        let work = move || {
            if cx.is_over() {
                Err(Fault::cancelled("the call was over before its work began"))
            } else {
                Ok(work())
            }
        };
        self.run(work).await?
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

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, time::Duration};

    use tokio::{runtime::Builder, time::Instant};

    use super::*;
    use crate::{fault::FaultKind, gate::Card, plugin::Status};

    fn host() -> Host {
        let directory = Directory::default();
        let changes = directory.changes();
        let gate = Gate::new("test", Status::Running, Card::default(), changes);
        let life = CancellationToken::new();
        Host::new(Arc::default(), directory, Arc::new(gate), life)
    }

    #[test]
    fn what_an_earlier_life_holds_is_not_told_of_the_next() {
        let directory = Directory::default();
        let changes = directory.changes();
        let gate = Arc::new(Gate::new("test", Status::Running, Card::default(), changes));
        let life = || {
            gate.begin_generation();
            let end = CancellationToken::new();
            Host::new(Arc::default(), directory.clone(), gate.clone(), end)
        };
        let first = life();
        assert_eq!(gate.state().memory_bytes, None);
        first.tell_memory(7);
        assert_eq!(gate.state().memory_bytes, Some(7));
        let second = life();
        first.tell_memory(8);
        assert_eq!(gate.state().memory_bytes, None);
        second.tell_memory(0);
        assert_eq!(gate.state().memory_bytes, Some(0));
        gate.set_status(Status::Stopped);
        assert_eq!(gate.state().memory_bytes, None);
    }

    fn cx(time: Duration) -> Cx {
        Cx::new(Origin::internal("test"), Instant::now() + time, None)
    }

    const LONG: Duration = Duration::from_secs(3600);

    /// Queues work behind other work, then lets `end` end its call; answers its outcome.
    fn queued(time: Duration, end: impl FnOnce(&Cx)) -> Result<&'static str, Fault> {
        let one_thread = Builder::new_current_thread()
            .enable_time()
            .max_blocking_threads(1)
            .build();
        one_thread.unwrap().block_on(async {
            let (release, hold) = mpsc::channel::<()>();
            let busy = tokio::task::spawn_blocking(move || hold.recv());
            let (host, cx) = (host(), cx(time));
            let work = host.run_for(&cx, || "done");
            tokio::pin!(work);
            assert!((&mut work).now_or_never().is_none());
            end(&cx);
            drop(release);
            drop(busy.await);
            work.await
        })
    }

    #[test]
    fn queued_work_whose_call_is_over_does_not_begin() {
        let left = queued(LONG, |cx| cx.cancel().cancel());
        assert_eq!(left.unwrap_err().kind, FaultKind::Cancelled);
        let late = queued(Duration::ZERO, |_| ());
        assert_eq!(late.unwrap_err().kind, FaultKind::Cancelled);
        assert_eq!(queued(LONG, |_| ()), Ok("done"));
    }

    #[tokio::test]
    async fn a_panic_in_work_that_nobody_waits_for_is_counted() {
        let (host, cx) = (host(), cx(LONG));
        let (go, wait) = mpsc::channel::<()>();
        let work = host.run_for(&cx, move || -> () {
            wait.recv().unwrap_err();
            panic!("told to")
        });
        assert!(work.now_or_never().is_none(), "and its future is gone");
        drop(go);
        let counted = async {
            while host.gate.state().calls.panics == 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let patience = Duration::from_secs(10);
        tokio::time::timeout(patience, counted).await.unwrap();
    }
}

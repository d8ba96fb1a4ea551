//! The guard: polls a plugin's actor, survives its panics, and gives it its next life.

use std::{future::poll_fn, pin::Pin, rc::Rc, sync::Arc, task::Poll, time::Duration};

use actix::{
    Addr, Arbiter, ArbiterHandle, Context,
    dev::{
        ContextFut,
        channel::{self, AddressReceiver},
    },
};
use messages::{
    fault::{Fault, FaultKind},
    line::Directory,
    log_record::tag_thread,
    plugin::{Plugin, Policy, Status},
};
use serde_json::Value;
use tokio::time::Instant;

use crate::{
    brake::Brake,
    cell::Cell,
    lease::Lease,
    seat::{Factory, Seat, Stillbirth},
    survive::survive,
};

/// What a plugin is started with.
pub(crate) struct Launch<P: Plugin> {
    pub(crate) lease: Arc<Lease>,
    pub(crate) directory: Directory,
    pub(crate) settings: Arc<Value>,
    pub(crate) factory: Factory<P>,
    pub(crate) policy: Policy,
}

impl<P: Plugin> Launch<P> {
    /// Starts the plugin on `arbiter` and answers its address, which takes calls at once.
    pub(crate) fn on(self, arbiter: &ArbiterHandle) -> Addr<Cell<P>> {
        let (sender, receiver) = channel::channel(16);
        let address = Addr::new(sender);
        let kept = address.clone();
        arbiter.spawn_fn(move || {
            tag_thread(self.lease.name().into());
            actix::spawn(async move {
                Guard::new(self, receiver).keep_alive().await;
                // An actor whose last address is gone would end by itself.
                drop(kept);
                Arbiter::current().stop();
            });
        });
        address
    }
}

/// The actor with its context, its address's other end and its queue.
type Guarded<P> = Pin<Box<ContextFut<Cell<P>, Context<Cell<P>>>>>;

/// How a life ended.
enum Exit {
    Asked,
    Panicked(String),
    Refused(Fault),
}

struct Guard<P: Plugin> {
    seat: Rc<Seat<P>>,
    actor: Guarded<P>,
    brake: Brake,
}

impl<P: Plugin> Guard<P> {
    fn new(launch: Launch<P>, receiver: AddressReceiver<Cell<P>>) -> Self {
        let seat = Seat::new(
            launch.lease,
            launch.directory,
            launch.settings,
            launch.factory,
        );
        let actor = Context::with_receiver(receiver).into_future(Cell::new(seat.clone()));
        Self {
            seat,
            actor: Box::pin(actor),
            brake: Brake::new(launch.policy),
        }
    }

    async fn keep_alive(mut self) {
        loop {
            let born = Instant::now();
            let exit = self.live().await;
            let lived = born.elapsed();
            match exit {
                Exit::Asked => self.seat.stopping(),
                Exit::Refused(fault) if !can_pass(fault.kind) => self.fail(fault.message),
                Exit::Refused(fault) => {
                    if self.recover(lived, &fault.message).await {
                        continue;
                    }
                }
                Exit::Panicked(text) => {
                    self.note_panic(&text);
                    if self.recover(lived, &text).await {
                        continue;
                    }
                }
            }
            break;
        }
        self.bury();
    }

    /// One life, from the factory to its end.
    async fn live(&mut self) -> Exit {
        // The first life begins like every other one: `restart` only resets the context's flags.
        let restarted = survive(|| self.actor.restart());
        match restarted.map(|_| self.seat.born()) {
            Ok(Ok(())) => (),
            Ok(Err(Stillbirth::Refused(fault))) => return Exit::Refused(fault),
            Ok(Err(Stillbirth::Panicked(text))) | Err(text) => return Exit::Panicked(text),
        }
        let lease = &self.seat.lease;
        if lease.stop().is_cancelled() {
            return Exit::Asked;
        }
        lease.edit_card(|card| card.reason = None);
        lease.set_retry_in(Duration::ZERO);
        lease.set_status(Status::Running);
        log::info!(target: lease.name(), "running");
        tokio::select! {
            biased;
            () = lease.stop().cancelled() => Exit::Asked,
            text = broken(&mut self.actor) => Exit::Panicked(text),
        }
    }

    fn note_panic(&self, text: &str) {
        let lease = &self.seat.lease;
        lease.edit_card(|card| card.last_panic = Some(text.to_owned()));
        log::error!(target: lease.name(), "panicked: {text}");
    }

    /// Drops the broken state, waits, and counts the restart; false when there is no next life.
    async fn recover(&mut self, lived: Duration, why: &str) -> bool {
        let lease = self.seat.lease.clone();
        let wait = self
            .brake
            .press(Instant::now(), lived, rand::random::<f64>());
        let Some(wait) = wait else {
            self.fail(format!("restarted too often; the last reason: {why}"));
            return false;
        };
        lease.edit_card(|card| card.reason = Some(why.to_owned()));
        lease.set_retry_in(wait);
        lease.set_status(Status::Restarting);
        self.seat.end();
        log::warn!(target: lease.name(), "restarting in {wait:.1?}");
        tokio::select! {
            () = lease.stop().cancelled() => return false,
            () = tokio::time::sleep(wait) => (),
        }
        lease.gate().count_restart();
        true
    }

    fn fail(&self, reason: String) {
        let lease = &self.seat.lease;
        log::error!(target: lease.name(), "failed until an operator starts it: {reason}");
        lease.edit_card(|card| card.reason = Some(reason));
        lease.set_status(Status::Failed);
    }

    /// Ends what is left: state, queued calls (their callers are told), actor.
    fn bury(self) {
        self.seat.end();
        let Self { seat, actor, .. } = self;
        seat.log_panic("dropping its queue", survive(|| drop(actor)));
    }
}

/// Polls an actor until it panics.
async fn broken<P: Plugin>(actor: &mut Guarded<P>) -> String {
    poll_fn(|cx| match survive(|| Future::poll(actor.as_mut(), cx)) {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(())) => Poll::Ready("its actor ended by itself".to_owned()),
        Err(text) => Poll::Ready(text),
    })
    .await
}

/// Whether a factory that answers this may fare better at the next try.
fn can_pass(kind: FaultKind) -> bool {
    matches!(
        kind,
        FaultKind::Crashed
            | FaultKind::Overloaded
            | FaultKind::Restarting
            | FaultKind::Stopped
            | FaultKind::Failed
            | FaultKind::TimedOut
            | FaultKind::LimitReached
            | FaultKind::StorageFull
            | FaultKind::StorageFailed
            | FaultKind::Internal
    )
}

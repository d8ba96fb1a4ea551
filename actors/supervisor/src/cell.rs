//! The actor around a plugin: takes calls that still matter, and polls long answers beside itself.

use std::{panic::AssertUnwindSafe, rc::Rc};

use actix::{
    Actor, AsyncContext, Context, Handler, Supervised,
    dev::{MessageResponse, OneshotSender},
};
use futures_util::{FutureExt, future::LocalBoxFuture};
use messages::{
    about::About,
    call::{Call, Capability, Cx},
    fault::Fault,
    host::Host,
    plugin::{Answer, Plugin, Serve},
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::seat::Seat;

/// Calls between two yields of the thread. An actor's mailbox is drained without a pause, so a
/// steady flood would otherwise keep timers, answers under way and probes waiting for ever.
const CALLS_BETWEEN_YIELDS: u32 = 32;

/// The actor around a plugin. It outlives the plugin's lives, so its address and its queue do too.
#[expect(
    missing_debug_implementations,
    reason = "a plugin need not have a text"
)]
pub struct Cell<P: Plugin> {
    seat: Rc<Seat<P>>,
    calls_since_yield: u32,
}

impl<P: Plugin> Cell<P> {
    pub(crate) fn new(seat: Rc<Seat<P>>) -> Self {
        Self {
            seat,
            calls_since_yield: 0,
        }
    }

    fn yield_now_and_then(&mut self, ctx: &mut Context<Self>) {
        self.calls_since_yield += 1;
        if self.calls_since_yield >= CALLS_BETWEEN_YIELDS {
            self.calls_since_yield = 0;
            ctx.wait(actix::fut::wrap_future(tokio::task::yield_now()));
        }
    }
}

impl<P: Plugin> Actor for Cell<P> {
    type Context = Context<Self>;
}

impl<P: Plugin> Supervised for Cell<P> {
    fn restarting(&mut self, _: &mut Context<Self>) {
        self.calls_since_yield = 0;
        self.seat.begin();
    }
}

impl<C: Capability, P: Serve<C>> Handler<Call<C>> for Cell<P> {
    type Result = Reply<C>;

    fn handle(&mut self, call: Call<C>, ctx: &mut Context<Self>) -> Reply<C> {
        self.yield_now_and_then(ctx);
        if let Some(fault) = over(&call.cx) {
            return Reply::Now(Err(fault));
        }
        // The context moves into the plugin with the call.
        let (cancel, deadline) = (call.cx.cancel().clone(), call.cx.deadline());
        let (in_hand, about) = (call.cx.in_hand().clone(), call.cx.about());
        in_hand.take();
        let serve = || {
            self.seat.with(|life| match life.plugin.serve(call) {
                Answer::Now(result) => Reply::Now(result),
                Answer::Later(work) => Reply::Later(Later {
                    work,
                    cancel,
                    deadline,
                    about: about.clone(),
                    host: life.host.clone(),
                }),
            })
        };
        let reply = match about.clone() {
            Some(about) => about.during(serve),
            None => serve(),
        };
        in_hand.put_down();
        reply.unwrap_or_else(|| {
            let name = P::NAME;
            Reply::Now(Err(Fault::restarting(format!(
                "{name} is between two lives"
            ))))
        })
    }
}

fn over(cx: &Cx) -> Option<Fault> {
    if cx.cancel().is_cancelled() {
        Some(gone())
    } else if Instant::now() >= cx.deadline() {
        Some(Fault::timed_out(
            "the call waited in the queue until its deadline",
        ))
    } else {
        None
    }
}

fn gone() -> Fault {
    Fault::cancelled("the caller has gone away")
}

/// A handler's answer on its way to the caller.
#[expect(missing_debug_implementations, reason = "futures have no text")]
pub enum Reply<C: Capability> {
    /// Ready.
    Now(Result<C::Reply, Fault>),
    /// Under way.
    Later(Later<C>),
}

/// An answer under way, with all that can end it.
#[expect(missing_debug_implementations, reason = "futures have no text")]
pub struct Later<C: Capability> {
    work: LocalBoxFuture<'static, Result<C::Reply, Fault>>,
    cancel: CancellationToken,
    deadline: Instant,
    about: Option<About>,
    host: Host,
}

impl<C: Capability> Later<C> {
    async fn finish(mut self) -> Result<C::Reply, Fault> {
        match self.about.take() {
            Some(about) => about.around(self.finish_now()).await,
            None => self.finish_now().await,
        }
    }

    async fn finish_now(self) -> Result<C::Reply, Fault> {
        let guarded = AssertUnwindSafe(self.work).catch_unwind();
        tokio::select! {
            biased;
            () = self.cancel.cancelled() => Err(gone()),
            done = guarded => done
                .unwrap_or_else(|panic| Err(self.host.report_panic(C::NAME, &*panic))),
            () = tokio::time::sleep_until(self.deadline) => {
                Err(Fault::timed_out("the answer was not ready before its deadline"))
            }
        }
    }
}

impl<A: Actor, C: Capability> MessageResponse<A, Call<C>> for Reply<C> {
    fn handle(self, _: &mut A::Context, to: Option<OneshotSender<Result<C::Reply, Fault>>>) {
        // Whoever no longer listens has no use for the answer.
        let send = move |result| drop(to.map(|to| to.send(result)));
        match self {
            Self::Now(result) => send(result),
            Self::Later(later) => drop(actix::spawn(async move { send(later.finish().await) })),
        }
    }
}

//! A port: the typed end of a call, which never learns who answers.

use std::{marker::PhantomData, sync::Arc};

use tokio::time::Instant;

use crate::{
    call::{Call, Capability, Cx, InHand, Origin},
    fault::{Fault, FaultKind},
    gate::Gate,
    line::Directory,
    trace::{OpenSpan, SpanKind},
    traffic::Traffic,
};

/// Asks whoever serves `C`. The answerer is looked up at each call, so a port outlives restarts
/// and may be made before anyone answers.
#[derive(Debug)]
pub struct Port<C> {
    directory: Directory,
    origin: Origin,
    capability: PhantomData<fn(C)>,
}

impl<C> Clone for Port<C> {
    fn clone(&self) -> Self {
        Self::new(self.directory.clone(), self.origin.clone())
    }
}

impl<C> Port<C> {
    /// A port whose calls are made for `origin`.
    pub fn new(directory: Directory, origin: Origin) -> Self {
        Self {
            directory,
            origin,
            capability: PhantomData,
        }
    }

    /// The same port for calls on behalf of `cx`: its caller, its deadline, its end.
    #[must_use]
    pub fn within(&self, cx: &Cx) -> Self {
        Self::new(self.directory.clone(), cx.origin())
    }
}

impl<C: Capability> Port<C> {
    /// Asks and waits for the answer. Dropping the returned future cancels the work.
    ///
    /// # Errors
    /// At once, without queueing: [`Overloaded`](FaultKind::Overloaded) without a free permit,
    /// [`Restarting`](FaultKind::Restarting), [`Stopped`](FaultKind::Stopped) or
    /// [`Failed`](FaultKind::Failed) while the plugin does not run; one of these later, too, when
    /// the plugin stops with the call still in its queue or cuts the answer off by stopping.
    /// [`TimedOut`](FaultKind::TimedOut) at the deadline, [`Crashed`](FaultKind::Crashed) when the
    /// plugin panicked over this call; otherwise whatever fault the plugin answers.
    pub async fn call(&self, body: C) -> Result<C::Reply, Fault> {
        let line = self.directory.line::<C>()?;
        let plugin = Some(line.gate().name().clone());
        let span = self.origin.open_span(SpanKind::Internal, C::NAME, plugin);
        let span = Arc::new(span);
        let permit = line.admit().inspect_err(|fault| {
            span.fail(fault.kind.name());
            // A flood of refusals must not become a flood of lines.
            log::debug!(target: line.gate().name(), "refused {}: {fault}", C::NAME);
        })?;
        let started = Instant::now();
        let deadline = self.deadline(started);
        let token = self.origin.cancel.child_token();
        let origin = Origin {
            cancel: token.clone(),
            trace: span.trace().cloned(),
            ..self.origin.clone()
        };
        let cancel = token.drop_guard();
        let mut pending = Pending::new(line.traffic(), started, span.clone());
        let cx = Cx::new(origin, deadline, Some(permit)).within(span);
        let in_hand = cx.in_hand().clone();
        let answer = tokio::select! {
            sent = line.to().send(Call { body, cx }) => {
                sent.unwrap_or_else(|_| Err(lost::<C>(line.gate(), &in_hand)))
            }
            () = tokio::time::sleep_until(deadline) => Err(Fault::timed_out(format!(
                "{} did not answer in time", C::NAME
            ))),
            () = self.origin.cancel.cancelled() => Err(Fault::cancelled("the caller has gone away")),
        };
        pending.settle(answer.as_ref().err().map(|fault| fault.kind));
        if answer.is_ok() {
            // A stream goes on after its reply, and guards itself.
            cancel.disarm();
        }
        answer
    }

    fn deadline(&self, now: Instant) -> Instant {
        let own = now + C::DEADLINE;
        self.origin.deadline.map_or(own, |outer| outer.min(own))
    }
}

/// Why a call was dropped without an answer.
fn lost<C: Capability>(gate: &Gate, in_hand: &InHand) -> Fault {
    if in_hand.is_taken() {
        let name = C::NAME;
        Fault::crashed(format!(
            "{name} broke down over this call; nothing else was lost"
        ))
    } else {
        gate.dropped_call()
    }
}

/// Counts a call once, also when its future is dropped, and keeps its span until then: the work may
/// be done before it is known how.
struct Pending<'a> {
    traffic: &'a Traffic,
    started: Instant,
    span: Arc<OpenSpan>,
    outcome: Option<Option<FaultKind>>,
}

impl<'a> Pending<'a> {
    fn new(traffic: &'a Traffic, started: Instant, span: Arc<OpenSpan>) -> Self {
        Self {
            traffic,
            started,
            span,
            outcome: None,
        }
    }

    fn settle(&mut self, fault: Option<FaultKind>) {
        self.outcome = Some(fault);
    }
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        let fault = self.outcome.unwrap_or(Some(FaultKind::Cancelled));
        self.traffic.count(self.started.elapsed(), fault);
        if let Some(kind) = fault {
            self.span.fail(kind.name());
        }
    }
}

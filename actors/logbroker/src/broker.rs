//! The log broker: the actor that owns the ring and is its only writer.

use std::io;

use actix::{Actor, Arbiter, AsyncContext, Context, StreamHandler};
use futures_util::stream;

use crate::{
    intake::{Arrivals, Intake},
    ring::{Limits, Ring},
    tee,
};

/// The actor that takes records from the intake and writes them to the ring.
#[derive(Debug)]
pub struct LogBroker {
    intake: Intake,
    ring: Ring,
}

impl LogBroker {
    /// The two ends of a broker that is not running yet: what is logged meanwhile waits.
    pub fn ends(limits: Limits) -> (Intake, Ring) {
        (Intake::new(limits.waiting), Ring::new(limits))
    }

    /// Starts the broker on a thread of its own; it runs until the Actix system ends. To be called
    /// once for each pair of ends, inside an Actix system.
    ///
    /// # Errors
    /// When the system has no thread to give.
    pub fn start(intake: Intake, ring: Ring) -> io::Result<Arbiter> {
        let arbiter = Arbiter::try_new()?;
        Self::start_in_arbiter(&arbiter.handle(), move |_| Self { intake, ring });
        Ok(arbiter)
    }
}

impl Actor for LogBroker {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        tee::keep_off_the_broker();
        let arrivals = stream::unfold(self.intake.clone(), |intake| async move {
            Some((intake.take().await, intake))
        });
        ctx.add_stream(arrivals);
    }
}

impl StreamHandler<Arrivals> for LogBroker {
    fn handle(&mut self, arrivals: Arrivals, _: &mut Context<Self>) {
        self.ring.write(arrivals);
    }
}

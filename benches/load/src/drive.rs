//! The drivers: connections that ask again as soon as they are answered, or at fixed times. A thread
//! a connection.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use crate::{
    answer::one,
    figures::{Figures, float},
    machine::sharpen_timer,
    target::Target,
    upstream::FAST,
    wire::Connection,
};

/// How late the last answers of a fixed rate may be before the rest is given up.
const OVERTIME: Duration = Duration::from_secs(10);

/// What to do to a target.
#[derive(Clone, Copy)]
pub struct Plan {
    /// Connections, each with at most one request under way.
    pub connections: usize,
    /// Requests a second in all; without it each connection asks as soon as it is answered.
    pub rate: Option<f64>,
    /// What is not measured at the beginning.
    pub warm_up: Duration,
    /// What is measured.
    pub measured: Duration,
    /// Whether answers are streams.
    pub streamed: bool,
}

/// When what happens.
#[derive(Clone, Copy)]
struct Times {
    begin: Instant,
    warm: Instant,
    over: Instant,
}

/// Carries out a plan.
pub fn drive(target: &Target, plan: Plan) -> Figures {
    let begin = Instant::now() + Duration::from_millis(50);
    let warm = begin + plan.warm_up;
    let times = Times {
        begin,
        warm,
        over: warm + plan.measured,
    };
    let request = target.request(FAST, plan.streamed);
    let tickets = AtomicU64::new(0);
    let mut all = Figures::new();
    thread::scope(|scope| {
        let work = || connection(target, &request, plan, times, &tickets);
        let threads: Vec<_> = (0..plan.connections).map(|_| scope.spawn(work)).collect();
        sleep_until(times.warm);
        let before = target.processor();
        sleep_until(times.over);
        all.processor = target.processor() - before;
        for thread in threads {
            all.add(&thread.join().unwrap());
        }
    });
    all.elapsed = plan.measured;
    all
}

fn connection(
    target: &Target,
    request: &[u8],
    plan: Plan,
    times: Times,
    tickets: &AtomicU64,
) -> Figures {
    sharpen_timer();
    let mut figures = Figures::new();
    let mut connection = Connection::new(target.address);
    loop {
        let due = match plan.rate {
            None => Instant::now().max(times.begin),
            Some(rate) => {
                let ticket = tickets.fetch_add(1, Ordering::Relaxed);
                times.begin + Duration::from_secs_f64(float(ticket) / rate)
            }
        };
        if due >= times.over {
            return figures;
        }
        if Instant::now() > times.over + OVERTIME {
            figures.fail("given up: the rate is more than it can do".to_owned());
            continue;
        }
        sleep_until(due);
        // One at a fixed rate counts by when it was due, however late it is answered.
        let counts = |now| match plan.rate {
            Some(_) => due >= times.warm,
            None => now >= times.warm && now <= times.over,
        };
        let streamed = plan.streamed;
        one(
            &mut connection,
            request,
            streamed,
            due,
            &mut figures,
            counts,
        );
    }
}

/// Sleeps until then, or not at all.
pub fn sleep_until(then: Instant) {
    let left = then.saturating_duration_since(Instant::now());
    if !left.is_zero() {
        thread::sleep(left);
    }
}

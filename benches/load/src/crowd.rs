//! A thousand streams at once, each of 64 chunks over some five seconds.

use std::{
    io, thread,
    time::{Duration, Instant},
};

use crate::{
    answer::one, drive::sleep_until, figures::Figures, process::Process, target::Target,
    upstream::PACED, wire::Connection,
};

/// The time within which all streams begin: sooner than the first ends.
const RAMP: Duration = Duration::from_secs(2);

/// What came of them.
pub struct Crowd {
    /// Of the streams that came whole.
    pub figures: Figures,
    /// The target's memory at its peak, less what it had before, in bytes.
    pub grown: f64,
}

/// Has `streams` of them at once.
pub fn gather(target: &Target, streams: u32) -> io::Result<Crowd> {
    let request = target.request(PACED, true);
    let process = target.process.as_ref();
    process.map(Process::forget_peak);
    let before = process.map_or(0.0, Process::resident);
    let (begun, spent) = (Instant::now(), target.processor());
    let mut figures = Figures::new();
    let request = &request;
    thread::scope(|scope| {
        let mut threads = Vec::new();
        for place in 0..streams {
            let due = begun + RAMP * place / streams;
            let small = thread::Builder::new().stack_size(128 << 10);
            // Started when it is due: a thousand threads that start at once would be measured too.
            sleep_until(due);
            threads.push(small.spawn_scoped(scope, move || stream(target, request, due))?);
        }
        for thread in threads {
            figures.add(&thread.join().unwrap());
        }
        io::Result::Ok(())
    })?;
    figures.elapsed = begun.elapsed();
    figures.processor = target.processor() - spent;
    let peak = process.map_or(0.0, Process::peak);
    Ok(Crowd {
        figures,
        grown: peak - before,
    })
}

fn stream(target: &Target, request: &[u8], due: Instant) -> Figures {
    let mut figures = Figures::new();
    let mut connection = Connection::new(target.address);
    one(&mut connection, request, true, due, &mut figures, |_| true);
    figures
}

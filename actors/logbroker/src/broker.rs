//! The log broker: the actor that owns the ring and is its only writer.

use std::{
    io,
    time::{Duration, Instant},
};

use actix::{Actor, Arbiter, AsyncContext, Context, StreamHandler};
use futures_util::stream;

use crate::{
    intake::{Arrivals, Intake},
    ring::{Limits, Ring},
    tee,
};

/// How long the broker rests after it has taken what waited. Waking its thread for each line would
/// cost whoever logs more than the line itself; a line after a silence is taken at once.
const REST: Duration = Duration::from_millis(5);

const COMPLAIN_EVERY: Duration = Duration::from_secs(1);

/// The actor that takes records from the intake and writes them to the ring.
#[derive(Debug)]
pub struct LogBroker {
    intake: Intake,
    ring: Ring,
    complaint: Complaint,
}

/// What was last said about dropped records, and when.
#[derive(Debug)]
struct Complaint {
    dropped: u64,
    at: Instant,
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
        Self::start_in_arbiter(&arbiter.handle(), move |_| Self {
            intake,
            ring,
            complaint: Complaint {
                dropped: 0,
                at: Instant::now(),
            },
        });
        Ok(arbiter)
    }

    /// Says on the terminal, at most once a second, that records are being dropped.
    fn complain(&mut self, dropped: u64) {
        let last = &mut self.complaint;
        if dropped > last.dropped && last.at.elapsed() >= COMPLAIN_EVERY {
            let lost = dropped - last.dropped;
            log::warn!("{lost} log records dropped: more is logged than can be kept");
            *last = Complaint {
                dropped,
                at: Instant::now(),
            };
        }
    }
}

impl Actor for LogBroker {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        tee::keep_off_the_broker();
        let start = (self.intake.clone(), false);
        let arrivals = stream::unfold(start, |(intake, has_taken)| async move {
            if has_taken {
                tokio::time::sleep(REST).await;
            }
            Some((intake.take().await, (intake, true)))
        });
        ctx.add_stream(arrivals);
    }
}

impl StreamHandler<Arrivals> for LogBroker {
    fn handle(&mut self, arrivals: Arrivals, _: &mut Context<Self>) {
        self.complain(arrivals.dropped);
        self.ring.write(arrivals);
    }
}

#[cfg(test)]
mod tests {
    use actix::System;
    use futures_util::StreamExt;

    use super::*;
    use crate::{
        cursor::{Filter, Frame},
        fixture::record,
    };

    const PUBLISHED: u64 = 100_000;

    #[test]
    fn a_slow_reader_gets_or_is_told_of_every_record() {
        System::new().block_on(async {
            let limits = Limits {
                records: 1_000,
                bytes: 64 << 10,
                waiting: 256,
            };
            let (intake, ring) = LogBroker::ends(limits);
            let mut cursor = ring.follow(Filter::default(), None);
            LogBroker::start(intake.clone(), ring.clone()).unwrap();
            let logging = std::thread::spawn(move || {
                for n in 1..=PUBLISHED {
                    intake.offer(record("bkg"));
                    if n % 50 == 0 {
                        std::thread::yield_now();
                    }
                }
            });
            let (mut sent, mut lost, mut next) = (0, 0, 1);
            while sent + lost < PUBLISHED {
                let frame = tokio::time::timeout(Duration::from_secs(10), cursor.next()).await;
                match frame.expect("every record is told of").unwrap() {
                    Frame::Records(records) => sent += u64::try_from(records.len()).unwrap(),
                    Frame::Gap { from, to, count } => {
                        assert_eq!((from, to - from + 1), (next, count));
                        lost += count;
                    }
                }
                next = sent + lost + 1;
                assert!(ring.figures().bytes <= limits.bytes);
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            logging.join().unwrap();
            let figures = ring.figures();
            println!("{sent} sent + {lost} announced = {PUBLISHED}; {figures:?}");
            assert_eq!(sent + lost, PUBLISHED);
            assert_eq!(figures.lost, lost);
            assert_eq!(figures.stored + figures.dropped, PUBLISHED);
            assert!(sent > 0 && lost > 0 && figures.dropped > 0);
        });
    }

    #[test]
    fn what_is_logged_before_the_start_waits() {
        System::new().block_on(async {
            let (intake, ring) = LogBroker::ends(Limits::default());
            intake.offer(record("bkg"));
            LogBroker::start(intake, ring.clone()).unwrap();
            let frame = ring.follow(Filter::default(), None).next().await.unwrap();
            assert!(matches!(frame, Frame::Records(records) if records.len() == 1));
        });
    }
}

//! No order of requests, ends, changes and clocks gets more out of a key than its limits.

use std::{collections::HashMap, sync::Arc, time::Duration};

use proptest::prelude::*;

use super::*;
use crate::fault::{Fault, FaultKind};

fn start() -> Moment {
    Moment {
        wall: "2026-11-24T12:00:00Z".parse().unwrap(),
        steady: Instant::now(),
    }
}

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86_400);

fn meter(limits: Limits, now: Moment) -> Arc<Meter> {
    Arc::new(Meter::new(limits, 0, now))
}

fn requests(limit: u64) -> Limits {
    Limits {
        requests_per_minute: Some(limit),
        ..Limits::default()
    }
}

fn monthly(limit: u64) -> Limits {
    Limits {
        monthly_tokens: Some(limit),
        ..Limits::default()
    }
}

fn code(fault: &Fault) -> &str {
    assert_eq!(fault.kind, FaultKind::LimitReached);
    assert!(fault.retry_after.is_some(), "{fault}");
    fault.code.as_deref().unwrap()
}

#[test]
fn a_burst_is_let_through_and_then_the_rate() {
    let now = start();
    let meter = meter(requests(6), now);
    for _ in 0..6 {
        meter.admit(now).unwrap();
    }
    let refused = meter.admit(now).unwrap_err();
    assert_eq!(code(&refused), "rate_limit_exceeded");
    assert_eq!(refused.retry_after, Some(10 * SECOND));
    let almost = now.after(Duration::from_millis(9_999));
    meter.admit(almost).unwrap_err();
    meter.admit(now.after(10 * SECOND)).unwrap();
    meter.admit(now.after(10 * SECOND)).unwrap_err();
}

#[test]
fn a_bucket_that_is_looked_at_all_the_time_fills_no_slower() {
    let now = start();
    let meter = meter(requests(60), now);
    let count = |until: Moment| (0..1000).take_while(|_| meter.admit(until).is_ok()).count();
    assert_eq!(count(now), 60);
    let looks = (1..=2_000).map(|look| now.after(look * Duration::from_micros(500)));
    assert_eq!(looks.map(count).sum::<usize>(), 1);
}

#[test]
fn a_wall_clock_that_is_moved_neither_frees_nor_blocks() {
    let now = start();
    let limits = Limits {
        requests_per_minute: Some(1),
        monthly_tokens: Some(100),
        ..Limits::default()
    };
    let meter = meter(limits, now);
    let spend = |now| {
        let mut admission = meter.admit(now)?;
        admission.reserve(100..=100, now)?;
        admission.settle(100, now);
        Ok::<_, Fault>(())
    };
    spend(now).unwrap();
    for wall in [now.after(DAY).wall, now.wall - DAY, now.wall] {
        let moved = Moment { wall, ..now };
        let refused = spend(moved).unwrap_err();
        assert_eq!(code(&refused), "rate_limit_exceeded", "{wall}");
        assert_eq!(meter.used(moved), 100, "{wall}");
        let later = moved.after(MINUTE);
        let mut free = meter
            .admit(later)
            .expect("a minute later, whatever the wall says");
        assert_eq!(
            code(&free.reserve(1..=1, later).unwrap_err()),
            "insufficient_quota"
        );
        meter.limit(Limits::default(), now);
        meter.limit(limits, now);
        drop(meter.admit(now));
    }
}

#[test]
fn a_clock_that_visits_the_next_month_forgives_nothing_on_its_return() {
    let now = Moment {
        wall: "2026-11-30T20:00:00Z".parse().unwrap(),
        ..start()
    };
    let meter = meter(monthly(100), now);
    let use_up = |tokens, now| meter.admit(now).unwrap().settle(tokens, now);
    use_up(100, now);
    let ahead = now.after(DAY);
    assert_eq!(meter.used(ahead), 0);
    use_up(7, ahead);
    for _ in 0..3 {
        assert_eq!(meter.used(now), 100);
        assert_eq!(meter.used(ahead), 7);
    }
    let long_ago = Moment {
        wall: "2026-01-01T00:00:00Z".parse().unwrap(),
        ..now
    };
    assert_eq!(meter.used(long_ago), 7, "nothing is known of it");
}

#[test]
fn a_month_that_begins_forgets_the_last_but_not_what_is_under_way() {
    let now = start();
    let meter = meter(monthly(100), now);
    let mut long = meter.admit(now).unwrap();
    assert_eq!(long.reserve(100..=100, now), Ok(100));
    let next = now.after(10 * DAY);
    let mut other = meter.admit(next).unwrap();
    let refused = other.reserve(1..=1, next).unwrap_err();
    assert_eq!(code(&refused), "insufficient_quota");
    long.settle(30, next);
    assert_eq!(other.reserve(10..=500, next), Ok(70));
    assert_eq!(meter.used(next), 30);
}

#[test]
fn what_names_no_most_gets_what_is_left_and_no_more() {
    let now = start();
    let limits = Limits {
        tokens_per_minute: Some(100),
        ..Limits::default()
    };
    let meter = meter(limits, now);
    let mut one = meter.admit(now).unwrap();
    assert_eq!(one.reserve(30..=4096, now), Ok(100));
    let mut other = meter.admit(now).unwrap();
    let refused = other.reserve(30..=4096, now).unwrap_err();
    assert_eq!(refused.retry_after, Some(18 * SECOND));
    one.settle(40, now);
    assert_eq!(other.reserve(30..=4096, now), Ok(60));
    let large = meter
        .admit(now)
        .unwrap()
        .reserve(101..=101, now)
        .unwrap_err();
    assert!(large.message.contains("too large"), "{large}");
}

#[test]
fn a_use_beyond_what_was_set_aside_is_a_debt() {
    let now = start();
    let limits = Limits {
        tokens_per_minute: Some(60),
        ..Limits::default()
    };
    let meter = meter(limits, now);
    let mut one = meter.admit(now).unwrap();
    one.reserve(10..=10, now).unwrap();
    one.settle(120, now);
    let refused = one.reserve(1..=1, now).unwrap_err();
    assert_eq!(refused.retry_after, Some(61 * SECOND));
    assert_eq!(one.reserve(1..=1, now.after(61 * SECOND)), Ok(1));
}

#[test]
fn a_limit_that_comes_while_tokens_are_set_aside_does_not_get_them_twice() {
    let now = start();
    let meter = meter(Limits::default(), now);
    let mut early = meter.admit(now).unwrap();
    early.reserve(80..=80, now).unwrap();
    meter.limit(
        Limits {
            tokens_per_minute: Some(100),
            concurrent_requests: Some(1),
            ..Limits::default()
        },
        now,
    );
    assert_eq!(meter.standing(now).tokens.unwrap().remaining, 20);
    meter
        .admit(now)
        .expect_err("the early one is still at work");
    drop(early);
    assert_eq!(meter.standing(now).tokens.unwrap().remaining, 100);
}

#[test]
fn a_lower_limit_counts_what_was_used_and_a_higher_one_forgives_nothing() {
    let now = start();
    let meter = meter(requests(10), now);
    for _ in 0..8 {
        meter.admit(now).unwrap();
    }
    let left = |limit| {
        meter.limit(requests(limit), now);
        meter.standing(now).requests.unwrap().remaining
    };
    assert_eq!([left(9), left(5), left(100)], [1, 0, 92]);
}

#[test]
fn limits_cover_what_is_as_narrow() {
    let none = Limits::default();
    assert!(none.cover(&requests(5)) && none.cover(&none));
    assert!(requests(5).cover(&requests(5)) && requests(5).cover(&requests(4)));
    assert_eq!(
        requests(5).beyond(&requests(6)),
        Some("requests_per_minute")
    );
    assert_eq!(requests(5).beyond(&none), Some("requests_per_minute"));
    assert_eq!(requests(5).beyond(&monthly(1)), Some("requests_per_minute"));
}

#[test]
fn limits_that_cannot_be_kept_are_named() {
    for wrong in [0, LARGEST_LIMIT + 1, u64::MAX] {
        let fault = monthly(wrong).check().unwrap_err();
        assert_eq!(fault.param.as_deref(), Some("limits.monthly_tokens"));
    }
    monthly(LARGEST_LIMIT).check().unwrap();
    assert!(serde_json::from_str::<Limits>(r#"{"tokens_per_hour":1}"#).is_err());
}

#[test]
fn a_change_of_limits_leaves_what_it_does_not_name() {
    let change: LimitChanges =
        serde_json::from_str(r#"{"requests_per_minute":3,"monthly_tokens":null}"#).unwrap();
    let old = Limits {
        tokens_per_minute: Some(7),
        ..monthly(9)
    };
    let new = Limits {
        tokens_per_minute: Some(7),
        ..requests(3)
    };
    assert_eq!(change.of(old), new);
}

fn line(status: u16) -> Line {
    Line {
        day: "2026-11-24".parse().unwrap(),
        key: "k".into(),
        user: "u".into(),
        model: "m".into(),
        route: "/r".into(),
        status,
    }
}

fn one() -> Totals {
    let tokens = Tokens {
        prompt: 3,
        completion: 4,
    };
    Totals::one(tokens, SECOND)
}

#[test]
fn what_cannot_be_written_is_kept_with_what_comes_meanwhile() {
    let ledger = Ledger::default();
    ledger.add(line(200), &one());
    let failed = ledger.write_down(|lines| {
        assert_eq!(lines[&line(200)].requests, 1);
        ledger.add(line(200), &one());
        Err("the disk is full")
    });
    assert_eq!(failed, Err("the disk is full"));
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        ledger.write_down(|_| -> Result<(), ()> { panic!("told to") })
    }));
    assert!(panicked.is_err());
    let mut written = Lines::new();
    ledger
        .write_down(|lines| {
            written.clone_from(lines);
            Ok::<_, ()>(())
        })
        .unwrap();
    let total = written[&line(200)];
    assert_eq!((total.requests, total.tokens.total()), (2, 14));
    assert_eq!((total.took, total.longest), (2 * SECOND, SECOND));
    assert!(ledger.read(|lines| lines().is_empty()));
}

#[test]
fn one_key_has_one_meter_whoever_asks_and_only_a_new_one_is_looked_up() {
    let (ledger, now) = (Ledger::default(), start());
    let failed = ledger.meter("k", monthly(10), now, || Err("unreadable"));
    assert_eq!(failed.unwrap_err(), "unreadable");
    let meter = ledger
        .meter("k", monthly(10), now, || Ok::<_, ()>(9))
        .unwrap();
    let again = ledger
        .meter("k", monthly(20), now, || -> Result<u64, ()> {
            panic!("known")
        })
        .unwrap();
    assert!(Arc::ptr_eq(&meter, &again));
    assert_eq!((meter.used(now), meter.limits()), (9, monthly(20)));
}

/// What one of the simulated requests, or the world around them, does next.
#[derive(Debug, Clone)]
enum Step {
    Admit(usize),
    Reserve(usize, u64, u64),
    Settle(usize, u64),
    Drop(usize),
    Wait(u64),
    MoveWall(i64),
    Limit(Limits),
}

fn any_limits() -> impl Strategy<Value = Limits> {
    let limit = || prop::option::of(1_u64..200);
    let all = (limit(), limit(), prop::option::of(1_u64..4), limit());
    all.prop_map(|(requests, tokens, concurrent, monthly)| Limits {
        requests_per_minute: requests,
        tokens_per_minute: tokens,
        concurrent_requests: concurrent,
        monthly_tokens: monthly,
    })
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0_usize..6).prop_map(Step::Admit),
        4 => (0_usize..6, 0_u64..60, 0_u64..60)
            .prop_map(|(at, least, more)| Step::Reserve(at, least, least + more)),
        3 => (0_usize..6, 0_u64..120).prop_map(|(at, used)| Step::Settle(at, used)),
        2 => (0_usize..6).prop_map(Step::Drop),
        2 => (0_u64..20_000).prop_map(Step::Wait),
        1 => (-90_000_i64..90_000).prop_map(Step::MoveWall),
    ]
}

/// What a run has got out of a meter, counted beside it.
#[derive(Default)]
struct Got {
    requests: u64,
    settled: u64,
    /// What each request holds, by its place.
    held: HashMap<usize, u64>,
}

impl Got {
    fn tokens(&self) -> u64 {
        self.settled + self.held.values().sum::<u64>()
    }
}

/// A run of simulated requests at one meter.
struct Run {
    meter: Arc<Meter>,
    now: Moment,
    waited: Duration,
    places: HashMap<usize, Admission>,
    got: Got,
}

impl Run {
    fn new(limits: Limits) -> Self {
        let now = start();
        Self {
            meter: meter(limits, now),
            now,
            waited: Duration::ZERO,
            places: HashMap::new(),
            got: Got::default(),
        }
    }

    fn step(&mut self, step: &Step) {
        let now = self.now;
        match *step {
            Step::Admit(at) => {
                if !self.places.contains_key(&at)
                    && let Ok(admission) = self.meter.admit(now)
                {
                    self.places.insert(at, admission);
                    self.got.held.insert(at, 0);
                    self.got.requests += 1;
                }
            }
            Step::Reserve(at, least, most) => {
                let place = self.places.get_mut(&at);
                if let Some(Ok(taken)) = place.map(|one| one.reserve(least..=most, now)) {
                    assert!((least..=most).contains(&taken));
                    *self.got.held.get_mut(&at).unwrap() += taken;
                }
            }
            Step::Settle(at, used) => {
                if let Some(admission) = self.places.get_mut(&at) {
                    // Never more than was set aside: only then can a budget be kept at all.
                    let held = self.got.held.insert(at, 0).unwrap();
                    admission.settle(used.min(held), now);
                    self.got.settled += used.min(held);
                }
            }
            Step::Drop(at) => {
                self.places.remove(&at);
                self.got.held.remove(&at);
            }
            Step::Wait(millis) => {
                let wait = Duration::from_millis(millis);
                self.now = now.after(wait);
                self.waited += wait;
            }
            Step::MoveWall(seconds) => {
                // Within one month: what a month is, the wall clock alone can say.
                let middle = start().wall;
                self.now.wall = middle + Duration::from_secs(seconds.unsigned_abs());
            }
            Step::Limit(limits) => self.meter.limit(limits, now),
        }
    }

    /// The most that a limit a minute can have given so far.
    fn most(&self, limit: u64) -> u64 {
        let millis = u64::try_from(self.waited.as_millis()).unwrap();
        limit + limit * millis / 60_000
    }
}

proptest! {
    #[test]
    fn no_interleaving_gets_more_than_the_limits(
        limits in any_limits(),
        steps in prop::collection::vec(any_step(), 1..200),
    ) {
        let mut run = Run::new(limits);
        for step in &steps {
            run.step(step);
            let got = &run.got;
            if let Some(limit) = limits.requests_per_minute {
                prop_assert!(got.requests <= run.most(limit));
            }
            if let Some(limit) = limits.tokens_per_minute {
                prop_assert!(got.tokens() <= run.most(limit));
            }
            if let Some(budget) = limits.monthly_tokens {
                prop_assert!(got.tokens() <= budget);
            }
            if let Some(most) = limits.concurrent_requests {
                prop_assert!(u64::try_from(run.places.len()).unwrap() <= most);
            }
            prop_assert_eq!(run.meter.used(run.now), got.settled);
        }
    }

    #[test]
    fn whatever_happened_nothing_is_held_when_all_have_gone(
        first in any_limits(),
        steps in prop::collection::vec(
            prop_oneof![6 => any_step(), 1 => any_limits().prop_map(Step::Limit)],
            1..200,
        ),
    ) {
        let mut run = Run::new(first);
        steps.iter().for_each(|step| run.step(step));
        let settled = run.got.settled;
        run.places.clear();
        prop_assert_eq!(run.meter.in_flight(), 0);
        // Nothing is held: after a long quiet time each limit gives exactly itself.
        let now = run.now.after(100 * MINUTE);
        let all = Limits {
            requests_per_minute: Some(50),
            tokens_per_minute: Some(100_000),
            concurrent_requests: Some(2),
            monthly_tokens: Some(settled + 77),
        };
        run.meter.limit(all, now);
        let standing = run.meter.standing(now);
        prop_assert_eq!(standing.requests.unwrap().remaining, 50);
        prop_assert_eq!(standing.tokens.unwrap().remaining, 100_000);
        let mut last = run.meter.admit(now).unwrap();
        prop_assert_eq!(last.reserve(0..=1_000, now), Ok(77));
    }
}

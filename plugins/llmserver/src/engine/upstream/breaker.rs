//! A breaker: an upstream that fails again and again is left alone for a while, then tried with one
//! request, and back in use when that succeeds.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use messages::upstreams::UpstreamMeter;
use tokio::time::Instant;

/// So many failures within [`WINDOW`] open it.
const FAILURES: usize = 5;
const WINDOW: Duration = Duration::from_secs(30);
/// How long it stays open at first; doubled by each probe that fails, up to the longest.
const COOL_DOWN: Duration = Duration::from_secs(5);
const LONGEST: Duration = Duration::from_secs(60);

/// What a request says of its upstream's health.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Health {
    /// It answered, if only to refuse.
    Alive,
    /// It did not answer, broke off, or answered with an error of its own.
    Failing,
    /// It failed again, in a call whose failure has been counted.
    FailingStill,
    /// The request ended before that was known.
    Unknown,
}

impl Health {
    /// The same, of a call of which a failure has been `counted` already: one call is one failure.
    pub(super) fn after(self, counted: bool) -> Self {
        match self {
            Self::Failing if counted => Self::FailingStill,
            other => other,
        }
    }
}

/// The breaker of one upstream.
pub(super) struct Breaker {
    name: String,
    meter: Arc<UpstreamMeter>,
    clock: Box<dyn Fn() -> Instant + Send + Sync>,
    inner: Mutex<Inner>,
}

impl fmt::Debug for Breaker {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = out.debug_struct("Breaker");
        shown.field("inner", &self.inner).finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct Inner {
    state: State,
    failures: VecDeque<Instant>,
    cool_down: Duration,
    /// Grows with each opening and each probe: what was let in before speaks of another time.
    epoch: u64,
}

impl Inner {
    fn wait(&self, now: Instant) -> Option<Duration> {
        match self.state {
            State::Closed => None,
            State::Open { until } => {
                let left = until.saturating_duration_since(now);
                (!left.is_zero()).then_some(left)
            }
            State::Probing => Some(self.cool_down),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Closed,
    Open { until: Instant },
    Probing,
}

/// Leave to send one request. Dropped without a word, it says nothing of the upstream.
#[derive(Debug)]
pub(super) struct Pass {
    breaker: Arc<Breaker>,
    epoch: u64,
    health: Health,
}

impl Breaker {
    /// A closed one; `name` is the upstream's, for the log, and `meter` tells others its state.
    pub(super) fn new(name: &str, meter: Arc<UpstreamMeter>) -> Arc<Self> {
        Self::by_clock(name, meter, Box::new(Instant::now))
    }

    fn by_clock(
        name: &str,
        meter: Arc<UpstreamMeter>,
        clock: Box<dyn Fn() -> Instant + Send + Sync>,
    ) -> Arc<Self> {
        meter.breaker(false);
        Arc::new(Self {
            name: name.to_owned(),
            meter,
            clock,
            inner: Mutex::new(Inner {
                state: State::Closed,
                failures: VecDeque::new(),
                cool_down: COOL_DOWN,
                epoch: 0,
            }),
        })
    }

    /// How long until a request may be sent; nothing where one may be sent now.
    pub(super) fn wait(&self) -> Option<Duration> {
        self.inner().wait((self.clock)())
    }

    /// The time that a request speaks of which is sent now; for [`Breaker::note`].
    pub(super) fn epoch(&self) -> u64 {
        self.inner().epoch
    }

    /// Leave to send a request, where one may be sent now.
    pub(super) fn enter(self: &Arc<Self>) -> Option<Pass> {
        let mut inner = self.inner();
        if inner.wait((self.clock)()).is_some() {
            return None;
        }
        if inner.state != State::Closed {
            inner.state = State::Probing;
            inner.epoch += 1;
        }
        Some(Pass {
            breaker: self.clone(),
            epoch: inner.epoch,
            health: Health::Unknown,
        })
    }

    /// Takes note of how a request went that was sent in `epoch`.
    pub(super) fn note(&self, epoch: u64, health: Health) {
        let mut inner = self.inner();
        if epoch != inner.epoch {
            return;
        }
        let now = (self.clock)();
        match (health, inner.state) {
            (Health::Alive, State::Probing) => {
                log::info!("upstream {} answers again", self.name);
                self.meter.breaker(false);
                inner.state = State::Closed;
                inner.cool_down = COOL_DOWN;
                inner.failures.clear();
            }
            (Health::Failing | Health::FailingStill, State::Probing) => {
                inner.cool_down = (inner.cool_down * 2).min(LONGEST);
                self.open(&mut inner, now);
            }
            (Health::Unknown, State::Probing) => inner.state = State::Open { until: now },
            (Health::Failing, State::Closed) => {
                inner.failures.push_back(now);
                let recent = |failed: &Instant| now.duration_since(*failed) < WINDOW;
                inner.failures.retain(recent);
                if inner.failures.len() >= FAILURES {
                    self.open(&mut inner, now);
                }
            }
            (_, State::Open { .. })
            | (Health::Alive | Health::FailingStill | Health::Unknown, State::Closed) => {}
        }
    }

    fn open(&self, inner: &mut Inner, now: Instant) {
        log::warn!(
            "upstream {} fails again and again; it is left alone for {} s",
            self.name,
            inner.cool_down.as_secs()
        );
        self.meter.breaker(true);
        inner.failures.clear();
        inner.epoch += 1;
        inner.state = State::Open {
            until: now + inner.cool_down,
        };
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pass {
    /// Says how the request went.
    pub(super) fn tell(mut self, health: Health) {
        self.health = health;
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        self.breaker.note(self.epoch, self.health);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

    use super::*;

    /// A breaker by a clock that moves when it is told to.
    struct Rig {
        breaker: Arc<Breaker>,
        seconds: Arc<AtomicU64>,
    }

    impl Rig {
        fn new() -> Self {
            let seconds = Arc::<AtomicU64>::default();
            let (start, passed) = (Instant::now(), seconds.clone());
            let clock = move || start + Duration::from_secs(passed.load(SeqCst));
            let breaker = Breaker::by_clock("far", Arc::default(), Box::new(clock));
            Self { breaker, seconds }
        }

        fn opened() -> Self {
            let rig = Self::new();
            (0..5).for_each(|_| rig.send(Health::Failing));
            rig.advance(5);
            rig
        }

        fn advance(&self, seconds: u64) {
            self.seconds.fetch_add(seconds, SeqCst);
        }

        fn send(&self, health: Health) {
            self.breaker.enter().unwrap().tell(health);
        }
    }

    #[test]
    fn five_failures_within_thirty_seconds_open_it() {
        let rig = Rig::new();
        (0..4).for_each(|_| rig.send(Health::Failing));
        rig.advance(31);
        for _ in 0..4 {
            rig.send(Health::Failing);
            rig.send(Health::Alive);
        }
        assert_eq!(rig.breaker.wait(), None, "the first four are forgotten");
        rig.send(Health::Failing);
        assert_eq!(rig.breaker.wait(), Some(COOL_DOWN));
        assert!(rig.breaker.enter().is_none());
    }

    #[test]
    fn one_probe_at_a_time_closes_it_again() {
        let rig = Rig::opened();
        let probe = rig.breaker.enter().unwrap();
        assert!(rig.breaker.enter().is_none(), "one is enough");
        probe.tell(Health::Alive);
        (0..4).for_each(|_| rig.send(Health::Failing));
        assert_eq!(rig.breaker.wait(), None, "it counts from none again");
    }

    #[test]
    fn a_probe_that_fails_doubles_the_wait_up_to_a_minute() {
        let rig = Rig::opened();
        for seconds in [10, 20, 40, 60, 60] {
            rig.send(Health::Failing);
            assert_eq!(rig.breaker.wait(), Some(Duration::from_secs(seconds)));
            rig.advance(seconds);
        }
    }

    #[test]
    fn a_probe_whose_caller_left_gives_its_turn_to_the_next() {
        let rig = Rig::opened();
        drop(rig.breaker.enter().unwrap());
        assert!(rig.breaker.enter().is_some());
    }

    #[test]
    fn what_was_sent_before_it_opened_changes_nothing() {
        let rig = Rig::new();
        let late = [rig.breaker.enter().unwrap(), rig.breaker.enter().unwrap()];
        (0..5).for_each(|_| rig.send(Health::Failing));
        late.into_iter().for_each(|pass| pass.tell(Health::Alive));
        assert_eq!(rig.breaker.wait(), Some(COOL_DOWN));
    }

    #[test]
    fn what_was_sent_before_it_opened_does_not_speak_for_the_probe() {
        for health in [Health::Alive, Health::Failing, Health::Unknown] {
            let rig = Rig::new();
            let late = rig.breaker.enter().unwrap();
            (0..5).for_each(|_| rig.send(Health::Failing));
            rig.advance(5);
            let probe = rig.breaker.enter().unwrap();
            late.tell(health);
            assert!(rig.breaker.enter().is_none(), "{health:?}: one probe");
            probe.tell(Health::Alive);
            assert_eq!(rig.breaker.wait(), None, "{health:?}");
        }
    }

    #[test]
    fn a_probe_that_fails_counts_whatever_its_call_has_told_before() {
        let rig = Rig::opened();
        rig.send(Health::Failing.after(true));
        assert_eq!(rig.breaker.wait(), Some(COOL_DOWN * 2));
    }
}

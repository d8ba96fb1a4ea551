//! What stands before a plugin: its state, its counters, and whether it takes calls.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use jiff::Timestamp;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::{
    fault::Fault,
    histogram::Buckets,
    plugin::{CallCounts, PluginState, Status},
    traffic::{Traffic, TrafficFigures},
};

/// The shortest wait before a new attempt that callers are told.
pub(crate) const LEAST_WAIT: Duration = Duration::from_secs(1);

const STATUSES: [Status; 7] = [
    Status::Disabled,
    Status::Stopped,
    Status::Starting,
    Status::Running,
    Status::Restarting,
    Status::Stopping,
    Status::Failed,
];

/// Stands for a memory that nobody has told.
const UNTOLD: u64 = u64::MAX;

/// The parts of a plugin's state that change rarely.
#[derive(Debug, Clone, Default)]
pub struct Card {
    /// `builtin` for a plugin that is compiled in.
    pub kind: String,
    /// Whether the gateway starts it.
    pub autostart: bool,
    /// The plugins that are started before it.
    pub needs: Vec<String>,
    /// What it answers.
    pub capabilities: Vec<String>,
    /// The text of the last panic that broke its state.
    pub last_panic: Option<String>,
    /// Why it is disabled or failed.
    pub reason: Option<String>,
}

/// What stands before a plugin: whether it takes calls, and what became of them. Written by the
/// supervisor and by every call, read by everyone, without a message.
#[derive(Debug)]
pub struct Gate {
    name: Arc<str>,
    card: Mutex<Card>,
    status: AtomicU8,
    since: AtomicI64,
    retry_in_ms: AtomicU64,
    generation: AtomicU64,
    restarts: AtomicU64,
    hanging: AtomicBool,
    in_flight: ArcSwap<AtomicU64>,
    panics: AtomicU64,
    memory: ArcSwap<AtomicU64>,
    traffic: ArcSwap<Vec<Arc<Traffic>>>,
    changed: watch::Sender<u64>,
}

impl Gate {
    /// The gate of a plugin that is not running yet. `changed` counts the changes of all plugins.
    pub fn new(name: &str, status: Status, card: Card, changed: watch::Sender<u64>) -> Self {
        let gate = Self {
            name: name.into(),
            card: Mutex::new(card),
            status: AtomicU8::new(0),
            since: AtomicI64::new(0),
            retry_in_ms: AtomicU64::new(0),
            generation: AtomicU64::new(0),
            restarts: AtomicU64::new(0),
            hanging: AtomicBool::new(false),
            in_flight: ArcSwap::default(),
            panics: AtomicU64::new(0),
            memory: ArcSwap::from_pointee(AtomicU64::new(UNTOLD)),
            traffic: ArcSwap::default(),
            changed,
        };
        gate.set_status(status);
        gate
    }

    /// The plugin's name.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Where the plugin is in its life.
    pub fn status(&self) -> Status {
        let code = self.status.load(Relaxed);
        STATUSES
            .get(usize::from(code))
            .copied()
            .unwrap_or(Status::Failed)
    }

    /// Moves the plugin on in its life and tells those who watch.
    pub fn set_status(&self, status: Status) {
        let code = STATUSES.iter().position(|known| *known == status);
        let code = code.and_then(|at| u8::try_from(at).ok()).unwrap_or(u8::MAX);
        self.status.store(code, Relaxed);
        self.since.store(Timestamp::now().as_millisecond(), Relaxed);
        self.announce();
    }

    /// Says how long callers should wait before they try again.
    pub fn set_retry_in(&self, wait: Duration) {
        let millis = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        self.retry_in_ms.store(millis, Relaxed);
    }

    /// Marks the plugin's thread as hanging or not; true where that is news.
    pub fn set_hanging(&self, hanging: bool) -> bool {
        let news = self.hanging.swap(hanging, Relaxed) != hanging;
        if news {
            self.announce();
        }
        news
    }

    /// Counts the calls at work afresh, for a plugin that is started. What a thread that was
    /// abandoned still holds counts for the tenure that it belongs to, and holds up no later one.
    pub fn begin_tenure(&self) {
        self.in_flight.store(Arc::default());
    }

    /// Counts a life and answers its number. What it holds is not known yet, and what the one before
    /// may still say of itself counts no more.
    pub fn begin_generation(&self) -> u64 {
        self.memory.store(Arc::new(AtomicU64::new(UNTOLD)));
        self.generation.fetch_add(1, Relaxed) + 1
    }

    /// Where the present life says how much it holds.
    pub(crate) fn memory(&self) -> Arc<AtomicU64> {
        self.memory.load_full()
    }

    /// Counts a life that begins because the one before ended in a panic or could not begin.
    pub fn count_restart(&self) {
        self.restarts.fetch_add(1, Relaxed);
    }

    /// Counts a panic that cost one call or one background task, and not the plugin's state.
    pub fn count_panic(&self) {
        self.panics.fetch_add(1, Relaxed);
    }

    /// Changes what is written on the card.
    pub fn edit_card(&self, edit: impl FnOnce(&mut Card)) {
        edit(&mut self.card.lock().unwrap_or_else(PoisonError::into_inner));
        self.announce();
    }

    /// Everything there is to know, as of now.
    pub fn state(&self) -> PluginState {
        let card = self
            .card
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        PluginState {
            name: self.name.to_string(),
            kind: card.kind,
            state: self.status(),
            autostart: card.autostart,
            generation: self.generation.load(Relaxed),
            restarts: self.restarts.load(Relaxed),
            last_panic: card.last_panic,
            reason: card.reason,
            since: Timestamp::from_millisecond(self.since.load(Relaxed)).unwrap_or_default(),
            hanging: self.hanging.load(Relaxed),
            needs: card.needs,
            capabilities: card.capabilities,
            calls: self.calls(),
            latency: self.latency().summary(),
            memory_bytes: self.told_memory(),
        }
    }

    fn told_memory(&self) -> Option<u64> {
        let told = self.memory.load().load(Relaxed);
        let known = told != UNTOLD && self.status() == Status::Running;
        known.then_some(told)
    }

    /// The calls of each capability, as of now.
    pub fn traffic(&self) -> Vec<TrafficFigures> {
        let traffic = self.traffic.load();
        traffic.iter().map(|one| one.figures()).collect()
    }

    /// The traffic of `capability`, which begins with its first line.
    pub(crate) fn traffic_of(&self, capability: &'static str) -> Arc<Traffic> {
        let new = Arc::new(Traffic::new(capability));
        let known = |traffic: &[Arc<Traffic>]| {
            let mut known = traffic.iter();
            known.find(|one| one.capability() == capability).cloned()
        };
        self.traffic.rcu(|traffic| {
            let mut traffic = Vec::clone(traffic);
            if known(&traffic).is_none() {
                traffic.push(new.clone());
            }
            traffic
        });
        known(&self.traffic.load()).unwrap_or(new)
    }

    fn calls(&self) -> CallCounts {
        let mut all = CallCounts {
            in_flight: self.in_flight.load().load(Relaxed),
            panics: self.panics.load(Relaxed),
            ..CallCounts::default()
        };
        for traffic in self.traffic.load().iter() {
            let counts = traffic.counts();
            all.served += counts.served;
            all.refused += counts.refused;
            all.rejected += counts.rejected;
            all.failed += counts.failed;
            all.timed_out += counts.timed_out;
            all.cancelled += counts.cancelled;
        }
        all
    }

    fn latency(&self) -> Buckets {
        let mut all = Buckets::default();
        for traffic in self.traffic.load().iter() {
            all.add(&traffic.latency());
        }
        all
    }

    fn announce(&self) {
        self.changed.send_modify(|changes| *changes += 1);
    }

    /// Lets a call in, or says why not.
    pub(crate) fn admit(&self, permits: &Arc<Semaphore>) -> Result<Permit, Fault> {
        self.open()?;
        let slot = permits.clone().try_acquire_owned().map_err(|_| {
            Fault::overloaded(format!("{} has no free slot; try again", self.name))
                .with_retry_after(LEAST_WAIT)
        })?;
        Ok(Permit::new(slot, self.in_flight.load_full()))
    }

    fn open(&self) -> Result<(), Fault> {
        let name = &self.name;
        let wait = Duration::from_millis(self.retry_in_ms.load(Relaxed));
        let fault = match self.status() {
            Status::Running => return Ok(()),
            Status::Starting => Fault::restarting(format!("{name} is starting")),
            Status::Restarting => Fault::restarting(format!("{name} is restarting")),
            Status::Stopping => Fault::stopped(format!("{name} is stopping")),
            Status::Stopped | Status::Disabled => Fault::stopped(format!(
                "{name} is not running; an operator can start it with `bkg plugins start {name}`"
            )),
            Status::Failed => Fault::failed(format!(
                "{name} failed too often; an operator can start it with `bkg plugins start {name}`"
            )),
        };
        Err(fault.with_retry_after(wait.max(LEAST_WAIT)))
    }

    /// What a caller is told whose call was dropped before the plugin had answered it.
    pub(crate) fn dropped_call(&self) -> Fault {
        self.open().err().unwrap_or_else(|| {
            Fault::restarting(format!(
                "{} was started afresh before it answered",
                self.name
            ))
            .with_retry_after(LEAST_WAIT)
        })
    }
}

/// A place among a plugin's calls, given back when the work is done.
#[derive(Debug)]
pub struct Permit {
    _slot: OwnedSemaphorePermit,
    in_flight: Arc<AtomicU64>,
}

impl Permit {
    fn new(slot: OwnedSemaphorePermit, in_flight: Arc<AtomicU64>) -> Self {
        in_flight.fetch_add(1, Relaxed);
        Self {
            _slot: slot,
            in_flight,
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.in_flight.fetch_sub(1, Relaxed);
    }
}

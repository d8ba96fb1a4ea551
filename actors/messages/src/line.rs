//! The line to a plugin: who answers what, and behind which gate.

use std::{
    any::{Any, TypeId},
    collections::HashMap,
    sync::Arc,
};

use actix::Recipient;
use arc_swap::ArcSwap;
use tokio::sync::{Semaphore, watch};

use crate::{
    call::{Call, Capability},
    fault::Fault,
    gate::{Gate, LEAST_WAIT, Permit},
    plugin::PluginState,
    traffic::{Traffic, TrafficFigures},
};

/// The way to whoever serves a capability.
#[derive(Debug)]
pub struct Line<C: Capability> {
    to: Recipient<Call<C>>,
    permits: Arc<Semaphore>,
    gate: Arc<Gate>,
    traffic: Arc<Traffic>,
}

impl<C: Capability> Line<C> {
    /// A line with `permits` calls at the same time.
    pub fn new(to: Recipient<Call<C>>, permits: usize, gate: Arc<Gate>) -> Self {
        let limit = permits.min(Semaphore::MAX_PERMITS);
        let permits = Arc::new(Semaphore::new(limit));
        let traffic = gate.traffic_of(C::NAME);
        traffic.begin(permits.clone(), limit);
        Self {
            to,
            permits,
            gate,
            traffic,
        }
    }

    pub(crate) fn admit(&self) -> Result<Permit, Fault> {
        let admitted = self.gate.admit(&self.permits);
        admitted.inspect_err(|_| self.traffic.count_refusal())
    }

    pub(crate) fn to(&self) -> &Recipient<Call<C>> {
        &self.to
    }

    pub(crate) fn gate(&self) -> &Gate {
        &self.gate
    }

    pub(crate) fn traffic(&self) -> &Traffic {
        &self.traffic
    }
}

/// Who answers what, and the gates of all plugins. Cheap to clone; readers never wait.
#[derive(Debug, Clone)]
pub struct Directory(Arc<Published>);

#[derive(Debug)]
struct Published {
    lines: ArcSwap<HashMap<TypeId, Arc<dyn Any + Send + Sync>>>,
    gates: ArcSwap<Vec<Arc<Gate>>>,
    changed: watch::Sender<u64>,
}

impl Default for Directory {
    fn default() -> Self {
        Self(Arc::new(Published {
            lines: ArcSwap::default(),
            gates: ArcSwap::default(),
            changed: watch::Sender::new(0),
        }))
    }
}

impl Directory {
    /// Publishes a line; a later one for the same capability takes its place.
    pub fn publish<C: Capability>(&self, line: Line<C>) {
        let line: Arc<dyn Any + Send + Sync> = Arc::new(line);
        self.0.lines.rcu(|lines| {
            let mut lines = HashMap::clone(lines);
            lines.insert(TypeId::of::<C>(), line.clone());
            lines
        });
    }

    /// Adds a plugin's gate, in the order in which plugins are listed.
    pub fn add_gate(&self, gate: Arc<Gate>) {
        self.0.gates.rcu(|gates| {
            let mut gates = Vec::clone(gates);
            gates.push(gate.clone());
            gates
        });
    }

    /// A sender that counts changes of any plugin's state, for [`Gate::new`].
    pub fn changes(&self) -> watch::Sender<u64> {
        self.0.changed.clone()
    }

    /// Sees a new number whenever any plugin's state has changed.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.0.changed.subscribe()
    }

    /// The states of all plugins, as of now.
    pub fn states(&self) -> Vec<PluginState> {
        self.0
            .gates
            .load()
            .iter()
            .map(|gate| gate.state())
            .collect()
    }

    /// The calls of all plugins by capability, as of now, each with the plugin's name.
    pub fn traffic(&self) -> Vec<(String, TrafficFigures)> {
        let gates = self.0.gates.load();
        let traffic = gates.iter().flat_map(|gate| {
            let name = gate.name().to_string();
            let figures = gate.traffic().into_iter();
            figures.map(move |figures| (name.clone(), figures))
        });
        traffic.collect()
    }

    /// One plugin's gate.
    pub fn gate(&self, name: &str) -> Option<Arc<Gate>> {
        let gates = self.0.gates.load();
        gates.iter().find(|gate| **gate.name() == *name).cloned()
    }

    pub(crate) fn line<C: Capability>(&self) -> Result<Arc<Line<C>>, Fault> {
        let lines = self.0.lines.load();
        lines
            .get(&TypeId::of::<C>())
            .cloned()
            .and_then(|line| line.downcast::<Line<C>>().ok())
            .ok_or_else(|| {
                Fault::stopped(format!("no plugin here answers {}", C::NAME))
                    .with_retry_after(LEAST_WAIT)
            })
    }
}

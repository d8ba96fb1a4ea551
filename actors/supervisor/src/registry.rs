//! The plugins that are compiled in, with their types erased.

use std::sync::Arc;

use actix::{Addr, ArbiterHandle};
use messages::{
    call::Capability,
    fault::Fault,
    gate::Gate,
    host::Host,
    line::{Directory, Line},
    plugin::{Exports, Plugin, Policy, Serve},
};
use serde_json::Value;

use crate::{cell::Cell, configuration::Settings, guard::Launch, lease::Lease, seat::Factory};

type Start = dyn Fn(Arc<Lease>, Directory, Arc<Value>, &ArbiterHandle) + Send + Sync;

/// One plugin that can be started.
#[derive(Clone)]
pub(crate) struct Registration {
    pub(crate) name: &'static str,
    pub(crate) policy: Policy,
    pub(crate) settings: Settings,
    pub(crate) capabilities: Vec<String>,
    pub(crate) start: Arc<Start>,
}

/// The plugins that are compiled in, in the order in which they are listed.
#[expect(missing_debug_implementations, reason = "factories have no text")]
pub struct Registry {
    pub(crate) directory: Directory,
    pub(crate) plugins: Vec<Registration>,
}

impl Registry {
    /// A registry whose plugins publish what they serve in `directory`.
    pub fn new(directory: Directory) -> Self {
        Self {
            directory,
            plugins: Vec::new(),
        }
    }

    /// Adds a plugin. `factory` runs on the plugin's own thread, once for each of its lives.
    pub fn add<P: Plugin>(
        &mut self,
        policy: Policy,
        settings: Settings,
        factory: impl Fn(&Host) -> Result<P, Fault> + Send + Sync + 'static,
    ) -> &mut Self {
        let factory: Factory<P> = Arc::new(factory);
        let mut capabilities = Names(Vec::new());
        P::exports(&mut capabilities);
        self.plugins.push(Registration {
            name: P::NAME,
            policy: policy.clone(),
            settings,
            capabilities: capabilities.0,
            start: Arc::new(move |lease, directory, settings, arbiter| {
                let gate = lease.gate().clone();
                let launch = Launch {
                    lease,
                    directory: directory.clone(),
                    settings,
                    factory: factory.clone(),
                    policy: policy.clone(),
                };
                P::exports(&mut Lines {
                    address: launch.on(arbiter),
                    directory,
                    gate,
                    policy: &policy,
                });
            }),
        });
        self
    }
}

/// Collects the names of what a plugin serves.
struct Names(Vec<String>);

impl<P: Plugin> Exports<P> for Names {
    fn serve<C: Capability>(&mut self) -> &mut Self
    where
        P: Serve<C>,
    {
        self.0.push(C::NAME.to_owned());
        self
    }
}

/// Publishes the lines to what a plugin serves.
struct Lines<'a, P: Plugin> {
    address: Addr<Cell<P>>,
    directory: Directory,
    gate: Arc<Gate>,
    policy: &'a Policy,
}

impl<P: Plugin> Exports<P> for Lines<'_, P> {
    fn serve<C: Capability>(&mut self) -> &mut Self
    where
        P: Serve<C>,
    {
        let to = self.address.clone().recipient();
        let permits = self.policy.permits(C::NAME);
        let line = Line::<C>::new(to, permits, self.gate.clone());
        self.directory.publish(line);
        log::debug!(target: P::NAME, "serves {}", C::NAME);
        self
    }
}

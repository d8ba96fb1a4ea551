//! The root supervisor: starts and stops the plugins, and does what an operator asks.

use std::{io, sync::Arc, time::Duration};

use actix::{Actor, Addr, Arbiter, Context, Handler, Message, ResponseFuture};
use futures_util::future::BoxFuture;
use messages::{
    call::{Call, Capability},
    fault::Fault,
    gate::{Card, Gate},
    line::{Directory, Line},
    plugin::{PluginState, Status},
    supervisor::{
        ConfigurePlugin, InspectPlugin, PluginDetail, RestartPlugin, StartPlugin, StopPlugin,
    },
};
use tokio::time::Instant;

use crate::{
    baseline::Baseline,
    configuration::{Override, Overrides},
    registry::Registry,
    roster::Roster,
};

/// Keeps what an operator changed of a plugin, under the plugin's name.
pub type Keep =
    Arc<dyn Fn(String, Override) -> BoxFuture<'static, Result<(), Fault>> + Send + Sync>;

/// Operations at the same time, for each kind of operation.
const PERMITS: usize = 64;

/// The least time that a plugin gets to stop, however late it is.
const LEAST_TO_STOP: Duration = Duration::from_millis(200);

/// The actor that starts and stops plugins. It runs none of their code.
#[derive(Debug)]
pub struct RootSupervisor {
    roster: Arc<Roster>,
}

impl Actor for RootSupervisor {
    type Context = Context<Self>;
}

/// The gateway's hand on the root supervisor.
#[derive(Debug)]
pub struct Handle {
    root: Addr<RootSupervisor>,
    _arbiter: Arbiter,
}

impl RootSupervisor {
    /// Lists the plugins in the registry's directory and offers the supervisor's capabilities
    /// there; starts no plugin yet. To be called inside an Actix system.
    ///
    /// # Errors
    /// When the system has no thread to give.
    pub fn start(
        registry: Registry,
        baseline: Baseline,
        overrides: Overrides,
        keep: Keep,
    ) -> io::Result<Handle> {
        let directory = registry.directory.clone();
        let roster = Arc::new(Roster::new(registry, baseline, overrides, keep));
        let arbiter = Arbiter::try_new()?;
        let root = Self::start_in_arbiter(&arbiter.handle(), move |_| Self { roster });
        publish(&directory, &root);
        Ok(Handle {
            root,
            _arbiter: arbiter,
        })
    }
}

fn publish(directory: &Directory, root: &Addr<RootSupervisor>) {
    let changes = directory.changes();
    // It is no plugin, so its gate is in no list.
    let gate = Gate::new("supervisor", Status::Running, Card::default(), changes);
    let gate = Arc::new(gate);
    publish_one::<InspectPlugin>(directory, root, &gate);
    publish_one::<StartPlugin>(directory, root, &gate);
    publish_one::<StopPlugin>(directory, root, &gate);
    publish_one::<RestartPlugin>(directory, root, &gate);
    publish_one::<ConfigurePlugin>(directory, root, &gate);
}

fn publish_one<C: Operation>(directory: &Directory, root: &Addr<RootSupervisor>, gate: &Arc<Gate>) {
    let line = Line::<C>::new(root.clone().recipient(), PERMITS, gate.clone());
    directory.publish(line);
}

impl Handle {
    /// Starts the plugins that the configuration says, each after those that it needs; with `only`
    /// just these and what they need. Waits until each of them runs or cannot.
    pub async fn start_all(&self, only: Option<Vec<String>>) {
        self.tell(StartAll(only)).await;
    }

    /// Stops all plugins, each before those that it needs, within about `limit`.
    pub async fn stop_all(&self, limit: Duration) {
        self.tell(StopAll(limit)).await;
    }

    async fn tell<M>(&self, message: M)
    where
        M: Message<Result = ()> + Send + 'static,
        RootSupervisor: Handler<M>,
    {
        if self.root.send(message).await.is_err() {
            log::error!("the root supervisor has gone: the Actix system has ended");
        }
    }
}

struct StartAll(Option<Vec<String>>);

impl Message for StartAll {
    type Result = ();
}

impl Handler<StartAll> for RootSupervisor {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, StartAll(only): StartAll, _: &mut Context<Self>) -> Self::Result {
        let roster = self.roster.clone();
        Box::pin(async move {
            for ward in roster.to_start(only.as_deref()) {
                if let Err(fault) = ward.start().await {
                    log::error!(target: ward.name(), "did not start: {fault}");
                }
            }
        })
    }
}

struct StopAll(Duration);

impl Message for StopAll {
    type Result = ();
}

impl Handler<StopAll> for RootSupervisor {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, StopAll(limit): StopAll, _: &mut Context<Self>) -> Self::Result {
        let (roster, end) = (self.roster.clone(), Instant::now() + limit);
        Box::pin(async move {
            for ward in roster.to_stop() {
                let left = end.saturating_duration_since(Instant::now());
                let limit = left.max(LEAST_TO_STOP).min(ward.stop_within());
                ward.stop(limit).await;
            }
        })
    }
}

/// Something that an operator asks of the root supervisor.
trait Operation: Capability {
    fn run(self, roster: &Roster) -> impl Future<Output = Result<Self::Reply, Fault>>;
}

impl<C: Operation> Handler<Call<C>> for RootSupervisor {
    type Result = ResponseFuture<Result<C::Reply, Fault>>;

    fn handle(&mut self, call: Call<C>, _: &mut Context<Self>) -> Self::Result {
        let roster = self.roster.clone();
        // An operation that has begun is brought to its end, also when nobody waits any more.
        Box::pin(async move {
            let Call { body, cx: _cx } = call;
            body.run(&roster).await
        })
    }
}

impl Operation for InspectPlugin {
    async fn run(self, roster: &Roster) -> Result<PluginDetail, Fault> {
        Ok(roster.ward(&self.name)?.inspect())
    }
}

impl Operation for StartPlugin {
    async fn run(self, roster: &Roster) -> Result<PluginState, Fault> {
        roster.ward(&self.name)?.start().await
    }
}

impl Operation for StopPlugin {
    async fn run(self, roster: &Roster) -> Result<PluginState, Fault> {
        roster.warn_dependants(&self.name);
        let ward = roster.ward(&self.name)?;
        Ok(ward.stop(ward.stop_within()).await)
    }
}

impl Operation for RestartPlugin {
    async fn run(self, roster: &Roster) -> Result<PluginState, Fault> {
        let ward = roster.ward(&self.name)?;
        ward.stop(ward.stop_within()).await;
        ward.start().await
    }
}

impl Operation for ConfigurePlugin {
    async fn run(self, roster: &Roster) -> Result<PluginDetail, Fault> {
        let ward = roster.ward(&self.name)?;
        ward.configure(self.settings, self.autostart, roster.keep())
            .await
    }
}

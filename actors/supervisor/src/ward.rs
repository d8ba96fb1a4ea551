//! A ward: one plugin in the root supervisor's care, running or not.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use messages::{
    fault::Fault,
    gate::{Card, Gate},
    line::Directory,
    plugin::{PluginState, Status},
    supervisor::{Change, PluginDetail, Setting, Source},
};
use serde_json::{Value, json};
use tokio::{
    sync::Mutex,
    time::{sleep, timeout},
};

use crate::{
    baseline::Entry,
    configuration::{Override, amend, shown},
    registry::Registration,
    root::Keep,
    tenure::Tenure,
};

/// How often a stopping plugin is asked whether calls are still at work in it.
const DRAIN_STEP: Duration = Duration::from_millis(5);

/// A plugin that can be started, with its entry.
#[derive(Clone)]
pub(crate) struct Startable {
    pub(crate) registration: Registration,
    pub(crate) entry: Entry,
}

/// One plugin in the root supervisor's care.
pub(crate) struct Ward {
    gate: Arc<Gate>,
    directory: Directory,
    baseline: String,
    /// Or why it can never be started with this baseline.
    startable: Result<Startable, String>,
    /// What operators have changed; read without waiting for an operation, and changed only by the
    /// one that holds the desk.
    kept: ArcSwap<Override>,
    /// One operation at a time holds the desk.
    desk: Mutex<Option<Tenure>>,
}

impl Ward {
    pub(crate) fn new(
        name: &str,
        directory: &Directory,
        baseline: &str,
        startable: Result<Startable, String>,
        kept: Override,
    ) -> Self {
        let gate = Gate::new(name, Status::Stopped, card(&startable), directory.changes());
        let ward = Self {
            gate: Arc::new(gate),
            directory: directory.clone(),
            baseline: baseline.to_owned(),
            startable,
            kept: ArcSwap::from_pointee(kept),
            desk: Mutex::default(),
        };
        ward.settle();
        ward
    }

    pub(crate) fn gate(&self) -> &Arc<Gate> {
        &self.gate
    }

    pub(crate) fn name(&self) -> &str {
        self.gate.name()
    }

    pub(crate) fn autostarts(&self) -> bool {
        self.startable.is_ok() && self.gate.state().autostart
    }

    /// Sets what follows from the configuration while the plugin does not run.
    fn settle(&self) {
        let kept = self.kept.load();
        let (autostart, _) = self.autostart(&kept);
        let reason = match &self.startable {
            Err(reason) => Some(reason.clone()),
            Ok(_) => self.settings(&kept).err().map(|fault| fault.message),
        };
        if let Some(reason) = &reason {
            log::error!(target: self.name(), "disabled: {reason}");
        }
        let disabled = reason.is_some() || !autostart;
        self.gate.edit_card(|card| {
            card.autostart = autostart;
            card.reason = reason;
        });
        self.gate.set_status(if disabled {
            Status::Disabled
        } else {
            Status::Stopped
        });
    }

    fn startable(&self) -> Result<&Startable, Fault> {
        self.startable.as_ref().map_err(|reason| {
            Fault::conflict(format!("{} cannot be started: {reason}", self.name()))
        })
    }

    /// Whether the gateway starts it, and who says so.
    fn autostart(&self, kept: &Override) -> (bool, Source) {
        let baseline = self.startable.as_ref().map(|s| s.entry.autostart());
        match kept.autostart {
            Some(autostart) => (autostart, Source::Operator),
            None => baseline.unwrap_or((false, Source::Default)),
        }
    }

    fn effective(&self, kept: &Override) -> BTreeMap<String, Setting> {
        let startable = self.startable.as_ref().ok();
        let merge = |s: &Startable| {
            let known = &s.registration.settings;
            known.merge(&s.entry.settings, &kept.settings)
        };
        startable.map(merge).unwrap_or_default()
    }

    fn settings(&self, kept: &Override) -> Result<Value, Fault> {
        let known = &self.startable()?.registration.settings;
        known.checked(&self.effective(kept))
    }

    /// What its settings may be; anything where it is not known.
    fn schema(&self) -> Value {
        let startable = self.startable.as_ref();
        startable.map_or_else(|_| json!({}), |s| s.registration.settings.schema().clone())
    }

    /// Everything about the plugin, at once, whatever operation is under way.
    pub(crate) fn inspect(&self) -> PluginDetail {
        let kept = self.kept.load();
        PluginDetail {
            state: self.gate.state(),
            autostart_source: self.autostart(&kept).1,
            baseline: self.baseline.clone(),
            settings: shown(self.effective(&kept)),
            schema: self.schema(),
        }
    }

    /// Starts the plugin where it does not run, and waits until it does or cannot.
    pub(crate) async fn start(&self) -> Result<PluginState, Fault> {
        let startable = self.startable()?;
        self.begin(startable).await?;
        let patience = startable.registration.policy.start_within;
        drop(timeout(patience, self.started()).await);
        let state = self.gate.state();
        let reason = || state.reason.clone().unwrap_or_default();
        match state.state {
            Status::Running => Ok(state),
            Status::Failed => Err(Fault::failed(format!(
                "{} failed: {}",
                self.name(),
                reason()
            ))),
            _ => Err(Fault::restarting(format!(
                "{} is not yet running: {}",
                self.name(),
                reason()
            ))),
        }
    }

    async fn begin(&self, startable: &Startable) -> Result<(), Fault> {
        let mut desk = self.desk.lock().await;
        let underway = [Status::Starting, Status::Running, Status::Restarting];
        if desk.is_some() && underway.contains(&self.gate.status()) {
            return Ok(());
        }
        let settings = self.settings(&self.kept.load())?;
        if let Some(failed) = desk.take() {
            failed.abandon();
        }
        self.gate.begin_tenure();
        self.gate.edit_card(|card| card.reason = None);
        self.gate.set_status(Status::Starting);
        let tenure = Tenure::begin(
            &startable.registration,
            &self.gate,
            &self.directory,
            settings,
        );
        match tenure {
            Ok(tenure) => *desk = Some(tenure),
            Err(error) => {
                self.gate.set_status(Status::Stopped);
                let name = self.name();
                return Err(Fault::internal(format!(
                    "the system gives no thread to {name}: {error}"
                )));
            }
        }
        Ok(())
    }

    async fn started(&self) {
        let mut changes = self.directory.watch();
        while matches!(self.gate.status(), Status::Starting | Status::Restarting) {
            if changes.changed().await.is_err() {
                return;
            }
        }
    }

    /// Lets the calls at work finish for at most `limit`, then stops the plugin. Its thread is
    /// abandoned when it has not ended within `limit` again.
    pub(crate) async fn stop(&self, limit: Duration) -> PluginState {
        let mut desk = self.desk.lock().await;
        if let Some(tenure) = desk.take() {
            tenure.close();
            let was = self.gate.status();
            self.gate.set_status(Status::Stopping);
            if was == Status::Running {
                drop(timeout(limit, self.drained()).await);
            }
            tenure.end(limit).await;
            self.gate.set_hanging(false);
            self.gate.edit_card(|card| card.reason = None);
            self.gate.set_status(Status::Stopped);
            log::info!(target: self.name(), "stopped");
        }
        self.gate.state()
    }

    async fn drained(&self) {
        loop {
            let state = self.gate.state();
            if state.hanging || state.calls.in_flight == 0 {
                return;
            }
            sleep(DRAIN_STEP).await;
        }
    }

    /// How long this plugin may take to stop.
    pub(crate) fn stop_within(&self) -> Duration {
        let policy = |s: &Startable| s.registration.policy.stop_within;
        self.startable.as_ref().map(policy).unwrap_or_default()
    }

    /// Takes an operator's changes, keeps them, and restarts the plugin if it was running.
    pub(crate) async fn configure(
        &self,
        settings: BTreeMap<String, Value>,
        autostart: Change<bool>,
        keep: &Keep,
    ) -> Result<PluginDetail, Fault> {
        self.startable()?;
        let desk = self.desk.lock().await;
        let amended = amend(&self.kept.load(), settings, autostart)?;
        let settings = self.settings(&amended)?;
        let known = &self.startable()?.registration.settings;
        known.may_be_saved(&settings)?;
        keep(self.name().to_owned(), amended.clone()).await?;
        log::info!(target: self.name(), "configured by an operator");
        let (autostart, _) = self.autostart(&amended);
        self.kept.store(amended.into());
        let running = desk.is_some() && self.gate.status() != Status::Failed;
        if running {
            self.gate.edit_card(|card| card.autostart = autostart);
        } else {
            self.settle();
        }
        drop(desk);
        if running {
            self.stop(self.stop_within()).await;
            self.start().await?;
        }
        Ok(self.inspect())
    }
}

fn card(startable: &Result<Startable, String>) -> Card {
    let kind = "builtin".to_owned();
    startable.as_ref().map_or_else(
        |_| Card::default(),
        |Startable {
             registration,
             entry,
         }| Card {
            kind,
            needs: entry.needs.clone(),
            capabilities: registration.capabilities.clone(),
            ..Card::default()
        },
    )
}

//! The seat that a plugin's lives take one after the other.

use std::{cell::RefCell, rc::Rc, sync::Arc};

use messages::{fault::Fault, host::Host, line::Directory, plugin::Plugin};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::{lease::Lease, survive::survive};

/// Builds a plugin; called for each life.
pub(crate) type Factory<P> = Arc<dyn Fn(&Host) -> Result<P, Fault> + Send + Sync>;

/// One life.
pub(crate) struct Life<P> {
    pub(crate) plugin: P,
    pub(crate) host: Host,
}

/// How a life could not begin.
pub(crate) enum Stillbirth {
    /// The factory panicked.
    Panicked(String),
    /// The factory answered a fault.
    Refused(Fault),
}

/// Everything that a life is made of, shared by the actor and its guard on one thread.
pub(crate) struct Seat<P: Plugin> {
    pub(crate) lease: Arc<Lease>,
    directory: Directory,
    settings: Arc<Value>,
    factory: Factory<P>,
    life: RefCell<Option<Life<P>>>,
    token: RefCell<CancellationToken>,
    birth: RefCell<Option<Result<(), Stillbirth>>>,
}

impl<P: Plugin> Seat<P> {
    pub(crate) fn new(
        lease: Arc<Lease>,
        directory: Directory,
        settings: Arc<Value>,
        factory: Factory<P>,
    ) -> Rc<Self> {
        let token = RefCell::new(lease.new_life());
        Rc::new(Self {
            lease,
            directory,
            settings,
            factory,
            life: RefCell::default(),
            token,
            birth: RefCell::default(),
        })
    }

    /// Builds the next life with a host of its own. The outcome waits in [`Seat::born`], because
    /// the actor's `restarting` that calls this cannot answer.
    pub(crate) fn begin(&self) {
        let token = self.lease.new_life();
        self.token.replace(token.clone());
        self.lease.gate().begin_generation();
        let host = Host::new(
            self.settings.clone(),
            self.directory.clone(),
            self.lease.gate().clone(),
            token,
        );
        let birth = match survive(|| (self.factory)(&host)) {
            Ok(Ok(plugin)) => {
                self.life.replace(Some(Life { plugin, host }));
                Ok(())
            }
            Ok(Err(fault)) => Err(Stillbirth::Refused(fault)),
            Err(text) => Err(Stillbirth::Panicked(text)),
        };
        self.birth.replace(Some(birth));
    }

    /// How the last birth went.
    pub(crate) fn born(&self) -> Result<(), Stillbirth> {
        let birth = self.birth.take();
        birth.unwrap_or_else(|| Err(Stillbirth::Panicked("the factory was not run".to_owned())))
    }

    /// Does something with the life, where there is one.
    pub(crate) fn with<T>(&self, work: impl FnOnce(&mut Life<P>) -> T) -> Option<T> {
        self.life.borrow_mut().as_mut().map(work)
    }

    /// Tells the plugin that it stops. A panic is survived.
    pub(crate) fn stopping(&self) {
        let told = survive(|| self.with(|life| life.plugin.stopping()));
        self.log_panic("stopping", told.map(|_| ()));
    }

    /// Ends the life: its background tasks, then its state, which may panic in its own drop.
    pub(crate) fn end(&self) {
        self.token.borrow().cancel();
        let life = self.life.take();
        self.log_panic("dropping its state", survive(|| drop(life)));
    }

    /// Logs and counts a panic that the plugin survived, whatever it was doing.
    pub(crate) fn log_panic(&self, place: &str, outcome: Result<(), String>) {
        if let Err(text) = outcome {
            self.lease.gate().count_panic();
            log::error!(target: self.lease.name(), "panicked while {place}: {text}");
        }
    }
}

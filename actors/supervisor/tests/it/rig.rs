//! Plugins that do what a test asks of them, and a supervisor around them.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use actix::System;
use messages::{
    call::{Call, Capability, Origin},
    fault::Fault,
    host::Host,
    line::Directory,
    plugin::{Answer, Exports, Plugin, PluginState, Policy, Serve, Status},
    port::Port,
    stream::Deltas,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use supervisor::{Baseline, Handle, Keep, Override, Overrides, Registry, RootSupervisor, Settings};
use tokio_util::sync::CancellationToken;

pub const NAMES: [&str; 3] = ["zero", "one", "two"];

/// Restarts at once, as often as it takes.
pub fn quick() -> Policy {
    Policy {
        backoff: Duration::from_millis(1),
        longest_backoff: Duration::from_millis(2),
        restarts: usize::MAX,
        start_within: Duration::from_secs(5),
        stop_within: Duration::from_millis(300),
        hang_after: Duration::from_millis(100),
        ..Policy::default()
    }
}

/// What a test can see of a plugin and change in it.
#[derive(Debug, Default)]
pub struct Script {
    /// The next so many factories panic.
    pub stillborn: AtomicUsize,
    /// The next factory takes this long.
    pub slow: Mutex<Duration>,
    /// What the factory answers instead of a plugin.
    pub refusal: Mutex<Option<Fault>>,
    pub panic_while_stopping: AtomicBool,
    pub panic_while_dropped: AtomicBool,
    pub events: Mutex<Vec<(Instant, String)>>,
    pub life: Mutex<CancellationToken>,
}

impl Script {
    pub fn say(&self, event: impl Into<String>) {
        let event = (Instant::now(), event.into());
        self.events.lock().unwrap().push(event);
    }

    pub fn said(&self) -> Vec<String> {
        let events = self.events.lock().unwrap();
        events.iter().map(|(_, event)| event.clone()).collect()
    }

    /// When something was first said.
    pub fn when(&self, event: &str) -> Instant {
        let events = self.events.lock().unwrap();
        events.iter().find(|(_, said)| said == event).unwrap().0
    }

    pub fn count(&self, event: &str) -> usize {
        self.said().iter().filter(|said| *said == event).count()
    }
}

/// A plugin that does what it is told.
pub struct Puppet<const N: usize> {
    script: Arc<Script>,
    host: Host,
    calls: u64,
}

#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PuppetSettings {
    pub size: u32,
    pub colour: Option<u32>,
}

/// Tells a puppet what to do; it answers how many calls this life has seen.
#[derive(Debug, Clone, Copy)]
pub struct Do<const N: usize>(pub Deed);

#[derive(Debug, Clone, Copy)]
pub enum Deed {
    Count,
    Panic,
    PanicLater,
    PanicInWorker,
    /// Blocks the plugin's thread.
    Block(Duration),
    /// Answers after a while.
    Wait(Duration),
    /// Blocks a worker's thread.
    Work(Duration),
    /// Starts a background task that ticks, and one that panics.
    Background,
    Size,
}

impl<const N: usize> Capability for Do<N> {
    type Reply = u64;
    const NAME: &'static str = ["zero.do", "one.do", "two.do"][N];
    const DEADLINE: Duration = Duration::from_secs(5);
}

/// Asks for a stream whose worker sends this many items and then panics.
#[derive(Debug)]
pub struct Tell<const N: usize>(pub u32);

impl<const N: usize> Capability for Tell<N> {
    type Reply = Deltas<u32>;
    const NAME: &'static str = ["zero.tell", "one.tell", "two.tell"][N];
    const DEADLINE: Duration = Duration::from_secs(5);
}

impl<const N: usize> Plugin for Puppet<N> {
    const NAME: &'static str = NAMES[N];

    fn exports(exports: &mut impl Exports<Self>) {
        exports.serve::<Do<N>>().serve::<Tell<N>>();
    }

    fn stopping(&mut self) {
        self.script.say("stopping");
        assert!(
            !self.script.panic_while_stopping.load(SeqCst),
            "while stopping"
        );
    }
}

impl<const N: usize> Drop for Puppet<N> {
    fn drop(&mut self) {
        self.script.say("dropped");
        let unwinding = std::thread::panicking();
        assert!(!unwinding, "state is dropped outside unwinding");
        assert!(
            !self.script.panic_while_dropped.load(SeqCst),
            "while dropped"
        );
    }
}

/// Says when a future is dropped before its end.
struct Witness(Arc<Script>);

impl Drop for Witness {
    fn drop(&mut self) {
        self.0.say("work dropped");
    }
}

impl<const N: usize> Serve<Do<N>> for Puppet<N> {
    fn serve(&mut self, call: Call<Do<N>>) -> Answer<Do<N>> {
        self.calls += 1;
        let (calls, host, script) = (self.calls, self.host.clone(), self.script.clone());
        match call.body.0 {
            Deed::Count => Answer::Now(Ok(calls)),
            Deed::Panic => panic!("told to"),
            Deed::PanicLater => Answer::later(async { panic!("told to, later") }),
            Deed::PanicInWorker => Answer::later(async move {
                let told = || -> u64 { panic!("told to, in a worker") };
                host.run(told).await
            }),
            Deed::Block(time) => {
                script.say("blocking");
                std::thread::sleep(time);
                Answer::Now(Ok(calls))
            }
            Deed::Wait(time) => Answer::later(async move {
                let _cx = call.cx;
                let witness = Witness(script.clone());
                script.say("waiting");
                tokio::time::sleep(time).await;
                std::mem::forget(witness);
                Ok(calls)
            }),
            Deed::Work(time) => Answer::later(async move {
                let work = move || {
                    script.say("working");
                    std::thread::sleep(time);
                    script.say("worked");
                    calls
                };
                host.run_for(&call.cx, work).await
            }),
            Deed::Background => {
                host.spawn(async { panic!("told to, in the background") });
                host.spawn(async move {
                    let _witness = Witness(script.clone());
                    loop {
                        script.say("tick");
                        tokio::time::sleep(Duration::from_millis(5)).await;
                    }
                });
                Answer::Now(Ok(calls))
            }
            Deed::Size => {
                let settings = host.settings::<PuppetSettings>();
                Answer::Now(settings.map(|settings| settings.size.into()))
            }
        }
    }
}

impl<const N: usize> Serve<Tell<N>> for Puppet<N> {
    fn serve(&mut self, call: Call<Tell<N>>) -> Answer<Tell<N>> {
        let items = call.body.0;
        let (outlet, deltas) = call.cx.stream(2);
        let worker = self.host.thread("teller", move || {
            for item in 0..items {
                outlet.blocking_send(item).unwrap();
            }
            panic!("told to, in the middle of a stream");
        });
        drop(worker);
        Answer::Now(Ok(deltas))
    }
}

/// A supervisor with three puppets.
pub struct Rig {
    pub directory: Directory,
    pub handle: Handle,
    pub scripts: [Arc<Script>; 3],
    pub kept: Arc<Mutex<Vec<(String, Override)>>>,
}

/// What to start the rig with.
pub struct Plan {
    pub policies: [Policy; 3],
    pub plugins: Value,
    pub overrides: Overrides,
    pub scripts: [Arc<Script>; 3],
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            policies: [quick(), quick(), quick()],
            plugins: json!({"zero": {}, "one": {}, "two": {}}),
            overrides: Overrides::new(),
            scripts: Default::default(),
        }
    }
}

impl Plan {
    pub fn plugins(plugins: Value) -> Self {
        Self {
            plugins,
            ..Self::default()
        }
    }

    pub fn policy(policy: Policy) -> Self {
        let mut plan = Self::default();
        plan.policies[0] = policy;
        plan
    }

    /// A supervisor that has started nothing yet.
    pub fn rig(self) -> Rig {
        let directory = Directory::default();
        let mut registry = Registry::new(directory.clone());
        let [zero, one, two] = self.policies;
        add::<0>(&mut registry, zero, &self.scripts);
        add::<1>(&mut registry, one, &self.scripts);
        add::<2>(&mut registry, two, &self.scripts);
        let text = json!({"plugins": self.plugins}).to_string();
        let baseline = Baseline::parse("plugins.json", &text).unwrap();
        let kept: Arc<Mutex<Vec<_>>> = Arc::default();
        let keeper = kept.clone();
        let keep: Keep = Arc::new(move |name, change| {
            let keeper = keeper.clone();
            Box::pin(async move {
                keeper.lock().unwrap().push((name, change));
                Ok(())
            })
        });
        let handle = RootSupervisor::start(registry, baseline, self.overrides, keep).unwrap();
        Rig {
            directory,
            handle,
            scripts: self.scripts,
            kept,
        }
    }

    /// A supervisor with all plugins started.
    pub async fn started(self) -> Rig {
        let rig = self.rig();
        rig.handle.start_all(None).await;
        rig
    }
}

fn add<const N: usize>(registry: &mut Registry, policy: Policy, scripts: &[Arc<Script>; 3]) {
    let script = scripts[N].clone();
    registry.add(policy, Settings::of::<PuppetSettings>(), move |host| {
        script.say("factory");
        *script.life.lock().unwrap() = host.life().clone();
        std::thread::sleep(std::mem::take(&mut *script.slow.lock().unwrap()));
        let left = script.stillborn.load(SeqCst);
        if left > 0 {
            script.stillborn.store(left - 1, SeqCst);
            panic!("stillborn");
        }
        if let Some(fault) = script.refusal.lock().unwrap().clone() {
            return Err(fault);
        }
        Ok(Puppet::<N> {
            script: script.clone(),
            host: host.clone(),
            calls: 0,
        })
    });
}

impl Rig {
    pub fn port<C: Capability>(&self) -> Port<C> {
        Port::new(self.directory.clone(), Origin::internal("test"))
    }

    pub async fn ask<const N: usize>(&self, deed: Deed) -> Result<u64, Fault> {
        self.port().call(Do::<N>(deed)).await
    }

    /// Asks in the background.
    pub fn send<const N: usize>(&self, deed: Deed) -> tokio::task::JoinHandle<Result<u64, Fault>> {
        let port = self.port();
        actix::spawn(async move { port.call(Do::<N>(deed)).await })
    }

    pub fn state(&self, name: &str) -> PluginState {
        self.directory.gate(name).unwrap().state()
    }

    pub async fn until(&self, what: &str, condition: impl Fn(&Self) -> bool) {
        let start = Instant::now();
        while !condition(self) {
            assert!(
                start.elapsed() < Duration::from_secs(10),
                "waited for: {what}"
            );
            pause(2).await;
        }
    }

    pub async fn reaches(&self, name: &str, status: Status) {
        let what = format!("{name} to be {status:?}");
        self.until(&what, |rig| rig.state(name).state == status)
            .await;
    }
}

pub async fn pause(millis: u64) {
    tokio::time::sleep(Duration::from_millis(millis)).await;
}

/// Runs a test inside an Actix system. Panics that are part of the test are not printed.
pub fn run(test: impl Future<Output = ()>) {
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let text = panic.payload_as_str().unwrap_or_default();
        if !["told to", "stillborn", "while "]
            .iter()
            .any(|told| text.starts_with(told))
        {
            print(panic);
        }
    }));
    System::new().block_on(test);
}

//! The plugin contract: what a plugin is, what it answers, and how it is kept alive.

use std::{collections::BTreeMap, time::Duration};

use futures_util::future::{BoxFuture, LocalBoxFuture};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    call::{Call, Capability},
    fault::Fault,
};

/// A plugin: state built by a factory, living in an actor of its own, rebuilt by the same factory
/// after a panic. The value is only ever touched by its actor's thread.
pub trait Plugin: Sized + Unpin + 'static {
    /// The plugin's name: its crate, its entry in `plugins.json`, its tag in the log.
    const NAME: &'static str;

    /// Names every capability that the plugin serves: `exports.serve::<Chat>()`.
    fn exports(exports: &mut impl Exports<Self>);

    /// Called once when an operator stops the plugin or the gateway ends, and not after a panic:
    /// broken state is dropped, never saved.
    fn stopping(&mut self) {}
}

/// Answers one capability.
pub trait Serve<C: Capability>: Plugin {
    /// Takes the call. What blocks or computes for more than a millisecond belongs into
    /// [`Answer::Later`]; a panic here costs the plugin its state and a restart.
    fn serve(&mut self, call: Call<C>) -> Answer<C>;
}

/// Collects what a plugin serves; implemented by the supervisor.
pub trait Exports<P: Plugin> {
    /// Offers one capability.
    fn serve<C: Capability>(&mut self) -> &mut Self
    where
        P: Serve<C>;
}

/// An answer, now or later.
#[expect(missing_debug_implementations, reason = "futures have no text")]
pub enum Answer<C: Capability> {
    /// Ready.
    Now(Result<C::Reply, Fault>),
    /// Polled beside the actor, on its thread: other calls go on meanwhile, a panic inside fails
    /// this call alone, and it is dropped as soon as nobody waits for it.
    Later(LocalBoxFuture<'static, Result<C::Reply, Fault>>),
}

impl<C: Capability> Answer<C> {
    /// An answer that takes a while.
    pub fn later(work: impl Future<Output = Result<C::Reply, Fault>> + 'static) -> Self {
        Self::Later(Box::pin(work))
    }
}

impl<C: Capability> From<Result<C::Reply, Fault>> for Answer<C> {
    fn from(result: Result<C::Reply, Fault>) -> Self {
        Self::Now(result)
    }
}

impl<C: Capability> From<BoxFuture<'static, Result<C::Reply, Fault>>> for Answer<C> {
    fn from(work: BoxFuture<'static, Result<C::Reply, Fault>>) -> Self {
        Self::Later(work)
    }
}

/// How a plugin is kept alive. A value, so that a test's plugin can have its own.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// Calls at work at the same time, for each capability; one more is refused at once.
    pub permits: usize,
    /// Capabilities that have another number of permits, such as those whose calls mostly wait.
    pub permits_of: BTreeMap<&'static str, usize>,
    /// The wait before the first restart; it doubles with each further one.
    pub backoff: Duration,
    /// The longest wait before a restart.
    pub longest_backoff: Duration,
    /// The share of the wait that is drawn at random, so that plugins do not restart in step.
    pub jitter: f64,
    /// More restarts than this within `window` make the plugin `failed`.
    pub restarts: usize,
    /// See `restarts`.
    pub window: Duration,
    /// A life that has lasted this long starts the count of restarts afresh.
    pub healthy_after: Duration,
    /// How long a plugin may take to start before those that need it stop waiting.
    pub start_within: Duration,
    /// How long a plugin may take to stop before its thread is abandoned.
    pub stop_within: Duration,
    /// How long its thread may leave a probe unanswered before it counts as hanging.
    pub hang_after: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            permits: 64,
            permits_of: BTreeMap::new(),
            backoff: Duration::from_millis(100),
            longest_backoff: Duration::from_secs(30),
            jitter: 0.2,
            restarts: 5,
            window: Duration::from_secs(60),
            healthy_after: Duration::from_secs(60),
            start_within: Duration::from_secs(30),
            stop_within: Duration::from_secs(10),
            hang_after: Duration::from_secs(10),
        }
    }
}

impl Policy {
    /// Calls of `capability` at work at the same time.
    pub fn permits(&self, capability: &str) -> usize {
        let own = self.permits_of.get(capability).copied();
        own.unwrap_or(self.permits)
    }
}

/// Where a plugin is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Status {
    /// Its entry is wrong or switched off; it was never started.
    Disabled,
    /// Stopped by an operator, or not yet started.
    Stopped,
    /// Its factory is at work for the first time since a stop.
    Starting,
    /// It answers.
    Running,
    /// It panicked and waits for its next life.
    Restarting,
    /// It no longer takes calls and is about to stop.
    Stopping,
    /// It restarted too often; an operator must start it.
    Failed,
}

/// What anyone may know of a plugin.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PluginState {
    /// The plugin's name.
    pub name: String,
    /// `builtin` for a plugin that is compiled in.
    pub kind: String,
    /// Where it is in its life.
    pub state: Status,
    /// Whether the gateway starts it.
    pub autostart: bool,
    /// How many lives it has had, the present one included.
    pub generation: u64,
    /// Lives that the supervisor began by itself: the one before ended in a panic, or its factory
    /// panicked or refused.
    pub restarts: u64,
    /// The text of the last panic that broke its state.
    pub last_panic: Option<String>,
    /// Why it is disabled or failed.
    pub reason: Option<String>,
    /// When it reached the present state.
    #[schema(value_type = String, format = DateTime)]
    pub since: Timestamp,
    /// Whether its thread has left a probe unanswered for too long.
    pub hanging: bool,
    /// The plugins that are started before it.
    pub needs: Vec<String>,
    /// What it answers.
    pub capabilities: Vec<String>,
    /// Its calls, counted since the gateway's start.
    pub calls: CallCounts,
    /// How long its answers took.
    pub latency: Latency,
    /// Bytes that it holds in memory by its own account; nothing where it does not say, or does not
    /// run. The parts of a process cannot be told apart from outside.
    #[serde(default)]
    pub memory_bytes: Option<u64>,
}

/// Calls of one plugin, counted since the gateway's start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CallCounts {
    /// At work now, streams included; what an abandoned thread still holds counts until the plugin
    /// is started again.
    pub in_flight: u64,
    /// Answered with success.
    pub served: u64,
    /// Turned away: no permit, or the plugin (or one that it asked) was not running.
    pub refused: u64,
    /// Answered with a fault that the caller caused, such as an unknown collection.
    pub rejected: u64,
    /// Ended by a fault of the plugin's.
    pub failed: u64,
    /// Ended by their deadline.
    pub timed_out: u64,
    /// Given up by their callers.
    pub cancelled: u64,
    /// Panics that cost one call and not the plugin's state.
    pub panics: u64,
}

/// How long answers took, as upper bounds of the buckets that hold the quantile.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Latency {
    /// Answers measured.
    pub count: u64,
    /// Half the answers took at most this long, in milliseconds.
    pub p50_ms: f64,
    /// 99 of 100 answers took at most this long, in milliseconds.
    pub p99_ms: f64,
    /// The longest answer, in milliseconds.
    pub max_ms: f64,
}

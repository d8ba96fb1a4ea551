//! Keeps plugins alive: the guarded cell, the restart policy, the configuration, and the root
//! supervisor that an operator talks to.
//!
//! What holds, whatever a plugin does:
//!
//! - **One thread a plugin.** A plugin lives in a [`Cell`], an Actix actor on an arbiter of its own.
//!   Nobody else's work runs there, so a plugin that hangs delays nobody.
//! - **Panics end lives, not plugins.** Actix drops an actor that panicked. The guard polls the
//!   actor's context inside `catch_unwind` instead, drops the broken state outside unwinding (a
//!   second panic while unwinding aborts the process), waits, and restarts the context with a plugin
//!   fresh from its factory. The address and the calls queued behind the panic survive.
//! - **Small panics cost one call.** An answer that takes a while is polled beside the actor: its
//!   panic fails that call alone. Factories and `stopping` may panic too.
//! - **Nothing restarts for ever.** The wait doubles; too many restarts within the policy's window,
//!   or a fault that no retry can cure (wrong settings), make the plugin `failed`. Its queued calls
//!   are answered, and it stays down until an operator starts it.
//! - **Work ends when nobody waits.** A call's token and deadline drop its work; a life's token ends
//!   the background tasks that the life began.
//! - **A flood starves nobody.** Bounds are permits that travel in the calls, and the cell yields its
//!   thread after every few calls, so that timers, answers under way and probes get their turn.
//! - **A thread that no longer answers is seen from outside** and marked `hanging`; when it has to
//!   stop it is abandoned, and whatever it does afterwards changes nothing any more.
//!
//! The gateway fills a [`Registry`], reads a [`Baseline`], and calls [`RootSupervisor::start`]:
//!
//! ```ignore
//! let mut registry = Registry::new(directory);
//! registry.add(Policy::default(), Settings::of::<brainml::Settings>(), |host| Brainml::new(host));
//! let handle = RootSupervisor::start(registry, baseline, overrides, keep)?;
//! handle.start_all(None).await;
//! handle.stop_all(Duration::from_secs(30)).await;
//! ```

mod baseline;
mod brake;
mod cell;
mod configuration;
mod guard;
mod lease;
mod order;
mod registry;
mod root;
mod roster;
mod seat;
mod survive;
mod tenure;
mod ward;
mod watcher;

pub use baseline::{Baseline, BaselineError};
pub use cell::Cell;
pub use configuration::{Override, Overrides, Settings};
pub use registry::Registry;
pub use root::{Handle, Keep, RootSupervisor};

//! The gateway as a library: [`start`] is used by the program, the tests and the benches alike.

pub mod cli;
mod guide;
mod http;
pub mod settings;
mod start_error;
mod telemetry;
mod wiring;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use actix_web::dev::ServerHandle;
use messages::line::Directory;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::{
    http::{Drain, tls::Certificate},
    settings::Settings,
    wiring::House,
};
pub use crate::{settings::Flags, start_error::StartError};

/// Whom a gateway serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Serving {
    /// Everyone, over TCP, and the owner over the socket in the data directory.
    Everyone,
    /// The owner alone, with just these plugins and what they need: how a subcommand works where
    /// no gateway runs.
    OwnerOnly {
        /// Names of plugins.
        plugins: Vec<String>,
    },
}

/// A running gateway. It ends by [`Gateway::stop`] or by a signal; dropping it leaves its threads.
#[derive(Debug)]
pub struct Gateway {
    house: House,
    address: Option<SocketAddr>,
    server: ServerHandle,
    drain: Arc<Drain>,
    accept_while_draining: Duration,
    cut_after: Duration,
}

/// Starts everything: the store, the plugins in the order of what they need, and the server.
///
/// # Errors
/// A [`StartError`] that says what to do; nothing is left running then.
pub async fn start(settings: Settings, serving: Serving) -> Result<Gateway, StartError> {
    let (only, everyone) = match serving {
        Serving::Everyone => (None, true),
        Serving::OwnerOnly { plugins } => (Some(plugins), false),
    };
    let certificate = match everyone {
        true => Certificate::of(&settings.server)?,
        false => None,
    };
    let house = House::open(&settings, everyone)?;
    let edge = house.edge(&settings, certificate.clone());
    let drain = edge.drain.clone();
    let scheme = if edge.is_tls() { "https" } else { "http" };
    let socket = match everyone {
        true => settings.socket(),
        false => settings.own_socket(),
    };
    let listening = http::server::listen(edge, &settings.server, everyone, &socket)?;
    actix_web::rt::spawn(listening.server);
    house.start(only).await;
    // Commands find the socket only now, when what they ask for is there.
    listening.socket.publish()?;
    if let Some(address) = listening.address {
        if let Some(certificate) = certificate {
            certificate.watch();
        }
        log::info!("listening on {scheme}://{address}");
    }
    Ok(Gateway {
        house,
        address: listening.address,
        server: listening.handle,
        drain,
        accept_while_draining: Duration::from_secs(settings.server.drain_accept_seconds),
        cut_after: Duration::from_secs(settings.server.drain_seconds),
    })
}

impl Gateway {
    /// The address that everyone is served at.
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// Who answers what, and the states of all plugins.
    pub fn directory(&self) -> &Directory {
        self.house.directory()
    }

    /// Serves until SIGTERM or SIGINT, and then ends in good order: readiness goes first, streams
    /// finish or are ended with an error, plugins stop last. A second signal ends the streams at
    /// once, a third the process.
    pub async fn run_until_told_to_stop(self) {
        let mut signals = Signals::watch();
        let told = signals.next().await;
        log::info!("told to stop: draining");
        let drain = self.drain.clone();
        drain.begin();
        let hurry = async move {
            signals.next().await;
            log::warn!("told again: ending what is under way");
            drain.cut_now();
            signals.next().await;
            std::process::exit(130);
        };
        actix_web::rt::spawn(hurry);
        self.end(told == Told::Terminate).await;
    }

    /// Ends at once what can end, and the rest when its time is over.
    pub async fn stop(self) {
        self.end(false).await;
    }

    async fn end(self, keep_accepting: bool) {
        self.drain.begin();
        let drain = self.drain.clone();
        let cut_after = self.cut_after;
        actix_web::rt::spawn(async move {
            tokio::time::sleep(cut_after).await;
            drain.cut_now();
        });
        if keep_accepting {
            // A person at a terminal does not want to wait for a load balancer.
            tokio::select! {
                () = tokio::time::sleep(self.accept_while_draining) => (),
                () = self.drain.cut() => (),
            }
        }
        self.drain.close_sockets();
        self.server.stop(true).await;
        self.house.stop().await;
        log::info!("stopped");
    }
}

#[derive(PartialEq, Eq)]
enum Told {
    Terminate,
    Interrupt,
}

/// The signals that end a gateway.
struct Signals {
    terminate: Option<Signal>,
    interrupt: Option<Signal>,
}

impl Signals {
    fn watch() -> Self {
        Self {
            terminate: signal(SignalKind::terminate()).ok(),
            interrupt: signal(SignalKind::interrupt()).ok(),
        }
    }

    async fn next(&mut self) -> Told {
        tokio::select! {
            () = arrival(self.terminate.as_mut()) => Told::Terminate,
            () = arrival(self.interrupt.as_mut()) => Told::Interrupt,
        }
    }
}

/// Waits for a signal; one that cannot be watched never arrives.
async fn arrival(signal: Option<&mut Signal>) {
    match signal {
        Some(signal) => drop(signal.recv().await),
        None => std::future::pending().await,
    }
}

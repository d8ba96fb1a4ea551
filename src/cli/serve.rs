//! `bkg serve`: runs the gateway until it is told to stop.

use clap::Args;

use super::CliError;
use crate::{Serving, settings::Settings};

#[derive(Debug, Default, Args)]
pub(super) struct Serve {
    /// The address to listen on.
    #[arg(long)]
    host: Option<String>,
    /// The port to listen on; 0 takes a free one.
    #[arg(long)]
    port: Option<u16>,
}

impl Serve {
    /// The flags as settings.
    pub(super) fn settings(&self) -> Vec<String> {
        let host = self.host.iter().map(|host| format!("server.host={host}"));
        let port = self.port.iter().map(|port| format!("server.port={port}"));
        host.chain(port).collect()
    }
}

pub(super) async fn run(settings: Settings) -> Result<(), CliError> {
    let gateway = crate::start(settings, Serving::Everyone).await?;
    gateway.run_until_told_to_stop().await;
    Ok(())
}

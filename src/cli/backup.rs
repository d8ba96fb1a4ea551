//! `bkg backup`: makes a backup, and takes it elsewhere where that is asked for.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};

use super::{CliError, client::Client, say};
use crate::{http::admin::backups::Backup as Made, settings::Settings, wiring};

#[derive(Debug, Args)]
pub(super) struct Backup {
    /// Where the backup goes: a directory that is not there yet. Without it, the backup stays under
    /// `backups` in the data directory.
    destination: Option<PathBuf>,
}

pub(super) async fn run(settings: &Settings, command: Backup, json: bool) -> Result<(), CliError> {
    let destination = command.destination.as_deref();
    if let Some(taken) = destination.filter(|path| path.symlink_metadata().is_ok()) {
        return Err(wiring::BackupError::Exists(taken.to_owned()).into());
    }
    // Whoever makes a backup is written down in the audit log.
    let client = Client::connect(settings, &["apikeys"]).await?;
    let made = client.post("/admin/backups", &json!({})).await;
    client.close().await;
    let made: Made = made?;
    let place = settings.data_dir.join("backups").join(&made.name);
    if let Some(destination) = destination {
        wiring::move_out(&settings.data_dir, &made.name, destination)?;
    }
    tell(&made, destination.unwrap_or(&place), json)
}

fn tell(made: &Made, place: &Path, json: bool) -> Result<(), CliError> {
    if json {
        let path = place.display().to_string();
        return say(Value::from_iter([
            ("path", json!(path)),
            ("bytes", json!(made.bytes)),
            ("made_at", json!(made.made_at)),
        ]));
    }
    eprintln!("backup of {} ({} bytes):", made.made_at, made.bytes);
    say(place.display())
}

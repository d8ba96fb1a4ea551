//! `bkg restore`: puts a backup in the place of the present data.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::{CliError, say};
use crate::{settings::Settings, wiring};

#[derive(Debug, Args)]
pub(super) struct Restore {
    /// The backup: a directory that `bkg backup` has made.
    source: PathBuf,
}

pub(super) fn run(settings: &Settings, command: &Restore, json: bool) -> Result<(), CliError> {
    let restored = wiring::restore(&settings.data_dir, &command.source)?;
    let kept = restored.kept.map(|path| path.display().to_string());
    if json {
        return say(json!({"made_at": restored.made_at, "kept": kept}));
    }
    say(format_args!("restored the backup of {}", restored.made_at))?;
    match kept {
        Some(kept) => say(format_args!("the database from before is kept as {kept}")),
        None => Ok(()),
    }
}

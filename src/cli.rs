//! The command line: one file a subcommand. All but `serve` talk to a gateway, the running one or
//! one of their own.

mod audit;
mod backup;
mod chat;
mod client;
mod documents;
mod health;
mod index;
mod keys;
mod logs;
mod models;
mod plain;
mod plugins;
mod query;
mod restore;
mod serve;
mod settings;
mod usage;
mod users;

use std::{io::Write, path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};

use crate::{
    StartError,
    settings::{Flags, Settings, SettingsError},
    wiring::BackupError,
};

/// One self-hosted AI gateway made of supervised actors.
#[derive(Debug, Parser)]
#[command(name = "bkg", version, about, propagate_version = true)]
pub struct Args {
    /// The settings file [default: bkg.toml, where it exists].
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where everything that is kept lies [default: data].
    #[arg(long, global = true, value_name = "DIR")]
    data_dir: Option<String>,
    /// Sets any setting, such as server.port=8080.
    #[arg(long = "set", global = true, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Prints JSON, for scripts.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the gateway (the default).
    Serve(serve::Serve),
    /// Makes, lists, changes, rotates and revokes keys.
    #[command(subcommand)]
    Keys(keys::Keys),
    /// Makes, lists and changes users.
    #[command(subcommand)]
    Users(users::Users),
    /// Reads and checks the audit log.
    #[command(subcommand)]
    Audit(audit::Audit),
    /// Lists, inspects, starts, stops, restarts and configures plugins.
    #[command(subcommand)]
    Plugins(plugins::Plugins),
    /// Lists and fetches models.
    #[command(subcommand)]
    Models(models::Models),
    /// Indexes files, folders and JSON lines.
    Index(index::Index),
    /// Searches a collection.
    Query(query::Query),
    /// Asks a model; over collections the answer carries citations.
    Chat(chat::Chat),
    /// Shows what was used, by day, key, model and more.
    Usage(usage::Usage),
    /// Shows the log of all plugins.
    Logs(logs::Logs),
    /// Makes a backup, while the gateway runs or while it does not.
    Backup(backup::Backup),
    /// Puts a backup in the place of the present data; the gateway must not run.
    Restore(restore::Restore),
    /// Tells whether the gateway is well.
    Health,
    /// Lists every setting: its value here, its default and what it is for.
    Settings,
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// A setting is wrong.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The gateway could not be started.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The gateway answered with an error.
    #[error("{message}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// What the gateway said.
        message: String,
    },
    /// The connection to the gateway broke.
    #[error("the connection to the gateway broke: {0}")]
    Connection(#[from] reqwest::Error),
    /// The live view's connection broke.
    #[error("the connection to the gateway broke: {0}")]
    Socket(#[from] Box<tokio_tungstenite::tungstenite::Error>),
    /// No gateway runs and the command needs one.
    #[error("no gateway runs on {0}; start it with `bkg serve`")]
    NotRunning(PathBuf),
    /// The gateway runs and is not well.
    #[error("not ready: {0}")]
    NotReady(String),
    /// Somebody has changed the audit log.
    #[error("the audit log is broken at entry {seq}: {why}")]
    Broken {
        /// The entry.
        seq: u64,
        /// What is wrong with it.
        why: String,
    },
    /// The gateway said something that this command does not understand.
    #[error("the gateway answered something unexpected: {0}")]
    Answer(String),
    /// A file or the terminal failed.
    #[error("{what}: {error}")]
    Io {
        /// What was being done.
        what: String,
        /// How it failed.
        error: std::io::Error,
    },
    /// A backup was not copied or not restored.
    #[error(transparent)]
    Backup(#[from] BackupError),
    /// What was given cannot be used.
    #[error("{0}")]
    Input(String),
}

impl CliError {
    fn exit_code(&self) -> u8 {
        match self {
            Self::Settings(_) | Self::Input(_) => 2,
            Self::Start(error) => error.exit_code(),
            Self::Backup(error) => error.exit_code(),
            _ => 1,
        }
    }
}

/// Runs one command.
pub async fn run(args: Args) -> ExitCode {
    match dispatch(args).await {
        Ok(()) => ExitCode::SUCCESS,
        // A reader that has seen enough, such as `head`, is no failure.
        Err(CliError::Io { error, .. }) if error.kind() == std::io::ErrorKind::BrokenPipe => {
            ExitCode::SUCCESS
        }
        Err(error) => {
            // The exit code still says it where standard error cannot.
            drop(writeln!(std::io::stderr(), "bkg: {error}"));
            ExitCode::from(error.exit_code())
        }
    }
}

async fn dispatch(args: Args) -> Result<(), CliError> {
    let mut set = args.set;
    set.extend(args.data_dir.map(|dir| format!("data_dir={dir}")));
    let mut flags = Flags {
        file: args.config,
        set,
    };
    let command = args
        .command
        .unwrap_or(Command::Serve(serve::Serve::default()));
    if let Command::Serve(serve) = &command {
        flags.set.extend(serve.settings());
    }
    let settings = Settings::load(&flags, std::env::vars_os())?;
    let json = args.json;
    match command {
        Command::Serve(_) => serve::run(settings).await,
        Command::Keys(command) => keys::run(&settings, command, json).await,
        Command::Users(command) => users::run(&settings, command, json).await,
        Command::Audit(command) => audit::run(&settings, command, json).await,
        Command::Plugins(command) => plugins::run(&settings, command, json).await,
        Command::Models(command) => models::run(&settings, command, json).await,
        Command::Index(command) => index::run(&settings, command, json).await,
        Command::Query(command) => query::run(&settings, command, json).await,
        Command::Chat(command) => chat::run(&settings, command, json).await,
        Command::Usage(command) => usage::run(&settings, command, json).await,
        Command::Logs(command) => logs::run(&settings, command, json).await,
        Command::Backup(command) => backup::run(&settings, command, json).await,
        Command::Restore(command) => restore::run(&settings, &command, json),
        Command::Health => health::run(&settings, json).await,
        Command::Settings => settings::run(&settings, json),
    }
}

/// Writes one line to standard output; a closed pipe is an error here, not a panic.
fn say(line: impl std::fmt::Display) -> Result<(), CliError> {
    write(format!("{line}\n"))
}

/// Writes text to standard output as it is, at once.
fn write(text: impl std::fmt::Display) -> Result<(), CliError> {
    let mut out = std::io::stdout().lock();
    let written = write!(out, "{text}").and_then(|()| out.flush());
    written.map_err(|error| CliError::Io {
        what: "writing to standard output".to_owned(),
        error,
    })
}

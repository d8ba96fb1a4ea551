//! A process that is measured: pinned to a core, ended with this one, and asked what it used.

use std::{
    env,
    ffi::OsString,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::machine::field;

/// Clock ticks a second, on every Linux that this runs on (`getconf CLK_TCK`).
const TICK: Duration = Duration::from_millis(10);

/// A running process. It is killed when dropped.
pub struct Process {
    child: Child,
    /// Whoever reads its standard input until the end, ends with us.
    _stdin: Option<ChildStdin>,
    /// What it has printed.
    pub log: PathBuf,
    /// When it was started.
    pub started: Instant,
}

/// How to start a process.
pub struct Start<'a> {
    /// The program and its arguments.
    pub command: Vec<OsString>,
    /// Its environment; of ours it only has `PATH`.
    pub env: Vec<(String, String)>,
    /// Where it starts, and where its log `log` lies.
    pub folder: &'a Path,
    /// The core that it may use; those of this process where none is named.
    pub core: Option<&'a str>,
}

impl Process {
    /// Starts it.
    pub fn start(start: &Start<'_>) -> Self {
        let log = start.folder.join("log");
        let out = File::create(&log).unwrap();
        let mut wrapped: Vec<OsString> = ["setpriv", "--pdeathsig", "KILL"].map(Into::into).into();
        if let Some(core) = start.core {
            wrapped.extend(["taskset".into(), "-c".into(), core.into()]);
        }
        wrapped.extend(start.command.iter().cloned());
        let (program, arguments) = wrapped.split_first().unwrap();
        let started = Instant::now();
        let child = Command::new(program)
            .args(arguments)
            .env_clear()
            .env("PATH", env::var_os("PATH").unwrap_or_default())
            .envs(start.env.iter().map(|(name, value)| (name, value)))
            .current_dir(start.folder)
            .stdin(Stdio::piped())
            .stdout(out.try_clone().unwrap())
            .stderr(out)
            .spawn();
        let mut child = child.unwrap_or_else(|error| {
            panic!("cannot start {program:?} (setpriv and taskset are in util-linux): {error}")
        });
        Self {
            _stdin: child.stdin.take(),
            child,
            log,
            started,
        }
    }

    /// Processor time so far, user and system.
    pub fn processor(&self) -> Duration {
        let stat = fs::read_to_string(self.file("stat")).unwrap_or_default();
        let fields = stat.rsplit(") ").next().unwrap().split(' ');
        let ticks = fields
            .skip(11)
            .take(2)
            .map(|field| field.parse::<u32>().unwrap());
        TICK * ticks.sum::<u32>()
    }

    /// Memory that is resident now, in bytes.
    pub fn resident(&self) -> f64 {
        self.memory("VmRSS:")
    }

    /// The most memory that was resident since [`Process::forget_peak`], in bytes.
    pub fn peak(&self) -> f64 {
        self.memory("VmHWM:")
    }

    /// Begins to look for a new peak.
    pub fn forget_peak(&self) {
        drop(fs::write(self.file("clear_refs"), "5"));
    }

    /// Waits until `found` finds something, and fails with the process's log if it does not.
    pub fn wait<T>(&mut self, found: impl Fn(&Self) -> Option<T>) -> Result<T, String> {
        let patience = Duration::from_secs(120);
        let begun = Instant::now();
        loop {
            if let Some(found) = found(self) {
                return Ok(found);
            }
            let ended = self.child.try_wait().unwrap();
            if ended.is_some() || begun.elapsed() > patience {
                let log = self.read_log();
                return Err(format!("waited for in vain ({ended:?}); its log:\n{log}"));
            }
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// What it has printed so far.
    pub fn read_log(&self) -> String {
        let bytes = fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn memory(&self, name: &str) -> f64 {
        let status = fs::read_to_string(self.file("status")).unwrap_or_default();
        let number = field(&status, name).and_then(|value| value.split(' ').next());
        number.map_or(0.0, |number| number.parse::<f64>().unwrap() * 1024.0)
    }

    fn file(&self, name: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/{name}", self.child.id()))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

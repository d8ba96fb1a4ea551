//! Puts faults under a gateway: a library is compiled, preloaded, and told by a file what to do.

use std::{
    fs::{self, OpenOptions},
    os::unix::fs::FileExt,
    path::PathBuf,
    process::Command,
};

use tempfile::TempDir;

use crate::gateway::workspace;

/// Numbers of system errors, as Linux has them.
pub const EIO: i32 = 5;
pub const ENOSPC: i32 = 28;

/// The faults of one test. None is there at first.
pub struct Faults {
    home: TempDir,
}

impl Faults {
    /// Compiles the library.
    pub fn prepare() -> Self {
        let home = tempfile::tempdir().unwrap();
        let faults = Self { home };
        fs::write(faults.control(), [0; 260]).unwrap();
        let compiled = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .arg(faults.library())
            .arg(workspace().join("tests/faults/faults.c"))
            .arg("-ldl")
            .output()
            .unwrap();
        assert!(compiled.status.success(), "{compiled:?}");
        faults
    }

    /// The environment of a process that is to have the faults.
    pub fn environment(&self) -> [(String, String); 2] {
        let text = |path: PathBuf| path.to_str().unwrap().to_owned();
        [
            ("LD_PRELOAD".to_owned(), text(self.library())),
            ("FAULTS_CONTROL".to_owned(), text(self.control())),
        ]
    }

    /// From now on, changing files whose paths hold `part` (or end with it, if it ends with `$`)
    /// fails.
    pub fn fail(&self, error: i32, part: &str) {
        self.name(part);
        self.put(0, &error.to_ne_bytes());
    }

    /// From now on, changing files whose paths hold `part` waits until all is healed.
    pub fn hang(&self, part: &str) {
        self.name(part);
        self.put(256, &1_i32.to_ne_bytes());
    }

    fn name(&self, part: &str) {
        let mut named = [0; 240];
        named[..part.len()].copy_from_slice(part.as_bytes());
        self.put(16, &named);
    }

    /// From now on, nothing fails.
    pub fn heal(&self) {
        self.put(0, &0_i32.to_ne_bytes());
        self.put(256, &0_i32.to_ne_bytes());
    }

    /// Processes that start from now on end before the n-th change of a directory; 0 is never.
    pub fn kill_at(&self, change: i32) {
        self.put(4, &change.to_ne_bytes());
    }

    /// The clock shows so many seconds more than it is.
    pub fn move_clock(&self, seconds: i64) {
        self.put(8, &seconds.to_ne_bytes());
    }

    fn put(&self, at: u64, bytes: &[u8]) {
        let control = OpenOptions::new().write(true).open(self.control());
        control.unwrap().write_all_at(bytes, at).unwrap();
    }

    fn control(&self) -> PathBuf {
        self.home.path().join("control")
    }

    fn library(&self) -> PathBuf {
        self.home.path().join("faults.so")
    }
}

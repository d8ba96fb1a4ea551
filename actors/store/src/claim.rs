//! The claim on a data directory: one process at a time.

use std::{
    fs::{File, TryLockError},
    io::{Read, Seek, Write},
    path::Path,
};

use crate::{OpenError, private};

/// Holds `bkg.lock` of a data directory. The system releases it when the process ends, however it
/// ends, so the file itself stays.
#[derive(Debug)]
pub(crate) struct Claim {
    _lock: File,
}

impl Claim {
    /// Claims `directory`, which is made (for its owner alone) if it is not there.
    pub(crate) fn take(directory: &Path) -> Result<Self, OpenError> {
        private::make_directory(directory).map_err(|why| OpenError::unusable(directory, why))?;
        let path = directory.join("bkg.lock");
        let mut lock = private::open_file(&path).map_err(|why| OpenError::unusable(&path, why))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(OpenError::Locked {
                    directory: directory.to_owned(),
                    holder: read_holder(&mut lock),
                });
            }
            Err(TryLockError::Error(why)) => return Err(OpenError::unusable(&path, why)),
        }
        // Only a help to whoever is refused: a full disk must not keep the gateway from starting.
        if let Err(why) = write_holder(&mut lock) {
            log::debug!("{} does not name its process: {why}", path.display());
        }
        Ok(Self { _lock: lock })
    }
}

fn write_holder(lock: &mut File) -> std::io::Result<()> {
    lock.set_len(0)?;
    lock.rewind()?;
    writeln!(lock, "process {}", std::process::id())
}

fn read_holder(lock: &mut File) -> String {
    let mut text = String::new();
    match lock.take(64).read_to_string(&mut text) {
        Ok(_) if !text.trim().is_empty() => text.trim().to_owned(),
        _ => "which did not leave its process number".to_owned(),
    }
}

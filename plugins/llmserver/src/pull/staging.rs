//! A model that is being put together: beside the others, under a hidden name, until it is whole.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

use messages::{call::Capability, llmserver::PullModel};
use tempfile::TempDir;

use super::{
    fault::PullFault,
    package::{Package, PackageFile},
    progress::Progress,
};
use crate::checksum::{self, Checksum};

/// How the names of such directories begin.
const PREFIX: &str = ".pull-";
/// The directory within, where the model that was there before waits under its name.
const REPLACED: &str = "replaced";

/// The directory in which the files are written. Dropping it removes everything.
#[derive(Debug)]
pub(crate) struct Staging {
    models: PathBuf,
    directory: TempDir,
}

impl Staging {
    /// An empty one within `models`, which is made if need be.
    ///
    /// # Errors
    /// When the disk says no.
    pub(crate) fn new(models: &Path) -> Result<Self, PullFault> {
        fs::create_dir_all(models).map_err(PullFault::disk(models))?;
        sweep(models);
        let directory = tempfile::Builder::new()
            .prefix(PREFIX)
            .tempdir_in(models)
            .map_err(PullFault::disk(models))?;
        Ok(Self {
            models: models.to_owned(),
            directory,
        })
    }

    /// A place for files that do not belong to the model.
    pub(crate) fn scratch(&self) -> PathBuf {
        self.directory.path().join("scratch")
    }

    /// An empty file for `file`, which counts and checks what is written to it.
    ///
    /// # Errors
    /// When the disk says no.
    pub(crate) fn begin(
        &self,
        file: &'static PackageFile,
        from: &str,
    ) -> Result<StagedFile, PullFault> {
        let path = self.model().join(file.path);
        let parent = path.parent().unwrap_or(&path);
        fs::create_dir_all(parent).map_err(PullFault::disk(parent))?;
        let target = File::create(&path).map_err(PullFault::disk(&path))?;
        Ok(StagedFile {
            file,
            from: from.to_owned(),
            path,
            target,
            checksum: Checksum::default(),
            written: 0,
        })
    }

    /// Copies `package` out of `source`, a directory with its files.
    ///
    /// # Errors
    /// When a file is absent or not the pinned one.
    pub(crate) fn copy(
        &self,
        package: &Package,
        source: &Path,
        progress: &mut Progress,
    ) -> Result<(), PullFault> {
        progress.stage("verify", package.name, Some(package.bytes()))?;
        for file in package.files {
            let path = source.join(file.path);
            let mut origin = File::open(&path).map_err(PullFault::disk(&path))?;
            let mut staged = self.begin(file, &source.display().to_string())?;
            let mut outcome = Ok(());
            let read = checksum::read(&mut origin, |bytes| {
                outcome = staged.write(bytes).and_then(|()| progress.add(bytes.len()));
                outcome
                    .as_ref()
                    .map(drop)
                    .map_err(|_| io::ErrorKind::Other.into())
            });
            outcome?;
            read.map_err(PullFault::disk(&path))?;
            staged.finish()?;
        }
        Ok(())
    }

    /// Puts the model into its place for good. One that was there before goes away; a kill while it
    /// is aside is made good by the next [`sweep`].
    ///
    /// # Errors
    /// When the disk says no; what was there before is there still.
    pub(crate) fn install(self, name: &str) -> Result<(), PullFault> {
        let target = self.models.join(name);
        sync_tree(&self.model())?;
        let replaced = self.put_aside(name)?;
        if let Err(error) = fs::rename(self.model(), &target) {
            if let Some(replaced) = replaced
                && let Err(error) = fs::rename(&replaced, &target)
            {
                log::error!("{} could not be put back: {error}", target.display());
            }
            return Err(PullFault::disk(&target)(error));
        }
        sync(&self.models)
    }

    /// Where the model `name` is now that was there before, if there was one.
    pub(super) fn put_aside(&self, name: &str) -> Result<Option<PathBuf>, PullFault> {
        let (target, aside) = (self.models.join(name), self.directory.path().join(REPLACED));
        if !target.exists() {
            return Ok(None);
        }
        fs::create_dir_all(&aside).map_err(PullFault::disk(&aside))?;
        let replaced = aside.join(name);
        fs::rename(&target, &replaced).map_err(PullFault::disk(&target))?;
        Ok(Some(replaced))
    }

    fn model(&self) -> PathBuf {
        self.directory.path().join("model")
    }
}

/// A file on its way.
pub(crate) struct StagedFile {
    file: &'static PackageFile,
    from: String,
    path: PathBuf,
    target: File,
    checksum: Checksum,
    written: u64,
}

impl StagedFile {
    /// Adds the next bytes.
    ///
    /// # Errors
    /// When there are more than there should be, or the disk says no.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), PullFault> {
        self.written += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        if self.written > self.file.bytes {
            return Err(PullFault::TooLong {
                file: self.file.path.to_owned(),
                from: self.from.clone(),
                bytes: self.file.bytes,
            });
        }
        self.checksum.add(bytes);
        self.target
            .write_all(bytes)
            .map_err(PullFault::disk(&self.path))
    }

    /// Checks the whole and makes it durable.
    ///
    /// # Errors
    /// When it is not the pinned file.
    pub(crate) fn finish(self) -> Result<(), PullFault> {
        let found = self.checksum.finish();
        if found != self.file.sha256 {
            return Err(PullFault::Hash {
                file: self.file.path.to_owned(),
                from: self.from,
                wanted: self.file.sha256.to_owned(),
                found,
            });
        }
        self.target.sync_all().map_err(PullFault::disk(&self.path))
    }
}

/// Puts back the model that a killed pull had put aside, and removes what else such pulls left:
/// directories older than a pull can be.
pub(crate) fn sweep(models: &Path) {
    for entry in fs::read_dir(models).into_iter().flatten().flatten() {
        let ours = entry.file_name().to_string_lossy().starts_with(PREFIX);
        if ours {
            put_back(&entry.path().join(REPLACED), models);
        }
        let modified = entry.metadata().and_then(|metadata| metadata.modified());
        let age = modified.ok().and_then(|time| time.elapsed().ok());
        if ours && age.is_some_and(|age| age > PullModel::DEADLINE) {
            let swept = fs::remove_dir_all(entry.path());
            log::info!("{} is left over: {swept:?}", entry.path().display());
        }
    }
}

fn put_back(aside: &Path, models: &Path) {
    for entry in fs::read_dir(aside).into_iter().flatten().flatten() {
        let target = models.join(entry.file_name());
        if !target.exists() {
            let moved = fs::rename(entry.path(), &target);
            log::warn!("{} is put back: {moved:?}", target.display());
        }
    }
}

fn sync_tree(directory: &Path) -> Result<(), PullFault> {
    let entries = fs::read_dir(directory).map_err(PullFault::disk(directory))?;
    for entry in entries.flatten().filter(|entry| entry.path().is_dir()) {
        sync_tree(&entry.path())?;
    }
    sync(directory)
}

fn sync(directory: &Path) -> Result<(), PullFault> {
    File::open(directory)
        .and_then(|directory| directory.sync_all())
        .map_err(PullFault::disk(directory))
}

//! Backups: a copy of the database made while it is in use, and what was beside it, in a directory
//! that is there whole or not at all.

mod manifest;
mod restore;

#[cfg(test)]
mod tests;

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use diesel::{Connection, prelude::*, sql_query, sql_types::Text, sqlite::SqliteConnection};
use jiff::Timestamp;
use sha2::{Digest, Sha256};

use self::manifest::{FORMAT, Listed, Manifest, NotOurs};
pub(crate) use self::restore::finish;
pub use self::restore::{Restored, restore};
use crate::{OpenError, Store, StoreError, private};

/// Where a data directory keeps its backups.
const BACKUPS: &str = "backups";

/// A backup under way; whatever is found under this name was left by a process that was killed.
const UNFINISHED: &str = ".unfinished";

/// The files that a backup can hold.
const DATABASE: &str = "bkg.db";
const PLUGINS: &str = "plugins.json";

/// The directory in which plugins keep what they can make again from the database. It is in no
/// backup, and a restored database gets a new one.
pub const DERIVED: &str = "indexes";

/// One backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backup {
    /// Its directory's name under `backups`, which is when it was made.
    pub name: String,
    /// The size of its files.
    pub bytes: u64,
    /// When it was made.
    pub made_at: Timestamp,
}

/// Why a backup was not restored or copied. What was there before is untouched.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The data directory cannot be used, or the backup's database not be opened by this release.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// What was named is no backup that this release can read.
    #[error("{} is no backup that this release can restore: {what}", .path.display())]
    NotOurs {
        /// What was named.
        path: PathBuf,
        /// Why not.
        what: String,
    },
    /// The backup is not as it was made.
    #[error("the backup {} is damaged: {what}", .path.display())]
    Damaged {
        /// The backup.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// Something is there already.
    #[error("{} is there already; a backup takes nothing's place", .0.display())]
    Exists(PathBuf),
}

impl BackupError {
    /// The exit status of a process that ends because of it.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Open(error) => error.exit_code(),
            Self::NotOurs { .. } | Self::Exists(_) => 2,
            Self::Damaged { .. } => 3,
        }
    }

    fn not_ours(path: &Path, what: impl ToString) -> Self {
        let (path, what) = (path.to_owned(), what.to_string());
        Self::NotOurs { path, what }
    }

    fn damaged(path: &Path, what: impl ToString) -> Self {
        let (path, what) = (path.to_owned(), what.to_string());
        Self::Damaged { path, what }
    }

    fn unusable(path: &Path, why: &io::Error) -> Self {
        OpenError::unusable(path, why).into()
    }
}

impl Store {
    /// Makes a backup under `backups` in the data directory, as of one moment; writers go on
    /// meanwhile. It holds the database and, where there is one, `plugins.json`.
    ///
    /// # Errors
    /// When the disk is full or fails; nothing is left then.
    pub async fn back_up(&self) -> Result<Backup, StoreError> {
        let turn = self.backup_turn().await?;
        let store = self.clone();
        crate::store::off_thread(turn, move || store.back_up_blocking()).await
    }

    fn back_up_blocking(&self) -> Result<Backup, StoreError> {
        let backups = self.directory().join(BACKUPS);
        let unfinished = backups.join(UNFINISHED);
        remove(&unfinished).map_err(|why| StoreError::of_file(&unfinished, &why))?;
        let made = make_directory(&unfinished).and_then(|()| self.fill(&backups, &unfinished));
        if made.is_err()
            && let Err(why) = remove(&unfinished)
        {
            log::warn!("{} is of no use, but stays: {why}", unfinished.display());
        }
        made
    }

    fn fill(&self, backups: &Path, unfinished: &Path) -> Result<Backup, StoreError> {
        let database = unfinished.join(DATABASE);
        let schema = copy_database(&self.directory().join(DATABASE), &database)?;
        let plugins = self.directory().join(PLUGINS);
        let mut files = vec![list(DATABASE, &database)?];
        if plugins.is_file() {
            let copy = unfinished.join(PLUGINS);
            copy_file(&plugins, &copy).map_err(|why| StoreError::of_file(&copy, &why))?;
            files.push(list(PLUGINS, &copy)?);
        }
        let manifest = Manifest {
            format: FORMAT,
            bkg: env!("CARGO_PKG_VERSION").to_owned(),
            schema,
            made_at: Timestamp::now(),
            files,
        };
        let backup = describe(manifest.name(), &manifest);
        publish(backups, unfinished, &manifest)
            .map_err(|why| StoreError::of_file(&backups.join(&backup.name), &why))?;
        Ok(backup)
    }

    /// All backups of this data directory, newest first.
    ///
    /// # Errors
    /// When their directory cannot be read.
    pub async fn backups(&self) -> Result<Vec<Backup>, StoreError> {
        let turn = self.read_turn().await?;
        let backups = self.directory().join(BACKUPS);
        let list = move || match fs::read_dir(&backups) {
            Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(why) => Err(StoreError::Unreadable(why.to_string())),
            Ok(entries) => {
                let mut list: Vec<Backup> = entries.flatten().filter_map(read_entry).collect();
                list.sort_by(|a, b| b.name.cmp(&a.name));
                Ok(list)
            }
        };
        crate::store::off_thread(turn, list).await
    }
}

/// Copies the backup `name` of the data directory to `to`, which must not be there yet, and
/// removes it from the data directory then.
///
/// # Errors
/// See [`BackupError`].
pub fn move_out(data_dir: &Path, name: &str, to: &Path) -> Result<(), BackupError> {
    let from = data_dir.join(BACKUPS).join(name);
    // `DIR/` would have a name within it appended below.
    let to = &to.components().collect::<PathBuf>();
    if fs::symlink_metadata(to).is_ok() {
        return Err(BackupError::Exists(to.clone()));
    }
    let mut aside = to.as_os_str().to_owned();
    aside.push(UNFINISHED);
    let aside = PathBuf::from(aside);
    let copied = restore::copy_verified(&from, &aside).and_then(|manifest| {
        write_manifest(&aside, &manifest)
            .and_then(|()| private::sync_directory(&aside))
            .and_then(|()| fs::rename(&aside, to))
            .and_then(|()| private::sync_parent(to))
            .map_err(|why| BackupError::unusable(to, &why))
    });
    let clear = if copied.is_ok() { &from } else { &aside };
    remove(clear).map_err(|why| BackupError::unusable(clear, &why))?;
    copied
}

/// Copies the database through a connection of its own: the readers' are not to be kept from
/// whoever reads. Answers the last migration that it has had.
fn copy_database(database: &Path, copy: &Path) -> Result<String, StoreError> {
    let file = private::open_file(copy).map_err(|why| StoreError::of_file(copy, &why))?;
    let not_text = || StoreError::Unwritable(format!("{} is not valid UTF-8", copy.display()));
    let mut conn = SqliteConnection::establish(database.to_str().ok_or_else(not_text)?)
        .map_err(|why| StoreError::Unreadable(why.to_string()))?;
    sql_query("PRAGMA busy_timeout = 5000").execute(&mut conn)?;
    let copied = sql_query("VACUUM INTO ?")
        .bind::<Text, _>(copy.to_str().ok_or_else(not_text)?)
        .execute(&mut conn);
    copied.map_err(|why| StoreError::from(why).of_write())?;
    // SQLite does not wait for the disk here.
    file.sync_all()
        .map_err(|why| StoreError::of_file(copy, &why))?;
    let schema = crate::examine::applied(&mut conn)?;
    Ok(schema.into_iter().next_back().unwrap_or_default())
}

/// Gives a backup that is whole its manifest and its name.
fn publish(backups: &Path, unfinished: &Path, manifest: &Manifest) -> io::Result<()> {
    write_manifest(unfinished, manifest)?;
    private::sync_directory(unfinished)?;
    fs::rename(unfinished, backups.join(manifest.name()))?;
    private::sync_directory(backups)?;
    private::sync_parent(backups)
}

fn write_manifest(directory: &Path, manifest: &Manifest) -> io::Result<()> {
    let text = manifest.seal().map_err(io::Error::other)?;
    private::write_file(&directory.join(manifest::NAME), text.as_bytes())
}

fn describe(name: String, manifest: &Manifest) -> Backup {
    Backup {
        name,
        bytes: manifest.files.iter().map(|file| file.bytes).sum(),
        made_at: manifest.made_at,
    }
}

fn read_entry(entry: fs::DirEntry) -> Option<Backup> {
    let name = entry.file_name().into_string().ok()?;
    if name == UNFINISHED {
        return None;
    }
    let manifest = Manifest::read(&entry.path()).ok()?;
    Some(describe(name, &manifest))
}

fn list(name: &str, path: &Path) -> Result<Listed, StoreError> {
    let read = || hash(&mut File::open(path)?, &mut io::sink());
    let (bytes, sha256) = read().map_err(|why| StoreError::of_file(path, &why))?;
    Ok(Listed {
        name: name.to_owned(),
        bytes,
        sha256,
    })
}

fn copy_file(from: &Path, to: &Path) -> io::Result<()> {
    let mut copy = private::open_file(to)?;
    io::copy(&mut File::open(from)?, &mut copy)?;
    copy.sync_all()
}

/// Copies what is left to read; answers how much it was, and its SHA-256 in hexadecimal.
fn hash(from: &mut impl Read, to: &mut impl Write) -> io::Result<(u64, String)> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    let mut bytes: u64 = 0;
    loop {
        let read = from.read(&mut buffer)?;
        let Some(piece) = buffer.get(..read).filter(|piece| !piece.is_empty()) else {
            return Ok((bytes, manifest::hex(&hash.finalize())));
        };
        hash.update(piece);
        to.write_all(piece)?;
        bytes = bytes.saturating_add(u64::try_from(read).unwrap_or(u64::MAX));
    }
}

fn make_directory(path: &Path) -> Result<(), StoreError> {
    private::make_directory(path).map_err(|why| StoreError::of_file(path, &why))
}

/// Removes a directory, or makes sure that it is not there.
fn remove(directory: &Path) -> io::Result<()> {
    match fs::remove_dir_all(directory) {
        Err(why) if why.kind() != io::ErrorKind::NotFound => Err(why),
        _ => Ok(()),
    }
}

//! Restoring: a backup is copied beside the live data and checked there; one rename decides, and
//! whatever follows it is done again by the next who opens the directory, until it is done.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use jiff::Timestamp;

use super::{
    BackupError, DATABASE, DERIVED, Listed, Manifest, NotOurs, PLUGINS, hash, manifest, remove,
    write_manifest,
};
use crate::{
    OpenError,
    claim::Claim,
    examine::Files,
    migrate::{EMBEDDED, Plan},
    private,
};

/// A backup that is being copied and checked.
const STAGED: &str = "restore.staged";

/// A backup that takes the place of what is there: from the moment when it has this name.
const DECIDED: &str = "restore.decided";

/// Holds the ending under which the live files are put aside.
const ENDING: &str = "ending";

/// What was restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// When the backup was made.
    pub made_at: Timestamp,
    /// Where the database from before lies now; nothing where there was none.
    pub kept: Option<PathBuf>,
}

/// Puts the backup `source` in the place of what `data_dir` holds. The database from before stays
/// beside it as `bkg.db.before-restore-<time>`, with a number where that name is taken. What is derived from the database is removed, to be
/// made again.
///
/// # Errors
/// See [`BackupError`]; what is there is untouched then.
pub fn restore(data_dir: &Path, source: &Path) -> Result<Restored, BackupError> {
    let _claim = Claim::take(data_dir)?;
    let unusable = |why: &io::Error| BackupError::unusable(data_dir, why);
    finish(data_dir)?;
    let staged = data_dir.join(STAGED);
    remove(&staged).map_err(|why| unusable(&why))?;
    let ending = free_ending(data_dir, Timestamp::now()).map_err(|why| unusable(&why))?;
    let checked = stage(source, &staged, &ending);
    if checked.is_err() {
        remove(&staged).map_err(|why| unusable(&why))?;
    }
    let manifest = checked?;
    fs::rename(&staged, data_dir.join(DECIDED))
        .and_then(|()| private::sync_directory(data_dir))
        .map_err(|why| unusable(&why))?;
    finish(data_dir)?;
    let kept = data_dir.join(format!("{DATABASE}{ending}"));
    Ok(Restored {
        made_at: manifest.made_at,
        kept: kept.exists().then_some(kept),
    })
}

/// An ending under which nothing lies yet: what an earlier restore has put aside within the same
/// second is the only copy there is.
fn free_ending(directory: &Path, now: Timestamp) -> io::Result<String> {
    let first = now.strftime(".before-restore-%Y%m%dT%H%M%SZ").to_string();
    let mut ending = first.clone();
    let mut count = 0_u64;
    while is_taken(directory, &ending)? {
        count += 1;
        ending = format!("{first}-{count}");
    }
    Ok(ending)
}

fn is_taken(directory: &Path, ending: &str) -> io::Result<bool> {
    for (name, log) in [(DATABASE, ""), (DATABASE, "-wal"), (PLUGINS, "")] {
        match fs::symlink_metadata(directory.join(format!("{name}{ending}{log}"))) {
            Ok(_) => return Ok(true),
            Err(why) if why.kind() == io::ErrorKind::NotFound => {}
            Err(why) => return Err(why),
        }
    }
    Ok(false)
}

fn stage(source: &Path, staged: &Path, ending: &str) -> Result<Manifest, BackupError> {
    let manifest = copy_verified(source, staged)?;
    let files = Files::of(staged.join(DATABASE));
    let applied = files.examine_all().map_err(|error| match error {
        OpenError::Damaged { what, .. } => BackupError::damaged(source, what),
        other => other.into(),
    })?;
    let newer = |error| match error {
        OpenError::Newer { version, .. } => BackupError::not_ours(
            source,
            format!("a newer release made it, with migration {version}"),
        ),
        other => other.into(),
    };
    Plan::make(&files.database, &applied.unwrap_or_default(), &EMBEDDED).map_err(newer)?;
    write_manifest(staged, &manifest)
        .and_then(|()| private::write_file(&staged.join(ENDING), ending.as_bytes()))
        .and_then(|()| private::sync_directory(staged))
        .map_err(|why| BackupError::unusable(staged, &why))?;
    Ok(manifest)
}

/// Copies the files of a backup into a new directory, and believes none that is not as its manifest
/// says. Whatever else lies in it is no part of a backup.
pub(super) fn copy_verified(source: &Path, into: &Path) -> Result<Manifest, BackupError> {
    let manifest = Manifest::read(source).map_err(|why| match why {
        NotOurs::Changed => BackupError::damaged(source, why),
        why => BackupError::not_ours(source, why),
    })?;
    check_names(source, &manifest)?;
    remove(into)
        .and_then(|()| private::make_directory(into))
        .map_err(|why| BackupError::unusable(into, &why))?;
    for listed in &manifest.files {
        copy_listed(source, listed, &into.join(&listed.name))?;
    }
    Ok(manifest)
}

/// The names that are listed are ones that backups have, each once; the files that are there are
/// the listed ones, and plain.
fn check_names(source: &Path, manifest: &Manifest) -> Result<(), BackupError> {
    let damaged = |what: String| Err(BackupError::damaged(source, what));
    let mut expected = BTreeSet::from([manifest::NAME.to_owned()]);
    for listed in &manifest.files {
        let name = &listed.name;
        if ![DATABASE, PLUGINS].contains(&name.as_str()) {
            return damaged(format!("its manifest lists {name:?}, which no backup has"));
        }
        if !expected.insert(name.clone()) {
            return damaged(format!("its manifest lists {name} twice"));
        }
    }
    if !expected.contains(DATABASE) {
        return damaged(format!("its manifest lists no {DATABASE}"));
    }
    let unusable = |why| BackupError::unusable(source, &why);
    for entry in fs::read_dir(source).map_err(unusable)? {
        let entry = entry.map_err(unusable)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !expected.remove(&name) {
            return damaged(format!(
                "it holds {name:?}, which its manifest does not list"
            ));
        }
        // Of the entry itself: a link is no file.
        if !entry.file_type().map_err(unusable)?.is_file() {
            return damaged(format!("{name} is not a plain file"));
        }
    }
    match expected.first() {
        Some(missing) => damaged(format!("{missing} is missing")),
        None => Ok(()),
    }
}

fn copy_listed(source: &Path, listed: &Listed, to: &Path) -> Result<(), BackupError> {
    let from = source.join(&listed.name);
    let mut file = open_plain(&from).map_err(|why| BackupError::unusable(&from, &why))?;
    let mut copy = || {
        let mut copy = private::open_file(to)?;
        let found = hash(&mut file, &mut copy)?;
        copy.sync_all()?;
        Ok(found)
    };
    let (bytes, sha256) = copy().map_err(|why: io::Error| BackupError::unusable(to, &why))?;
    if (bytes, &sha256) == (listed.bytes, &listed.sha256) {
        return Ok(());
    }
    let (name, expected, size) = (&listed.name, &listed.sha256, listed.bytes);
    Err(BackupError::damaged(
        source,
        format!(
            "{name} has {bytes} bytes and SHA-256 {sha256}, its manifest says {size} and {expected}"
        ),
    ))
}

/// Follows no link, even one that has come since the names were looked at.
fn open_plain(path: &Path) -> io::Result<File> {
    let named = fs::symlink_metadata(path)?;
    let file = File::open(path)?;
    let opened = file.metadata()?;
    let same = (named.dev(), named.ino()) == (opened.dev(), opened.ino());
    match same && named.is_file() {
        true => Ok(file),
        false => Err(io::Error::other("it is not a plain file")),
    }
}

/// Completes a restore that has been decided: whoever owns `directory` calls this before anything
/// in it is looked at. Each step can be the last before a kill, and is skipped the next time.
pub(crate) fn finish(directory: &Path) -> Result<(), OpenError> {
    let decided = directory.join(DECIDED);
    // Here and below: what cannot be looked at is not taken for absent.
    let unusable = |why: io::Error| OpenError::unusable(&decided, why);
    if !decided.try_exists().map_err(unusable)? {
        return Ok(());
    }
    log::warn!(
        "a backup takes the place of the database in {}",
        directory.display()
    );
    install(directory, &decided).map_err(unusable)
}

fn install(directory: &Path, decided: &Path) -> io::Result<()> {
    // The new database's move is the last that needs the others' order.
    if decided.join(DATABASE).try_exists()? {
        let ending = fs::read_to_string(decided.join(ENDING))?;
        let lists_plugins = Manifest::read(decided)
            .map_err(io::Error::other)?
            .files
            .iter()
            .any(|file| file.name == PLUGINS);
        // One that is listed and no longer here is in its place already.
        if !lists_plugins || decided.join(PLUGINS).try_exists()? {
            put_aside(directory, PLUGINS, &ending, "")?;
        }
        take_in(decided, directory, PLUGINS)?;
        remove(&directory.join(DERIVED))?;
        put_aside(directory, DATABASE, &ending, "-wal")?;
        remove_file(&directory.join(format!("{DATABASE}-shm")))?;
        put_aside(directory, DATABASE, &ending, "")?;
        private::sync_directory(directory)?;
        take_in(decided, directory, DATABASE)?;
    }
    private::sync_directory(directory)?;
    remove(decided)?;
    private::sync_directory(directory)
}

/// Renames a live file, if it is there: its name, the ending, then what SQLite tells its log by.
fn put_aside(directory: &Path, name: &str, ending: &str, log: &str) -> io::Result<()> {
    let live = directory.join(format!("{name}{log}"));
    match live.try_exists()? {
        true => fs::rename(live, directory.join(format!("{name}{ending}{log}"))),
        false => Ok(()),
    }
}

fn take_in(decided: &Path, directory: &Path, name: &str) -> io::Result<()> {
    let new = decided.join(name);
    match new.try_exists()? {
        true => fs::rename(new, directory.join(name)),
        false => Ok(()),
    }
}

fn remove_file(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(why) if why.kind() != io::ErrorKind::NotFound => Err(why),
        _ => Ok(()),
    }
}

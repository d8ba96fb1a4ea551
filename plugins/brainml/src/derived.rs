//! Derived indexes as files: written aside, fsynced, renamed, listed with their hashes in a manifest,
//! and believed only if the hashes hold.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    codec::Damaged,
    index::{Index, Model},
    index_file,
    vectors::{VectorError, Vectors},
};

const MANIFEST: &str = "manifest.json";

/// Why derived files were not written or not believed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DerivedError {
    /// The disk said no.
    #[error("{path}: {error}", path = .path.display())]
    Io { path: PathBuf, error: io::Error },
    /// The file is not the one that was written.
    #[error("{name} has SHA-256 {got}, its manifest says {expected}")]
    Hash {
        name: String,
        got: String,
        expected: String,
    },
    /// The manifest cannot be read.
    #[error("the manifest is not readable: {0}")]
    Manifest(#[from] serde_json::Error),
    /// The words' file cannot be read.
    #[error(transparent)]
    Damaged(#[from] Damaged),
    /// The vectors' file cannot be written or read.
    #[error(transparent)]
    Vectors(#[from] VectorError),
}

/// A manifest as it lies on disk, with the hash of its own content.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sealed {
    content: Manifest,
    /// Of the content as compact JSON.
    sha256: String,
}

impl Sealed {
    fn new(content: Manifest) -> Result<Self, DerivedError> {
        let sha256 = hex(&Sha256::digest(serde_json::to_vec(&content)?));
        Ok(Self { content, sha256 })
    }

    fn open(self) -> Result<Manifest, DerivedError> {
        let listed = Listed {
            name: MANIFEST.to_owned(),
            sha256: self.sha256,
        };
        let sealed = Self::new(self.content)?;
        check(&listed, sealed.sha256)?;
        Ok(sealed.content)
    }
}

/// What the files of one collection are.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    /// The collection's revision that the files have reached.
    revision: i64,
    /// The model of the vectors.
    model: Option<Model>,
    /// Documents, chunks and words.
    words: Listed,
    /// The vectors, where there are any.
    vectors: Option<Listed>,
}

/// A file with its hash.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Listed {
    name: String,
    sha256: String,
}

/// Writes the index under `directory`. At every moment the manifest there names whole files.
///
/// # Errors
/// When the disk is full or fails; what was there before still holds.
pub(crate) fn persist(directory: &Path, index: &Index) -> Result<(), DerivedError> {
    fs::create_dir_all(directory).map_err(at(directory))?;
    let words = write_words(directory, index)?;
    let vectors = index
        .vectors
        .as_ref()
        .map(|vectors| write_vectors(directory, vectors));
    let manifest = Manifest {
        revision: index.revision,
        model: index.model.clone(),
        words,
        vectors: vectors.transpose()?,
    };
    let aside = directory.join("manifest.aside");
    let sealed = Sealed::new(manifest)?;
    write_synced(&aside, &serde_json::to_vec_pretty(&sealed)?)?;
    rename(&aside, &directory.join(MANIFEST))?;
    sync_directory(directory)?;
    sweep(directory, &sealed.content);
    Ok(())
}

/// Loads the index under `directory`; nothing where none was persisted.
///
/// # Errors
/// When a file is missing, damaged, or not the one that the manifest lists.
pub(crate) fn load(directory: &Path) -> Result<Option<Index>, DerivedError> {
    let path = directory.join(MANIFEST);
    let manifest = match fs::read(&path) {
        Ok(manifest) => manifest,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(DerivedError::Io { path, error }),
    };
    let manifest = serde_json::from_slice::<Sealed>(&manifest)?.open()?;
    let mut index = index_file::decode(&read_words(directory, &manifest.words)?)?;
    if let Some(listed) = &manifest.vectors {
        let path = directory.join(&listed.name);
        check(listed, hash_file(&path)?)?;
        index.vectors = Some(Vectors::load(&path)?);
    }
    index.revision = manifest.revision;
    index.model = manifest.model;
    index.recount_lacking();
    Ok(Some(index))
}

/// Moves what is under `directory` out of the way, for a person to look at; keeps the latest such
/// find of each collection.
///
/// # Errors
/// When it cannot be moved.
pub(crate) fn quarantine(directory: &Path) -> Result<PathBuf, DerivedError> {
    let aside = directory.with_extension("quarantine");
    if aside.exists() {
        fs::remove_dir_all(&aside).map_err(at(&aside))?;
    }
    rename(directory, &aside)?;
    Ok(aside)
}

/// Deletes what is under `directory`, and what was quarantined from there.
pub(crate) fn remove(directory: &Path) {
    for path in [directory.to_owned(), directory.with_extension("quarantine")] {
        if path.exists()
            && let Err(error) = fs::remove_dir_all(&path)
        {
            log::warn!("{} is of no more use, but stays: {error}", path.display());
        }
    }
}

/// Deletes the directories under `root` that belong to none of the `collections`.
pub(crate) fn sweep_orphans(root: &Path, collections: &BTreeSet<i64>) {
    for entry in fs::read_dir(root).into_iter().flatten().flatten() {
        let directory = entry.path().with_extension("");
        let name = directory.file_name().and_then(|name| name.to_str());
        let id = name.and_then(|name| name.parse().ok());
        if id.is_some_and(|id| !collections.contains(&id)) {
            log::info!("{} belongs to no collection any more", directory.display());
            remove(&directory);
        }
    }
}

fn write_words(directory: &Path, index: &Index) -> Result<Listed, DerivedError> {
    let bytes = index_file::encode(index);
    let aside = directory.join("words.aside");
    write_synced(&aside, &bytes)?;
    publish(directory, &aside, "words", hex(&Sha256::digest(&bytes)))
}

fn write_vectors(directory: &Path, vectors: &Vectors) -> Result<Listed, DerivedError> {
    let aside = directory.join("vectors.aside");
    vectors.save(&aside)?;
    File::open(&aside)
        .and_then(|file| file.sync_all())
        .map_err(at(&aside))?;
    let sha256 = hash_file(&aside)?;
    publish(directory, &aside, "vectors", sha256)
}

/// Names a file after its content, so that it never takes the place of one in use.
fn publish(
    directory: &Path,
    aside: &Path,
    role: &str,
    sha256: String,
) -> Result<Listed, DerivedError> {
    let name = format!("{role}-{}", sha256.get(..16).unwrap_or_default());
    rename(aside, &directory.join(&name))?;
    Ok(Listed { name, sha256 })
}

fn read_words(directory: &Path, listed: &Listed) -> Result<Vec<u8>, DerivedError> {
    let path = directory.join(&listed.name);
    let bytes = fs::read(&path).map_err(at(&path))?;
    check(listed, hex(&Sha256::digest(&bytes)))?;
    Ok(bytes)
}

fn check(listed: &Listed, got: String) -> Result<(), DerivedError> {
    if got == listed.sha256 {
        return Ok(());
    }
    let (name, expected) = (listed.name.clone(), listed.sha256.clone());
    Err(DerivedError::Hash {
        name,
        got,
        expected,
    })
}

fn hash_file(path: &Path) -> Result<String, DerivedError> {
    let mut file = File::open(path).map_err(at(path))?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let read = file.read(&mut buffer).map_err(at(path))?;
        match buffer.get(..read) {
            Some(bytes) if read > 0 => hash.update(bytes),
            _ => return Ok(hex(&hash.finalize())),
        }
    }
}

fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn write_synced(path: &Path, bytes: &[u8]) -> Result<(), DerivedError> {
    let write = || {
        let mut file = File::create(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().map_err(at(path))
}

fn rename(from: &Path, to: &Path) -> Result<(), DerivedError> {
    fs::rename(from, to).map_err(at(to))
}

/// Makes renames in a directory durable.
fn sync_directory(directory: &Path) -> Result<(), DerivedError> {
    File::open(directory)
        .and_then(|file| file.sync_all())
        .map_err(at(directory))
}

/// Removes what an earlier manifest named.
fn sweep(directory: &Path, manifest: &Manifest) {
    let vectors = manifest.vectors.as_ref().map(|listed| listed.name.as_str());
    let kept = [Some(MANIFEST), Some(manifest.words.name.as_str()), vectors];
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let name = entry.file_name();
        if !kept.contains(&name.to_str())
            && let Err(error) = fs::remove_file(entry.path())
        {
            log::warn!(
                "{} is of no more use, but stays: {error}",
                entry.path().display()
            );
        }
    }
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> DerivedError {
    let path = path.to_owned();
    move |error| DerivedError::Io { path, error }
}

#[cfg(test)]
mod tests;

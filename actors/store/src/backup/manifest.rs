//! What a backup holds: its files by name, size and hash, under a seal of its own.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::Path,
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The manifest's file.
pub(super) const NAME: &str = "manifest.json";

/// The layout of backups that this release makes and reads.
pub(super) const FORMAT: u32 = 1;

/// No manifest is nearly as long, in bytes.
const LONGEST: u64 = 64 << 10;

/// What a backup holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Manifest {
    /// The layout of the backup.
    pub(super) format: u32,
    /// The release that made it.
    pub(super) bkg: String,
    /// The last migration that its database has had.
    pub(super) schema: String,
    /// When it was made.
    pub(super) made_at: Timestamp,
    /// Its files, without the manifest.
    pub(super) files: Vec<Listed>,
}

/// A file of a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Listed {
    pub(super) name: String,
    pub(super) bytes: u64,
    /// In hexadecimal.
    pub(super) sha256: String,
}

/// A manifest as it lies on disk.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sealed {
    content: Manifest,
    /// Of the content as compact JSON.
    sha256: String,
}

/// Why a manifest is not believed.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotOurs {
    /// There is none, or none that can be read.
    #[error("{NAME}: {0}")]
    Io(#[from] io::Error),
    /// It is none of this release.
    #[error("{NAME}: {0}")]
    Shape(#[from] serde_json::Error),
    /// It was written by a release with another layout.
    #[error("its layout is {0}, and this release reads {FORMAT}")]
    Format(u32),
    /// It has been changed.
    #[error("{NAME} is not as it was written")]
    Changed,
}

impl Manifest {
    /// The name of the backup: when it was made, to the millisecond.
    pub(super) fn name(&self) -> String {
        self.made_at.strftime("%Y%m%dT%H%M%S%.3fZ").to_string()
    }

    /// The text of the manifest's file.
    pub(super) fn seal(&self) -> serde_json::Result<String> {
        let sha256 = hex(&Sha256::digest(serde_json::to_vec(self)?));
        let content = self.clone();
        serde_json::to_string(&Sealed { content, sha256 })
    }

    /// Reads the manifest of the backup in `directory`.
    pub(super) fn read(directory: &Path) -> Result<Self, NotOurs> {
        let path = directory.join(NAME);
        let about = fs::symlink_metadata(&path)?;
        if !about.is_file() || about.len() > LONGEST {
            return Err(io::Error::other("it is no small file").into());
        }
        let mut text = String::new();
        File::open(path)?.take(LONGEST).read_to_string(&mut text)?;
        Self::parse(&text)
    }

    /// Reads the text of a manifest's file.
    pub(super) fn parse(text: &str) -> Result<Self, NotOurs> {
        let sealed: Sealed = serde_json::from_str(text)?;
        if sealed.content.format != FORMAT {
            return Err(NotOurs::Format(sealed.content.format));
        }
        // Byte for byte, so that nothing can have been changed that the hash does not cover.
        match sealed.content.seal()? == text {
            true => Ok(sealed.content),
            false => Err(NotOurs::Changed),
        }
    }
}

pub(super) fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

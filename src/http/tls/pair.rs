//! A certificate and its key, as their files have them.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use jiff::Timestamp;
use rustls::{
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject},
    sign::CertifiedKey,
};

use super::{Files, validity};

/// Why a certificate cannot be used.
#[derive(Debug, Clone, thiserror::Error)]
pub enum TlsError {
    /// One file without the other.
    #[error("settings: server.{0} is set and server.{1} is not; TLS wants both")]
    Half(&'static str, &'static str),
    /// A file cannot be read.
    #[error("settings: server.{setting}: {path}: {error}")]
    Read {
        /// Which names it.
        setting: &'static str,
        /// Which.
        path: PathBuf,
        /// How it failed.
        error: Arc<io::Error>,
    },
    /// A file is not what it should be.
    #[error("settings: server.{setting}: {path}: {what}")]
    Wrong {
        /// Which names it.
        setting: &'static str,
        /// Which.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// The certificate's time has not come, or is over.
    #[error("settings: server.tls_certificate: {path}: the certificate {what}")]
    Untimely {
        /// Where it lies.
        path: PathBuf,
        /// Since or until when.
        what: String,
    },
    /// There is no TLS.
    #[error("TLS: {0}")]
    Versions(rustls::Error),
}

impl TlsError {
    fn certificate(files: &Files, what: impl fmt::Display) -> Self {
        Self::Wrong {
            setting: "tls_certificate",
            path: files.certificate().to_owned(),
            what: what.to_string(),
        }
    }

    fn untimely(files: &Files, what: String) -> Self {
        let path = files.certificate().to_owned();
        Self::Untimely { path, what }
    }

    fn key(files: &Files, what: impl fmt::Display) -> Self {
        Self::Wrong {
            setting: "tls_key",
            path: files.key().to_owned(),
            what: what.to_string(),
        }
    }
}

/// What the files hold.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Text {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

impl fmt::Debug for Text {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("(a certificate and its secret key)")
    }
}

impl Text {
    pub(super) fn read(files: &Files) -> Result<Self, TlsError> {
        Ok(Self {
            certificate: read("tls_certificate", files.certificate())?,
            key: read("tls_key", files.key())?,
        })
    }
}

fn read(setting: &'static str, path: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path).map_err(|error| TlsError::Read {
        setting,
        path: path.to_owned(),
        error: Arc::new(error),
    })
}

/// A certificate with its chain, and the key that belongs to it.
#[derive(Debug)]
pub(super) struct Pair {
    pub(super) key: Arc<CertifiedKey>,
    pub(super) loaded_at: Timestamp,
    pub(super) not_before: Timestamp,
    pub(super) not_after: Timestamp,
}

impl Pair {
    /// Reads it, and sees that the two belong together.
    pub(super) fn of(text: &Text, files: &Files) -> Result<Self, TlsError> {
        let chain: Result<Vec<_>, pem::Error> =
            CertificateDer::pem_slice_iter(&text.certificate).collect();
        let chain = chain.map_err(|error| TlsError::certificate(files, error))?;
        let first = chain.first();
        let first = first.ok_or_else(|| TlsError::certificate(files, "no PEM certificate"))?;
        let (not_before, not_after) = validity::of(first)
            .ok_or_else(|| TlsError::certificate(files, "the certificate cannot be read"))?;
        let key = PrivateKeyDer::from_pem_slice(&text.key)
            .map_err(|error| TlsError::key(files, error))?;
        let key =
            CertifiedKey::from_der(chain, key, &ring::default_provider()).map_err(|error| {
                match error {
                    rustls::Error::InconsistentKeys(_) => {
                        let certificate = files.certificate().display();
                        TlsError::key(files, format!("not the key of {certificate}"))
                    }
                    error => TlsError::key(files, error),
                }
            })?;
        Ok(Self {
            key: Arc::new(key),
            loaded_at: Timestamp::now(),
            not_before,
            not_after,
        })
    }

    /// Itself, if `now` is within its time.
    pub(super) fn current(self, files: &Files, now: Timestamp) -> Result<Self, TlsError> {
        self.is_current(files, now).map(|()| self)
    }

    /// Whether `now` is within its time.
    pub(super) fn is_current(&self, files: &Files, now: Timestamp) -> Result<(), TlsError> {
        if now > self.not_after {
            let what = format!("ended at {}", self.not_after);
            return Err(TlsError::untimely(files, what));
        }
        if now < self.not_before {
            let what = format!("does not hold before {}", self.not_before);
            return Err(TlsError::untimely(files, what));
        }
        Ok(())
    }
}

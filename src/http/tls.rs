//! The certificate of the gateway, taken from its files again whenever they change.

mod pair;
mod validity;

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use jiff::Timestamp;
use rustls::{
    ServerConfig,
    crypto::ring,
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use serde::Serialize;
use utoipa::ToSchema;

pub(crate) use self::pair::TlsError;
use self::pair::{Pair, Text};
use crate::settings;

/// The certificate that is shown to clients.
#[derive(Debug)]
pub(crate) struct Certificate {
    files: Files,
    every: Duration,
    shown: ArcSwap<Pair>,
    failures: AtomicU64,
    last: Mutex<Last>,
}

/// What was last read from the files, and what was wrong with it.
#[derive(Debug)]
struct Last {
    read: Result<Text, TlsError>,
    error: Option<TlsError>,
}

impl Last {
    /// Whether `read` is nothing new and time alone changes nothing about it.
    fn settles(&self, read: &Result<Text, TlsError>) -> bool {
        is_same(&self.read, read) && !matches!(self.error, Some(TlsError::Untimely { .. }))
    }

    /// Whether `error` has been told of the same files.
    fn told(&self, read: &Result<Text, TlsError>, error: &TlsError) -> bool {
        let told = self.error.as_ref().map(ToString::to_string);
        is_same(&self.read, read) && told == Some(error.to_string())
    }
}

/// Where a certificate and its key lie.
#[derive(Debug, Clone)]
pub(super) struct Files {
    certificate: PathBuf,
    key: PathBuf,
}

/// How the certificate is.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct CertificateStatus {
    /// When it was taken from its files.
    #[schema(value_type = String, format = DateTime)]
    pub(crate) loaded_at: Timestamp,
    /// When it ends.
    #[schema(value_type = String, format = DateTime)]
    pub(crate) not_after: Timestamp,
    /// How often its files have changed into something that could not be used.
    pub(crate) failed_reloads: u64,
    /// Why the files are not what is shown, where they are not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) last_error: Option<String>,
}

impl Certificate {
    /// The one that the settings name; nothing where they name none.
    ///
    /// # Errors
    /// Names the setting and the file.
    pub(crate) fn of(settings: &settings::Server) -> Result<Option<Arc<Self>>, TlsError> {
        let files = match (&settings.tls_certificate, &settings.tls_key) {
            (None, None) => return Ok(None),
            (Some(_), None) => return Err(TlsError::Half("tls_certificate", "tls_key")),
            (None, Some(_)) => return Err(TlsError::Half("tls_key", "tls_certificate")),
            (Some(certificate), Some(key)) => Files {
                certificate: certificate.clone(),
                key: key.clone(),
            },
        };
        let text = Text::read(&files)?;
        let pair = Pair::of(&text, &files)?;
        Ok(Some(Arc::new(Self {
            files,
            every: settings.tls_reload_seconds.into(),
            shown: ArcSwap::from_pointee(pair),
            failures: AtomicU64::new(0),
            last: Mutex::new(Last {
                read: Ok(text),
                error: None,
            }),
        })))
    }

    /// How it is.
    pub(crate) fn status(&self) -> CertificateStatus {
        let shown = self.shown.load();
        CertificateStatus {
            loaded_at: shown.loaded_at,
            not_after: shown.not_after,
            failed_reloads: self.failures.load(Relaxed),
            last_error: self.last().error.as_ref().map(ToString::to_string),
        }
    }

    /// How connections are encrypted: TLS 1.2 and 1.3, and HTTP/1.1 in them.
    pub(crate) fn encryption(self: &Arc<Self>) -> Result<Arc<ServerConfig>, TlsError> {
        let mut config = ServerConfig::builder_with_provider(ring::default_provider().into())
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Versions)?
            .with_no_client_auth()
            .with_cert_resolver(self.clone());
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }

    /// Looks at the files every few seconds, as long as anyone shows the certificate: of a mounted
    /// secret no notice is sent, and a renewal is never that urgent.
    pub(crate) fn watch(self: &Arc<Self>) {
        let now = Timestamp::now();
        if let Err(error) = self.shown.load().is_current(&self.files, now) {
            // Clients will say no, but the operator may have to come in this way.
            log::warn!("{error}");
        }
        let (every, watched) = (self.every, Arc::downgrade(self));
        actix_web::rt::spawn(async move {
            loop {
                tokio::time::sleep(every).await;
                let Some(certificate) = Weak::upgrade(&watched) else {
                    return;
                };
                let looked =
                    actix_web::rt::task::spawn_blocking(move || certificate.look(Timestamp::now()));
                drop(looked.await);
            }
        });
    }

    /// Takes a new pair from the files. A bad one leaves the old one, is told once, and counts once;
    /// one whose time has not come is taken when it has.
    fn look(&self, now: Timestamp) {
        let read = Text::read(&self.files);
        let mut last = self.last();
        if last.settles(&read) {
            return;
        }
        let fresh = match &read {
            Ok(text) => Pair::of(text, &self.files).and_then(|pair| pair.current(&self.files, now)),
            Err(error) => Err(error.clone()),
        };
        let told = matches!(&fresh, Err(error) if last.told(&read, error));
        *last = Last {
            read,
            error: fresh.as_ref().err().cloned(),
        };
        match fresh {
            Ok(pair) => {
                log::info!(
                    "a new certificate from {} is shown, good until {}",
                    self.files.certificate.display(),
                    pair.not_after
                );
                self.shown.store(Arc::new(pair));
            }
            Err(_) if told => {}
            Err(error) => {
                self.failures.fetch_add(1, Relaxed);
                log::error!("the old certificate stays, because of the new one: {error}");
            }
        }
    }

    fn last(&self) -> MutexGuard<'_, Last> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether nothing new was read.
fn is_same(last: &Result<Text, TlsError>, now: &Result<Text, TlsError>) -> bool {
    match (last, now) {
        (Ok(last), Ok(now)) => last == now,
        (Err(last), Err(now)) => last.to_string() == now.to_string(),
        _ => false,
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.shown.load().key.clone())
    }
}

impl Files {
    fn certificate(&self) -> &Path {
        &self.certificate
    }

    fn key(&self) -> &Path {
        &self.key
    }
}

#[cfg(test)]
mod tests;

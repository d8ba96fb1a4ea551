//! Passwords: argon2id, on a thread that may block, a few at a time.

use std::sync::{Arc, OnceLock};

use argon2::{
    Argon2,
    password_hash::{self, PasswordHasher, PasswordVerifier, phc::PasswordHash},
};
use messages::{fault::Fault, host::Host};
use rand::distr::{Alphanumeric, SampleString};
use tokio::sync::Semaphore;

/// A hash takes 19 MiB (the crate's defaults, as OWASP recommends): a burst of log-ins must not
/// take a gigabyte, nor every core.
const AT_ONCE: usize = 2;

/// Hashes and checks passwords.
#[derive(Debug, Clone)]
pub(crate) struct Passwords {
    host: Host,
    turns: Arc<Semaphore>,
    #[cfg(test)]
    checked: Arc<std::sync::atomic::AtomicUsize>,
}

impl Passwords {
    pub(crate) fn new(host: Host) -> Self {
        Self {
            host,
            turns: Arc::new(Semaphore::new(AT_ONCE)),
            #[cfg(test)]
            checked: Arc::default(),
        }
    }

    /// The hash of `password`, as a PHC string.
    pub(crate) async fn hash(&self, password: String) -> Result<String, Fault> {
        self.run(move || hash(&password)).await?
    }

    /// Whether `password` is the one that `hash` was made of. Without a hash (there is no such
    /// user) the answer is no, and takes as long.
    pub(crate) async fn verify(
        &self,
        password: String,
        hash: Option<String>,
    ) -> Result<bool, Fault> {
        #[cfg(test)]
        let checked = self.checked.clone();
        self.run(move || {
            let known = hash.is_some();
            let hash = hash.map_or_else(|| decoy().map(str::to_owned), Ok)?;
            let right = verify(&password, &hash)?;
            #[cfg(test)]
            checked.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            Ok(right && known)
        })
        .await?
    }

    /// How many passwords have been compared with a hash so far.
    #[cfg(test)]
    pub(crate) fn checked(&self) -> usize {
        self.checked.load(std::sync::atomic::Ordering::SeqCst)
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Fault> {
        let turn = Arc::clone(&self.turns).acquire_owned().await;
        let turn = turn.map_err(|closed| Fault::internal(closed.to_string()))?;
        let work = move || {
            let result = work();
            drop(turn);
            result
        };
        self.host.run(work).await
    }
}

/// [`Passwords::hash`] on the current thread.
pub(crate) fn hash(password: &str) -> Result<String, Fault> {
    let hash: password_hash::Result<PasswordHash> =
        Argon2::default().hash_password(password.as_bytes());
    hash.map(|hash| hash.to_string()).map_err(broken)
}

fn verify(password: &str, hash: &str) -> Result<bool, Fault> {
    let hash = PasswordHash::new(hash).map_err(|why| Fault::internal(why.to_string()))?;
    match Argon2::default().verify_password(password.as_bytes(), &hash) {
        Ok(()) => Ok(true),
        Err(password_hash::Error::PasswordInvalid) => Ok(false),
        Err(other) => Err(broken(other)),
    }
}

/// The hash that an unknown user's password is compared with; made before the first log-in.
pub(crate) fn decoy() -> Result<&'static str, Fault> {
    static DECOY: OnceLock<String> = OnceLock::new();
    if let Some(decoy) = DECOY.get() {
        return Ok(decoy);
    }
    let made = hash(&random(20))?;
    Ok(DECOY.get_or_init(|| made))
}

fn broken(why: password_hash::Error) -> Fault {
    Fault::internal(format!("the password could not be hashed: {why}"))
}

/// Random bytes.
pub(crate) fn random_bytes<const N: usize>() -> [u8; N] {
    rand::random()
}

/// `length` random base62 digits, 5.95 bits each.
pub(crate) fn random(length: usize) -> String {
    Alphanumeric.sample_string(&mut rand::rng(), length)
}

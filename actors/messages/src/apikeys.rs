//! Who asks: callers, scopes, keys, sessions, and what can be asked of the plugin `apikeys`.

use std::{
    borrow::Cow,
    collections::{BTreeSet, HashMap},
    fmt,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use crate::{
    call::Capability,
    fault::Fault,
    usage::{Ledger, Limits, Meter},
};

mod audit;
mod change_key;
pub mod secret;
mod sessions;
mod users;

pub use self::{
    audit::{AuditBreak, AuditEntry, AuditVerdict, ListAudit, RecordAudit, VerifyAudit},
    change_key::{KeyChange, RotateKey, UpdateKey},
    sessions::{
        BeginTotp, ChangePassword, ConfirmTotp, EndTotp, Login, Logout, NewSession, TotpSecret,
    },
    users::{ChangeUser, CreateUser, ListUsers, Role, User, UserChange},
};

/// The name of a capability that a key may use, such as `llm.chat`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "String", into = "String")]
#[schema(value_type = String, example = "llm.chat")]
pub struct Scope(Cow<'static, str>);

macro_rules! scopes {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        impl Scope {
            $($(#[$doc])* pub const $name: Self = Self(Cow::Borrowed($text));)*
            /// Every scope there is.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];
        }
    };
}

scopes! {
    /// Chat and completions.
    LLM_CHAT = "llm.chat",
    /// Embeddings.
    LLM_EMBED = "llm.embed",
    /// Make collections and put documents in.
    BRAINML_INDEX = "brainml.index",
    /// Search collections.
    BRAINML_QUERY = "brainml.query",
    /// Train rankers.
    BRAINML_TRAIN = "brainml.train",
    /// Read the size and state of collections.
    BRAINML_STATS = "brainml.stats",
    /// Delete collections; snapshots.
    BRAINML_ADMIN = "brainml.admin",
    /// Read repositories.
    REPO_READ = "repo.read",
    /// Change repositories.
    REPO_WRITE = "repo.write",
    /// Run commands in repositories.
    REPO_COMMAND = "repo.command",
    /// Operate the gateway.
    ADMIN = "admin",
    /// Everything.
    EVERYTHING = "*",
}

impl Scope {
    /// The scope's name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl std::str::FromStr for Scope {
    type Err = Fault;

    fn from_str(name: &str) -> Result<Self, Fault> {
        let known = Self::ALL.iter().find(|scope| scope.as_str() == name);
        known.cloned().ok_or_else(|| {
            let all: Vec<&str> = Self::ALL.iter().map(Self::as_str).collect();
            Fault::unprocessable(format!(
                "there is no scope {name:?}; the scopes are {}",
                all.join(", ")
            ))
            .with_param("scopes")
        })
    }
}

impl TryFrom<String> for Scope {
    type Error = Fault;

    fn try_from(name: String) -> Result<Self, Fault> {
        name.parse()
    }
}

impl From<Scope> for String {
    fn from(scope: Scope) -> Self {
        scope.0.into_owned()
    }
}

/// A set of scopes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
pub struct Scopes(BTreeSet<Scope>);

impl Scopes {
    /// Whether something that needs `scope` is allowed.
    pub fn allow(&self, scope: &Scope) -> bool {
        self.0.contains(&Scope::EVERYTHING) || self.0.contains(scope)
    }

    /// Whether everything that `other` allows is allowed here too.
    pub fn cover(&self, other: &Self) -> bool {
        other.0.iter().all(|scope| self.allow(scope))
    }

    /// What both allow.
    #[must_use]
    pub fn shared_with(&self, other: &Self) -> Self {
        let all = self.0.union(&other.0);
        let shared = all.filter(|scope| self.allow(scope) && other.allow(scope));
        shared.cloned().collect()
    }

    /// Whether nothing is allowed.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The scopes in order.
    pub fn iter(&self) -> impl Iterator<Item = &Scope> {
        self.0.iter()
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        Self(scopes.into_iter().collect())
    }
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Caller {
    /// What the caller holds, such as `key:7KQ…` or `session:…`; stable, not secret.
    pub id: String,
    /// The user who stands behind it.
    pub user: String,
    /// What it may do.
    pub scopes: Scopes,
}

impl Caller {
    /// The owner of the data directory, who may do everything: the local socket, and the gateway's
    /// own work.
    pub fn owner() -> Self {
        Self {
            id: "owner".to_owned(),
            user: "admin".to_owned(),
            scopes: Scopes::from_iter([Scope::EVERYTHING]),
        }
    }

    /// Someone who is not known (yet), such as who tries to log in.
    pub fn nobody() -> Self {
        Self {
            id: "nobody".to_owned(),
            user: String::new(),
            scopes: Scopes::default(),
        }
    }

    /// Whether the caller is a person who has logged in.
    pub fn is_session(&self) -> bool {
        self.id.starts_with("session:")
    }

    /// The id of the key that the caller holds.
    pub fn key(&self) -> Option<&str> {
        self.id.strip_prefix("key:")
    }

    /// Refuses unless the caller has `scope`.
    ///
    /// # Errors
    /// [`Denied`](crate::fault::FaultKind::Denied), naming the scope that is missing.
    pub fn require(&self, scope: &Scope) -> Result<(), Fault> {
        if self.scopes.allow(scope) {
            return Ok(());
        }
        Err(Fault::denied(format!(
            "this needs the scope {scope}, which {} does not have",
            self.id
        ))
        .with_code("missing_scope"))
    }
}

/// SHA-256 of a key or of a session's cookie.
pub type Digest = [u8; 32];

/// What a key or a session allows, as its owner published it.
#[derive(Debug, Clone)]
pub struct Grant {
    /// Who asks.
    pub caller: Arc<Caller>,
    /// When it ends.
    pub expires_at: Option<Timestamp>,
    /// A use after this instant should be told with [`Authenticate`], so that a session does not
    /// fall idle and a key's last use is known.
    pub note_after: Option<Timestamp>,
    /// What the key may still use; nothing where it is a session.
    pub meter: Option<Arc<Meter>>,
}

/// About what a caller takes with its names and scopes.
const CALLER_BYTES: usize = 256;

/// The published table of keys and sessions: written by `apikeys` before it answers, read by every
/// request without a message. Beside it the ledger of what the keys have used.
#[derive(Debug, Default)]
pub struct Credentials {
    table: RwLock<HashMap<Digest, Grant>>,
    ledger: Ledger,
}

impl Credentials {
    /// What `digest` allows at `now`; nothing if it is unknown or has ended.
    pub fn grant(&self, digest: &Digest, now: Timestamp) -> Option<Grant> {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        let grant = table.get(digest)?;
        let ended = grant.expires_at.is_some_and(|end| end <= now);
        (!ended).then(|| grant.clone())
    }

    /// What the keys have used.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Adds or replaces one.
    pub fn publish(&self, digest: Digest, grant: Grant) {
        self.write().insert(digest, grant);
    }

    /// Changes one in place; one that has been withdrawn meanwhile stays withdrawn.
    pub fn amend(&self, digest: &Digest, change: impl FnOnce(&mut Grant)) {
        if let Some(grant) = self.write().get_mut(digest) {
            change(grant);
        }
    }

    /// Takes one back: from now on it is refused.
    pub fn withdraw(&self, digest: &Digest) {
        self.write().remove(digest);
    }

    /// Replaces all that `user` holds.
    pub fn replace_of(&self, user: &str, table: HashMap<Digest, Grant>) {
        let mut all = self.write();
        all.retain(|_, grant| grant.caller.user != user);
        all.extend(table);
    }

    /// Replaces all.
    pub fn replace(&self, table: HashMap<Digest, Grant>) {
        *self.write() = table;
    }

    /// About how many bytes the table and the meters take in memory.
    pub fn memory_bytes(&self) -> usize {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        let slots = table.capacity() * size_of::<(Digest, Grant)>();
        slots + table.len() * CALLER_BYTES + self.ledger.memory_bytes()
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, HashMap<Digest, Grant>> {
        self.table.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A key as it may be shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Key {
    /// The id by which it is revoked; not secret.
    pub id: String,
    /// What its owner calls it.
    pub name: String,
    /// The user who made it.
    pub user: String,
    /// What it may do.
    pub scopes: Scopes,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it ends.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<Timestamp>,
    /// When it was revoked.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub revoked_at: Option<Timestamp>,
    /// When it was last used, to the minute.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_used_at: Option<Timestamp>,
    /// How long the secret before the last rotation still holds.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub previous_until: Option<Timestamp>,
    /// What it may use.
    #[serde(default)]
    pub limits: Limits,
}

/// A key just made, with its secret, which is shown this once.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct NewKey {
    /// The secret.
    pub key: String,
    /// Everything else.
    #[serde(flatten)]
    pub about: Key,
}

macro_rules! capabilities {
    ($($name:ty = $text:literal -> $reply:ty,)*) => {
        $(impl Capability for $name {
            type Reply = $reply;
            const NAME: &'static str = $text;
            const DEADLINE: Duration = Duration::from_secs(10);
        })*
    };
}

/// Looks up a credential that is not in the published table, and notes the use of a session so
/// that it does not fall idle.
#[derive(Debug, Clone)]
pub struct Authenticate {
    /// SHA-256 of the key or of the session's cookie.
    pub digest: Digest,
}

/// Makes a key. Its scopes may not go beyond the caller's.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateKey {
    /// What the owner calls it; 1 to 100 characters.
    pub name: String,
    /// What it may do; at least one.
    pub scopes: Scopes,
    /// When it ends: RFC 3339 or Unix seconds, in the future.
    #[serde(default, deserialize_with = "instant")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<Timestamp>,
    /// What it may use; without this as much as the key that makes it.
    #[serde(default)]
    pub limits: Option<Limits>,
}

/// An instant as RFC 3339 or as Unix seconds, whichever the caller's tools speak.
pub(crate) fn instant<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Timestamp>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "an RFC 3339 time or Unix seconds")]
    enum Written {
        Seconds(i64),
        Text(Timestamp),
    }
    Option::<Written>::deserialize(from)?
        .map(|written| match written {
            Written::Seconds(seconds) => {
                Timestamp::from_second(seconds).map_err(serde::de::Error::custom)
            }
            Written::Text(instant) => Ok(instant),
        })
        .transpose()
}

/// Lists all keys, or the caller's own where the caller is not an admin.
#[derive(Debug, Clone)]
pub struct ListKeys;

/// Revokes a key, at once.
#[derive(Debug, Clone)]
pub struct RevokeKey {
    /// The key's id.
    pub id: String,
}

capabilities! {
    Login = "apikeys.login" -> NewSession,
    Logout = "apikeys.logout" -> (),
    ChangePassword = "apikeys.change_password" -> NewSession,
    BeginTotp = "apikeys.begin_totp" -> TotpSecret,
    ConfirmTotp = "apikeys.confirm_totp" -> (),
    EndTotp = "apikeys.end_totp" -> (),
    Authenticate = "apikeys.authenticate" -> Option<Grant>,
    CreateKey = "apikeys.create_key" -> NewKey,
    ListKeys = "apikeys.list_keys" -> Vec<Key>,
    RevokeKey = "apikeys.revoke_key" -> (),
    CreateUser = "apikeys.create_user" -> User,
    ListUsers = "apikeys.list_users" -> Vec<User>,
    ChangeUser = "apikeys.change_user" -> User,
}

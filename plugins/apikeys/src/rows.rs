//! Rows of the plugin's tables, and what they say in the terms of the contract.

use std::sync::Arc;

use diesel::prelude::*;
use jiff::{SignedDuration, Timestamp};
use messages::apikeys::{Caller, Digest, Grant, Key, Role, Scope, Scopes, User};
use messages::usage::Limits;
use store::StoreError;

use crate::schema::{api_keys, sessions, users};

/// A session that nobody uses for this long ends.
pub(crate) const IDLE: SignedDuration = SignedDuration::from_mins(30);

/// A use is written down at most this often, so that a busy key costs one write a minute.
pub(crate) const NOTE_EVERY: SignedDuration = SignedDuration::from_mins(1);

#[derive(Debug, Clone, Queryable, Selectable, Insertable)]
#[diesel(table_name = users)]
pub(crate) struct UserRow {
    pub(crate) username: String,
    pub(crate) password_hash: String,
    pub(crate) scopes: String,
    pub(crate) created_at: i64,
    pub(crate) disabled: bool,
    pub(crate) role: String,
    pub(crate) totp_secret: Option<Vec<u8>>,
    pub(crate) totp_confirmed: bool,
    pub(crate) totp_last_step: Option<i64>,
}

impl UserRow {
    /// A user with neither history nor authenticator.
    pub(crate) fn new(
        username: String,
        password_hash: String,
        role: Role,
        scopes: &Scopes,
        created_at: i64,
    ) -> Self {
        Self {
            username,
            password_hash,
            scopes: write_scopes(scopes),
            created_at,
            disabled: false,
            role: role.as_str().to_owned(),
            totp_secret: None,
            totp_confirmed: false,
            totp_last_step: None,
        }
    }

    /// A role that this release does not know is no admin's.
    pub(crate) fn role(&self) -> Role {
        self.role.parse().unwrap_or_default()
    }

    pub(crate) fn about(self) -> Result<User, StoreError> {
        Ok(User {
            role: self.role(),
            username: self.username,
            scopes: read_scopes(&self.scopes),
            created_at: read_time(self.created_at)?,
            disabled: self.disabled,
            totp: self.totp_confirmed,
        })
    }
}

#[derive(Debug, Clone, Queryable, Selectable, Insertable)]
#[diesel(table_name = api_keys)]
pub(crate) struct KeyRow {
    pub(crate) digest: Vec<u8>,
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) username: String,
    pub(crate) scopes: String,
    pub(crate) created_at: i64,
    pub(crate) expires_at: Option<i64>,
    pub(crate) revoked_at: Option<i64>,
    pub(crate) last_used_at: Option<i64>,
    #[diesel(embed)]
    pub(crate) limits: LimitsRow,
    /// The secret before the last rotation,
    pub(crate) previous_digest: Option<Vec<u8>>,
    /// and how long it still holds.
    pub(crate) previous_until: Option<i64>,
}

/// The limits of a key.
#[derive(Debug, Clone, Copy, Default, Queryable, Selectable, Insertable, AsChangeset)]
#[diesel(table_name = api_keys, treat_none_as_null = true)]
pub(crate) struct LimitsRow {
    requests_per_minute: Option<i64>,
    tokens_per_minute: Option<i64>,
    concurrent_requests: Option<i64>,
    monthly_tokens: Option<i64>,
}

impl From<Limits> for LimitsRow {
    fn from(limits: Limits) -> Self {
        // Every limit has been checked to be far smaller.
        let stored = |limit: Option<u64>| limit.and_then(|limit| i64::try_from(limit).ok());
        Self {
            requests_per_minute: stored(limits.requests_per_minute),
            tokens_per_minute: stored(limits.tokens_per_minute),
            concurrent_requests: stored(limits.concurrent_requests),
            monthly_tokens: stored(limits.monthly_tokens),
        }
    }
}

impl From<LimitsRow> for Limits {
    /// What cannot be a limit allows nothing.
    fn from(row: LimitsRow) -> Self {
        let read = |limit: Option<i64>| limit.map(|limit| u64::try_from(limit).unwrap_or(0));
        Self {
            requests_per_minute: read(row.requests_per_minute),
            tokens_per_minute: read(row.tokens_per_minute),
            concurrent_requests: read(row.concurrent_requests),
            monthly_tokens: read(row.monthly_tokens),
        }
    }
}

impl KeyRow {
    pub(crate) fn about(&self) -> Result<Key, StoreError> {
        Ok(Key {
            id: self.id.clone(),
            name: self.name.clone(),
            user: self.username.clone(),
            scopes: read_scopes(&self.scopes),
            created_at: read_time(self.created_at)?,
            expires_at: self.expires_at.map(read_time).transpose()?,
            revoked_at: self.revoked_at.map(read_time).transpose()?,
            last_used_at: self.last_used_at.map(read_time).transpose()?,
            previous_until: self.previous_until.map(read_time).transpose()?,
            limits: self.limits.into(),
        })
    }

    /// What the key allows: what it says and what its user may do, whose `scopes` these are. A key
    /// that was never used notes its first use at once.
    pub(crate) fn grant(&self, scopes: &str) -> Result<(Digest, Grant), StoreError> {
        let used = self.last_used_at.map(read_time).transpose()?;
        let caller = Caller {
            id: format!("key:{}", self.id),
            user: self.username.clone(),
            scopes: read_scopes(&self.scopes).shared_with(&read_scopes(scopes)),
        };
        let grant = Grant {
            caller: Arc::new(caller),
            expires_at: self.expires_at.map(read_time).transpose()?,
            note_after: Some(used.map_or(Timestamp::MIN, |used| after(used, NOTE_EVERY))),
            meter: None,
        };
        Ok((read_digest(&self.digest)?, grant))
    }
}

#[derive(Debug, Clone, Queryable, Selectable, Insertable)]
#[diesel(table_name = sessions)]
pub(crate) struct SessionRow {
    pub(crate) digest: Vec<u8>,
    pub(crate) id: String,
    pub(crate) username: String,
    pub(crate) seen_at: i64,
    pub(crate) expires_at: i64,
}

impl SessionRow {
    /// What the session allows: all that its user may do, whose `scopes` these are.
    pub(crate) fn grant(&self, scopes: &str) -> Result<(Digest, Grant), StoreError> {
        let seen = read_time(self.seen_at)?;
        let caller = Caller {
            id: format!("session:{}", self.id),
            user: self.username.clone(),
            scopes: read_scopes(scopes),
        };
        let grant = Grant {
            caller: Arc::new(caller),
            expires_at: Some(after(seen, IDLE).min(read_time(self.expires_at)?)),
            note_after: Some(after(seen, NOTE_EVERY)),
            meter: None,
        };
        Ok((read_digest(&self.digest)?, grant))
    }
}

/// `start` plus `wait`, or the end of time.
pub(crate) fn after(start: Timestamp, wait: SignedDuration) -> Timestamp {
    start.checked_add(wait).unwrap_or(Timestamp::MAX)
}

pub(crate) fn read_time(millis: i64) -> Result<Timestamp, StoreError> {
    Timestamp::from_millisecond(millis).map_err(unreadable)
}

pub(crate) fn read_digest(bytes: &[u8]) -> Result<Digest, StoreError> {
    Digest::try_from(bytes).map_err(unreadable)
}

fn unreadable(why: impl std::error::Error + Send + Sync + 'static) -> StoreError {
    diesel::result::Error::DeserializationError(Box::new(why)).into()
}

pub(crate) fn write_scopes(scopes: &Scopes) -> String {
    let names: Vec<&str> = scopes.iter().map(Scope::as_str).collect();
    names.join(" ")
}

/// A scope that this release does not know grants nothing.
pub(crate) fn read_scopes(names: &str) -> Scopes {
    names
        .split_whitespace()
        .filter_map(|name| name.parse::<Scope>().ok())
        .collect()
}

//! What every ability of the plugin works with.

use std::{collections::HashMap, fmt, sync::Arc};

use diesel::{prelude::*, sqlite::SqliteConnection};
use jiff::Timestamp;
use messages::{
    apikeys::{Credentials, Digest, Grant},
    host::Host,
};
use store::{Store, StoreError};

use crate::{
    passwords::Passwords,
    rows::{KeyRow, SessionRow},
    schema::{api_keys, sessions, users},
};

/// Tells the time.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Timestamp + Send + Sync>);

impl Clock {
    /// A clock that asks `now`.
    pub fn new(now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// Unix milliseconds, the grain of everything stored.
    pub(crate) fn millis(&self) -> i64 {
        (self.0)().as_millisecond()
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new(Timestamp::now)
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Clock")
    }
}

/// The tables, the published table and what they need; each call works on a clone.
#[derive(Debug, Clone)]
pub(crate) struct Registry {
    pub(crate) store: Store,
    pub(crate) credentials: Arc<Credentials>,
    pub(crate) passwords: Passwords,
    pub(crate) clock: Clock,
}

impl Registry {
    pub(crate) fn new(
        host: &Host,
        store: Store,
        credentials: Arc<Credentials>,
        clock: Clock,
    ) -> Self {
        Self {
            store,
            credentials,
            passwords: Passwords::new(host.clone()),
            clock,
        }
    }

    /// Publishes everything that holds now. As a write, so that no change that an earlier life
    /// still had at work falls between the reading and the publishing.
    pub(crate) fn publish_all(&self) -> Result<(), StoreError> {
        let now = self.clock.millis();
        self.store.write_blocking(|conn| {
            let table = live_grants(conn, now)?;
            self.credentials.replace(table);
            Ok(())
        })
    }
}

fn live_grants(
    conn: &mut SqliteConnection,
    now: i64,
) -> Result<HashMap<Digest, Grant>, StoreError> {
    let keys: Vec<KeyRow> = api_keys::table
        .inner_join(users::table)
        .filter(users::disabled.eq(false))
        .filter(api_keys::revoked_at.is_null())
        .filter(
            api_keys::expires_at
                .is_null()
                .or(api_keys::expires_at.gt(now)),
        )
        .select(KeyRow::as_select())
        .load(conn)?;
    let sessions: Vec<(SessionRow, String)> = sessions::table
        .inner_join(users::table)
        .filter(users::disabled.eq(false))
        .filter(sessions::expires_at.gt(now))
        .select((SessionRow::as_select(), users::scopes))
        .load(conn)?;
    let keys = keys.iter().map(KeyRow::grant);
    let sessions = sessions.iter().map(|(row, scopes)| row.grant(scopes));
    keys.chain(sessions).collect()
}

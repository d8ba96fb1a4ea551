//! What every ability of the plugin works with.

use std::{collections::HashMap, fmt, panic::resume_unwind, sync::Arc};

use diesel::{prelude::*, sqlite::SqliteConnection};
use jiff::Timestamp;
use messages::{
    apikeys::{Credentials, Digest, Grant},
    fault::Fault,
    host::Host,
    usage::Ledger,
};
use store::{Store, StoreError};

use crate::{
    metered::{metered, moment},
    passwords::Passwords,
    rows::{KeyRow, SessionRow},
    schema::{api_keys, sessions, users},
    throttle::Throttle,
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
    pub(crate) host: Host,
    pub(crate) store: Store,
    pub(crate) credentials: Arc<Credentials>,
    pub(crate) passwords: Passwords,
    pub(crate) clock: Clock,
    pub(crate) throttle: Throttle,
}

impl Registry {
    pub(crate) fn new(
        host: &Host,
        store: Store,
        credentials: Arc<Credentials>,
        clock: Clock,
    ) -> Self {
        Self {
            host: host.clone(),
            store,
            credentials,
            passwords: Passwords::new(host.clone()),
            clock,
            throttle: Throttle::default(),
        }
    }

    /// Publishes everything that holds now. As a write, so that no change that an earlier life
    /// still had at work falls between the reading and the publishing.
    pub(crate) fn publish_all(&self) -> Result<(), StoreError> {
        let now = self.clock.millis();
        self.store.write_blocking(|conn| {
            let table = live_grants(conn, self.credentials.ledger(), now, None)?;
            self.credentials.replace(table);
            Ok(())
        })
    }

    /// Changes something about a user, and publishes what all his credentials allow then, before
    /// the change is committed: nobody is answered while a credential still allows more.
    ///
    /// # Errors
    /// What `change` answered or the store said; the published table is then as before.
    pub(crate) async fn change_and_publish<T: Send + 'static>(
        &self,
        user: String,
        change: impl FnOnce(&mut SqliteConnection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Fault> {
        let (credentials, now, name) =
            (self.credentials.clone(), self.clock.millis(), user.clone());
        let registry = self.clone();
        to_its_end(async move {
            let changed = registry.store.write(move |conn| {
                let value = change(conn)?;
                let table = live_grants(conn, credentials.ledger(), now, Some(&name))?;
                credentials.replace_of(&name, table);
                Ok(value)
            });
            match changed.await {
                Ok(value) => Ok(value),
                Err(error) => {
                    registry.publish_again(user).await;
                    Err(error.into())
                }
            }
        })
        .await
    }

    /// Publishes in the order of the writes, before the row is committed: a revocation that
    /// follows finds it in the table. A row that could not be written is taken back.
    pub(crate) async fn write_and_publish<T: Send + 'static>(
        &self,
        digest: Digest,
        write: impl FnOnce(&mut SqliteConnection) -> Result<(Grant, T), StoreError> + Send + 'static,
    ) -> Result<T, Fault> {
        let (store, credentials) = (self.store.clone(), self.credentials.clone());
        let publishing = credentials.clone();
        to_its_end(async move {
            let written = store.write(move |conn| {
                let (grant, value) = write(conn)?;
                publishing.publish(digest, grant);
                Ok(value)
            });
            written.await.map_err(|error| {
                credentials.withdraw(&digest);
                error.into()
            })
        })
        .await
    }

    /// After a change that may have been published and was not committed. What cannot be read now
    /// is withdrawn: a credential that the table lacks is looked up in the database.
    async fn publish_again(&self, user: String) {
        let (credentials, now, name) =
            (self.credentials.clone(), self.clock.millis(), user.clone());
        let published = self.store.write(move |conn| {
            let table = live_grants(conn, credentials.ledger(), now, Some(&name))?;
            credentials.replace_of(&name, table);
            Ok(())
        });
        if let Err(why) = published.await {
            log::warn!("what {user} may do could not be read: {why}");
            self.credentials.replace_of(&user, HashMap::new());
        }
    }
}

/// Runs what must not stop halfway, also when whoever waits for it leaves: what was published and
/// then not committed has to be taken back.
async fn to_its_end<T: Send + 'static>(
    work: impl Future<Output = Result<T, Fault>> + Send + 'static,
) -> Result<T, Fault> {
    match tokio::spawn(work).await {
        Ok(answer) => answer,
        Err(lost) => match lost.try_into_panic() {
            Ok(panic) => resume_unwind(panic),
            Err(_) => Err(Fault::cancelled("the gateway is stopping")),
        },
    }
}

/// Every credential that holds now, or those of one user.
fn live_grants(
    conn: &mut SqliteConnection,
    ledger: &Ledger,
    now: i64,
    user: Option<&str>,
) -> Result<HashMap<Digest, Grant>, StoreError> {
    let mut keys = api_keys::table
        .inner_join(users::table)
        .filter(users::disabled.eq(false))
        .filter(api_keys::revoked_at.is_null())
        .filter(
            api_keys::expires_at
                .is_null()
                .or(api_keys::expires_at.gt(now)),
        )
        .select((KeyRow::as_select(), users::scopes))
        .into_boxed();
    let mut sessions = sessions::table
        .inner_join(users::table)
        .filter(users::disabled.eq(false))
        .filter(sessions::expires_at.gt(now))
        .select((SessionRow::as_select(), users::scopes))
        .into_boxed();
    if let Some(user) = user {
        keys = keys.filter(users::username.eq(user));
        sessions = sessions.filter(users::username.eq(user));
    }
    let keys: Vec<(KeyRow, String)> = keys.load(conn)?;
    let sessions: Vec<(SessionRow, String)> = sessions.load(conn)?;
    let sessions = sessions.iter().map(|(row, scopes)| row.grant(scopes));
    let mut table: HashMap<Digest, Grant> = sessions.collect::<Result<_, _>>()?;
    let now = moment(now)?;
    for (row, scopes) in &keys {
        table.extend(metered(conn, ledger, row, scopes, now)?);
    }
    Ok(table)
}

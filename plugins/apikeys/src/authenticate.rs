//! The slow path of recognising a caller: what the published table does not know, and writing down
//! that a credential is in use.

use diesel::{prelude::*, sqlite::SqliteConnection};
use jiff::Timestamp;
use messages::{
    apikeys::{Authenticate, Digest, Grant},
    fault::Fault,
};
use store::StoreError;

use crate::{
    registry::Registry,
    rows::{IDLE, KeyRow, NOTE_EVERY, SessionRow, after, read_time},
    schema::{api_keys, sessions, users},
};

impl Registry {
    /// What `digest` allows now; nothing if it is unknown or has ended.
    pub(crate) async fn authenticate(&self, request: Authenticate) -> Result<Option<Grant>, Fault> {
        let Authenticate { digest } = request;
        let millis = self.clock.millis();
        let now = read_time(millis)?;
        let Some(grant) = self.credentials.grant(&digest, now) else {
            return self.look_up(digest, now).await;
        };
        if grant.note_after.is_some_and(|due| due <= now) {
            self.note_use(digest, millis, now).await;
        }
        Ok(self.credentials.grant(&digest, now))
    }

    /// Finds what is stored but not published. The answer is not published either: it could
    /// overtake a revocation.
    async fn look_up(&self, digest: Digest, now: Timestamp) -> Result<Option<Grant>, Fault> {
        let found = self.store.read(move |conn| find(conn, &digest)).await?;
        Ok(found.filter(|grant| grant.expires_at.is_none_or(|end| end > now)))
    }

    /// Moves the end of an idle session, or writes down a key's last use. The next request must
    /// not ask again, so the table is told first. Failing to write (on a full disk, say) is no
    /// reason to turn the caller away.
    async fn note_use(&self, digest: Digest, millis: i64, now: Timestamp) {
        self.credentials.amend(&digest, |grant| {
            grant.note_after = Some(after(now, NOTE_EVERY));
        });
        let noted = self.store.write(move |conn| note(conn, &digest, millis));
        match noted.await {
            Ok(Some(last)) => self.credentials.amend(&digest, |grant| {
                grant.expires_at = Some(after(now, IDLE).min(last));
            }),
            Ok(None) => {}
            Err(why) => log::warn!("the use of a credential could not be written down: {why}"),
        }
    }
}

fn find(conn: &mut SqliteConnection, digest: &Digest) -> Result<Option<Grant>, StoreError> {
    let key: Option<KeyRow> = api_keys::table
        .inner_join(users::table)
        .filter(api_keys::digest.eq(digest.as_slice()))
        .filter(api_keys::revoked_at.is_null())
        .filter(users::disabled.eq(false))
        .select(KeyRow::as_select())
        .first(conn)
        .optional()?;
    if let Some(key) = key {
        return key.grant().map(|(_, grant)| Some(grant));
    }
    let session: Option<(SessionRow, String)> = sessions::table
        .inner_join(users::table)
        .filter(sessions::digest.eq(digest.as_slice()))
        .filter(users::disabled.eq(false))
        .select((SessionRow::as_select(), users::scopes))
        .first(conn)
        .optional()?;
    let grant = session
        .map(|(row, scopes)| row.grant(&scopes))
        .transpose()?;
    Ok(grant.map(|(_, grant)| grant))
}

/// When a session ends at the latest; nothing for a key.
fn note(
    conn: &mut SqliteConnection,
    digest: &Digest,
    now: i64,
) -> Result<Option<Timestamp>, StoreError> {
    let last: Option<i64> = diesel::update(sessions::table.find(digest.as_slice()))
        .set(sessions::seen_at.eq(now))
        .returning(sessions::expires_at)
        .get_result(conn)
        .optional()?;
    if last.is_none() {
        diesel::update(api_keys::table.find(digest.as_slice()))
            .set(api_keys::last_used_at.eq(now))
            .execute(conn)?;
    }
    last.map(read_time).transpose()
}

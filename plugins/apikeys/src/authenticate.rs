//! The slow path of recognising a caller: what the published table does not know, and writing down
//! that a credential is in use.

use diesel::{prelude::*, sqlite::SqliteConnection};
use jiff::Timestamp;
use messages::{
    apikeys::{Authenticate, Digest, Grant},
    fault::Fault,
    usage::Ledger,
};
use store::StoreError;

use crate::{
    metered::{self, moment},
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
        let credentials = self.credentials.clone();
        let find = move |conn: &mut _| find(conn, credentials.ledger(), &digest, now);
        let found = self.store.read(find).await?;
        Ok(found.filter(|grant| grant.expires_at.is_none_or(|end| end > now)))
    }

    /// Moves the end of an idle session, and writes down that a credential is in use. The table is
    /// told first: the next request must not ask again, and failing to write (on a full disk, say)
    /// is no reason to turn the caller away, now or when the session would have fallen idle.
    async fn note_use(&self, digest: Digest, millis: i64, now: Timestamp) {
        self.credentials.amend(&digest, |grant| {
            grant.note_after = Some(after(now, NOTE_EVERY));
        });
        let last = self.store.read(move |conn| session_end(conn, &digest));
        match last.await {
            Ok(Some(last)) => self.credentials.amend(&digest, |grant| {
                grant.expires_at = Some(after(now, IDLE).min(last));
            }),
            Ok(None) => {}
            Err(why) => log::warn!("the end of a session could not be read: {why}"),
        }
        let noted = self.store.write(move |conn| note(conn, &digest, millis));
        if let Err(why) = noted.await {
            log::warn!("the use of a credential could not be written down: {why}");
        }
    }
}

fn find(
    conn: &mut SqliteConnection,
    ledger: &Ledger,
    digest: &Digest,
    now: Timestamp,
) -> Result<Option<Grant>, StoreError> {
    let key: Option<(KeyRow, String)> = api_keys::table
        .inner_join(users::table)
        .filter(has_secret(digest, now.as_millisecond()))
        .filter(api_keys::revoked_at.is_null())
        .filter(users::disabled.eq(false))
        .select((KeyRow::as_select(), users::scopes))
        .first(conn)
        .optional()?;
    if let Some((key, scopes)) = key {
        let now = moment(now.as_millisecond())?;
        let grants = metered::found(conn, ledger, &key, &scopes, now)?;
        let found = grants.into_iter().find(|(own, _)| own == digest);
        return Ok(found.map(|(_, grant)| grant));
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

/// Whether a key has this secret at `now`, or had it before a rotation whose overlap goes on.
#[diesel::dsl::auto_type(no_type_alias)]
fn has_secret(digest: &Digest, now: i64) -> _ {
    let bytes: &[u8] = digest.as_slice();
    let holds = api_keys::previous_until.gt(now);
    let before = api_keys::previous_digest.eq(bytes).and(holds);
    api_keys::digest.nullable().eq(bytes).or(before)
}

/// When a session ends at the latest; nothing for a key.
fn session_end(
    conn: &mut SqliteConnection,
    digest: &Digest,
) -> Result<Option<Timestamp>, StoreError> {
    let end: Option<i64> = sessions::table
        .find(digest.as_slice())
        .select(sessions::expires_at)
        .first(conn)
        .optional()?;
    end.map(read_time).transpose()
}

fn note(conn: &mut SqliteConnection, digest: &Digest, now: i64) -> Result<(), StoreError> {
    let sessions = diesel::update(sessions::table.find(digest.as_slice()))
        .set(sessions::seen_at.eq(now))
        .execute(conn)?;
    if sessions == 0 {
        diesel::update(api_keys::table.filter(has_secret(digest, now)))
            .set(api_keys::last_used_at.eq(now))
            .execute(conn)?;
    }
    Ok(())
}

//! Keys: making, listing and revoking them.

use diesel::{prelude::*, sqlite::SqliteConnection};
use messages::{
    apikeys::{
        Caller, CreateKey, Digest, Grant, Key, NewKey, RevokeKey, Scope,
        secret::{self, KEY_DIGITS},
    },
    fault::Fault,
};
use store::StoreError;

use crate::{
    passwords::random,
    registry::Registry,
    rows::{KeyRow, read_digest, write_scopes},
    schema::api_keys,
    users::check_scopes,
};

/// Random digits of a key's or session's public id: 71 bits.
pub(crate) const ID_DIGITS: usize = 12;

const LONGEST_NAME: usize = 100;

impl Registry {
    /// Makes a key for `caller`'s user, in force before this answers.
    pub(crate) async fn create_key(
        &self,
        caller: &Caller,
        request: CreateKey,
    ) -> Result<NewKey, Fault> {
        let now = self.clock.millis();
        check_request(caller, &request, now)?;
        let key = secret::key_from(&random(KEY_DIGITS));
        let row = KeyRow {
            digest: secret::digest(&key).to_vec(),
            id: random(ID_DIGITS),
            name: request.name,
            username: caller.user.clone(),
            scopes: write_scopes(&request.scopes),
            created_at: now,
            expires_at: request.expires_at.map(|end| end.as_millisecond()),
            revoked_at: None,
            last_used_at: None,
        };
        let about = row.about()?;
        self.insert_key(row).await?;
        log::info!("{} made the key {}", caller.id, about.id);
        Ok(NewKey { key, about })
    }

    async fn insert_key(&self, row: KeyRow) -> Result<(), Fault> {
        let (digest, grant) = row.grant()?;
        let insert = move |conn: &mut SqliteConnection| {
            diesel::insert_into(api_keys::table)
                .values(row)
                .execute(conn)?;
            Ok(())
        };
        self.write_and_publish(digest, grant, insert).await
    }

    /// Publishes in the order of the writes, before the row is committed: a revocation that
    /// follows finds it in the table. A row that could not be written is taken back.
    pub(crate) async fn write_and_publish(
        &self,
        digest: Digest,
        grant: Grant,
        write: impl FnOnce(&mut SqliteConnection) -> Result<(), StoreError> + Send + 'static,
    ) -> Result<(), Fault> {
        let credentials = self.credentials.clone();
        let written = self.store.write(move |conn| {
            write(conn)?;
            credentials.publish(digest, grant);
            Ok(())
        });
        written.await.map_err(|error| {
            self.credentials.withdraw(&digest);
            error.into()
        })
    }

    /// All keys if `caller` is an admin, otherwise those of his user; the newest first.
    pub(crate) async fn list_keys(&self, caller: &Caller) -> Result<Vec<Key>, Fault> {
        let owner = owner_only(caller);
        let rows = self.store.read(move |conn| {
            let mut query = api_keys::table.into_boxed();
            if let Some(owner) = owner {
                query = query.filter(api_keys::username.eq(owner));
            }
            let rows: Vec<KeyRow> = query
                .order((api_keys::created_at.desc(), api_keys::id))
                .select(KeyRow::as_select())
                .load(conn)?;
            rows.iter().map(KeyRow::about).collect()
        });
        Ok(rows.await?)
    }

    /// Revokes a key: it is refused before this answers. Revoking it again changes nothing.
    pub(crate) async fn revoke_key(
        &self,
        caller: &Caller,
        request: RevokeKey,
    ) -> Result<(), Fault> {
        let (now, owner) = (self.clock.millis(), owner_only(caller));
        let RevokeKey { id } = request;
        let credentials = self.credentials.clone();
        let revoked = self.store.write(move |conn| {
            let row = revoke(conn, &id, owner, now)?;
            credentials.withdraw(&read_digest(&row.digest)?);
            Ok(row.id)
        });
        let id = revoked.await?;
        log::info!("{} revoked the key {id}", caller.id);
        Ok(())
    }
}

/// The user whose keys `caller` may see; nothing if he may see all.
fn owner_only(caller: &Caller) -> Option<String> {
    (!caller.scopes.allow(&Scope::ADMIN)).then(|| caller.user.clone())
}

fn revoke(
    conn: &mut SqliteConnection,
    id: &str,
    owner: Option<String>,
    now: i64,
) -> Result<KeyRow, StoreError> {
    let found: Option<KeyRow> = api_keys::table
        .filter(api_keys::id.eq(id))
        .select(KeyRow::as_select())
        .first(conn)
        .optional()?;
    let row = found
        .filter(|row| owner.is_none_or(|owner| owner == row.username))
        .ok_or_else(|| Fault::unknown("there is no key with this id; list the keys to see them"))?;
    if row.revoked_at.is_none() {
        diesel::update(api_keys::table.find(&row.digest))
            .set(api_keys::revoked_at.eq(now))
            .execute(conn)?;
    }
    Ok(row)
}

fn check_request(caller: &Caller, request: &CreateKey, now: i64) -> Result<(), Fault> {
    let length = request.name.chars().count();
    let printable = !request.name.chars().any(char::is_control);
    if !(1..=LONGEST_NAME).contains(&length) || !printable || request.name.trim().is_empty() {
        return Err(Fault::unprocessable(format!(
            "a key's name has 1 to {LONGEST_NAME} printable characters"
        ))
        .with_param("name"));
    }
    if request
        .expires_at
        .is_some_and(|end| end.as_millisecond() <= now)
    {
        return Err(Fault::unprocessable("expires_at lies in the past").with_param("expires_at"));
    }
    check_scopes(caller, &request.scopes)
}

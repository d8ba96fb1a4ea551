//! Keys: making, listing and revoking them.

use std::iter;

use diesel::{prelude::*, sqlite::SqliteConnection};
use jiff::Timestamp;
use messages::{
    apikeys::{
        Caller, CreateKey, Digest, Grant, Key, NewKey, RevokeKey, Scope,
        secret::{self, KEY_DIGITS},
    },
    call::Origin,
    fault::Fault,
    usage::Limits,
};
use serde_json::json;
use store::StoreError;

use crate::{
    audit::{Deed, record},
    metered::{metered, moment},
    passwords::random,
    registry::Registry,
    rows::{KeyRow, read_digest, write_scopes},
    schema::{api_keys, users},
    users::check_scopes,
};

/// Random digits of a key's or session's public id: 71 bits.
pub(crate) const ID_DIGITS: usize = 12;

const LONGEST_NAME: usize = 100;

impl Registry {
    /// Makes a key for `caller`'s user, in force before this answers.
    pub(crate) async fn create_key(&self, by: Origin, request: CreateKey) -> Result<NewKey, Fault> {
        let now = self.clock.millis();
        let caller = &by.caller;
        check_request(caller, &request, now)?;
        let own = self.limits_of(caller).await?;
        let limits = request.limits.unwrap_or(own);
        check_limits(caller, &own, &limits)?;
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
            limits: limits.into(),
            previous_digest: None,
            previous_until: None,
        };
        let about = row.about()?;
        let maker = caller.id.clone();
        self.insert_key(row, by, &about).await?;
        log::info!("{maker} made the key {}", about.id);
        Ok(NewKey { key, about })
    }

    async fn insert_key(&self, row: KeyRow, by: Origin, about: &Key) -> Result<(), Fault> {
        let (digest, now) = (read_digest(&row.digest)?, row.created_at);
        let detail = json!({
            "name": about.name, "scopes": about.scopes, "expires_at": about.expires_at,
            "limits": about.limits,
        });
        let deed = Deed::new("key.create", about.id.as_str(), detail);
        let credentials = self.credentials.clone();
        self.write_and_publish(digest, move |conn| {
            let scopes = scopes_of(conn, &row.username)?;
            let grants = metered(conn, credentials.ledger(), &row, &scopes, moment(now)?)?;
            let (_, grant) = (grants.into_iter().next())
                .ok_or_else(|| Fault::internal("a key without a secret"))?;
            diesel::insert_into(api_keys::table)
                .values(row)
                .execute(conn)?;
            record(conn, now, &by, &deed)?;
            Ok(grant)
        })
        .await
        .map(drop)
    }

    /// Publishes in the order of the writes, before the row is committed: a revocation that
    /// follows finds it in the table. A row that could not be written is taken back.
    pub(crate) async fn write_and_publish(
        &self,
        digest: Digest,
        write: impl FnOnce(&mut SqliteConnection) -> Result<Grant, StoreError> + Send + 'static,
    ) -> Result<Grant, Fault> {
        let credentials = self.credentials.clone();
        let written = self.store.write(move |conn| {
            let grant = write(conn)?;
            credentials.publish(digest, grant.clone());
            Ok(grant)
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
    pub(crate) async fn revoke_key(&self, by: Origin, request: RevokeKey) -> Result<(), Fault> {
        let now = self.clock.millis();
        let RevokeKey { id } = request;
        let (credentials, maker) = (self.credentials.clone(), by.caller.id.clone());
        let revoked = self.store.write(move |conn| {
            let row = revoke(conn, &id, &by, now)?;
            for digest in iter::once(&row.digest).chain(&row.previous_digest) {
                credentials.withdraw(&read_digest(digest)?);
            }
            Ok(row.id)
        });
        let id = revoked.await?;
        self.credentials.ledger().forget(&id);
        log::info!("{maker} revoked the key {id}");
        Ok(())
    }
}

/// The user whose keys `caller` may see; nothing if he may see all.
pub(crate) fn owner_only(caller: &Caller) -> Option<String> {
    (!caller.scopes.allow(&Scope::ADMIN)).then(|| caller.user.clone())
}

fn revoke(
    conn: &mut SqliteConnection,
    id: &str,
    by: &Origin,
    now: i64,
) -> Result<KeyRow, StoreError> {
    let row = find_key(conn, id, &by.caller)?;
    if row.revoked_at.is_none() {
        diesel::update(api_keys::table.find(&row.digest))
            .set(api_keys::revoked_at.eq(now))
            .execute(conn)?;
        let detail = json!({"name": row.name, "user": row.username});
        record(conn, now, by, &Deed::new("key.revoke", id, detail))?;
    }
    Ok(row)
}

/// The key `id`, if `caller` may know of it.
pub(crate) fn find_key(
    conn: &mut SqliteConnection,
    id: &str,
    caller: &Caller,
) -> Result<KeyRow, StoreError> {
    let found: Option<KeyRow> = api_keys::table
        .filter(api_keys::id.eq(id))
        .select(KeyRow::as_select())
        .first(conn)
        .optional()?;
    let owner = owner_only(caller);
    let row = found.filter(|row| owner.is_none_or(|owner| owner == row.username));
    row.ok_or_else(|| {
        Fault::unknown("there is no key with this id; list the keys to see them").into()
    })
}

/// What the user who is to have a key may do.
fn scopes_of(conn: &mut SqliteConnection, username: &str) -> Result<String, StoreError> {
    let user: Option<String> = users::table
        .find(username)
        .filter(users::disabled.eq(false))
        .select(users::scopes)
        .first(conn)
        .optional()?;
    user.ok_or_else(|| {
        let told = format!("the user {username} is disabled: a key of his would not be taken");
        Fault::conflict(told).into()
    })
}

fn check_request(caller: &Caller, request: &CreateKey, now: i64) -> Result<(), Fault> {
    check_name(&request.name)?;
    check_end(request.expires_at, now)?;
    check_scopes(caller, &request.scopes)
}

pub(crate) fn check_name(name: &str) -> Result<(), Fault> {
    let length = name.chars().count();
    let printable = !name.chars().any(char::is_control);
    if !(1..=LONGEST_NAME).contains(&length) || !printable || name.trim().is_empty() {
        return Err(Fault::unprocessable(format!(
            "a key's name has 1 to {LONGEST_NAME} printable characters"
        ))
        .with_param("name"));
    }
    Ok(())
}

pub(crate) fn check_end(end: Option<Timestamp>, now: i64) -> Result<(), Fault> {
    if end.is_some_and(|end| end.as_millisecond() <= now) {
        return Err(Fault::unprocessable("expires_at lies in the past").with_param("expires_at"));
    }
    Ok(())
}

/// Nobody hands out more than the key that he holds may use, whose limits are `own`.
pub(crate) fn check_limits(caller: &Caller, own: &Limits, wanted: &Limits) -> Result<(), Fault> {
    wanted.check()?;
    own.beyond(wanted).map_or(Ok(()), |limit| {
        Err(Fault::denied(format!(
            "{} has a limit of {limit} itself and cannot hand out a wider one",
            caller.id
        ))
        .with_param(format!("limits.{limit}"))
        .with_code("limit_exceeds_own"))
    })
}

//! Keys: making, listing and revoking them.

use std::iter;

use diesel::{prelude::*, sqlite::SqliteConnection};
use jiff::Timestamp;
use messages::{
    apikeys::{
        Caller, CreateKey, Key, NewKey, RevokeKey, Scope,
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
    holder::Holder,
    metered::{metered, moment},
    passwords::random,
    registry::Registry,
    rows::{KeyRow, LimitsRow, read_digest, write_scopes},
    schema::{api_keys, users},
};

/// Random digits of a key's or session's public id: 71 bits.
pub(crate) const ID_DIGITS: usize = 12;

const LONGEST_NAME: usize = 100;

impl Registry {
    /// Makes a key for `caller`'s user, in force before this answers.
    pub(crate) async fn create_key(&self, by: Origin, request: CreateKey) -> Result<NewKey, Fault> {
        let now = self.clock.millis();
        let (maker, user) = (by.caller.id.clone(), by.caller.user.clone());
        check_request(&request, now)?;
        let (key_limits, key_scopes) = (request.limits, write_scopes(&request.scopes));
        let key = secret::key_from(&random(KEY_DIGITS));
        let row = KeyRow {
            digest: secret::digest(&key).to_vec(),
            id: random(ID_DIGITS),
            name: request.name,
            username: user,
            scopes: key_scopes,
            created_at: now,
            expires_at: request.expires_at.map(|end| end.as_millisecond()),
            revoked_at: None,
            last_used_at: None,
            limits: LimitsRow::default(),
            previous_digest: None,
            previous_until: None,
        };
        let about = self.insert_key(row, key_limits, by).await?;
        log::info!("{maker} made the key {}", about.id);
        Ok(NewKey { key, about })
    }

    /// Without `limits` it gets those of the key that its maker holds.
    async fn insert_key(
        &self,
        mut row: KeyRow,
        limits: Option<Limits>,
        by: Origin,
    ) -> Result<Key, Fault> {
        let (digest, now) = (read_digest(&row.digest)?, row.created_at);
        let credentials = self.credentials.clone();
        let clock = self.clock.clone();
        self.write_and_publish(digest, move |conn| {
            let holder = Holder::find(conn, by, clock.millis())?;
            let limits = limits.unwrap_or(holder.limits);
            limits.check()?;
            row.limits = limits.into();
            holder.check_reach(&row)?;
            let about = row.about()?;
            let detail = json!({
                "name": about.name, "scopes": about.scopes, "expires_at": about.expires_at,
                "limits": about.limits,
            });
            let deed = Deed::new("key.create", about.id.as_str(), detail);
            let scopes = scopes_of(conn, &row.username)?;
            let grants = metered(conn, credentials.ledger(), &row, &scopes, moment(now)?)?;
            let (_, grant) = (grants.into_iter().next())
                .ok_or_else(|| Fault::internal("a key without a secret"))?;
            diesel::insert_into(api_keys::table)
                .values(row)
                .execute(conn)?;
            record(conn, now, &holder.by, &deed)?;
            Ok((grant, about))
        })
        .await
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
        let clock = self.clock.clone();
        let revoked = self.store.write(move |conn| {
            let holder = Holder::find(conn, by, clock.millis())?;
            let row = revoke(conn, &id, &holder.by, now)?;
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

fn check_request(request: &CreateKey, now: i64) -> Result<(), Fault> {
    check_name(&request.name)?;
    check_end(request.expires_at, now)
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

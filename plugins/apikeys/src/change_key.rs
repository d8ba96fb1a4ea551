//! Changing a key that is in use, and giving it a new secret.

use diesel::{prelude::*, sqlite::SqliteConnection};
use messages::{
    apikeys::{
        Caller, Key, KeyChange, NewKey, RotateKey, UpdateKey,
        secret::{self, KEY_DIGITS},
    },
    call::Origin,
    fault::Fault,
    supervisor::Change,
    usage::Limits,
};
use serde_json::json;
use store::StoreError;

use crate::{
    audit::{Deed, record},
    holder::Holder,
    keys::{check_end, check_name, find_key},
    passwords::random,
    registry::Registry,
    rows::{KeyRow, read_scopes, read_time, write_scopes},
    schema::api_keys,
};

/// The longest that two secrets of a key hold, in seconds.
const LONGEST_OVERLAP: u64 = 30 * 86_400;

impl Registry {
    /// Changes a key, in force before this answers.
    pub(crate) async fn update_key(&self, by: Origin, request: UpdateKey) -> Result<Key, Fault> {
        let UpdateKey { id, change } = request;
        let changed = self.change_key(by, id, move |conn, row, holder, now| {
            apply(row, &change, now)?;
            holder.check_reach(row)?;
            store_change(conn, row)?;
            let detail = json!({
                "name": row.name, "scopes": read_scopes(&row.scopes),
                "expires_at": row.expires_at.map(read_time).transpose()?,
                "limits": Limits::from(row.limits),
            });
            record(
                conn,
                now,
                &holder.by,
                &Deed::new("key.update", row.id.as_str(), detail),
            )
        });
        let row = changed.await?;
        Ok(row.about()?)
    }

    /// Gives a key a new secret, in force before this answers. A secret that was still holding on
    /// from an earlier rotation ends.
    pub(crate) async fn rotate_key(&self, by: Origin, request: RotateKey) -> Result<NewKey, Fault> {
        let RotateKey { id, overlap } = request;
        let seconds = overlap.as_secs();
        if seconds > LONGEST_OVERLAP {
            return Err(Fault::unprocessable(format!(
                "overlap_seconds may be {LONGEST_OVERLAP} at the most"
            ))
            .with_param("overlap_seconds"));
        }
        let key = secret::key_from(&random(KEY_DIGITS));
        let digest = secret::digest(&key).to_vec();
        let rotated = self.change_key(by, id, move |conn, row, holder, now| {
            let millis = i64::try_from(seconds.saturating_mul(1000)).unwrap_or(i64::MAX);
            let before = std::mem::replace(&mut row.digest, digest);
            row.previous_digest = (seconds > 0).then_some(before);
            row.previous_until = (seconds > 0).then(|| now.saturating_add(millis));
            store_secrets(conn, row)?;
            let detail = json!({"name": row.name, "overlap_seconds": seconds});
            record(
                conn,
                now,
                &holder.by,
                &Deed::new("key.rotate", row.id.as_str(), detail),
            )
        });
        let about = rotated.await?.about()?;
        Ok(NewKey { key, about })
    }

    /// Changes a key whose reach `by` has himself: whoever could widen one beyond his own, prolong
    /// it, or get its secret would get more than he was given.
    async fn change_key(
        &self,
        by: Origin,
        id: String,
        change: impl FnOnce(&mut SqliteConnection, &mut KeyRow, &Holder, i64) -> Result<(), StoreError>
        + Send
        + 'static,
    ) -> Result<KeyRow, Fault> {
        let now = self.clock.millis();
        let (caller, wanted) = (by.caller.clone(), id.clone());
        let find = move |conn: &mut _| find_key(conn, &wanted, &caller);
        let user = self.store.read(find).await?.username;
        let clock = self.clock.clone();
        let changed = self.change_and_publish(user, move |conn| {
            let holder = Holder::find(conn, by, clock.millis())?;
            let mut row = find_key(conn, &id, holder.caller())?;
            if row.revoked_at.is_some() {
                return Err(Fault::conflict("the key is revoked").into());
            }
            not_by_the_secret_before(holder.caller(), &row, now)?;
            holder.check_reach(&row)?;
            change(conn, &mut row, &holder, now)?;
            log::info!("{} changed the key {}", holder.caller().id, row.id);
            Ok(row)
        });
        changed.await
    }
}

/// While two secrets of a key hold, neither changes it: a call does not say which one it came with,
/// and whoever has the old one, which is perhaps why it was rotated, would make himself a new one.
fn not_by_the_secret_before(caller: &Caller, row: &KeyRow, now: i64) -> Result<(), Fault> {
    let overlap = row.previous_until.is_some_and(|until| until > now);
    if !overlap || caller.key() != Some(row.id.as_str()) {
        return Ok(());
    }
    let told =
        "two secrets of this key hold: until the old one ends, others may change it, not itself";
    Err(Fault::denied(told).with_code("key_in_overlap"))
}

fn apply(row: &mut KeyRow, change: &KeyChange, now: i64) -> Result<(), Fault> {
    if let Some(name) = &change.name {
        check_name(name)?;
        row.name.clone_from(name);
    }
    if let Some(scopes) = &change.scopes {
        row.scopes = write_scopes(scopes);
    }
    if change.expires_at != Change::Leave {
        let end = change.expires_at.of(None);
        check_end(end, now)?;
        row.expires_at = end.map(|end| end.as_millisecond());
    }
    let limits = Limits::from(row.limits);
    let limits = match &change.limits {
        Change::Leave => limits,
        Change::TakeBack => Limits::default(),
        Change::Set(changes) => changes.of(limits),
    };
    // Before they are made fit for the database, where what is too large would be none.
    limits.check()?;
    row.limits = limits.into();
    Ok(())
}

fn store_change(conn: &mut SqliteConnection, row: &KeyRow) -> Result<(), StoreError> {
    diesel::update(api_keys::table.filter(api_keys::id.eq(&row.id)))
        .set((
            api_keys::name.eq(&row.name),
            api_keys::scopes.eq(&row.scopes),
            api_keys::expires_at.eq(row.expires_at),
            row.limits,
        ))
        .execute(conn)?;
    Ok(())
}

fn store_secrets(conn: &mut SqliteConnection, row: &KeyRow) -> Result<(), StoreError> {
    diesel::update(api_keys::table.filter(api_keys::id.eq(&row.id)))
        .set((
            api_keys::digest.eq(&row.digest),
            api_keys::previous_digest.eq(&row.previous_digest),
            api_keys::previous_until.eq(row.previous_until),
        ))
        .execute(conn)?;
    Ok(())
}

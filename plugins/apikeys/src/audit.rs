//! The audit log: writing down who did what, each entry bound to the one before by its hash.
//!
//! Whoever can write to the database can make a chain that holds; what he cannot do is make one that
//! leads to a head that was noted elsewhere.

mod verify;

use std::net::IpAddr;

use diesel::{prelude::*, sqlite::SqliteConnection};
use messages::{
    apikeys::{AuditEntry, Caller, ListAudit, RecordAudit, Scope},
    call::Origin,
    fault::Fault,
};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use store::StoreError;

use crate::{registry::Registry, rows::read_time, schema::audit_log};

/// Entries in one answer at the most.
const LONGEST_LIST: u32 = 1000;

/// The most characters of a target that another plugin names.
const LONGEST_TARGET: usize = 512;

/// The most bytes of a detail: the names of settings, not a body.
const LONGEST_DETAIL: usize = 16 * 1024;

/// What the first entry has in place of a hash before it.
const BEGINNING: [u8; 32] = [0; 32];

/// What is hashed first, so that no other text of ours can be taken for an entry.
const FORM: &[u8] = b"bkg audit entry, form 1";

/// What was done, to what.
#[derive(Debug)]
pub(crate) struct Deed {
    /// Such as `key.create`.
    pub(crate) action: &'static str,
    /// A key's id, a user's name.
    pub(crate) target: String,
    /// Never a secret.
    pub(crate) detail: Value,
}

impl Deed {
    pub(crate) fn new(action: &'static str, target: impl Into<String>, detail: Value) -> Self {
        Self {
            action,
            target: target.into(),
            detail,
        }
    }
}

/// Writes down that `by` did `deed` at `now`, in the transaction of the change itself: neither is
/// there without the other.
///
/// # Errors
/// What the store said; the change must then not be made.
pub(crate) fn record(
    conn: &mut SqliteConnection,
    now: i64,
    by: &Origin,
    deed: &Deed,
) -> Result<(), StoreError> {
    append(conn, now, by, deed.action, &deed.target, &deed.detail)
}

fn append(
    conn: &mut SqliteConnection,
    now: i64,
    by: &Origin,
    action: &str,
    target: &str,
    detail: &Value,
) -> Result<(), StoreError> {
    let last: Option<(i64, Vec<u8>)> = audit_log::table
        .order(audit_log::seq.desc())
        .select((audit_log::seq, audit_log::hash))
        .first(conn)
        .optional()?;
    let (seq, previous) = last.unwrap_or((0, BEGINNING.to_vec()));
    let mut row = AuditRow {
        seq: seq.saturating_add(1),
        at: now,
        actor: by.caller.id.clone(),
        username: by.caller.user.clone(),
        address: by.address.map(|address: IpAddr| address.to_string()),
        request_id: by.request_id.to_string(),
        action: action.to_owned(),
        target: target.to_owned(),
        detail: detail.to_string(),
        previous,
        hash: Vec::new(),
    };
    row.hash = row.digest().to_vec();
    diesel::insert_into(audit_log::table)
        .values(row)
        .execute(conn)?;
    Ok(())
}

impl Registry {
    /// Writes down what another plugin is about to do.
    pub(crate) async fn record_audit(&self, by: Origin, deed: RecordAudit) -> Result<(), Fault> {
        let now = self.clock.millis();
        // Cut, not refused: nobody is to stay out of the log by a name that is long enough.
        let target: String = deed.target.chars().take(LONGEST_TARGET).collect();
        let length = deed.detail.to_string().len();
        let detail = match length {
            0..=LONGEST_DETAIL => deed.detail,
            _ => json!({"left_out_bytes": length}),
        };
        let write = move |conn: &mut SqliteConnection| {
            append(conn, now, &by, &deed.action, &target, &detail)
        };
        Ok(self.store.write(write).await?)
    }

    /// Entries in order: those after a known one, or the newest.
    pub(crate) async fn list_audit(
        &self,
        caller: &Caller,
        ask: ListAudit,
    ) -> Result<Vec<AuditEntry>, Fault> {
        caller.require(&Scope::ADMIN)?;
        if !(1..=LONGEST_LIST).contains(&ask.limit) {
            let told = format!("limit is 1 to {LONGEST_LIST}");
            return Err(Fault::unprocessable(told).with_param("limit"));
        }
        Ok(self.store.read(move |conn| list(conn, ask)).await?)
    }
}

fn list(conn: &mut SqliteConnection, ask: ListAudit) -> Result<Vec<AuditEntry>, StoreError> {
    let mut query = audit_log::table
        .select(AuditRow::as_select())
        .limit(ask.limit.into())
        .into_boxed();
    if let Some(action) = ask.action {
        query = query.filter(audit_log::action.eq(action));
    }
    let rows = match ask.after {
        Some(after) => {
            let after = i64::try_from(after).unwrap_or(i64::MAX);
            let later = query.filter(audit_log::seq.gt(after));
            later.order(audit_log::seq).load(conn)?
        }
        None => {
            let mut newest = query.order(audit_log::seq.desc()).load(conn)?;
            newest.reverse();
            newest
        }
    };
    rows.into_iter().map(AuditRow::about).collect()
}

#[derive(Debug, Clone, Queryable, Selectable, Insertable)]
#[diesel(table_name = audit_log)]
struct AuditRow {
    seq: i64,
    at: i64,
    actor: String,
    username: String,
    address: Option<String>,
    request_id: String,
    action: String,
    target: String,
    detail: String,
    previous: Vec<u8>,
    hash: Vec<u8>,
}

impl AuditRow {
    fn about(self) -> Result<AuditEntry, StoreError> {
        Ok(AuditEntry {
            seq: u64::try_from(self.seq).unwrap_or_default(),
            at: read_time(self.at)?,
            actor: self.actor,
            user: self.username,
            address: self.address,
            request_id: self.request_id,
            action: self.action,
            target: self.target,
            // What is no JSON any more is still shown: someone will want to see it.
            detail: serde_json::from_str(&self.detail).unwrap_or(Value::String(self.detail)),
            previous: hex(&self.previous),
            hash: hex(&self.hash),
        })
    }

    /// The hash that belongs to this row. Every field goes in with its length before it, so that
    /// no two different rows have the same bytes.
    fn digest(&self) -> [u8; 32] {
        let mut bytes = Vec::new();
        let address = self.address.as_deref();
        for field in [
            FORM,
            &self.seq.to_be_bytes(),
            &self.at.to_be_bytes(),
            self.actor.as_bytes(),
            self.username.as_bytes(),
            // Without an address is not the same as with an empty one.
            &[u8::from(address.is_some())],
            address.unwrap_or_default().as_bytes(),
            self.request_id.as_bytes(),
            self.action.as_bytes(),
            self.target.as_bytes(),
            self.detail.as_bytes(),
            &self.previous,
        ] {
            let length = u64::try_from(field.len()).unwrap_or(u64::MAX);
            bytes.extend_from_slice(&length.to_be_bytes());
            bytes.extend_from_slice(field);
        }
        Sha256::digest(&bytes).into()
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            // Writing to a string cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}

//! What a key's secrets allow, all under one meter.

use std::{sync::Arc, time::Instant};

use diesel::sqlite::SqliteConnection;
use messages::{
    apikeys::{Digest, Grant},
    usage::{Ledger, Meter, Moment},
};
use store::StoreError;

use crate::{
    rows::{KeyRow, read_digest, read_time},
    usage::used_this_month,
};

/// The moment whose wall clock shows `millis`.
pub(crate) fn moment(millis: i64) -> Result<Moment, StoreError> {
    Ok(Moment {
        wall: read_time(millis)?,
        steady: Instant::now(),
    })
}

/// What the secret of `row` allows, and the one before it while that still holds; `scopes` are
/// those of its user. Puts the key's limits in force, so it is for the write turn alone.
pub(crate) fn metered(
    conn: &mut SqliteConnection,
    ledger: &Ledger,
    row: &KeyRow,
    scopes: &str,
    now: Moment,
) -> Result<Vec<(Digest, Grant)>, StoreError> {
    let used = || used_this_month(conn, &row.id, now.wall);
    let meter = ledger.meter(&row.id, row.limits.into(), now, used)?;
    grants(row, scopes, meter, now)
}

/// As [`metered`], of a `row` that was read outside the write turn: the limits in force stay, since
/// they may be newer.
pub(crate) fn found(
    conn: &mut SqliteConnection,
    ledger: &Ledger,
    row: &KeyRow,
    scopes: &str,
    now: Moment,
) -> Result<Vec<(Digest, Grant)>, StoreError> {
    let used = || used_this_month(conn, &row.id, now.wall);
    let meter = ledger.known_meter(&row.id, row.limits.into(), now, used)?;
    grants(row, scopes, meter, now)
}

fn grants(
    row: &KeyRow,
    scopes: &str,
    meter: Arc<Meter>,
    now: Moment,
) -> Result<Vec<(Digest, Grant)>, StoreError> {
    let (digest, grant) = row.grant(scopes)?;
    let grant = Grant {
        meter: Some(meter),
        ..grant
    };
    let mut grants = vec![(digest, grant.clone())];
    if let (Some(digest), Some(until)) = (&row.previous_digest, row.previous_until) {
        let until = read_time(until)?;
        let ends = grant.expires_at.map_or(until, |end| end.min(until));
        if ends > now.wall {
            let before = Grant {
                expires_at: Some(ends),
                ..grant
            };
            grants.push((read_digest(digest)?, before));
        }
    }
    Ok(grants)
}

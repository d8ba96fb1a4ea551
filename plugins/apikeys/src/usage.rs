//! What was used: written down in batches, and told to whoever asks.

mod report;
pub(crate) mod rows;

use std::{sync::Arc, time::Duration};

use diesel::{
    dsl::sql,
    prelude::*,
    sql_types::{BigInt, Nullable},
    sqlite::SqliteConnection,
};
use jiff::{Timestamp, tz::TimeZone};
use messages::{
    apikeys::Credentials,
    call::Cx,
    fault::Fault,
    host::Host,
    usage::{Lines, ReadUsage, Usage},
};
use store::{Store, StoreError};

use self::{report::Report, rows::UsageRow};
use crate::{keys::owner_only, registry::Registry, schema::usage_lines};

/// What is used is written down this often: as much as a kill can lose.
const EVERY: Duration = Duration::from_secs(1);

/// Writes down what is used, for as long as the plugin lives.
pub(crate) async fn keep_books(host: Host, store: Store, credentials: Arc<Credentials>) {
    let mut failing = false;
    loop {
        let held = u64::try_from(credentials.memory_bytes());
        host.tell_memory(held.unwrap_or(u64::MAX));
        tokio::time::sleep(EVERY).await;
        let (store, credentials) = (store.clone(), credentials.clone());
        // On a thread that ends what it has begun, also when this life of the plugin does not.
        let written = host.run(move || write_down(&store, &credentials)).await;
        let failure = written.map(|written| written.err());
        match failure {
            Ok(Some(why)) if !failing => {
                log::warn!("what was used could not be written down and is kept: {why}");
                failing = true;
            }
            Ok(None) if failing => {
                log::info!("what was used is written down again");
                failing = false;
            }
            _ => {}
        }
    }
}

/// Writes down what is used and not written; keeps it where that fails. Blocks meanwhile.
pub(crate) fn write_down(store: &Store, credentials: &Credentials) -> Result<(), StoreError> {
    let write = |lines: &Lines| store.write_blocking(|conn| add(conn, lines));
    credentials.ledger().write_down(write)
}

fn add(conn: &mut SqliteConnection, lines: &Lines) -> Result<(), StoreError> {
    for (line, totals) in lines {
        let mut row = UsageRow::new(line, totals);
        let there: Option<UsageRow> = usage_lines::table
            .find((
                &row.day,
                &row.key_id,
                &row.username,
                &row.model,
                &row.route,
                row.status,
            ))
            .select(UsageRow::as_select())
            .first(conn)
            .optional()?;
        match there {
            Some(there) => {
                row.add(&there);
                row.save_changes::<UsageRow>(conn).map(drop)?;
            }
            None => {
                diesel::insert_into(usage_lines::table)
                    .values(row)
                    .execute(conn)?;
            }
        }
    }
    Ok(())
}

/// The tokens that the key `id` has used in the month of `now`, as far as it is written down.
pub(crate) fn used_this_month(
    conn: &mut SqliteConnection,
    id: &str,
    now: Timestamp,
) -> Result<u64, StoreError> {
    let first = now.to_zoned(TimeZone::UTC).date().first_of_month();
    let used: Option<i64> = usage_lines::table
        .filter(usage_lines::key_id.eq(id))
        .filter(usage_lines::day.ge(first.to_string()))
        .filter(usage_lines::day.le(first.last_of_month().to_string()))
        .select(sql::<Nullable<BigInt>>(
            "SUM(prompt_tokens + completion_tokens)",
        ))
        .first(conn)?;
    Ok(used.and_then(|used| u64::try_from(used).ok()).unwrap_or(0))
}

impl Registry {
    /// Writes down what is used, at the end. Blocks meanwhile.
    pub(crate) fn write_down_usage(&self) -> Result<(), StoreError> {
        write_down(&self.store, &self.credentials)
    }

    /// What was used, also what is not written down yet. Who is no admin sees his own use. A report
    /// that nobody waits for any more keeps its permit until it is done.
    pub(crate) async fn read_usage(&self, cx: &Cx, request: ReadUsage) -> Result<Usage, Fault> {
        let wall = Timestamp::from_millisecond(self.clock.millis()).unwrap_or_default();
        let report = Report::new(
            request,
            owner_only(cx.caller()),
            wall.to_zoned(TimeZone::UTC).date(),
        )?;
        let (store, credentials) = (self.store.clone(), self.credentials.clone());
        let read = move || {
            // What is not written is added from memory; none of it is on its way meanwhile.
            credentials.ledger().read(|unwritten| {
                let rows = store.read_blocking(|conn| report.load(conn))?;
                Ok::<_, Fault>(report.of(rows, &unwritten()))
            })
        };
        self.host.run_for(cx, read).await?
    }
}

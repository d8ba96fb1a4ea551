//! Checking the audit log from its first entry to its last.

use diesel::{prelude::*, sqlite::SqliteConnection};
use messages::{
    apikeys::{AuditBreak, AuditVerdict, Caller, Scope, VerifyAudit},
    fault::Fault,
};
use store::StoreError;

use super::{AuditRow, BEGINNING, hex};
use crate::{registry::Registry, schema::audit_log};

/// Entries read at a time: a log of years must not lie in memory.
const PAGE: i64 = 1000;

impl Registry {
    /// Follows the chain to its end or to its first broken link.
    pub(crate) async fn verify_audit(
        &self,
        caller: &Caller,
        ask: VerifyAudit,
    ) -> Result<AuditVerdict, Fault> {
        caller.require(&Scope::ADMIN)?;
        let head = ask.head.map(|head| head.to_ascii_lowercase());
        if head.as_ref().is_some_and(|head| !is_hash(head)) {
            let told = "head is a hash of 64 hexadecimal digits, as an earlier check printed it";
            return Err(Fault::unprocessable(told).with_param("head"));
        }
        // In one transaction: what is written meanwhile belongs to the next check.
        let read = |conn: &mut SqliteConnection| conn.transaction(|conn| verify(conn, head));
        Ok(self.store.read(read).await?)
    }
}

fn is_hash(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|digit| digit.is_ascii_hexdigit())
}

/// How far the chain has been followed.
struct Walk {
    seq: i64,
    hash: Vec<u8>,
    /// The hash that must turn up on the way.
    wanted: Option<String>,
}

fn verify(conn: &mut SqliteConnection, head: Option<String>) -> Result<AuditVerdict, StoreError> {
    let mut walk = Walk {
        seq: 0,
        hash: BEGINNING.to_vec(),
        // The head of an empty log is in every log.
        wanted: head.filter(|head| *head != hex(&BEGINNING)),
    };
    loop {
        let page: Vec<AuditRow> = audit_log::table
            .filter(audit_log::seq.gt(walk.seq))
            .order(audit_log::seq)
            .limit(PAGE)
            .select(AuditRow::as_select())
            .load(conn)?;
        if page.is_empty() {
            return Ok(walk.verdict(walk.missing()));
        }
        for row in page {
            if let Some(why) = walk.step(row) {
                return Ok(walk.verdict(Some(why)));
            }
        }
    }
}

impl Walk {
    /// Takes the next row, or says what is wrong with it.
    fn step(&mut self, row: AuditRow) -> Option<AuditBreak> {
        let due = self.seq.saturating_add(1);
        if row.seq != due {
            return Some(broken(due, "it is missing"));
        }
        if row.previous != self.hash {
            return Some(broken(due, "it does not follow from the entry before it"));
        }
        if row.hash != row.digest() {
            return Some(broken(due, "it was changed: its hash does not fit"));
        }
        if self
            .wanted
            .as_ref()
            .is_some_and(|head| *head == hex(&row.hash))
        {
            self.wanted = None;
        }
        self.seq = row.seq;
        self.hash = row.hash;
        None
    }

    /// At the end of the chain the head that was noted must have turned up.
    fn missing(&self) -> Option<AuditBreak> {
        let next = self.seq.saturating_add(1);
        let why = "the log ends before the head that was given: entries were cut off";
        self.wanted.as_ref().map(|_| broken(next, why))
    }

    fn verdict(&self, broken: Option<AuditBreak>) -> AuditVerdict {
        AuditVerdict {
            intact: broken.is_none(),
            entries: u64::try_from(self.seq).unwrap_or_default(),
            head: hex(&self.hash),
            broken,
        }
    }
}

fn broken(seq: i64, why: &str) -> AuditBreak {
    AuditBreak {
        seq: u64::try_from(seq).unwrap_or_default(),
        why: why.to_owned(),
    }
}

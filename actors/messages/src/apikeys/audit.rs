//! The audit log: every change, each bound to the one before by its hash.

use std::{borrow::Cow, time::Duration};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::call::Capability;

/// One change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuditEntry {
    /// Its number: 1, 2, 3 and so on, without a gap.
    pub seq: u64,
    /// When it was told.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// The id of who did it, such as `key:7KQ…`, `session:…`, `owner` or `nobody`.
    pub actor: String,
    /// The user who stands behind it.
    pub user: String,
    /// The client's address; nothing for the owner's socket and the gateway's own work.
    pub address: Option<String>,
    /// The id of the request.
    pub request_id: String,
    /// What was done, such as `key.create` or `plugin.stop`. One that ends in `.failed` says that
    /// what the same request was recorded for did not come about.
    pub action: String,
    /// To what: a key's id, a user's name, a plugin, a collection.
    pub target: String,
    /// More about it; never a secret.
    #[schema(value_type = Object)]
    pub detail: Value,
    /// The hash of the entry before, in hexadecimal.
    pub previous: String,
    /// SHA-256 over all of the above, in hexadecimal.
    pub hash: String,
}

/// Writes down a change that another plugin makes, durably, on behalf of the call's caller.
#[derive(Debug, Clone)]
pub struct RecordAudit {
    /// What is done, such as `plugin.stop`.
    pub action: Cow<'static, str>,
    /// To what.
    pub target: String,
    /// More about it; never a secret.
    pub detail: Value,
}

impl Capability for RecordAudit {
    type Reply = ();
    const NAME: &'static str = "apikeys.record_audit";
    const DEADLINE: Duration = Duration::from_secs(5);
}

/// Reads the audit log, the oldest first: what follows `after`, or without it the newest entries.
#[derive(Debug, Clone, Default)]
pub struct ListAudit {
    /// The last entry that is known already.
    pub after: Option<u64>,
    /// How many entries at the most.
    pub limit: u32,
    /// Entries of this action alone.
    pub action: Option<String>,
}

impl Capability for ListAudit {
    type Reply = Vec<AuditEntry>;
    const NAME: &'static str = "apikeys.list_audit";
    const DEADLINE: Duration = Duration::from_secs(10);
}

/// Checks the whole audit log.
#[derive(Debug, Clone, Default)]
pub struct VerifyAudit {
    /// The head's hash as it was noted earlier, in hexadecimal. It must still be in the log, or
    /// entries have been cut off its end.
    pub head: Option<String>,
}

impl Capability for VerifyAudit {
    type Reply = AuditVerdict;
    const NAME: &'static str = "apikeys.verify_audit";
    const DEADLINE: Duration = Duration::from_secs(60);
}

/// What a check of the audit log has found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuditVerdict {
    /// Whether the log is whole.
    pub intact: bool,
    /// Entries that hang together, from the first on.
    pub entries: u64,
    /// The hash of the last of them, in hexadecimal. Noted elsewhere, it proves later that nothing
    /// was cut off.
    pub head: String,
    /// The first place where the log is broken.
    pub broken: Option<AuditBreak>,
}

/// Where and how the audit log is broken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuditBreak {
    /// The number of the entry.
    pub seq: u64,
    /// What is wrong with it.
    pub why: String,
}

//! The audit log: read it, check it, and write down what a request is about to change.

use actix_web::{HttpResponse, get, web};
use messages::{
    apikeys::{AuditEntry, AuditVerdict, ListAudit, RecordAudit, VerifyAudit},
    fault::{Fault, FaultKind},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::{IntoParams, ToSchema};

use crate::http::{
    caller::{Admin, Allowed},
    error::{ErrorBody, Problem},
};

/// Which entries a reader wants.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct AuditWish {
    /// The last entry that is known; without it the newest entries are told.
    after: Option<u64>,
    /// How many entries at the most, 1 to 1,000.
    #[serde(default = "hundred")]
    limit: u32,
    /// Entries of this action alone, such as `key.create`.
    action: Option<String>,
}

fn hundred() -> u32 {
    100
}

/// Entries of the audit log.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AuditList {
    /// Oldest first.
    entries: Vec<AuditEntry>,
}

/// What the check is to prove.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct AuditProof {
    /// The head as an earlier check told it; it must still be in the log.
    head: Option<String>,
}

/// Reads the audit log.
#[utoipa::path(tag = "identity", params(AuditWish), responses(
    (status = 200, body = AuditList), (status = 422, body = ErrorBody)
), security(("key" = [])))]
#[get("/admin/audit")]
pub(crate) async fn list(
    caller: Allowed<Admin>,
    wish: web::Query<AuditWish>,
) -> Result<HttpResponse, Problem> {
    let AuditWish {
        after,
        limit,
        action,
    } = wish.into_inner();
    let ask = ListAudit {
        after,
        limit,
        action,
    };
    let entries = caller.port().call(ask).await?;
    Ok(HttpResponse::Ok().json(AuditList { entries }))
}

/// Checks the audit log from its first entry to its last.
#[utoipa::path(tag = "identity", params(AuditProof), responses(
    (status = 200, body = AuditVerdict), (status = 422, body = ErrorBody)
), security(("key" = [])))]
#[get("/admin/audit/verify")]
pub(crate) async fn verify(
    caller: Allowed<Admin>,
    proof: web::Query<AuditProof>,
) -> Result<HttpResponse, Problem> {
    let head = proof.into_inner().head;
    let verdict = caller.port().call(VerifyAudit { head }).await?;
    Ok(HttpResponse::Ok().json(verdict))
}

/// Writes down what a request is about to change, and then makes the change.
///
/// It is written first, because a client that leaves at the right moment, or a power cut, must not
/// make a change that nobody finds; a change that then fails gets a second entry that says so. A
/// change that cannot be written down is made nevertheless, with a warning in the log: on a full
/// disk, or with `apikeys` down, an operator must still be able to put things right. Where `apikeys`
/// is only busy the change is refused: anyone can make it busy.
pub(crate) async fn recorded<S, T>(
    caller: &Allowed<S>,
    action: &'static str,
    target: &str,
    detail: Value,
    change: impl Future<Output = Result<T, Fault>>,
) -> Result<T, Fault> {
    let deed = RecordAudit {
        action: action.into(),
        target: target.to_owned(),
        detail,
    };
    record(caller, deed).await?;
    let changed = change.await;
    if let Err(fault) = &changed {
        let deed = RecordAudit {
            action: format!("{action}.failed").into(),
            target: target.to_owned(),
            detail: json!({"fault": fault.kind}),
        };
        // What is told is why the change failed.
        drop(record(caller, deed).await);
    }
    changed
}

/// Writes it down, or says in the log that it could not be.
async fn record<S>(caller: &Allowed<S>, deed: RecordAudit) -> Result<(), Fault> {
    let Err(why) = caller.port().call(deed.clone()).await else {
        return Ok(());
    };
    let RecordAudit {
        action,
        target,
        detail,
    } = deed;
    let actor = &caller.caller().id;
    log::warn!("not in the audit log ({why}): {actor} {action} {target:?} {detail}");
    match excuses(why.kind) {
        true => Ok(()),
        false => Err(why),
    }
}

/// Whether a change may be made that is not written down because of `why`.
fn excuses(why: FaultKind) -> bool {
    !matches!(why, FaultKind::Overloaded | FaultKind::TimedOut)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeping_the_audit_log_busy_is_no_way_around_it() {
        assert!(!excuses(FaultKind::Overloaded) && !excuses(FaultKind::TimedOut));
        for down in [
            FaultKind::Stopped,
            FaultKind::Failed,
            FaultKind::StorageFull,
        ] {
            assert!(excuses(down), "{down:?}");
        }
    }
}

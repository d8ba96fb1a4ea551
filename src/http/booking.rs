//! What a request that has ended leaves in the ledger.

use std::sync::Arc;

use jiff::{Timestamp, tz::TimeZone};
use messages::{
    apikeys::Caller,
    usage::{Ledger, Line, Tokens, Totals},
};

use super::tally::Ended;

/// Books a request in the ledger. What strangers try is nobody's use.
pub(crate) fn book(ended: &Ended, ledger: &Ledger) {
    let facts = &ended.facts;
    let Some(caller) = &facts.caller else {
        return;
    };
    let line = Line {
        day: Timestamp::now().to_zoned(TimeZone::UTC).date(),
        key: holder(caller).into(),
        user: caller.user.as_str().into(),
        model: facts.model.clone().unwrap_or_else(|| Arc::from("")),
        route: facts.route.as_deref().unwrap_or("other").into(),
        status: ended.status,
    };
    let tokens = Tokens {
        prompt: facts.prompt_tokens,
        completion: facts.completion_tokens,
    };
    ledger.add(line, &Totals::one(tokens, ended.took));
}

/// The id of the caller's key, or what he holds instead of one: sessions come and go, and are
/// told apart by their users.
fn holder(caller: &Caller) -> &str {
    match caller.id.split_once(':') {
        Some(("key", id)) => id,
        Some((kind, _)) => kind,
        None => &caller.id,
    }
}

//! What an upstream's failure means for our caller.

use std::time::Duration;

use messages::fault::{Fault, FaultKind};
use reqwest::{
    Response, StatusCode,
    header::{HeaderMap, RETRY_AFTER},
};
use serde_json::Value;

use super::client::{self, Longest};

/// Longest error body that is read, in bytes.
const LONGEST_BODY: usize = 64 << 10;
/// Longest wait that is taken from an upstream: callers add to it.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 60 * 60);
/// Longest message that is passed on, in characters.
const LONGEST_MESSAGE: usize = 2_000;
/// OpenAI's codes, on which clients decide. Any other is the upstream's own, and passing it on
/// could give it a meaning that the gateway's code of that name has.
const KNOWN_CODES: [&str; 8] = [
    "content_filter",
    "content_policy_violation",
    "context_length_exceeded",
    "insufficient_quota",
    "model_not_found",
    "rate_limit_exceeded",
    "unsupported_parameter",
    "unsupported_value",
];

/// The fault of an answer whose status is not success, with the upstream's own message.
pub(super) async fn read(name: &str, response: Response) -> Fault {
    let status = response.status();
    let wait = retry_after(response.headers());
    let body = client::read(response, LONGEST_BODY)
        .await
        .unwrap_or_default();
    fault(name, status, wait, &body)
}

/// The fault of an upstream that cannot be reached, or whose connection broke.
pub(super) fn unreachable(name: &str, error: &reqwest::Error) -> Fault {
    let kind = if error.is_timeout() {
        FaultKind::TimedOut
    } else {
        FaultKind::Crashed
    };
    // The address stays out of it: it is the operator's, not the caller's.
    let mut reasons = vec![format!("upstream {name} cannot be reached or broke off")];
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        reasons.push(cause.to_string());
        source = cause.source();
    }
    Fault::new(kind, reasons.join(": "))
}

/// The fault of an upstream that does not keep to the protocol.
pub(super) fn wrong(name: &str, what: &str) -> Fault {
    Fault::crashed(format!(
        "upstream {name} does not keep to the protocol: {what}"
    ))
}

/// The fault of an answer that is too long to be taken.
pub(super) fn too_long(name: &str, longest: Longest) -> Fault {
    let (mib, advice) = (longest.bytes.div_ceil(1 << 20), longest.advice);
    Fault::crashed(format!(
        "upstream {name} answered with more than can be taken ({mib} MiB): {advice}"
    ))
}

/// The fault in an `error` object, in a body or in the middle of a stream.
pub(super) fn reported(name: &str, error: &Value) -> Fault {
    let fault = Fault::crashed(format!("upstream {name}: {}", message(error)));
    with_details(fault, error)
}

fn fault(name: &str, status: StatusCode, wait: Option<Duration>, body: &[u8]) -> Fault {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let error = body.get("error").unwrap_or(&body);
    let text = message(error);
    let code = status.as_u16();
    let own = |what: &str| format!("upstream {name} {what} ({code}): {text}");
    if matches!(code, 401 | 403) {
        // Its words may hold part of the key: they go neither to the caller nor to the log.
        let told = format!("upstream {name} does not accept the gateway's key ({code})");
        log::warn!("{told}; check its api_key or api_key_env");
        return Fault::crashed(told);
    }
    let fault = match code {
        300..=399 => Fault::crashed(own("wants to redirect, which is not followed")),
        400 | 413 | 415 | 422 => Fault::invalid(own("refuses the request")),
        404 => Fault::unknown(own("does not have that")),
        408 | 504 => Fault::timed_out(own("ran out of time")),
        409 => Fault::conflict(own("sees a conflict")),
        429 => Fault::limit_reached(own("has reached a limit")),
        503 => Fault::overloaded(own("is overloaded")),
        _ => Fault::crashed(own("failed")),
    };
    let fault = match wait {
        Some(wait) => fault.with_retry_after(wait),
        None => fault,
    };
    with_details(fault, error)
}

fn with_details(mut fault: Fault, error: &Value) -> Fault {
    let text = |field: &str| error.get(field)?.as_str().map(str::to_owned);
    fault.param = text("param");
    fault.code = text("code").filter(|code| KNOWN_CODES.contains(&code.as_str()));
    fault
}

/// The message in the shapes that servers use: an object, a bare string, `detail`, or nothing.
fn message(error: &Value) -> String {
    let found = ["message", "detail", "error"]
        .iter()
        .find_map(|field| error.get(field)?.as_str())
        .or_else(|| error.as_str())
        .unwrap_or("it gave no reason");
    found.chars().take(LONGEST_MESSAGE).collect()
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?;
    let wait = value.trim().parse().ok().map(Duration::from_secs)?;
    Some(wait.min(LONGEST_WAIT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_beyond_all_reason_is_a_day() {
        for (text, seconds) in [
            ("7", Some(7)),
            ("18446744073709551615", Some(86_400)),
            ("18446744073709551616", None),
            ("-1", None),
        ] {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, text.parse().unwrap())]);
            let wait = retry_after(&headers);
            assert_eq!(wait, seconds.map(Duration::from_secs), "{text}");
        }
    }
}

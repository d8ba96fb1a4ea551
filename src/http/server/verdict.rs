//! Answers that need no handler: the client is too slow, or one too many.

use std::time::Duration;

use actix_web::{ResponseError, http::StatusCode};
use messages::fault::Fault;

use crate::http::error::Problem;

/// When a client that found no place may try again.
const TRY_AGAIN: Duration = Duration::from_secs(5);

/// For a body that comes too slowly.
pub(crate) fn slow_body() -> Problem {
    too_slow("the body of the request came too slowly")
}

/// For a head that comes too slowly, with its own head.
pub(super) fn slow_head() -> Vec<u8> {
    whole(&too_slow("the head of the request came too slowly"))
}

/// For a head or a body that the parser cannot read, with its own head.
pub(super) fn unreadable(status: StatusCode) -> Vec<u8> {
    let (code, text) = match status {
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => (
            "head_too_large",
            "the head of the request is too long, or has too many headers",
        ),
        _ => (
            "malformed_request",
            "the request is no HTTP as it is taken here",
        ),
    };
    whole(&Problem::with_status(status, code, text))
}

/// For a connection for which there is no place, with its own head.
pub(super) fn no_place() -> Vec<u8> {
    let text = "too many connections, of everyone or from this address";
    let fault = Fault::overloaded(text).with_retry_after(TRY_AGAIN);
    whole(&fault.into())
}

fn too_slow(text: &str) -> Problem {
    Problem::with_status(StatusCode::REQUEST_TIMEOUT, "request_timeout", text)
}

/// An answer down to its bytes, for a connection that is closed after it.
fn whole(problem: &Problem) -> Vec<u8> {
    let response = problem.error_response();
    let body = serde_json::to_vec(&problem.body()).unwrap_or_default();
    let mut bytes = format!("HTTP/1.1 {}\r\n", response.status()).into_bytes();
    for (name, value) in response.headers() {
        bytes.extend_from_slice(name.as_str().as_bytes());
        bytes.extend_from_slice(b": ");
        bytes.extend_from_slice(value.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    let end = format!(
        "content-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    bytes.extend_from_slice(end.as_bytes());
    bytes.extend_from_slice(&body);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_without_a_handler_is_a_whole_one() {
        let answer = String::from_utf8(no_place()).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(
            head.starts_with("HTTP/1.1 503 Service Unavailable\r\n"),
            "{head}"
        );
        assert!(head.contains("\r\nretry-after: 5"), "{head}");
        assert!(
            head.contains("\r\ncontent-type: application/json"),
            "{head}"
        );
        assert!(
            head.contains(&format!("content-length: {}", body.len())),
            "{head}"
        );
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        assert!(body["error"]["message"].is_string(), "{body}");
    }
}

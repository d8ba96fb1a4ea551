//! What must hold of a request's head beyond what the parser sees to.

use actix_web::{
    dev::ServiceRequest,
    http::{
        Method, StatusCode,
        header::{CONTENT_LENGTH, HOST, HeaderMap, HeaderValue, TRANSFER_ENCODING, UPGRADE},
    },
};

use crate::http::error::Problem;

/// A WebSocket's messages come in its request's body.
pub(super) fn is_socket(request: &ServiceRequest) -> bool {
    request.method() == Method::GET && upgrades(request.headers())
}

/// Refuses a head over which two servers in a row could be of two minds.
pub(super) fn check(request: &ServiceRequest) -> Result<(), Problem> {
    let headers = request.headers();
    let host = headers.get(HOST).map(HeaderValue::as_bytes);
    if host.is_some_and(|host| !is_host(host)) {
        return Err(malformed("the header Host names no host"));
    }
    // To a proxy the target may be a whole address; then it says the same as Host.
    let uri = request.uri();
    if let Some(authority) = uri.authority().filter(|_| uri.scheme().is_some()) {
        let known = uri
            .scheme_str()
            .is_some_and(|scheme| matches!(scheme, "http" | "https"));
        let same =
            host.is_some_and(|host| host.eq_ignore_ascii_case(authority.as_str().as_bytes()));
        if !known || !same {
            return Err(malformed(
                "the request's target is of another host than the header Host",
            ));
        }
    }
    let framed = || headers.contains_key(CONTENT_LENGTH) || headers.contains_key(TRANSFER_ENCODING);
    // The parser takes all that follows for a socket's bytes, whatever length was said.
    if upgrades(headers) && (request.method() != Method::GET || framed()) {
        return Err(malformed("a WebSocket begins with a GET that has no body"));
    }
    Ok(())
}

fn upgrades(headers: &HeaderMap) -> bool {
    // The parser takes any of them for the whole.
    let mut upgrades = headers.get_all(UPGRADE).filter_map(|to| to.to_str().ok());
    upgrades.any(|to| to.trim().eq_ignore_ascii_case("websocket"))
}

fn is_host(host: &[u8]) -> bool {
    let known = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~%:[]".contains(byte);
    !host.is_empty() && host.iter().all(known)
}

fn malformed(text: &str) -> Problem {
    Problem::with_status(StatusCode::BAD_REQUEST, "malformed_request", text)
}

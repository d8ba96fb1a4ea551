//! What every answer says to browsers: that it is data, never a page, and nobody else's.

use actix_web::{
    HttpResponse,
    dev::ServiceRequest,
    http::header::{
        CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderMap, HeaderName, HeaderValue,
        REFERRER_POLICY, STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
    },
};

use super::{Edge, cors::Verdict, request_id::HEADER as REQUEST_ID};

/// Said by every answer whose handler says nothing else, as one does that answers a page.
static ALWAYS: [(HeaderName, HeaderValue); 6] = [
    (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        HeaderValue::from_static("same-origin"),
    ),
    (
        CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
        ),
    ),
    // Answers belong to the caller alone, errors included.
    (CACHE_CONTROL, HeaderValue::from_static("no-store")),
];

const A_YEAR: HeaderValue = HeaderValue::from_static("max-age=31536000");

/// What the answer to one request says beside what its handler makes it say.
#[derive(Debug)]
pub(crate) struct Guise {
    request_id: HeaderValue,
    cors: Verdict,
    encrypted: bool,
}

impl Guise {
    /// That of the answer to a request with `headers`.
    pub(crate) fn new(request_id: HeaderValue, edge: Option<&Edge>, headers: &HeaderMap) -> Self {
        Self {
            request_id,
            cors: edge.map_or(Verdict::Closed, |edge| edge.cors.judge(headers)),
            encrypted: edge.is_some_and(|edge| edge.is_tls() || edge.encrypted),
        }
    }

    /// What a browser is told that asks beforehand whether a page may send a request.
    pub(crate) fn preflight(&self, request: &ServiceRequest) -> Option<HttpResponse> {
        self.cors.preflight(request.method(), request.headers())
    }

    /// Puts it on.
    pub(crate) fn put_on(&self, headers: &mut HeaderMap) {
        headers.insert(REQUEST_ID, self.request_id.clone());
        self.cors.say(headers);
        protect(headers, self.encrypted);
    }
}

/// Adds what keeps browsers from harm. What a handler has set stays.
fn protect(headers: &mut HeaderMap, encrypted: bool) {
    for (name, value) in &ALWAYS {
        if !headers.contains_key(name) {
            headers.insert(name.clone(), value.clone());
        }
    }
    if encrypted {
        headers.insert(STRICT_TRANSPORT_SECURITY, A_YEAR);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handler_that_answers_a_page_sets_its_own_policy() {
        let mut headers = HeaderMap::new();
        let own = HeaderValue::from_static("default-src 'self'");
        headers.insert(CONTENT_SECURITY_POLICY, own.clone());
        protect(&mut headers, false);
        assert_eq!(headers.get(CONTENT_SECURITY_POLICY), Some(&own));
        assert_eq!(headers.get(X_CONTENT_TYPE_OPTIONS).unwrap(), "nosniff");
        assert!(!headers.contains_key(STRICT_TRANSPORT_SECURITY));
        protect(&mut headers, true);
        assert_eq!(headers.get(STRICT_TRANSPORT_SECURITY), Some(&A_YEAR));
    }
}

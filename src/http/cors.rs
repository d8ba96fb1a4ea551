//! Which web pages of other origins may read answers: those that the settings name, and by a key
//! alone. Cookies are never let in that way.

use actix_web::{
    HttpResponse,
    http::{
        Method,
        header::{
            ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
            ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
            ACCESS_CONTROL_REQUEST_METHOD, HeaderMap, HeaderValue, ORIGIN, VARY,
        },
    },
};

use crate::settings::{List, WebOrigin};

const METHODS: HeaderValue = HeaderValue::from_static("GET, POST, PUT, PATCH, DELETE");

/// What a page may send: the credentials, and what OpenAI's own package adds.
const TAKEN: HeaderValue = HeaderValue::from_static(
    "authorization, content-type, x-api-key, x-request-id, traceparent, openai-organization, \
     openai-project, x-stainless-arch, x-stainless-helper-method, x-stainless-lang, \
     x-stainless-os, x-stainless-package-version, x-stainless-poll-helper, \
     x-stainless-retry-count, x-stainless-runtime, x-stainless-runtime-version, \
     x-stainless-timeout",
);

/// What a page may read of an answer's head.
const SHOWN: HeaderValue = HeaderValue::from_static(
    "x-request-id, retry-after, x-ratelimit-limit-requests, x-ratelimit-limit-tokens, \
     x-ratelimit-remaining-requests, x-ratelimit-remaining-tokens, x-ratelimit-reset-requests, \
     x-ratelimit-reset-tokens",
);

/// Seconds for which a browser need not ask again.
const REMEMBERED: HeaderValue = HeaderValue::from_static("600");

/// The origins whose pages are let in; none unless the settings name some.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cors(Vec<HeaderValue>);

/// What an answer says to the page that asked.
#[derive(Debug, Clone)]
pub(crate) enum Verdict {
    /// Nothing: no page is let in.
    Closed,
    /// Only that others may be told otherwise.
    Unknown,
    /// That this origin may read it.
    Known(HeaderValue),
}

impl Cors {
    /// Lets in the pages of `origins`.
    pub(crate) fn new(origins: &List<WebOrigin>) -> Self {
        let values = origins.iter().map(|origin| origin.as_str().parse().ok());
        Self(values.flatten().collect())
    }

    /// What is said to whoever sent `headers`.
    pub(crate) fn judge(&self, headers: &HeaderMap) -> Verdict {
        if self.0.is_empty() {
            return Verdict::Closed;
        }
        let asks = |known: &&HeaderValue| headers.get(ORIGIN) == Some(*known);
        let known = self.0.iter().find(asks);
        known.map_or(Verdict::Unknown, |known| Verdict::Known(known.clone()))
    }
}

impl Verdict {
    /// The answer to a browser that asks beforehand, which carries no credential. A page that is not
    /// let in gets the same answer as where nobody asks: none of this.
    pub(crate) fn preflight(&self, method: &Method, headers: &HeaderMap) -> Option<HttpResponse> {
        let asked =
            method == Method::OPTIONS && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD);
        let answer = || {
            HttpResponse::NoContent()
                .insert_header((ACCESS_CONTROL_ALLOW_METHODS, METHODS))
                .insert_header((ACCESS_CONTROL_ALLOW_HEADERS, TAKEN))
                .insert_header((ACCESS_CONTROL_MAX_AGE, REMEMBERED))
                .finish()
        };
        (asked && matches!(self, Self::Known(_))).then(answer)
    }

    /// Says it in an answer.
    pub(crate) fn say(&self, headers: &mut HeaderMap) {
        if !matches!(self, Self::Closed) {
            headers.append(VARY, HeaderValue::from_static("Origin"));
        }
        if let Self::Known(origin) = self {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, SHOWN);
        }
    }
}

//! What a key may still use, asked before any work is done for it and told with every answer.

use std::{ops::RangeInclusive, sync::Arc, time::Duration};

use actix_web::{
    Error, HttpMessage, ResponseError,
    body::{BoxBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::header::{HeaderMap, HeaderName, HeaderValue},
    middleware::Next,
};
use messages::{
    fault::Fault,
    usage::{Meter, Moment, Standing, Window},
};

use super::{error::Problem, tally::Tally};

/// The meter of the key that a request came with.
#[derive(Debug, Clone)]
pub(crate) struct Metered(pub(crate) Arc<Meter>);

/// The middleware that lets a key's request in, or not. The place is held by the request's tally,
/// and so until the answer's body has ended.
pub(crate) async fn admit<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let metered = request.extensions().get::<Metered>().cloned();
    let Some(Metered(meter)) = metered else {
        return Ok(next.call(request).await?.map_into_boxed_body());
    };
    let mut response = match meter.admit(Moment::now()) {
        Ok(admission) => {
            if let Some(tally) = Tally::of(request.request()) {
                tally.note(|facts| facts.admission = Some(admission));
            }
            next.call(request).await?.map_into_boxed_body()
        }
        Err(fault) => request.into_response(Problem::from(fault).error_response()),
    };
    tell(&meter.standing(Moment::now()), response.headers_mut());
    Ok(response)
}

impl Tally {
    /// Sets tokens aside for the request, the most of `wanted` that are left. Answers how many,
    /// where its key has a limit of tokens.
    ///
    /// # Errors
    /// That of [`Admission::reserve`](messages::usage::Admission::reserve).
    pub(crate) fn reserve(&self, wanted: RangeInclusive<u64>) -> Result<Option<u64>, Fault> {
        let mut outcome = Ok(None);
        self.note(|facts| {
            if let Some(admission) = &mut facts.admission {
                let limits = admission.meter().limits();
                let limited = limits.tokens_per_minute.or(limits.monthly_tokens).is_some();
                let taken = admission.reserve(wanted, Moment::now());
                outcome = taken.map(|taken| limited.then_some(taken));
            }
        });
        outcome
    }
}

const REQUESTS: [HeaderName; 3] = [
    HeaderName::from_static("x-ratelimit-limit-requests"),
    HeaderName::from_static("x-ratelimit-remaining-requests"),
    HeaderName::from_static("x-ratelimit-reset-requests"),
];

const TOKENS: [HeaderName; 3] = [
    HeaderName::from_static("x-ratelimit-limit-tokens"),
    HeaderName::from_static("x-ratelimit-remaining-tokens"),
    HeaderName::from_static("x-ratelimit-reset-tokens"),
];

fn tell(standing: &Standing, headers: &mut HeaderMap) {
    let windows = [(REQUESTS, standing.requests), (TOKENS, standing.tokens)];
    for (names, window) in windows {
        let Some(Window {
            limit,
            remaining,
            reset,
        }) = window
        else {
            continue;
        };
        let values = [limit.to_string(), remaining.to_string(), span(reset)];
        for (name, value) in names.into_iter().zip(values) {
            if let Ok(value) = HeaderValue::try_from(value) {
                headers.insert(name, value);
            }
        }
    }
}

/// A span of time as OpenAI writes it: `120ms`, `1s`, `8.64s`, `6m0s`, `1h0m0s`.
fn span(time: Duration) -> String {
    let (seconds, millis) = (time.as_secs(), time.subsec_millis());
    if seconds == 0 && millis > 0 {
        return format!("{millis}ms");
    }
    let fraction = format!(".{millis:03}");
    let fraction = fraction.trim_end_matches('0').trim_end_matches('.');
    let (hours, minutes, rest) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match (hours, minutes) {
        (0, 0) => format!("{rest}{fraction}s"),
        (0, _) => format!("{minutes}m{rest}{fraction}s"),
        _ => format!("{hours}h{minutes}m{rest}{fraction}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_written_as_openai_writes_them() {
        for (millis, text) in [
            (0, "0s"),
            (1, "1ms"),
            (120, "120ms"),
            (1_000, "1s"),
            (8_640, "8.64s"),
            (360_000, "6m0s"),
            (90_500, "1m30.5s"),
            (3_600_000, "1h0m0s"),
        ] {
            assert_eq!(span(Duration::from_millis(millis)), text);
        }
    }
}

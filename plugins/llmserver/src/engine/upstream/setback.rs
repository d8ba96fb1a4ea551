//! An attempt that failed: what the caller would be told, and what can be tried before that.

use std::time::Duration;

use messages::{
    fault::{Fault, FaultKind},
    upstreams::UpstreamOutcome,
};

use super::breaker::Health;

/// A wait that an upstream asks for is waited out only if it is no longer than this.
const SHORT: Duration = Duration::from_secs(5);

/// What can be tried after an attempt that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// The same upstream, after a while, or another at once.
    Again,
    /// Another upstream.
    Elsewhere,
    /// Nothing: any upstream would say the same, or nobody waits.
    Nothing,
}

/// An attempt that failed before anything of an answer reached the caller.
#[derive(Debug)]
pub(super) struct Setback {
    /// What the caller is told if nothing else succeeds.
    pub(super) fault: Fault,
    /// What can be tried.
    pub(super) next: Next,
    /// What it says of the upstream.
    pub(super) health: Health,
}

impl Setback {
    /// An upstream that is at fault; `next` is what can be tried.
    pub(super) fn failing(fault: Fault, next: Next) -> Self {
        let health = Health::Failing;
        Self {
            fault,
            next,
            health,
        }
    }

    /// How long the upstream wants to be left alone, where that is short enough to be waited out.
    pub(super) fn wait(&self) -> Duration {
        let asked = self.fault.retry_after.filter(|wait| *wait <= SHORT);
        asked.unwrap_or_default()
    }

    /// What is counted of it.
    pub(super) fn outcome(&self) -> UpstreamOutcome {
        match (self.fault.kind, self.health) {
            (FaultKind::Cancelled, _) => UpstreamOutcome::Cancelled,
            (FaultKind::TimedOut, _) => UpstreamOutcome::TimedOut,
            (_, Health::Alive) => UpstreamOutcome::Refused,
            _ => UpstreamOutcome::Failed,
        }
    }

    /// The call ended before the upstream had answered.
    pub(super) fn over(fault: Fault) -> Self {
        let health = match fault.kind {
            FaultKind::TimedOut => Health::Failing,
            _ => Health::Unknown,
        };
        Self {
            fault,
            next: Next::Nothing,
            health,
        }
    }

    /// A request that could not be sent, or was not answered with a head.
    pub(super) fn unsent(fault: Fault, error: &reqwest::Error) -> Self {
        let next = if error.is_builder() {
            Next::Nothing
        } else if error.is_timeout() && !error.is_connect() {
            // It may be at work on it still.
            Next::Elsewhere
        } else {
            Next::Again
        };
        Self::failing(fault, next)
    }

    /// An answer of `status` that is no success.
    pub(super) fn refused(fault: Fault, status: u16) -> Self {
        let patient = fault.retry_after.is_none_or(|wait| wait <= SHORT);
        let asked_for = fault.retry_after.is_some();
        let (next, health) = match status {
            429 if patient && asked_for => (Next::Again, Health::Alive),
            // Its key or its models are set up wrongly, or it has had enough of us.
            401 | 403 | 404 | 429 => (Next::Elsewhere, Health::Alive),
            502..=504 if patient => (Next::Again, Health::Failing),
            300..=399 | 408 | 500.. => (Next::Elsewhere, Health::Failing),
            _ => (Next::Nothing, Health::Alive),
        };
        Self {
            fault,
            next,
            health,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_may_pass_is_tried_again() {
        let wait = |seconds: Option<u64>| {
            let fault = Fault::crashed("");
            Fault {
                retry_after: seconds.map(Duration::from_secs),
                ..fault
            }
        };
        for (status, seconds, next, health) in [
            (400, None, Next::Nothing, Health::Alive),
            (422, Some(1), Next::Nothing, Health::Alive),
            (401, None, Next::Elsewhere, Health::Alive),
            (404, None, Next::Elsewhere, Health::Alive),
            (429, None, Next::Elsewhere, Health::Alive),
            (429, Some(1), Next::Again, Health::Alive),
            (429, Some(60), Next::Elsewhere, Health::Alive),
            (302, None, Next::Elsewhere, Health::Failing),
            (500, None, Next::Elsewhere, Health::Failing),
            (502, None, Next::Again, Health::Failing),
            (503, Some(2), Next::Again, Health::Failing),
            (503, Some(600), Next::Elsewhere, Health::Failing),
            (504, None, Next::Again, Health::Failing),
        ] {
            let setback = Setback::refused(wait(seconds), status);
            assert_eq!((setback.next, setback.health), (next, health), "{status}");
        }
    }
}

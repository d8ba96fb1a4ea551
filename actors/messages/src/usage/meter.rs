//! What one key may still use.

use std::{
    ops::RangeInclusive,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::{
    Limits, Moment,
    bucket::{Bucket, Window},
    month::Month,
};
use crate::fault::Fault;

/// What one key may still use. All grants of a key share it, whichever secret was shown.
#[derive(Debug)]
pub struct Meter(Mutex<State>);

#[derive(Debug)]
struct State {
    limits: Limits,
    requests: Option<Bucket>,
    tokens: Option<Bucket>,
    in_flight: u64,
    month: Month,
}

/// How a key's limits stand, for the headers of its answers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Standing {
    /// Requests a minute.
    pub requests: Option<Window>,
    /// Tokens a minute, or else those of the month.
    pub tokens: Option<Window>,
}

impl Meter {
    /// A meter that has seen nothing in the last minute, and `used` tokens in the month of `now`.
    pub fn new(limits: Limits, used: u64, now: Moment) -> Self {
        let bucket = |limit: Option<u64>| limit.map(|limit| Bucket::full(limit, now.steady));
        Self(Mutex::new(State {
            limits,
            requests: bucket(limits.requests_per_minute),
            tokens: bucket(limits.tokens_per_minute),
            in_flight: 0,
            month: Month::new(used, now.wall),
        }))
    }

    /// Puts other limits in force; what has been used stays used, and what is set aside set aside.
    pub fn limit(&self, limits: Limits, now: Moment) {
        let mut state = self.lock();
        state.limits = limits;
        state.requests = resized(state.requests.take(), limits.requests_per_minute, 0, now);
        let reserved = state.month.reserved();
        state.tokens = resized(state.tokens.take(), limits.tokens_per_minute, reserved, now);
    }

    /// Lets one request in, until the [`Admission`] is dropped.
    ///
    /// # Errors
    /// [`LimitReached`](crate::fault::FaultKind::LimitReached) with the time after which another
    /// attempt can succeed.
    pub fn admit(self: &Arc<Self>, now: Moment) -> Result<Admission, Fault> {
        let mut state = self.lock();
        let state = &mut *state;
        if let Some(most) = state.limits.concurrent_requests
            && state.in_flight >= most
        {
            let text = format!("this key may have {most} requests at work at a time");
            return Err(refusal(text, SHORTLY));
        }
        if let Some(bucket) = &mut state.requests {
            bucket.take(1, 1, now.steady).map_err(|wait| {
                let limit = state.limits.requests_per_minute.unwrap_or_default();
                refusal(format!("this key may make {limit} requests a minute"), wait)
            })?;
        }
        state.in_flight += 1;
        Ok(Admission {
            meter: self.clone(),
            reserved: 0,
        })
    }

    /// How the limits stand.
    pub fn standing(&self, now: Moment) -> Standing {
        let mut state = self.lock();
        let state = &mut *state;
        state.month.turn(now.wall);
        let window =
            |bucket: &mut Option<Bucket>| bucket.as_mut().map(|one| one.window(now.steady));
        let budget = state.limits.monthly_tokens;
        Standing {
            requests: window(&mut state.requests),
            tokens: window(&mut state.tokens)
                .or_else(|| budget.map(|budget| state.month.window(budget, now.wall))),
        }
    }

    /// The limits in force.
    pub fn limits(&self) -> Limits {
        self.lock().limits
    }

    /// Requests at work.
    pub fn in_flight(&self) -> u64 {
        self.lock().in_flight
    }

    /// The tokens used in the month of `now`, without those that are only set aside.
    pub fn used(&self, now: Moment) -> u64 {
        let mut state = self.lock();
        state.month.turn(now.wall);
        state.month.used()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A bucket under another limit. A new one lacks what requests at work will give back to it.
fn resized(old: Option<Bucket>, limit: Option<u64>, lent: u64, now: Moment) -> Option<Bucket> {
    limit.map(|limit| match old {
        Some(old) => old.resized(limit, now.steady),
        None => {
            let mut fresh = Bucket::full(limit, now.steady);
            fresh.charge(lent);
            fresh
        }
    })
}

/// A request that was let in. Dropping it gives back its place, and what it has set aside and not
/// settled.
#[derive(Debug)]
pub struct Admission {
    meter: Arc<Meter>,
    reserved: u64,
}

impl Admission {
    /// Sets tokens aside for this request, so that no other can take them: the most of `wanted`
    /// that are left. Answers how many; where nothing is limited, as many as were wanted.
    ///
    /// # Errors
    /// [`LimitReached`](crate::fault::FaultKind::LimitReached) where fewer are left than the least
    /// that are wanted, with the code `insufficient_quota` where the month's budget cannot bear it,
    /// as OpenAI has it.
    pub fn reserve(&mut self, wanted: RangeInclusive<u64>, now: Moment) -> Result<u64, Fault> {
        let (least, mut most) = (*wanted.start(), *wanted.end());
        let mut state = self.meter.lock();
        let state = &mut *state;
        state.month.turn(now.wall);
        if let Some(budget) = state.limits.monthly_tokens {
            let left = state.month.left(budget);
            if left < least {
                return Err(over_budget(&state.month, budget, least, now));
            }
            most = most.min(left);
        }
        let mut taken = most;
        if let Some(bucket) = &mut state.tokens {
            taken = bucket.take(least, most, now.steady).map_err(|wait| {
                let limit = state.limits.tokens_per_minute.unwrap_or_default();
                refusal(over_rate(limit, least), wait)
            })?;
        }
        state.month.reserve(taken);
        self.reserved = self.reserved.saturating_add(taken);
        Ok(taken)
    }

    /// Books the tokens that were really used in place of those set aside.
    pub fn settle(&mut self, used: u64, now: Moment) {
        let mut state = self.meter.lock();
        let state = &mut *state;
        state.month.turn(now.wall);
        state.month.release(self.reserved);
        state.month.book(used);
        if let Some(bucket) = &mut state.tokens {
            bucket.give_back(self.reserved.saturating_sub(used));
            bucket.charge(used.saturating_sub(self.reserved));
        }
        self.reserved = 0;
    }

    /// The meter that let it in.
    pub fn meter(&self) -> &Arc<Meter> {
        &self.meter
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        let mut state = self.meter.lock();
        let state = &mut *state;
        state.in_flight = state.in_flight.saturating_sub(1);
        state.month.release(self.reserved);
        if let Some(bucket) = &mut state.tokens {
            bucket.give_back(self.reserved);
        }
    }
}

/// The wait where nothing tells when a place will be free.
const SHORTLY: Duration = Duration::from_secs(1);

fn over_rate(limit: u64, needed: u64) -> String {
    let what =
        format!("this key may use {limit} tokens a minute, and this request may need {needed}");
    match needed > limit {
        true => format!("{what}: it is too large for the key; shorten it or lower max_tokens"),
        false => what,
    }
}

fn over_budget(month: &Month, budget: u64, needed: u64, now: Moment) -> Fault {
    let text = format!(
        "this key may use {budget} tokens a month; {} are left in that of {}, and this request may \
         need {needed}",
        month.left(budget),
        month.first()
    );
    refusal(text, month.rest(now.wall)).with_code("insufficient_quota")
}

fn refusal(text: String, wait: Duration) -> Fault {
    Fault::limit_reached(text)
        .with_code("rate_limit_exceeded")
        .with_retry_after(wait)
}

//! Usage: what a key may use, what it has used, and the ledger in which that is added up.
//!
//! A request takes from its key's [`Meter`] before it does any work ([`Meter::admit`],
//! [`Admission::reserve`]) and puts right afterwards what it took too much ([`Admission::settle`]).
//! Both are a few additions under the meter's own lock: what every request needs is read without
//! a message. The [`Ledger`] outlives the plugin that writes it down.

mod bucket;
mod ledger;
mod limits;
mod meter;
mod month;
mod report;

use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use self::{
    bucket::Window,
    ledger::{Ledger, Line, Lines, Totals},
    limits::{LARGEST_LIMIT, LimitChanges, Limits},
    meter::{Admission, Meter, Standing},
    report::{Group, ReadUsage, Usage, UsageRow},
};

/// Tokens that a request used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tokens {
    /// Tokens read.
    pub prompt: u64,
    /// Tokens written.
    pub completion: u64,
}

impl Tokens {
    /// Both together.
    pub fn total(self) -> u64 {
        self.prompt.saturating_add(self.completion)
    }
}

/// An instant by both clocks. The wall's says which day and month it is; what is limited a minute
/// goes by the steady one, so that setting the wall clock neither frees nor blocks anybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// By the wall clock.
    pub wall: Timestamp,
    /// By the clock that nobody can set.
    pub steady: Instant,
}

impl Moment {
    /// This one.
    pub fn now() -> Self {
        Self {
            wall: Timestamp::now(),
            steady: Instant::now(),
        }
    }

    /// The one that comes `wait` later.
    #[must_use]
    pub fn after(self, wait: Duration) -> Self {
        Self {
            wall: self.wall.saturating_add(wait).unwrap_or(Timestamp::MAX),
            steady: self.steady.checked_add(wait).unwrap_or(self.steady),
        }
    }
}

#[cfg(test)]
mod tests;

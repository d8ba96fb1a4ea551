//! The tokens of a calendar month.

use std::time::Duration;

use jiff::{Timestamp, civil::Date, tz::TimeZone};

use super::Window;

/// The use of the present month, and of the one that was present before it.
#[derive(Debug)]
pub(super) struct Month {
    present: Used,
    /// Kept so that a clock that is put forward and back again forgives nothing.
    before: Option<Used>,
    /// Set aside and not settled. It belongs to the month in which it is settled.
    reserved: u64,
}

#[derive(Debug, Clone, Copy)]
struct Used {
    first: Date,
    begins_at: Timestamp,
    ends_at: Timestamp,
    tokens: u64,
}

impl Month {
    /// The month of `now`, in which `used` tokens have been used.
    pub(super) fn new(used: u64, now: Timestamp) -> Self {
        Self {
            present: Used::of(used, now),
            before: None,
            reserved: 0,
        }
    }

    /// Goes to the month of `now`, except to one that is past and of which nothing is known.
    pub(super) fn turn(&mut self, now: Timestamp) {
        if self.present.holds(now) {
            return;
        }
        let next = match self.before.filter(|before| before.holds(now)) {
            Some(before) => before,
            None if now >= self.present.ends_at => Used::of(0, now),
            None => return,
        };
        self.before = Some(std::mem::replace(&mut self.present, next));
    }

    /// What has been used.
    pub(super) fn used(&self) -> u64 {
        self.present.tokens
    }

    /// The first day.
    pub(super) fn first(&self) -> Date {
        self.present.first
    }

    /// What is left of `budget`, what is set aside not counted.
    pub(super) fn left(&self, budget: u64) -> u64 {
        budget
            .saturating_sub(self.present.tokens)
            .saturating_sub(self.reserved)
    }

    /// How `budget` stands.
    pub(super) fn window(&self, budget: u64, now: Timestamp) -> Window {
        Window {
            limit: budget,
            remaining: self.left(budget),
            reset: self.rest(now),
        }
    }

    /// How long it still lasts.
    pub(super) fn rest(&self, now: Timestamp) -> Duration {
        Duration::try_from(self.present.ends_at.duration_since(now)).unwrap_or_default()
    }

    pub(super) fn reserved(&self) -> u64 {
        self.reserved
    }

    pub(super) fn reserve(&mut self, tokens: u64) {
        self.reserved = self.reserved.saturating_add(tokens);
    }

    pub(super) fn release(&mut self, tokens: u64) {
        self.reserved = self.reserved.saturating_sub(tokens);
    }

    pub(super) fn book(&mut self, tokens: u64) {
        self.present.tokens = self.present.tokens.saturating_add(tokens);
    }
}

impl Used {
    fn of(tokens: u64, now: Timestamp) -> Self {
        let first = now.to_zoned(TimeZone::UTC).date().first_of_month();
        let next = first.last_of_month().tomorrow();
        let instant = |date: Date| date.to_zoned(TimeZone::UTC).map(|day| day.timestamp());
        Self {
            first,
            begins_at: instant(first).unwrap_or(Timestamp::MIN),
            ends_at: next.and_then(instant).unwrap_or(Timestamp::MAX),
            tokens,
        }
    }

    fn holds(&self, now: Timestamp) -> bool {
        (self.begins_at..self.ends_at).contains(&now)
    }
}

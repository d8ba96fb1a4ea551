//! A limit a minute, as a token bucket: it holds at most a minute's worth and fills evenly.

use std::time::{Duration, Instant};

/// Parts of one unit. A bucket of `limit` a minute gains `limit` parts a millisecond, so that
/// refilling never rounds.
const PARTS: i64 = 60_000;

/// How a limit stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Units in a window.
    pub limit: u64,
    /// Units that can be taken now.
    pub remaining: u64,
    /// When nothing is missing any more, if nothing else is taken.
    pub reset: Duration,
}

/// What is left of a limit a minute, in parts.
#[derive(Debug)]
pub(super) struct Bucket {
    limit: i64,
    level: i64,
    filled_at: Instant,
}

impl Bucket {
    /// A full one. `limit` is at most [`super::LARGEST_LIMIT`].
    pub(super) fn full(limit: u64, now: Instant) -> Self {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX / PARTS);
        Self {
            limit,
            level: limit.saturating_mul(PARTS),
            filled_at: now,
        }
    }

    /// The same bucket under another limit: what has been taken stays taken.
    pub(super) fn resized(mut self, limit: u64, now: Instant) -> Self {
        self.fill(now);
        let missing = self.capacity().saturating_sub(self.level);
        let mut resized = Self::full(limit, self.filled_at);
        resized.level = resized.level.saturating_sub(missing);
        resized
    }

    /// Takes as many of `most` units as are there, if that is at least `least`.
    ///
    /// # Errors
    /// How long it takes until `least` are there; for more than the bucket holds, until it is full.
    pub(super) fn take(&mut self, least: u64, most: u64, now: Instant) -> Result<u64, Duration> {
        self.fill(now);
        let units = most.min(self.whole());
        if units < least {
            return Err(self.time_for(parts(least).min(self.capacity())));
        }
        self.charge(units);
        Ok(units)
    }

    /// Gives back `units` that were taken and not used.
    pub(super) fn give_back(&mut self, units: u64) {
        let level = self.level.saturating_add(parts(units));
        self.level = level.min(self.capacity());
    }

    /// Takes `units` that have been used already; the level may fall below nothing.
    pub(super) fn charge(&mut self, units: u64) {
        self.level = self.level.saturating_sub(parts(units));
    }

    /// How it stands at `now`.
    pub(super) fn window(&mut self, now: Instant) -> Window {
        self.fill(now);
        Window {
            limit: u64::try_from(self.limit).unwrap_or_default(),
            remaining: self.whole(),
            reset: self.time_for(self.capacity()),
        }
    }

    fn whole(&self) -> u64 {
        u64::try_from(self.level / PARTS).unwrap_or_default()
    }

    fn capacity(&self) -> i64 {
        self.limit.saturating_mul(PARTS)
    }

    /// Adds what has come since the last time, by whole milliseconds: the rest of one counts next
    /// time, or a bucket that is looked at often would fill too slowly.
    fn fill(&mut self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.filled_at).as_millis();
        let elapsed = u64::try_from(elapsed).unwrap_or(u64::MAX);
        let gained = i64::try_from(elapsed).unwrap_or(i64::MAX);
        let level = (self.level).saturating_add(gained.saturating_mul(self.limit));
        self.level = level.min(self.capacity());
        let filled_at = self.filled_at.checked_add(Duration::from_millis(elapsed));
        self.filled_at = filled_at.unwrap_or(now);
    }

    /// How long it takes until the level is `wanted`.
    fn time_for(&self, wanted: i64) -> Duration {
        let missing = wanted.saturating_sub(self.level).max(0);
        let missing = u64::try_from(missing).unwrap_or_default();
        let each_milli = u64::try_from(self.limit).unwrap_or(1).max(1);
        Duration::from_millis(missing.div_ceil(each_milli))
    }
}

fn parts(units: u64) -> i64 {
    let units = i64::try_from(units).unwrap_or(i64::MAX);
    units.saturating_mul(PARTS)
}

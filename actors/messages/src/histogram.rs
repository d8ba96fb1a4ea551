//! Durations counted in buckets, and the quantiles that can be read from them.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use crate::plugin::Latency;

const BUCKETS: usize = 40;

/// Durations in buckets of powers of two, in microseconds.
#[derive(Debug)]
pub(crate) struct Histogram {
    buckets: [AtomicU64; BUCKETS],
    sum: AtomicU64,
    longest: AtomicU64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            buckets: std::array::from_fn(|_| AtomicU64::new(0)),
            sum: AtomicU64::new(0),
            longest: AtomicU64::new(0),
        }
    }
}

impl Histogram {
    pub(crate) fn record(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bits = usize::try_from(u64::BITS - micros.leading_zeros()).unwrap_or(usize::MAX);
        let last = self.buckets.len() - 1;
        if let Some(bucket) = self.buckets.get(bits.min(last)) {
            bucket.fetch_add(1, Relaxed);
        }
        self.sum.fetch_add(micros, Relaxed);
        self.longest.fetch_max(micros, Relaxed);
    }

    pub(crate) fn read(&self) -> Buckets {
        let load = |counter: &AtomicU64| counter.load(Relaxed);
        Buckets {
            counts: self.buckets.each_ref().map(load),
            sum: load(&self.sum),
            longest: load(&self.longest),
        }
    }
}

/// Durations that were counted, as of one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Buckets {
    /// At place `n`, durations below two to the power of `n` microseconds that fit in no place
    /// before.
    counts: [u64; BUCKETS],
    sum: u64,
    longest: u64,
}

impl Default for Buckets {
    fn default() -> Self {
        Self {
            counts: [0; BUCKETS],
            sum: 0,
            longest: 0,
        }
    }
}

impl Buckets {
    /// How many durations there were.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// All durations together.
    pub fn sum(&self) -> Duration {
        Duration::from_micros(self.sum)
    }

    /// How many were shorter than two to the power of `bits` microseconds.
    pub fn below(&self, bits: usize) -> u64 {
        self.counts.iter().take(bits.saturating_add(1)).sum()
    }

    pub(crate) fn add(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(other.counts) {
            *count += more;
        }
        self.sum = self.sum.saturating_add(other.sum);
        self.longest = self.longest.max(other.longest);
    }

    pub(crate) fn summary(&self) -> Latency {
        let count = self.count();
        let longest = Duration::from_micros(self.longest);
        let at_most = |rank: u64| {
            let mut seen = 0;
            let bits = self.counts.iter().position(|bucket| {
                seen += bucket;
                seen >= rank
            });
            let bits = bits.and_then(|bits| u32::try_from(bits).ok()).unwrap_or(0);
            Duration::from_micros(1_u64.checked_shl(bits).unwrap_or(u64::MAX)).min(longest)
        };
        Latency {
            count,
            p50_ms: millis(at_most(count.div_ceil(2))),
            p99_ms: millis(at_most((count * 99).div_ceil(100))),
            max_ms: millis(longest),
        }
    }
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_upper_bounds_of_their_buckets() {
        let histogram = Histogram::default();
        for micros in (0..98).map(|_| 100).chain([3_000, 70_000]) {
            histogram.record(Duration::from_micros(micros));
        }
        let expected = Latency {
            count: 100,
            p50_ms: 0.128,
            p99_ms: 4.096,
            max_ms: 70.0,
        };
        assert_eq!(histogram.read().summary(), expected);
    }

    #[test]
    fn nothing_measured_and_the_longest_time_are_summed_up() {
        let histogram = Histogram::default();
        assert_eq!(histogram.read().summary(), Latency::default());
        histogram.record(Duration::MAX);
        assert_eq!(histogram.read().summary().count, 1);
    }

    #[test]
    fn counts_below_a_bound_grow_with_it_and_reach_all() {
        let histogram = Histogram::default();
        for micros in [0, 127, 128, 3_000] {
            histogram.record(Duration::from_micros(micros));
        }
        let read = histogram.read();
        let below: Vec<u64> = [0, 7, 8, 12, 39].map(|bits| read.below(bits)).to_vec();
        assert_eq!(below, [1, 2, 3, 4, 4]);
        assert_eq!(
            (read.count(), read.sum()),
            (4, Duration::from_micros(3_255))
        );
    }

    #[test]
    fn two_histograms_add_up() {
        let (one, two) = (Histogram::default(), Histogram::default());
        one.record(Duration::from_micros(100));
        two.record(Duration::from_micros(70_000));
        let mut both = one.read();
        both.add(&two.read());
        assert_eq!((both.count(), both.summary().max_ms), (2, 70.0));
    }
}

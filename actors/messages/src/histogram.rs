//! Durations counted in buckets, and the quantiles that can be read from them.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use crate::plugin::Latency;

/// Durations in buckets of powers of two, in microseconds.
#[derive(Debug)]
pub(crate) struct Histogram {
    buckets: [AtomicU64; 40],
    longest: AtomicU64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            buckets: std::array::from_fn(|_| AtomicU64::new(0)),
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
        self.longest.fetch_max(micros, Relaxed);
    }

    pub(crate) fn summary(&self) -> Latency {
        let counts: Vec<u64> = self.buckets.iter().map(|b| b.load(Relaxed)).collect();
        let count: u64 = counts.iter().sum();
        let longest = Duration::from_micros(self.longest.load(Relaxed));
        let at_most = |rank: u64| {
            let mut seen = 0;
            let bits = counts.iter().position(|bucket| {
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
        assert_eq!(histogram.summary(), expected);
    }

    #[test]
    fn nothing_measured_and_the_longest_time_are_summed_up() {
        let histogram = Histogram::default();
        assert_eq!(histogram.summary(), Latency::default());
        histogram.record(Duration::MAX);
        assert_eq!(histogram.summary().count, 1);
    }
}

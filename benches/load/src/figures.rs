//! What was measured: latencies, how many answers, and what they cost.

use std::time::Duration;

use hdrhistogram::Histogram;

/// What came of a plan.
pub struct Figures {
    /// To the end of each answer, in nanoseconds: from when it was to be sent, which with a fixed
    /// rate is not when a busy connection got round to it.
    pub end: Histogram<u64>,
    /// To the first chunk of each stream.
    pub first: Histogram<u64>,
    /// From the upstream's sending of each chunk to its arrival.
    pub chunk: Histogram<u64>,
    /// Answers that came whole within the time measured.
    pub answers: u64,
    /// Requests that failed or were given up, at any time.
    pub failures: u64,
    /// What the first failure was.
    pub failure: Option<String>,
    /// How long was measured.
    pub elapsed: Duration,
    /// The target's processor time meanwhile.
    pub processor: Duration,
}

impl Figures {
    /// None yet.
    pub fn new() -> Self {
        let histogram = || Histogram::new_with_bounds(1_000, 120_000_000_000, 3).unwrap();
        Self {
            end: histogram(),
            first: histogram(),
            chunk: histogram(),
            answers: 0,
            failures: 0,
            failure: None,
            elapsed: Duration::ZERO,
            processor: Duration::ZERO,
        }
    }

    /// Answers a second.
    pub fn rate(&self) -> f64 {
        float(self.answers) / self.elapsed.as_secs_f64()
    }

    /// Processor time of the target for each answer, in milliseconds.
    pub fn cost(&self) -> f64 {
        self.processor.as_secs_f64() * 1e3 / float(self.answers.max(1))
    }

    /// Adds another connection's.
    pub fn add(&mut self, other: &Self) {
        self.end.add(&other.end).unwrap();
        self.first.add(&other.first).unwrap();
        self.chunk.add(&other.chunk).unwrap();
        self.answers += other.answers;
        self.failures += other.failures;
        self.failure = self.failure.take().or_else(|| other.failure.clone());
    }

    /// Takes note of a request that failed.
    pub fn fail(&mut self, why: String) {
        self.failures += 1;
        self.failure.get_or_insert(why);
    }
}

/// A share of the latencies, in milliseconds.
pub fn at(histogram: &Histogram<u64>, quantile: f64) -> f64 {
    float(histogram.value_at_quantile(quantile)) / 1e6
}

/// A count as a number to divide by.
pub fn float(count: u64) -> f64 {
    // Counts and nanoseconds here are far below 2^53.
    count as f64
}

/// As the histograms count it.
pub fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

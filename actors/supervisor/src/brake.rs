//! Decides after each broken life whether there is another one, and when it begins.

use std::{collections::VecDeque, time::Duration};

use messages::plugin::Policy;
use tokio::time::Instant;

/// Counts the restarts of one plugin since an operator started it.
#[derive(Debug)]
pub(crate) struct Brake {
    policy: Policy,
    recent: VecDeque<Instant>,
    in_a_row: u32,
}

impl Brake {
    pub(crate) fn new(policy: Policy) -> Self {
        Self {
            policy,
            recent: VecDeque::new(),
            in_a_row: 0,
        }
    }

    /// The wait before the next life, after one that lasted `lived` and broke at `now`; nothing
    /// when there were too many. `draw` is a random number from 0 to 1.
    pub(crate) fn press(&mut self, now: Instant, lived: Duration, draw: f64) -> Option<Duration> {
        if lived >= self.policy.healthy_after {
            self.recent.clear();
            self.in_a_row = 0;
        }
        let window = self.policy.window;
        self.recent
            .retain(|then| now.saturating_duration_since(*then) <= window);
        if self.recent.len() >= self.policy.restarts {
            return None;
        }
        self.recent.push_back(now);
        let wait = self.wait(draw);
        self.in_a_row = self.in_a_row.saturating_add(1);
        Some(wait)
    }

    fn wait(&self, draw: f64) -> Duration {
        let doubled = 2_u32.saturating_pow(self.in_a_row);
        let longest = self.policy.longest_backoff;
        let full = self.policy.backoff.saturating_mul(doubled).min(longest);
        let random = self.policy.jitter.clamp(0.0, 1.0) * (1.0 - draw.clamp(0.0, 1.0));
        Duration::try_from_secs_f64(full.as_secs_f64() * (1.0 - random)).unwrap_or(full)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn brake() -> Brake {
        Brake::new(Policy::default())
    }

    #[test]
    fn waits_double_up_to_the_longest() {
        let mut brake = Brake::new(Policy {
            restarts: usize::MAX,
            ..Policy::default()
        });
        let now = Instant::now();
        let waits: Vec<u128> = (0..12)
            .filter_map(|_| brake.press(now, Duration::ZERO, 1.0))
            .map(|wait| wait.as_millis())
            .collect();
        assert_eq!(waits[..4], [100, 200, 400, 800]);
        assert_eq!(waits[9..], [30_000, 30_000, 30_000]);
    }

    #[test]
    fn jitter_takes_away_a_share() {
        let now = Instant::now();
        let wait = brake().press(now, Duration::ZERO, 0.0);
        assert_eq!(wait, Some(Duration::from_millis(80)));
    }

    #[test]
    fn the_sixth_restart_within_the_window_is_one_too_many() {
        let (mut brake, now) = (brake(), Instant::now());
        for n in 0..5 {
            assert!(brake.press(now + n * SECOND, SECOND, 1.0).is_some());
        }
        assert_eq!(brake.press(now + 5 * SECOND, SECOND, 1.0), None);
    }

    #[test]
    fn restarts_leave_the_window() {
        let (mut brake, now) = (brake(), Instant::now());
        for n in 0..20 {
            let then = now + n * 20 * SECOND;
            assert!(brake.press(then, 20 * SECOND, 1.0).is_some());
        }
        assert_eq!(
            brake.press(now + 400 * SECOND, 20 * SECOND, 1.0),
            Some(30 * SECOND),
            "the wait keeps growing until a life was healthy"
        );
    }

    #[test]
    fn a_healthy_life_starts_afresh() {
        let (mut brake, now) = (brake(), Instant::now());
        for _ in 0..5 {
            brake.press(now, Duration::ZERO, 1.0);
        }
        let wait = brake.press(now + SECOND, 60 * SECOND, 1.0);
        assert_eq!(wait, Some(Duration::from_millis(100)));
    }

    #[test]
    fn odd_policies_give_a_wait() {
        let mut brake = Brake::new(Policy {
            jitter: f64::NAN,
            backoff: Duration::MAX,
            longest_backoff: Duration::MAX,
            ..Policy::default()
        });
        let wait = brake.press(Instant::now(), Duration::ZERO, 0.5);
        assert_eq!(wait, Some(Duration::MAX));
    }
}

//! A time in whole seconds, as settings have it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// From one second to one day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u64", into = "u64")]
pub struct Seconds(u64);

const DAY: u64 = 86_400;

impl Seconds {
    /// `seconds`, where they are within bounds; else the nearest that are.
    pub const fn of(seconds: u64) -> Self {
        match seconds {
            0 => Self(1),
            1..=DAY => Self(seconds),
            _ => Self(DAY),
        }
    }
}

impl TryFrom<u64> for Seconds {
    type Error = String;

    fn try_from(seconds: u64) -> Result<Self, String> {
        match seconds {
            1..=DAY => Ok(Self(seconds)),
            _ => Err(format!("{seconds} is not from 1 to {DAY} seconds")),
        }
    }
}

impl From<Seconds> for u64 {
    fn from(seconds: Seconds) -> Self {
        seconds.0
    }
}

impl From<Seconds> for Duration {
    fn from(seconds: Seconds) -> Self {
        Self::from_secs(seconds.0)
    }
}

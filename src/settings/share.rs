//! A share of a whole, as settings have it.

use serde::{Deserialize, Serialize};

/// From 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Share(f64);

/// A number that is no share.
#[derive(Debug, thiserror::Error)]
#[error("{0} is not from 0 to 1")]
pub struct NoShare(f64);

impl Share {
    /// The whole.
    pub const ALL: Self = Self(1.0);
}

impl TryFrom<f64> for Share {
    type Error = NoShare;

    fn try_from(share: f64) -> Result<Self, NoShare> {
        match share {
            0.0..=1.0 => Ok(Self(share)),
            _ => Err(NoShare(share)),
        }
    }
}

impl From<Share> for f64 {
    fn from(share: Share) -> Self {
        share.0
    }
}

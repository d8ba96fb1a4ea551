//! What a key may use.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{fault::Fault, supervisor::Change};

/// The largest limit that can be set: far beyond any use, and small enough to calculate with.
pub const LARGEST_LIMIT: u64 = 1_000_000_000_000;

macro_rules! limits {
    ($($(#[doc = $doc:literal])* $name:ident,)*) => {
        /// What a key may use. An absent limit is none.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
        #[serde(deny_unknown_fields, default)]
        pub struct Limits {
            $($(#[doc = $doc])* #[serde(skip_serializing_if = "Option::is_none")] pub $name: Option<u64>,)*
        }

        /// A change of [`Limits`]. In JSON an absent limit stays as it is, and `null` takes it away.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, ToSchema)]
        #[serde(deny_unknown_fields)]
        pub struct LimitChanges {
            $($(#[doc = $doc])* #[serde(default)] #[schema(value_type = Option<u64>)] pub $name: Change<u64>,)*
        }

        impl LimitChanges {
            /// `limits` with this change.
            pub fn of(&self, limits: Limits) -> Limits {
                Limits { $($name: self.$name.of(limits.$name),)* }
            }
        }

        impl Limits {
            /// The limits by their names.
            fn named(&self) -> impl Iterator<Item = (&'static str, Option<u64>)> + use<> {
                [$((stringify!($name), self.$name)),*].into_iter()
            }
        }
    };
}

limits! {
    /// Requests a minute, refilled evenly; a burst of this many is let through.
    requests_per_minute,
    /// Tokens a minute, prompt and completion together, refilled evenly.
    tokens_per_minute,
    /// Requests at work at the same time.
    concurrent_requests,
    /// Tokens in a calendar month (UTC).
    monthly_tokens,
}

impl Limits {
    /// Whether nothing is limited.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether every limit is one that can be kept.
    ///
    /// # Errors
    /// [`Unprocessable`](crate::fault::FaultKind::Unprocessable) with the limit at fault.
    pub fn check(&self) -> Result<(), Fault> {
        let kept = |limit| (1..=LARGEST_LIMIT).contains(&limit);
        let wrong = self.named().find(|(_, limit)| !limit.is_none_or(kept));
        wrong.map_or(Ok(()), |(name, _)| {
            Err(Fault::unprocessable(format!(
                "limits.{name} must be 1 to {LARGEST_LIMIT}; leave it out for no limit"
            ))
            .with_param(format!("limits.{name}")))
        })
    }

    /// Whether whoever is bound by `other` may use no more than whoever is bound by `self`.
    pub fn cover(&self, other: &Self) -> bool {
        self.beyond(other).is_none()
    }

    /// The first limit in which `other` allows more than `self`.
    pub fn beyond(&self, other: &Self) -> Option<&'static str> {
        let pairs = self.named().zip(other.named());
        pairs
            .filter(|((_, own), (_, other))| {
                own.is_some_and(|own| other.is_none_or(|other| other > own))
            })
            .map(|((name, _), _)| name)
            .next()
    }
}

//! Changing a key that is in use: its reach, its limits, its secret.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer};
use utoipa::ToSchema;

use super::{Key, NewKey, Scopes, instant};
use crate::{call::Capability, supervisor::Change, usage::LimitChanges};

/// Changes a key, in force at once.
#[derive(Debug, Clone)]
pub struct UpdateKey {
    /// The key's id.
    pub id: String,
    /// What becomes of it.
    pub change: KeyChange,
}

/// What becomes of a key. What is absent stays as it is.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyChange {
    /// What the owner calls it.
    #[serde(default)]
    pub name: Option<String>,
    /// What it may do from now on.
    #[serde(default)]
    pub scopes: Option<Scopes>,
    /// When it ends: RFC 3339 or Unix seconds, in the future; `null` for never.
    #[serde(default, deserialize_with = "change_of_instant")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires_at: Change<Timestamp>,
    /// What it may use from now on, limit by limit; `null` for all it likes.
    #[serde(default)]
    #[schema(value_type = Option<LimitChanges>)]
    pub limits: Change<LimitChanges>,
}

fn change_of_instant<'de, D: Deserializer<'de>>(from: D) -> Result<Change<Timestamp>, D::Error> {
    instant(from).map(Change::from)
}

/// Gives a key a new secret. The old one holds on for a while, under the same meter.
#[derive(Debug, Clone)]
pub struct RotateKey {
    /// The key's id.
    pub id: String,
    /// How long the old secret still holds.
    pub overlap: Duration,
}

impl Capability for UpdateKey {
    type Reply = Key;
    const NAME: &'static str = "apikeys.update_key";
    const DEADLINE: Duration = Duration::from_secs(10);
}

impl Capability for RotateKey {
    type Reply = NewKey;
    const NAME: &'static str = "apikeys.rotate_key";
    const DEADLINE: Duration = Duration::from_secs(10);
}

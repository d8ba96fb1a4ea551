//! What was used, as it can be asked for.

use std::{collections::BTreeSet, str::FromStr, time::Duration};

use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{call::Capability, fault::Fault};

/// What uses are told apart by.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Group {
    /// The day, in UTC.
    Day,
    /// The key.
    Key,
    /// The user.
    User,
    /// The model.
    Model,
    /// The route.
    Route,
    /// The status.
    Status,
}

impl FromStr for Group {
    type Err = Fault;

    fn from_str(name: &str) -> Result<Self, Fault> {
        Ok(match name {
            "day" => Self::Day,
            "key" => Self::Key,
            "user" => Self::User,
            "model" => Self::Model,
            "route" => Self::Route,
            "status" => Self::Status,
            _ => {
                return Err(Fault::unprocessable(format!(
                    "usage cannot be grouped by {name:?}, only by day, key, user, model, route \
                     and status"
                ))
                .with_param("group_by"));
            }
        })
    }
}

/// Asks what was used. Who is no admin gets to see his own user's use alone.
#[derive(Debug, Clone, Default)]
pub struct ReadUsage {
    /// The first day, in UTC.
    pub from: Option<Date>,
    /// The last day, itself included.
    pub to: Option<Date>,
    /// What to tell apart.
    pub group_by: BTreeSet<Group>,
    /// Only this key.
    pub key: Option<String>,
    /// Only this model.
    pub model: Option<String>,
}

/// What was used.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Usage {
    /// A row for each group that was used, in the order of the groups.
    pub usage: Vec<UsageRow>,
    /// All of them together.
    pub total: UsageRow,
}

/// What a group of requests used. It names what it was grouped by.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct UsageRow {
    /// The day, in UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = Date)]
    pub day: Option<Date>,
    /// The key's id; `session` or `owner` for requests without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The model's id; empty where none was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The pattern of the route.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route: Option<String>,
    /// The status; 499 where the caller did not wait for the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// How many requests.
    pub requests: u64,
    /// Tokens read.
    pub prompt_tokens: u64,
    /// Tokens written.
    pub completion_tokens: u64,
    /// Both together.
    pub total_tokens: u64,
    /// How long they took on average, each to the end of its answer, in milliseconds.
    pub mean_ms: f64,
    /// How long the longest took.
    pub max_ms: f64,
}

impl Capability for ReadUsage {
    type Reply = Usage;
    const NAME: &'static str = "apikeys.read_usage";
    const DEADLINE: Duration = Duration::from_secs(30);
}

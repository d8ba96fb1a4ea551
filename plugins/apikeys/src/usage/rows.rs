//! Rows of what was used.

use std::time::Duration;

use diesel::prelude::*;
use messages::usage::{Line, Tokens, Totals};

use crate::schema::usage_lines;

#[derive(Debug, Clone, PartialEq, Queryable, Selectable, Insertable, Identifiable, AsChangeset)]
#[diesel(table_name = usage_lines)]
#[diesel(primary_key(day, key_id, username, model, route, status))]
pub(crate) struct UsageRow {
    pub(crate) day: String,
    pub(crate) key_id: String,
    pub(crate) username: String,
    pub(crate) model: String,
    pub(crate) route: String,
    pub(crate) status: i32,
    pub(crate) requests: i64,
    pub(crate) prompt_tokens: i64,
    pub(crate) completion_tokens: i64,
    pub(crate) took: i64,
    pub(crate) longest: i64,
}

impl UsageRow {
    pub(crate) fn new(line: &Line, totals: &Totals) -> Self {
        Self {
            day: line.day.to_string(),
            key_id: line.key.to_string(),
            username: line.user.to_string(),
            model: line.model.to_string(),
            route: line.route.to_string(),
            status: line.status.into(),
            requests: signed(totals.requests),
            prompt_tokens: signed(totals.tokens.prompt),
            completion_tokens: signed(totals.tokens.completion),
            took: micros(totals.took),
            longest: micros(totals.longest),
        }
    }

    /// Adds what was there before.
    pub(crate) fn add(&mut self, before: &Self) {
        self.requests = self.requests.saturating_add(before.requests);
        self.prompt_tokens = self.prompt_tokens.saturating_add(before.prompt_tokens);
        self.completion_tokens = (self.completion_tokens).saturating_add(before.completion_tokens);
        self.took = self.took.saturating_add(before.took);
        self.longest = self.longest.max(before.longest);
    }

    pub(crate) fn totals(&self) -> Totals {
        Totals {
            requests: unsigned(self.requests),
            tokens: Tokens {
                prompt: unsigned(self.prompt_tokens),
                completion: unsigned(self.completion_tokens),
            },
            took: Duration::from_micros(unsigned(self.took)),
            longest: Duration::from_micros(unsigned(self.longest)),
        }
    }
}

/// SQLite's whole numbers have a sign.
fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn unsigned(count: i64) -> u64 {
    u64::try_from(count).unwrap_or_default()
}

fn micros(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}

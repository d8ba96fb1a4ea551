//! A log line as the broker keeps it, and the tag that says which plugin wrote it.

use std::{cell::RefCell, collections::BTreeMap, sync::Arc};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How bad it is. Ordered: `Error` is the least talkative.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Something is lost or broken.
    Error,
    /// Something is wrong and was dealt with.
    Warn,
    /// What an operator wants to know.
    Info,
    /// What a developer wants to know.
    Debug,
    /// Everything.
    Trace,
}

impl From<log::Level> for Level {
    fn from(level: log::Level) -> Self {
        match level {
            log::Level::Error => Self::Error,
            log::Level::Warn => Self::Warn,
            log::Level::Info => Self::Info,
            log::Level::Debug => Self::Debug,
            log::Level::Trace => Self::Trace,
        }
    }
}

/// Where a line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Stream {
    /// The `log` crate.
    Log,
    /// A child's standard output.
    Stdout,
    /// A child's standard error.
    Stderr,
}

/// One log line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LogRecord {
    /// Its number in the present epoch, from 1 and growing. A record that was dropped, because more
    /// was logged than could be kept, has spent its number too; readers get such a hole as a gap.
    pub seq: u64,
    /// When it was written.
    #[schema(value_type = String, format = DateTime)]
    pub ts: Timestamp,
    /// Who wrote it; the gateway's own lines are `bkg`.
    #[schema(value_type = String)]
    pub plugin: Arc<str>,
    /// How bad it is.
    pub level: Level,
    /// Where it came from.
    pub stream: Stream,
    /// The line, without its end.
    pub message: String,
    /// Key-value pairs that were logged with it, `target` among them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub fields: BTreeMap<String, String>,
}

thread_local! {
    static TAG: RefCell<Option<Arc<str>>> = const { RefCell::new(None) };
}

/// Says that this thread works for `plugin` from now on.
pub fn tag_thread(plugin: Arc<str>) {
    TAG.with(|tag| *tag.borrow_mut() = Some(plugin));
}

/// The plugin that this thread works for, if any.
pub fn thread_tag() -> Option<Arc<str>> {
    TAG.try_with(|tag| tag.borrow().clone()).ok().flatten()
}

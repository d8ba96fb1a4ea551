//! The plugin `llmserver`: embeddings computed here, chat by quoting the index, and any
//! OpenAI-compatible upstream.
//!
//! [`Llmserver`] is the plugin; `README.md` beside this crate tells what it does and what can be
//! set. One file is one ability (`embed`, `chat`, `conversations`, `pull`); one folder of `engine` is one way
//! to compute answers.

mod actor;
mod catalogue;
mod chat;
mod checksum;
mod conversations;
mod embed;
mod engine;
mod limits;
mod pull;
mod schema;
mod settings;
mod tls;

#[cfg(test)]
mod testing;

pub use actor::Llmserver;
pub use engine::upstream::reach::{Reach, ReachError};
pub use settings::{ExtractSettings, Settings, UpstreamSettings};

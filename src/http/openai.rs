//! OpenAI's routes under `/v1`.

pub(crate) mod account;
pub(crate) mod ceiling;
pub(crate) mod chat;
pub(crate) mod completions;
pub(crate) mod cost;
pub(crate) mod embeddings;
pub(crate) mod known;
pub(crate) mod models;
pub(crate) mod sse;

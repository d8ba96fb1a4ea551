//! Hybrid retrieval: documents in SQLite, ranked by words (BM25) and by vectors (usearch), fused.
//!
//! Rows are the truth. Each collection has an index in memory, derived from its rows, persisted in
//! files that are believed only if their hashes hold, and brought up to date by one mechanism:
//! reading what has changed since the revision that it has reached.

mod actor;
mod analyzer;
mod browse;
mod catalog;
mod changes;
mod chunker;
mod codec;
mod collection;
mod derived;
mod embedder;
mod embeddings;
mod filter;
mod finish;
#[cfg(test)]
mod fixture;
mod fusion;
mod guide;
mod index;
mod index_file;
mod ingest;
mod keeper;
mod leg;
mod library;
mod limits;
#[cfg(test)]
mod quality;
mod query;
mod rows;
mod schema;
mod search;
mod segments;
mod source;
mod stop_words;
#[cfg(test)]
mod tests;
mod top;
mod upsert;
mod vectors;
mod words;

pub use actor::{Brainml, Settings};
pub use guide::GuideDocument;

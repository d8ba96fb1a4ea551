//! `bkg-extract`: answers only by quoting the indexed collections, with citations, and says so
//! plainly when nothing fits. It needs no weights.

pub(crate) mod answer;
pub(crate) mod engine;
pub(crate) mod pick;
mod request;
mod sentences;
mod shape;
mod words;

pub(crate) use engine::Extract;

/// The model's id.
pub(crate) const MODEL: &str = "bkg-extract";

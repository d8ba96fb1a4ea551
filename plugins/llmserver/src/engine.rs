//! The engines: what computes or fetches the answers. One folder an engine.

pub(crate) mod burn;
pub(crate) mod embedder;
pub(crate) mod extract;
pub(crate) mod queue;
pub(crate) mod upstream;
pub(crate) mod worker;

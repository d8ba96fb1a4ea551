//! Sentence embeddings computed here: BERT encoders with mean pooling, on burn's CPU backend.

pub(crate) mod bert;
pub(crate) mod config;
pub(crate) mod encoder;
pub(crate) mod fault;
pub(crate) mod gelu;
pub(crate) mod tokens;
pub(crate) mod weights;

//! The integration tests: each starts the real program and talks to it as a person would.
#![allow(clippy::as_conversions, clippy::string_slice, missing_docs)]

mod gateway;
mod layering;

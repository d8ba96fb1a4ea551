//! The integration tests: each starts the real program and talks to it as a person would.
#![allow(
    clippy::as_conversions,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used,
    missing_docs,
    unreachable_pub,
    reason = "a test that is surprised should fail"
)]

mod access_log;
mod backup;
mod brainml;
mod cli;
mod conversations;
mod cranfield;
mod crash;
mod crowd;
mod dashboards;
mod database;
mod drain;
mod edge;
mod fake_upstream;
mod faults;
mod gateway;
mod identity;
mod layering;
mod logs;
mod metrics;
mod openai;
mod openapi;
mod otlp;
mod plugins;
mod python;
mod quick_start;
mod reference;
mod release;
mod settings;
mod site;
mod siteless;
mod socket;
mod sse;
mod staging;
mod store;
mod traces;
mod upstream;
mod usage;
mod without_model;

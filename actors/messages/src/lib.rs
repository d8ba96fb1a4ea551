//! Everything that can be said inside the gateway: one file a plugin, plus the contract that plugins share.
//!
//! This crate does no I/O and knows no other crate of the workspace. A plugin answers
//! [`Capability`](call::Capability) messages and asks others through [`Port`](port::Port)s.

pub mod about;
pub mod apikeys;
pub mod brainml;
pub mod call;
pub mod fault;
pub mod gate;
pub mod histogram;
pub mod host;
pub mod json;
pub mod line;
pub mod llmserver;
pub mod log_record;
pub mod plugin;
pub mod port;
pub mod stream;
pub mod supervisor;
pub mod trace;
pub mod traffic;
pub mod upstreams;
pub mod usage;

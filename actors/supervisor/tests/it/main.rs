//! The supervisor with plugins that panic, hang and flood, watched from outside.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    unreachable_pub,
    reason = "a test that is surprised should fail"
)]

mod calls;
mod configuring;
mod hangs;
mod lifecycle;
mod load;
mod panics;
mod rig;

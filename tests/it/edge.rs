//! What strangers send to the HTTP edge, and what must become of it.

mod bodies;
mod claims;
mod crowd;
mod leaving;
mod log_lines;
mod malformed;
mod pages;
pub mod raw;
mod slow;
mod sockets;
pub mod tls;
mod wire;

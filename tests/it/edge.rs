//! What strangers send to the HTTP edge, and what must become of it.

mod crowd;
mod raw;
mod slow;

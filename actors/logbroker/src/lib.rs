//! The live log: everything that is logged, kept in one ring that any number of readers follow at
//! their own pace.
//!
//! ```text
//! log::info!  ->  Tee  ->  terminal (env_logger)
//!                  |
//!                  +--->  Intake  ->  LogBroker (actor)  ->  Ring  ->  Cursor, one a reader
//!                    numbers, bounded   the only writer      shared    pulls when it can
//! ```
//!
//! What holds:
//!
//! - **Logging never waits for the broker.** A record gets its number and a place in a bounded
//!   queue in one short critical section. When the queue is full the record is dropped, but its
//!   number is spent, so that readers see a gap where it would have been.
//! - **The broker is an actor** because the ring has one owner: the only writer, on a thread of its
//!   own, so that encoding records and waking readers cost no caller anything. It takes all that
//!   wait at once, and wakes the readers once.
//! - **Readers pull.** Nobody sends to a reader, so a stalled one costs nothing but its cursor. A
//!   [`Cursor`] yields one frame a poll, of at most about 32 KiB, and is then pending once, so that
//!   a socket is written before the next frame is made.
//! - **Every number is told about once.** From where it starts, a reader gets each number as a
//!   record, has it filtered out, or finds it in exactly one gap. A gap is counted when a slot is
//!   *found* overwritten, over all records and not only those that pass the filter. Without a
//!   filter, sent + announced = published.
//! - **Memory is bounded**, by records and by bytes; a long line is cut.
//! - **A line is a line.** Control characters are escaped before anything is stored or printed, so
//!   that what is logged can neither forge lines nor drive a terminal.
//! - **The broker's own thread logs to the terminal alone**, or each record would make another one.

mod broker;
mod cursor;
mod escape;
#[cfg(test)]
mod fixture;
mod intake;
mod ring;
mod tag;
mod tee;

pub use broker::LogBroker;
pub use cursor::{Cursor, Filter, Frame, Resume};
pub use intake::Intake;
pub use ring::{Figures, Hello, Limits, Ring};
pub use tee::{Format, InstallError, install};

//! The database: one SQLite file, one writer, a few readers, and the checks before it is opened.
//!
//! [`Store::open`] claims a data directory, examines the database without touching it, migrates
//! it, and hands out connections to closures. It knows no plugin; a plugin describes its tables in
//! its own crate and adds its migrations to the shared `migrations/` folder.

pub mod backup;
mod claim;
mod error;
mod examine;
mod migrate;
mod open;
pub mod operator;
mod pool;
mod private;
mod schema;
mod store;

#[cfg(test)]
mod tests;

pub use error::{OpenError, StoreError};
pub use store::Store;

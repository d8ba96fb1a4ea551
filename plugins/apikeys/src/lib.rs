//! The plugin `apikeys`: users, sessions and keys, and the published table that tells every request
//! who asks. See README.md.

mod actor;
mod audit;
mod authenticate;
mod change_key;
mod change_user;
mod first_admin;
mod holder;
mod keys;
mod metered;
mod passwords;
mod registry;
mod rows;
mod schema;
mod sessions;
mod throttle;
mod totp;
mod usage;
mod users;

#[cfg(test)]
mod tests;

pub use actor::Apikeys;
pub use first_admin::FirstAdmin;
pub use registry::Clock;

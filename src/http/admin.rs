//! What an operator does: plugins, keys, users and models under `/admin`.

pub(crate) mod audit;
pub(crate) mod backups;
pub(crate) mod keys;
pub(crate) mod models;
pub(crate) mod plugins;
pub(crate) mod settings;
pub(crate) mod traces;
pub(crate) mod usage;
pub(crate) mod users;

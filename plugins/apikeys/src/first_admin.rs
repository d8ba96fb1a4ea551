//! The first user: without one nobody could log in to make another.

use std::{fmt, sync::Arc};

use diesel::prelude::*;
use messages::{
    apikeys::{Role, Scope, Scopes},
    call::Origin,
    fault::Fault,
};
use serde_json::json;

use crate::{
    audit::{Deed, record},
    passwords,
    registry::Registry,
    rows::UserRow,
    schema::users,
    users::LONGEST_PASSWORD,
};

/// The name of the first user.
const ADMIN: &str = "admin";

/// Random digits of a made password: 119 bits.
const PASSWORD_DIGITS: usize = 20;

/// Shorter passwords are taken from the settings with a warning, and from nowhere else.
pub(crate) const SHORTEST_PASSWORD: usize = 8;

/// How the first user gets a password. Used once, on a database without users.
#[derive(Clone)]
pub struct FirstAdmin {
    password: Option<String>,
    announce: Arc<dyn Fn(&str) + Send + Sync>,
}

impl FirstAdmin {
    /// The admin gets `password`; without one (or with an empty one) a random password is made and
    /// handed to `announce`, which must show it to the operator and keep it out of every log.
    ///
    /// It is announced before the admin is committed, so that no kill between the two leaves an
    /// admin whose password nobody has seen. One that was announced and not committed is void:
    /// the next start announces another.
    pub fn new(password: Option<String>, announce: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self {
            password: password.filter(|text| !text.is_empty()),
            announce: Arc::new(announce),
        }
    }
}

impl fmt::Debug for FirstAdmin {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("FirstAdmin")
    }
}

impl Registry {
    /// Makes the admin if there is no user yet. Blocks for the time of one password hash.
    pub(crate) fn ensure_admin(&self, first: &FirstAdmin) -> Result<(), Fault> {
        let users: i64 = self
            .store
            .read_blocking(|conn| Ok(users::table.count().get_result(conn)?))?;
        if users > 0 {
            return Ok(());
        }
        let given = first.password.as_deref();
        if given.is_some_and(|text| text.len() > LONGEST_PASSWORD) {
            return Err(Fault::unprocessable(format!(
                "the admin's password in the settings has more than {LONGEST_PASSWORD} bytes"
            )));
        }
        if given.is_some_and(|text| text.chars().count() < SHORTEST_PASSWORD) {
            log::warn!(
                "the admin's password from the settings is short; use at least {SHORTEST_PASSWORD} characters"
            );
        }
        let password = given.map_or_else(|| passwords::random(PASSWORD_DIGITS), str::to_owned);
        let password_hash = passwords::hash(&password)?;
        if given.is_none() {
            (first.announce)(&password);
        }
        self.add_admin(password_hash)
    }

    fn add_admin(&self, password_hash: String) -> Result<(), Fault> {
        let now = self.clock.millis();
        let scopes = Scopes::from_iter([Scope::EVERYTHING]);
        let admin = UserRow::new(ADMIN.to_owned(), password_hash, Role::Admin, &scopes, now);
        let deed = Deed::new("user.create", ADMIN, json!({"role": Role::Admin}));
        self.store.write_blocking(|conn| {
            diesel::insert_into(users::table)
                .values(admin)
                .execute(conn)?;
            record(conn, now, &Origin::internal("apikeys"), &deed)
        })?;
        log::info!("made the first user, {ADMIN}");
        Ok(())
    }
}

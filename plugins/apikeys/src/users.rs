//! Users: making and listing them.

use diesel::{prelude::*, sqlite::SqliteConnection};
use messages::{
    apikeys::{Caller, CreateUser, Scope, Scopes, User},
    call::Origin,
    fault::Fault,
};
use serde_json::json;
use store::StoreError;

use crate::{
    audit::{Deed, record},
    first_admin::SHORTEST_PASSWORD,
    holder::Holder,
    registry::Registry,
    rows::UserRow,
    schema::users,
};

const LONGEST_NAME: usize = 64;

/// Longer passwords are refused before they are hashed.
pub(crate) const LONGEST_PASSWORD: usize = 1024;

impl Registry {
    /// Makes a user on behalf of `caller`.
    pub(crate) async fn create_user(&self, by: Origin, request: CreateUser) -> Result<User, Fault> {
        let caller = &by.caller;
        caller.require(&Scope::ADMIN)?;
        let (username, role) = (request.username, request.role);
        check_username(&username)?;
        check_password(&request.password)?;
        let scopes = role.scopes(request.scopes)?;
        check_scopes(caller, &scopes)?;
        let hash = self.passwords.hash(request.password).await?;
        let now = self.clock.millis();
        let row = UserRow::new(username, hash, role, &scopes, now);
        let user = row.clone().about()?;
        let detail = json!({"role": role, "scopes": scopes});
        let deed = Deed::new("user.create", row.username.as_str(), detail);
        log::info!("{} makes the user {}", caller.id, row.username);
        let clock = self.clock.clone();
        let write = move |conn: &mut SqliteConnection| {
            let holder = Holder::find(conn, by, clock.millis())?;
            holder.caller().require(&Scope::ADMIN)?;
            check_scopes(holder.caller(), &scopes)?;
            insert(conn, row)?;
            record(conn, now, &holder.by, &deed)
        };
        self.store.write(write).await?;
        Ok(user)
    }

    /// All users.
    pub(crate) async fn list_users(&self, caller: &Caller) -> Result<Vec<User>, Fault> {
        caller.require(&Scope::ADMIN)?;
        let rows = self.store.read(|conn| {
            let rows: Vec<UserRow> = users::table
                .order(users::username)
                .select(UserRow::as_select())
                .load(conn)?;
            rows.into_iter().map(UserRow::about).collect()
        });
        Ok(rows.await?)
    }
}

fn insert(conn: &mut SqliteConnection, row: UserRow) -> Result<(), StoreError> {
    let taken = format!("there is a user {:?} already", row.username);
    let insert = diesel::insert_into(users::table).values(row).execute(conn);
    match insert.map_err(StoreError::from) {
        Err(error) if error.is_duplicate() => {
            Err(Fault::conflict(taken).with_param("username").into())
        }
        other => other.map(drop),
    }
}

fn check_username(name: &str) -> Result<(), Fault> {
    let allowed =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte);
    if (1..=LONGEST_NAME).contains(&name.len()) && name.bytes().all(allowed) {
        return Ok(());
    }
    Err(Fault::unprocessable(format!(
        "a user name has 1 to {LONGEST_NAME} characters of a-z 0-9 . _ -"
    ))
    .with_param("username"))
}

pub(crate) fn check_password(password: &str) -> Result<(), Fault> {
    let long_enough = password.chars().count() >= SHORTEST_PASSWORD;
    if long_enough && password.len() <= LONGEST_PASSWORD {
        return Ok(());
    }
    Err(Fault::unprocessable(format!(
        "a password has at least {SHORTEST_PASSWORD} characters and at most {LONGEST_PASSWORD} bytes"
    ))
    .with_param("password"))
}

/// Nobody hands out more than he has.
pub(crate) fn check_scopes(caller: &Caller, wanted: &Scopes) -> Result<(), Fault> {
    if wanted.is_empty() {
        return Err(Fault::unprocessable("name at least one scope").with_param("scopes"));
    }
    let Some(beyond) = wanted.iter().find(|scope| !caller.scopes.allow(scope)) else {
        return Ok(());
    };
    Err(Fault::denied(format!(
        "{} does not have the scope {beyond} and so cannot hand it out",
        caller.id
    ))
    .with_param("scopes")
    .with_code("missing_scope"))
}

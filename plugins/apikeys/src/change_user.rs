//! Changing a user: locking him out, his role and scopes, a forgotten password, a lost
//! authenticator. What changes is in force in his sessions and keys before it is answered.

use diesel::{prelude::*, sqlite::SqliteConnection};
use messages::{
    apikeys::{Caller, ChangeUser, Role, Scope, User, UserChange},
    call::Origin,
    fault::Fault,
};
use serde_json::json;
use store::StoreError;

use crate::{
    audit::{Deed, record},
    holder::Holder,
    registry::Registry,
    rows::{UserRow, read_scopes, write_scopes},
    schema::{sessions, users},
    users::{check_password, check_scopes},
};

impl Registry {
    /// Changes a user on behalf of an admin.
    pub(crate) async fn change_user(&self, by: Origin, ask: ChangeUser) -> Result<User, Fault> {
        by.caller.require(&Scope::ADMIN)?;
        let ChangeUser { username, change } = ask;
        if change.totp == Some(true) {
            let told = "only the user himself can set up an authenticator, by POST /auth/totp";
            return Err(Fault::unprocessable(told).with_param("totp"));
        }
        let password_hash = match &change.password {
            Some(password) => {
                check_password(password)?;
                Some(self.passwords.hash(password.clone()).await?)
            }
            None => None,
        };
        let (now, maker) = (self.clock.millis(), by.caller.id.clone());
        let name = username.clone();
        let clock = self.clock.clone();
        let write = move |conn: &mut SqliteConnection| {
            let holder = Holder::find(conn, by, clock.millis())?;
            holder.caller().require(&Scope::ADMIN)?;
            let mut user = Changing::find(conn, &name, holder.by, now)?;
            user.rank(conn, &change)?;
            user.lock(conn, change.disabled)?;
            user.reset(conn, password_hash)?;
            user.forget_totp(conn, change.totp)?;
            user.row.about()
        };
        let user = self.change_and_publish(username, write).await?;
        log::info!("{maker} changed the user {}", user.username);
        Ok(user)
    }
}

/// A user who is being changed, inside the write turn.
struct Changing {
    row: UserRow,
    by: Origin,
    now: i64,
}

impl Changing {
    fn find(
        conn: &mut SqliteConnection,
        name: &str,
        by: Origin,
        now: i64,
    ) -> Result<Self, StoreError> {
        let row: Option<UserRow> = users::table
            .find(name)
            .select(UserRow::as_select())
            .first(conn)
            .optional()?;
        let row = row.ok_or_else(|| Fault::unknown(format!("there is no user {name:?}")))?;
        Ok(Self { row, by, now })
    }

    /// Sets role and scopes, which go together.
    fn rank(&mut self, conn: &mut SqliteConnection, change: &UserChange) -> Result<(), StoreError> {
        let (old_role, role) = (self.row.role(), change.role.unwrap_or(self.row.role()));
        if change.role.is_none() && change.scopes.is_none() {
            return Ok(());
        }
        let stays = || (old_role == role).then(|| read_scopes(&self.row.scopes));
        let wanted = change.scopes.clone().or_else(stays).unwrap_or_default();
        let scopes = role.scopes(wanted)?;
        check_scopes(&self.by.caller, &scopes)?;
        self.above_the_user()?;
        if old_role == Role::Admin && role != Role::Admin {
            self.another_admin(conn)?;
        }
        let written = write_scopes(&scopes);
        if old_role == role && written == self.row.scopes {
            return Ok(());
        }
        diesel::update(users::table.find(&self.row.username))
            .set((users::role.eq(role.as_str()), users::scopes.eq(&written)))
            .execute(conn)?;
        self.row.role = role.as_str().to_owned();
        self.row.scopes = written;
        let detail = json!({"role": role, "scopes": scopes, "was": old_role});
        self.note(conn, "user.role", detail)
    }

    fn lock(&mut self, conn: &mut SqliteConnection, wish: Option<bool>) -> Result<(), StoreError> {
        let Some(disabled) = wish.filter(|wish| *wish != self.row.disabled) else {
            return Ok(());
        };
        let action = match disabled {
            true if self.row.role() == Role::Admin => {
                self.another_admin(conn)?;
                "user.disable"
            }
            true => "user.disable",
            // Letting someone in again hands out what he may do.
            false => {
                self.above_the_user()?;
                "user.enable"
            }
        };
        diesel::update(users::table.find(&self.row.username))
            .set(users::disabled.eq(disabled))
            .execute(conn)?;
        self.row.disabled = disabled;
        end_sessions(conn, &self.row.username)?;
        self.note(conn, action, json!({}))
    }

    fn reset(
        &mut self,
        conn: &mut SqliteConnection,
        hash: Option<String>,
    ) -> Result<(), StoreError> {
        let Some(hash) = hash else { return Ok(()) };
        self.above_the_user()?;
        diesel::update(users::table.find(&self.row.username))
            .set(users::password_hash.eq(hash))
            .execute(conn)?;
        end_sessions(conn, &self.row.username)?;
        self.note(conn, "user.password", json!({}))
    }

    fn forget_totp(
        &mut self,
        conn: &mut SqliteConnection,
        wish: Option<bool>,
    ) -> Result<(), StoreError> {
        if wish != Some(false) || self.row.totp_secret.is_none() {
            return Ok(());
        }
        self.above_the_user()?;
        clear_totp(conn, &self.row.username)?;
        self.row.totp_confirmed = false;
        self.note(conn, "user.totp_off", json!({}))
    }

    fn note(
        &self,
        conn: &mut SqliteConnection,
        action: &'static str,
        detail: serde_json::Value,
    ) -> Result<(), StoreError> {
        let deed = Deed::new(action, self.row.username.as_str(), detail);
        record(conn, self.now, &self.by, &deed)
    }

    /// Who may log in as someone else, or say what he may do, has all that he has: otherwise a key
    /// with the scope `admin` alone would make itself one with everything.
    fn above_the_user(&self) -> Result<(), Fault> {
        let caller: &Caller = &self.by.caller;
        if caller.scopes.cover(&read_scopes(&self.row.scopes)) {
            return Ok(());
        }
        let told = format!("{} may do less than {}", caller.id, self.row.username);
        Err(Fault::denied(told).with_code("missing_scope"))
    }

    /// Somebody must be able to let the others in.
    fn another_admin(&self, conn: &mut SqliteConnection) -> Result<(), StoreError> {
        if self.row.disabled {
            return Ok(());
        }
        let others: i64 = users::table
            .filter(users::role.eq(Role::Admin.as_str()))
            .filter(users::disabled.eq(false))
            .filter(users::username.ne(&self.row.username))
            .count()
            .get_result(conn)?;
        if others > 0 {
            return Ok(());
        }
        let told = format!(
            "{} is the last admin; make another one first",
            self.row.username
        );
        Err(Fault::conflict(told).with_code("last_admin").into())
    }
}

/// Ends all sessions of a user; whoever calls this publishes what is left.
pub(crate) fn end_sessions(conn: &mut SqliteConnection, username: &str) -> QueryResult<usize> {
    diesel::delete(sessions::table.filter(sessions::username.eq(username))).execute(conn)
}

/// Forgets a user's authenticator.
pub(crate) fn clear_totp(conn: &mut SqliteConnection, username: &str) -> QueryResult<usize> {
    diesel::update(users::table.find(username))
        .set((
            users::totp_secret.eq(None::<Vec<u8>>),
            users::totp_confirmed.eq(false),
            users::totp_last_step.eq(None::<i64>),
        ))
        .execute(conn)
}

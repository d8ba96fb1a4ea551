//! Sessions: logging in and out, and changing one's own password.

use diesel::{prelude::*, sqlite::SqliteConnection};
use jiff::{SignedDuration, Timestamp};
use messages::{
    apikeys::{ChangePassword, Credentials, Digest, Grant, Login, Logout, NewSession, secret},
    call::Origin,
    fault::{Fault, FaultKind},
};
use serde_json::json;
use store::StoreError;

use crate::{
    audit::{Deed, record},
    change_user::end_sessions,
    keys::ID_DIGITS,
    passwords::random,
    registry::Registry,
    rows::{IDLE, SessionRow, UserRow, read_digest, read_time},
    schema::{sessions, users},
    totp,
    users::{LONGEST_PASSWORD, check_password},
};

/// However much it is used, a session ends after this.
const LONGEST: SignedDuration = SignedDuration::from_hours(12);

/// Random base62 digits of a cookie: 256 bits.
const COOKIE_DIGITS: usize = 43;

impl Registry {
    /// Opens a session, in force before this answers. A wrong name, a wrong password and a user
    /// who is locked out get the same answer after the same time: a hash is computed and an entry
    /// is written for each of them.
    pub(crate) async fn login(&self, by: Origin, request: Login) -> Result<NewSession, Fault> {
        let paid = self
            .throttle
            .pay(self.clock.millis(), by.address, &request.username)?;
        let user = self.find_user(request.username.clone()).await?;
        let known = user.as_ref().map(|user| user.username.clone());
        let opened = self.try_login(&by, user, request).await;
        match &opened {
            Ok(_) => paid.take_back(),
            // The password was right, and without a code nothing has been guessed.
            Err(fault) if fault.code.as_deref() == Some(TOTP_REQUIRED) => paid.take_back(),
            Err(fault) if fault.kind == FaultKind::Unauthenticated => {
                self.note_failure(by, known, fault).await;
            }
            Err(_) => {}
        }
        opened
    }

    async fn try_login(
        &self,
        by: &Origin,
        user: Option<UserRow>,
        request: Login,
    ) -> Result<NewSession, Fault> {
        let Login {
            password,
            code,
            replaces,
            ..
        } = request;
        if password.len() > LONGEST_PASSWORD {
            return Err(refusal());
        }
        let hash = user.as_ref().map(|user| user.password_hash.clone());
        let right = self.passwords.verify(password, hash).await?;
        let user = user.filter(|user| right && !user.disabled);
        let user = user.ok_or_else(refusal)?;
        let step = self.second_factor(&user, code)?;
        self.open_session(by, user, step, replaces).await
    }

    /// The step of the code, where the user has an authenticator.
    fn second_factor(&self, user: &UserRow, code: Option<String>) -> Result<Option<i64>, Fault> {
        let Some(secret) = user.totp_secret.as_ref().filter(|_| user.totp_confirmed) else {
            return Ok(None);
        };
        let code = code.ok_or_else(|| {
            Fault::unauthenticated("send the code that your authenticator shows as `code`")
                .with_code(TOTP_REQUIRED)
        })?;
        let now = self.clock.millis();
        let step = totp::step_of(secret, code.trim(), now, user.totp_last_step);
        step.map(Some).ok_or_else(totp::wrong_code)
    }

    /// Whether `password` is the user's.
    pub(crate) async fn is_password(
        &self,
        user: &UserRow,
        password: String,
    ) -> Result<bool, Fault> {
        if password.len() > LONGEST_PASSWORD {
            return Ok(false);
        }
        let hash = Some(user.password_hash.clone());
        self.passwords.verify(password, hash).await
    }

    /// A name that nobody has is not written down: people type their password there.
    async fn note_failure(&self, by: Origin, known: Option<String>, fault: &Fault) {
        let now = self.clock.millis();
        let detail = json!({"why": fault.code});
        let deed = Deed::new("login.failed", known.unwrap_or_default(), detail);
        let noted = self
            .store
            .write(move |conn| record(conn, now, &by, &deed))
            .await;
        if let Err(why) = noted {
            log::warn!("a log-in that failed is not in the audit log: {why}");
        }
    }

    pub(crate) async fn find_user(&self, username: String) -> Result<Option<UserRow>, Fault> {
        let row = self.store.read(move |conn| {
            Ok(users::table
                .find(username)
                .select(UserRow::as_select())
                .first(conn)
                .optional()?)
        });
        Ok(row.await?)
    }

    pub(crate) async fn open_session(
        &self,
        by: &Origin,
        user: UserRow,
        step: Option<i64>,
        replaces: Option<Digest>,
    ) -> Result<NewSession, Fault> {
        let now = self.clock.millis();
        let fresh = Fresh::new(&user.username, now)?;
        let (by, credentials) = (by.clone(), self.credentials.clone());
        let (row, digest) = (fresh.row, fresh.digest);
        let insert = move |conn: &mut SqliteConnection| {
            let scopes = still_right(conn, &user)?;
            if let Some(step) = step {
                totp::take(conn, &user.username, step)?;
            }
            if let Some(old) = replaces {
                diesel::delete(sessions::table.find(old.as_slice())).execute(conn)?;
                credentials.withdraw(&old);
            }
            sweep(conn, &credentials, now)?;
            let grant = begin(conn, row, &scopes, by, "session.login")?;
            let caller = grant.caller.clone();
            Ok((grant, caller))
        };
        let caller = self.write_and_publish(digest, insert).await?;
        log::info!("{} logged in as {}", caller.user, caller.id);
        Ok(NewSession {
            secret: fresh.secret,
            caller,
            expires_at: fresh.expires_at,
        })
    }

    /// Ends a session: it is refused before this answers. One that has ended stays ended.
    pub(crate) async fn logout(&self, by: Origin, request: Logout) -> Result<(), Fault> {
        let Logout { digest } = request;
        let (now, credentials) = (self.clock.millis(), self.credentials.clone());
        let ended = self.store.write(move |conn| {
            let gone: Option<SessionRow> = diesel::delete(sessions::table.find(digest.as_slice()))
                .returning(SessionRow::as_returning())
                .get_result(conn)
                .optional()?;
            let Some(gone) = gone else { return Ok(()) };
            credentials.withdraw(&digest);
            let target = format!("session:{}", gone.id);
            record(
                conn,
                now,
                &by,
                &Deed::new("session.logout", target, json!({})),
            )
        });
        Ok(ended.await?)
    }

    /// Changes the password of whoever is logged in. Whoever else is logged in as him is not the
    /// user, or will log in again.
    pub(crate) async fn change_password(
        &self,
        by: Origin,
        ask: ChangePassword,
    ) -> Result<NewSession, Fault> {
        let user = self.own_user(&by).await?;
        check_password(&ask.new)?;
        let now = self.clock.millis();
        let paid = self.throttle.pay(now, by.address, &user.username)?;
        if !self.is_password(&user, ask.current).await? {
            let known = Some(user.username);
            self.note_failure(by, known, &refusal()).await;
            return Err(refusal());
        }
        paid.take_back();
        let hash = self.passwords.hash(ask.new).await?;
        let fresh = Fresh::new(&user.username, now)?;
        let (name, row) = (user.username.clone(), fresh.row);
        let change = move |conn: &mut SqliteConnection| {
            let scopes = still_right(conn, &user)?;
            diesel::update(users::table.find(&user.username))
                .set(users::password_hash.eq(hash))
                .execute(conn)?;
            end_sessions(conn, &user.username)?;
            let deed = Deed::new(
                "user.password",
                user.username.as_str(),
                json!({"own": true}),
            );
            record(conn, now, &by, &deed)?;
            begin(conn, row, &scopes, by, "session.login")
        };
        let grant = self.change_and_publish(name, change).await?;
        log::info!("{} has a new password", grant.caller.user);
        Ok(NewSession {
            secret: fresh.secret,
            caller: grant.caller,
            expires_at: fresh.expires_at,
        })
    }
}

/// The code of the fault that asks for a code.
const TOTP_REQUIRED: &str = "totp_required";

/// A session that is not in the database yet.
struct Fresh {
    secret: String,
    digest: Digest,
    row: SessionRow,
    expires_at: Timestamp,
}

impl Fresh {
    fn new(username: &str, now: i64) -> Result<Self, StoreError> {
        let secret = random(COOKIE_DIGITS);
        let digest = secret::digest(&secret);
        let row = SessionRow {
            digest: digest.to_vec(),
            id: random(ID_DIGITS),
            username: username.to_owned(),
            seen_at: now,
            expires_at: now.saturating_add(millis(LONGEST)),
        };
        let expires_at = read_time(row.expires_at)?;
        Ok(Self {
            secret,
            digest,
            row,
            expires_at,
        })
    }
}

/// The user's scopes, if nothing that let him in has changed since it was checked: hashing takes a
/// while, and a new password or a lock must not be outrun.
fn still_right(conn: &mut SqliteConnection, user: &UserRow) -> Result<String, StoreError> {
    let same = users::password_hash
        .eq(&user.password_hash)
        .and(users::totp_confirmed.eq(user.totp_confirmed))
        .and(users::disabled.eq(false));
    let scopes: Option<String> = users::table
        .find(&user.username)
        .filter(same)
        .select(users::scopes)
        .first(conn)
        .optional()?;
    scopes.ok_or_else(|| refusal().into())
}

/// Writes down a new session and who opened it.
fn begin(
    conn: &mut SqliteConnection,
    row: SessionRow,
    scopes: &str,
    by: Origin,
    action: &'static str,
) -> Result<Grant, StoreError> {
    let (_, grant) = row.grant(scopes)?;
    let (now, caller) = (row.seen_at, &grant.caller);
    let deed = Deed::new(action, caller.id.as_str(), json!({}));
    let by = Origin {
        caller: caller.clone(),
        ..by
    };
    diesel::insert_into(sessions::table)
        .values(row)
        .execute(conn)?;
    record(conn, now, &by, &deed)?;
    Ok(grant)
}

/// Forgets the sessions that have ended, so that neither table grows with every log-in.
fn sweep(
    conn: &mut SqliteConnection,
    credentials: &Credentials,
    now: i64,
) -> Result<(), StoreError> {
    let idle_since = now.saturating_sub(millis(IDLE));
    let ended = sessions::expires_at
        .le(now)
        .or(sessions::seen_at.le(idle_since));
    let gone: Vec<SessionRow> = diesel::delete(sessions::table.filter(ended))
        .returning(SessionRow::as_returning())
        .get_results(conn)?;
    for row in gone {
        credentials.withdraw(&read_digest(&row.digest)?);
    }
    Ok(())
}

fn millis(duration: SignedDuration) -> i64 {
    duration.as_secs().saturating_mul(1000)
}

pub(crate) fn refusal() -> Fault {
    Fault::unauthenticated("wrong user name or password").with_code("invalid_credentials")
}

//! Sessions: logging in and out.

use diesel::{prelude::*, sqlite::SqliteConnection};
use jiff::SignedDuration;
use messages::{
    apikeys::{Credentials, Login, Logout, NewSession, secret},
    fault::Fault,
};
use store::StoreError;

use crate::{
    keys::ID_DIGITS,
    passwords::random,
    registry::Registry,
    rows::{IDLE, SessionRow, UserRow, read_digest, read_time},
    schema::{sessions, users},
    users::LONGEST_PASSWORD,
};

/// However much it is used, a session ends after this.
const LONGEST: SignedDuration = SignedDuration::from_hours(12);

/// Random base62 digits of a cookie: 256 bits.
const COOKIE_DIGITS: usize = 43;

impl Registry {
    /// Opens a session, in force before this answers. Who gives a wrong name and who gives a
    /// wrong password get the same answer after the same time.
    pub(crate) async fn login(&self, request: Login) -> Result<NewSession, Fault> {
        let Login { username, password } = request;
        if password.len() > LONGEST_PASSWORD {
            return Err(refusal());
        }
        let user = self.find_user(username).await?;
        let hash = user.as_ref().map(|user| user.password_hash.clone());
        let right = self.passwords.verify(password, hash).await?;
        match user.filter(|user| right && !user.disabled) {
            Some(user) => self.open_session(&user).await,
            None => Err(refusal()),
        }
    }

    async fn find_user(&self, username: String) -> Result<Option<UserRow>, Fault> {
        let row = self.store.read(move |conn| {
            Ok(users::table
                .find(username)
                .select(UserRow::as_select())
                .first(conn)
                .optional()?)
        });
        Ok(row.await?)
    }

    async fn open_session(&self, user: &UserRow) -> Result<NewSession, Fault> {
        let now = self.clock.millis();
        let secret = random(COOKIE_DIGITS);
        let row = SessionRow {
            digest: secret::digest(&secret).to_vec(),
            id: random(ID_DIGITS),
            username: user.username.clone(),
            seen_at: now,
            expires_at: now.saturating_add(millis(LONGEST)),
        };
        let expires_at = read_time(row.expires_at)?;
        let (digest, grant) = row.grant(&user.scopes)?;
        let caller = grant.caller.clone();
        let credentials = self.credentials.clone();
        let insert = move |conn: &mut SqliteConnection| {
            sweep(conn, &credentials, now)?;
            diesel::insert_into(sessions::table)
                .values(row)
                .execute(conn)?;
            Ok(grant)
        };
        self.write_and_publish(digest, insert).await?;
        log::info!("{} logged in as {}", user.username, caller.id);
        Ok(NewSession {
            secret,
            caller,
            expires_at,
        })
    }

    /// Ends a session: it is refused before this answers. One that has ended stays ended.
    pub(crate) async fn logout(&self, request: Logout) -> Result<(), Fault> {
        let Logout { digest } = request;
        let credentials = self.credentials.clone();
        let ended = self.store.write(move |conn| {
            let row = sessions::table.find(digest.as_slice());
            if diesel::delete(row).execute(conn)? > 0 {
                credentials.withdraw(&digest);
            }
            Ok(())
        });
        Ok(ended.await?)
    }
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

fn refusal() -> Fault {
    Fault::unauthenticated("wrong user name or password").with_code("invalid_credentials")
}

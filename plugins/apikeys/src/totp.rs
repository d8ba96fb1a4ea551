//! The second factor: codes of an authenticator (RFC 6238: SHA-1, 6 digits, 30 seconds), one step
//! early or late, each taken once.

use diesel::{prelude::*, sqlite::SqliteConnection};
use messages::{
    apikeys::{BeginTotp, ConfirmTotp, EndTotp, TotpSecret},
    call::Origin,
    fault::Fault,
};
use serde_json::json;
use store::StoreError;
use totp_rs::{Algorithm, TOTP};

use crate::{
    audit::{Deed, record},
    change_user::clear_totp,
    passwords::random_bytes,
    registry::Registry,
    rows::UserRow,
    schema::users,
    sessions::refusal,
};

/// Milliseconds for which a code is shown.
const STEP: i64 = 30_000;

const DIGITS: usize = 6;

fn authenticator(secret: Vec<u8>) -> TOTP {
    let seconds = STEP.unsigned_abs() / 1000;
    TOTP::new_unchecked(Algorithm::SHA1, DIGITS, 0, seconds, secret)
}

/// The step that `code` belongs to, around `now` (Unix milliseconds) and later than the last one
/// that was used.
pub(crate) fn step_of(secret: &[u8], code: &str, now: i64, last: Option<i64>) -> Option<i64> {
    let authenticator = authenticator(secret.to_vec());
    let present = now.div_euclid(STEP);
    let near = [
        present.saturating_sub(1),
        present,
        present.saturating_add(1),
    ];
    near.into_iter()
        .filter(|step| last.is_none_or(|last| *step > last))
        .find(|step| {
            let seconds = step.saturating_mul(STEP / 1000);
            u64::try_from(seconds).is_ok_and(|time| authenticator.check(code, time))
        })
}

/// Takes the code of `step`, once: of two log-ins with one code the second is refused.
pub(crate) fn take(
    conn: &mut SqliteConnection,
    username: &str,
    step: i64,
) -> Result<(), StoreError> {
    let unused = users::totp_last_step
        .is_null()
        .or(users::totp_last_step.lt(step));
    let taken = diesel::update(users::table.find(username).filter(unused))
        .set(users::totp_last_step.eq(step))
        .execute(conn)?;
    match taken {
        0 => Err(wrong_code().into()),
        _ => Ok(()),
    }
}

/// Refuses what changed no row: another call has begun anew, or confirmed, in between.
fn changed(rows: usize) -> Result<(), Fault> {
    if rows > 0 {
        return Ok(());
    }
    let told = "the authenticator was changed meanwhile; look again and begin anew";
    Err(Fault::conflict(told).with_code("totp_changed"))
}

pub(crate) fn wrong_code() -> Fault {
    Fault::unauthenticated("this code does not hold; wait for the next one")
        .with_code("totp_invalid")
}

impl Registry {
    /// Makes a secret that does not count yet; another one replaces it. The password is asked for
    /// anew: whoever finds a session open could else lock its user out for good.
    pub(crate) async fn begin_totp(&self, by: Origin, ask: BeginTotp) -> Result<TotpSecret, Fault> {
        let user = self.own_user(&by).await?;
        let now = self.clock.millis();
        let paid = self.throttle.pay(now, by.address, &user.username)?;
        if !self.is_password(&user, ask.password).await? {
            return Err(refusal());
        }
        paid.take_back();
        if user.totp_confirmed {
            let told = "there is an authenticator already; turn it off first";
            return Err(Fault::conflict(told).with_code("totp_on"));
        }
        let secret = random_bytes::<20>().to_vec();
        let text = authenticator(secret.clone()).get_secret_base32();
        let name = user.username;
        // A name holds nothing that an address would have to escape.
        let url = format!(
            "otpauth://totp/bkg:{name}?secret={text}&issuer=bkg&algorithm=SHA1&digits={DIGITS}&period=30"
        );
        let keep = move |conn: &mut SqliteConnection| {
            let pending = users::table
                .find(name)
                .filter(users::totp_confirmed.eq(false));
            let kept = diesel::update(pending)
                .set(users::totp_secret.eq(secret))
                .execute(conn)?;
            Ok(changed(kept)?)
        };
        self.store.write(keep).await?;
        Ok(TotpSecret { secret: text, url })
    }

    /// Turns the second factor on.
    pub(crate) async fn confirm_totp(&self, by: Origin, ask: ConfirmTotp) -> Result<(), Fault> {
        let user = self.own_user(&by).await?;
        let Some(secret) = user.totp_secret.filter(|_| !user.totp_confirmed) else {
            let told = "there is nothing to confirm; begin with POST /auth/totp";
            return Err(Fault::conflict(told).with_code("totp_not_begun"));
        };
        let now = self.clock.millis();
        let paid = self.throttle.pay(now, by.address, &user.username)?;
        let step = step_of(&secret, ask.code.trim(), now, None).ok_or_else(wrong_code)?;
        let name = user.username;
        let turn_on = move |conn: &mut SqliteConnection| {
            let same = users::totp_secret.eq(&secret);
            let pending = same.and(users::totp_confirmed.eq(false));
            let confirmed = diesel::update(users::table.find(&name).filter(pending))
                .set((
                    users::totp_confirmed.eq(true),
                    users::totp_last_step.eq(step),
                ))
                .execute(conn)?;
            changed(confirmed)?;
            record(conn, now, &by, &Deed::new("totp.enable", name, json!({})))
        };
        self.store.write(turn_on).await?;
        paid.take_back();
        Ok(())
    }

    /// Turns the second factor off.
    pub(crate) async fn end_totp(&self, by: Origin, ask: EndTotp) -> Result<(), Fault> {
        let user = self.own_user(&by).await?;
        let now = self.clock.millis();
        let paid = self.throttle.pay(now, by.address, &user.username)?;
        if !self.is_password(&user, ask.password).await? {
            return Err(refusal());
        }
        let (name, begun) = (user.username, user.totp_secret.is_some());
        let turn_off = move |conn: &mut SqliteConnection| {
            clear_totp(conn, &name)?;
            match begun {
                true => record(conn, now, &by, &Deed::new("totp.disable", name, json!({}))),
                false => Ok(()),
            }
        };
        self.store.write(turn_off).await?;
        paid.take_back();
        Ok(())
    }

    /// The user whose session asks. A key has neither password nor authenticator.
    pub(crate) async fn own_user(&self, by: &Origin) -> Result<UserRow, Fault> {
        if !by.caller.is_session() {
            let told = "this is for whoever has logged in: a key has no password of its own";
            return Err(Fault::conflict(told).with_code("needs_session"));
        }
        let user = self.find_user(by.caller.user.clone()).await?;
        user.filter(|user| !user.disabled).ok_or_else(refusal)
    }
}

//! The second factor: turned on by a code, wanted at log-in, each code once.

use totp_rs::{Algorithm, Secret, TOTP};

use super::*;

const SECONDS: i64 = 1000;

/// What an authenticator shows that was told `text`.
struct Authenticator(TOTP);

impl Authenticator {
    fn told(text: &str) -> Self {
        let secret = Secret::Encoded(text.to_owned()).to_bytes().unwrap();
        Self(TOTP::new_unchecked(Algorithm::SHA1, 6, 1, 30, secret))
    }

    fn code(&self, house: &House) -> String {
        self.code_at(house.now.load(SeqCst))
    }

    fn code_at(&self, millis: i64) -> String {
        self.0.generate(u64::try_from(millis / SECONDS).unwrap())
    }
}

fn begin() -> BeginTotp {
    BeginTotp {
        password: PASSWORD.to_owned(),
    }
}

fn with_code(code: &str) -> Login {
    Login {
        code: Some(code.to_owned()),
        ..login("admin", PASSWORD)
    }
}

/// The admin with an authenticator that has just been confirmed, a step ago.
async fn with_authenticator() -> (House, Arc<Caller>, Authenticator) {
    let mut house = House::new();
    let admin = house.login().await.caller;
    let told = house.ask_as(&admin, begin()).await.unwrap();
    let authenticator = Authenticator::told(&told.secret);
    assert!(told.url.starts_with("otpauth://totp/bkg:admin?secret="));
    assert!(told.url.contains(&told.secret), "{}", told.url);
    house.login().await;
    let code = authenticator.code(&house);
    house.ask_as(&admin, ConfirmTotp { code }).await.unwrap();
    house.now.fetch_add(30 * SECONDS, SeqCst);
    (house, admin, authenticator)
}

async fn refused(house: &mut House, login: Login) -> String {
    let fault = house.ask(login).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Unauthenticated);
    fault.code.unwrap()
}

#[tokio::test]
async fn a_password_alone_no_longer_opens_a_session() {
    let (mut house, _, authenticator) = with_authenticator().await;
    assert_eq!(
        refused(&mut house, login("admin", PASSWORD)).await,
        "totp_required"
    );
    assert_eq!(refused(&mut house, with_code("")).await, "totp_invalid");
    let code = authenticator.code(&house);
    let wrong = Login {
        password: "wrong horse".to_owned(),
        ..with_code(&code)
    };
    assert_eq!(refused(&mut house, wrong).await, "invalid_credentials");
    house.ask(with_code(&code)).await.unwrap();
    assert!(house.ask(ListUsers).await.unwrap()[0].totp);
    house.restart();
    assert_eq!(
        refused(&mut house, login("admin", PASSWORD)).await,
        "totp_required"
    );
}

#[tokio::test]
async fn a_code_is_taken_once_and_an_older_one_not_after_it() {
    let (mut house, _, authenticator) = with_authenticator().await;
    let now = house.now.load(SeqCst);
    let (earlier, present) = (
        authenticator.code_at(now - 30 * SECONDS),
        authenticator.code(&house),
    );
    assert_eq!(
        refused(&mut house, with_code(&earlier)).await,
        "totp_invalid",
        "the code that turned it on was used by that"
    );
    house.ask(with_code(&present)).await.unwrap();
    assert_eq!(
        refused(&mut house, with_code(&present)).await,
        "totp_invalid"
    );
    house.restart();
    assert_eq!(
        refused(&mut house, with_code(&present)).await,
        "totp_invalid",
        "a restart forgets no used code"
    );
    let next = authenticator.code_at(now + 30 * SECONDS);
    house.ask(with_code(&next)).await.unwrap();
    let later = authenticator.code_at(now + 60 * SECONDS);
    assert_eq!(
        refused(&mut house, with_code(&later)).await,
        "totp_invalid",
        "two steps early"
    );
}

#[tokio::test]
async fn two_log_ins_at_once_with_one_code_open_one_session() {
    let (house, _, authenticator) = with_authenticator().await;
    let (name, now) = ("admin", house.now.load(SeqCst));
    let step = crate::totp::step_of(
        &Secret::Encoded(authenticator.0.get_secret_base32())
            .to_bytes()
            .unwrap(),
        &authenticator.code(&house),
        now,
        None,
    );
    let mut taken = Vec::new();
    for _ in 0..2 {
        let take = house
            .store
            .write(move |conn| crate::totp::take(conn, name, step.unwrap()));
        taken.push(take.await.is_ok());
    }
    assert_eq!(taken, [true, false]);
}

#[tokio::test]
async fn codes_are_guessed_no_faster_than_passwords() {
    let (mut house, ..) = with_authenticator().await;
    for _ in 0..10 {
        assert_eq!(refused(&mut house, with_code("no")).await, "totp_invalid");
    }
    let fault = house.ask(with_code("no")).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::LimitReached);
    let fault = house.ask(login("admin", PASSWORD)).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::LimitReached);
}

#[tokio::test]
async fn a_secret_that_nobody_confirmed_does_not_count() {
    let mut house = House::new();
    let admin = house.login().await.caller;
    let nothing = ConfirmTotp {
        code: "000000".to_owned(),
    };
    assert_eq!(
        kind(house.ask_as(&admin, nothing.clone()).await),
        FaultKind::Conflict
    );
    let first = house.ask_as(&admin, begin()).await.unwrap();
    let second = house.ask_as(&admin, begin()).await.unwrap();
    assert_ne!(first, second);
    let code = Authenticator::told(&first.secret).code(&house);
    let wrong = house.ask_as(&admin, ConfirmTotp { code }).await;
    assert_eq!(kind(wrong), FaultKind::Unauthenticated);
    house.login().await;
}

#[tokio::test]
async fn a_password_turns_it_off_and_an_admin_can_too() {
    let (mut house, admin, _) = with_authenticator().await;
    let again = house.ask_as(&admin, begin()).await;
    assert_eq!(
        kind(again),
        FaultKind::Conflict,
        "a hijacker cannot put his own in its place"
    );
    let end = |password: &str| EndTotp {
        password: password.to_owned(),
    };
    let wrong = house.ask_as(&admin, end("wrong horse")).await;
    assert_eq!(kind(wrong), FaultKind::Unauthenticated);
    house.ask_as(&admin, end(PASSWORD)).await.unwrap();
    house.login().await;
    let told = house.ask_as(&admin, begin()).await.unwrap();
    let code = Authenticator::told(&told.secret).code(&house);
    house.ask_as(&admin, ConfirmTotp { code }).await.unwrap();
    let change = UserChange {
        totp: Some(false),
        ..UserChange::default()
    };
    let username = "admin".to_owned();
    let user = house.ask(ChangeUser { username, change }).await.unwrap();
    assert!(!user.totp);
    house.login().await;
}

#[tokio::test]
async fn a_session_that_somebody_found_open_binds_no_authenticator() {
    let mut house = House::new();
    let admin = house.login().await.caller;
    let begun = house.ask_as(&admin, begin()).await.unwrap();
    let guess = || BeginTotp {
        password: "wrong horse".to_owned(),
    };
    assert_eq!(
        kind(house.ask_as(&admin, guess()).await),
        FaultKind::Unauthenticated
    );
    let code = Authenticator::told(&begun.secret).code(&house);
    let confirm = ConfirmTotp { code };
    house
        .ask_as(&admin, confirm)
        .await
        .expect("the guess replaced no secret");
    for _ in 0..9 {
        drop(house.ask_as(&admin, guess()).await);
    }
    let many = house.ask_as(&admin, guess()).await;
    assert_eq!(kind(many), FaultKind::LimitReached, "no faster than log-in");
}

#[tokio::test]
async fn a_key_has_no_authenticator_and_no_password() {
    let mut house = House::new();
    let made = house.key(key(&[Scope::EVERYTHING])).await;
    let caller = house.recognise(&made.key).await.unwrap().caller;
    assert_eq!(
        kind(house.ask_as(&caller, begin()).await),
        FaultKind::Conflict
    );
    let end = EndTotp {
        password: PASSWORD.to_owned(),
    };
    assert_eq!(kind(house.ask_as(&caller, end).await), FaultKind::Conflict);
    let change = ChangePassword {
        current: PASSWORD.to_owned(),
        new: "another one".to_owned(),
    };
    assert_eq!(
        kind(house.ask_as(&caller, change).await),
        FaultKind::Conflict
    );
}

#[tokio::test]
async fn a_confirmation_that_was_outrun_turns_nothing_on_and_says_so() {
    let mut house = House::new();
    let admin = house.login().await.caller;
    let told = house.ask_as(&admin, begin()).await.unwrap();
    let code = Authenticator::told(&told.secret).code(&house);
    // As if another beginning had come between the look and the write: no row fits any more.
    let outrun = |conn: &mut diesel::SqliteConnection| {
        use diesel::RunQueryDsl;
        let ignore = "CREATE TRIGGER outrun BEFORE UPDATE OF totp_confirmed ON users \
                      BEGIN SELECT RAISE(IGNORE); END";
        diesel::sql_query(ignore).execute(conn)?;
        Ok(())
    };
    house.store.write(outrun).await.unwrap();
    let fault = house
        .ask_as(&admin, ConfirmTotp { code })
        .await
        .unwrap_err();
    assert_eq!(fault.kind, FaultKind::Conflict);
    assert_eq!(fault.code.as_deref(), Some("totp_changed"));
    let list = ListAudit {
        after: None,
        limit: 100,
        action: Some("totp.enable".into()),
    };
    assert_eq!(house.ask(list).await.unwrap(), []);
}

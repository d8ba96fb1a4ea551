//! Sessions: log-in, idleness, end.

use diesel::RunQueryDsl;

use super::*;

/// From now on no session can be written down, as on a full disk.
async fn fill_disk(house: &House) {
    let trigger = "CREATE TRIGGER full BEFORE UPDATE ON sessions
        BEGIN SELECT RAISE(FAIL, 'database or disk is full'); END";
    let write = house
        .store
        .write(move |conn| Ok(diesel::sql_query(trigger).execute(conn)?));
    write.await.unwrap();
}

#[tokio::test]
async fn unknown_users_and_wrong_passwords_look_the_same() {
    let mut house = House::new();
    let wrong = house.ask(login("admin", "wrong horse")).await.unwrap_err();
    let unknown = house.ask(login("nobody", PASSWORD)).await.unwrap_err();
    assert_eq!(wrong, unknown);
    assert_eq!(wrong.kind, FaultKind::Unauthenticated);
}

async fn quickest_refusal(house: &mut House, username: &str) -> Duration {
    let mut least = Duration::MAX;
    for _ in 0..3 {
        let began = Instant::now();
        house.ask(login(username, "wrong horse")).await.unwrap_err();
        least = least.min(began.elapsed());
    }
    least
}

#[tokio::test]
async fn an_unknown_user_takes_as_long_as_a_known_one() {
    let mut house = House::new();
    let known = quickest_refusal(&mut house, "admin").await;
    let unknown = quickest_refusal(&mut house, "nobody").await;
    assert!(unknown * 3 > known, "{unknown:?} against {known:?}");
}

#[tokio::test]
async fn a_session_in_use_does_not_fall_idle() {
    let mut house = House::new();
    let session = house.login().await;
    for _ in 0..3 {
        house.pass(29);
        assert!(house.recognise(&session.secret).await.is_some());
    }
    house.pass(30);
    assert!(house.recognise(&session.secret).await.is_none());
}

#[tokio::test]
async fn no_session_outlives_twelve_hours() {
    let mut house = House::new();
    let session = house.login().await;
    assert_eq!(
        session.expires_at.as_millisecond(),
        START + 12 * 60 * MINUTE
    );
    for _ in 0..35 {
        house.pass(20);
        assert!(house.recognise(&session.secret).await.is_some());
    }
    house.pass(20);
    assert!(house.recognise(&session.secret).await.is_none());
}

#[tokio::test]
async fn a_full_disk_does_not_let_a_used_session_fall_idle() {
    let mut house = House::new();
    let session = house.login().await;
    fill_disk(&house).await;
    for _ in 0..35 {
        house.pass(20);
        assert!(house.recognise(&session.secret).await.is_some());
    }
    house.pass(20);
    assert!(house.recognise(&session.secret).await.is_none());
}

#[tokio::test]
async fn a_logout_ends_its_session_at_once() {
    let mut house = House::new();
    let (session, other) = (house.login().await, house.login().await);
    let digest = secret::digest(&session.secret);
    house.ask(Logout { digest }).await.unwrap();
    assert!(!house.is_published(&session.secret));
    assert!(house.recognise(&session.secret).await.is_none());
    assert!(house.recognise(&other.secret).await.is_some());
}

#[tokio::test]
async fn ended_sessions_are_forgotten_at_the_next_login() {
    let mut house = House::new();
    let ended = house.login().await;
    house.pass(31);
    house.login().await;
    house.now.store(START, SeqCst);
    assert!(house.recognise(&ended.secret).await.is_none());
}

async fn last_entry(house: &mut House) -> messages::apikeys::AuditEntry {
    let newest = ListAudit {
        limit: 1,
        ..ListAudit::default()
    };
    house.ask(newest).await.unwrap().remove(0)
}

#[tokio::test]
async fn a_refused_log_in_costs_the_same_work_whoever_it_was_for() {
    let mut house = House::new();
    house.ask(user("ann", &[Scope::LLM_CHAT])).await.unwrap();
    let change = UserChange {
        disabled: Some(true),
        ..UserChange::default()
    };
    let username = "ann".to_owned();
    house.ask(ChangeUser { username, change }).await.unwrap();
    let mut answers = Vec::new();
    for (name, password, target) in [
        ("admin", "wrong horse", "admin"),
        ("nobody", PASSWORD, ""),
        ("ann", "long enough", "ann"),
    ] {
        let before = house.plugin.registry.passwords.checked();
        let first = last_entry(&mut house).await.seq;
        answers.push(
            house
                .ask_from("192.0.2.1", login(name, password))
                .await
                .unwrap_err(),
        );
        let hashes = house.plugin.registry.passwords.checked() - before;
        assert_eq!(hashes, 1, "{name}: one password hash");
        let entry = last_entry(&mut house).await;
        assert_eq!(entry.seq, first + 1, "{name}: one entry");
        assert_eq!(entry.action, "login.failed");
        assert_eq!(
            entry.target, target,
            "a name that nobody has may be a password"
        );
        assert_eq!(entry.address.as_deref(), Some("192.0.2.1"));
    }
    assert!(
        answers.iter().all(|answer| *answer == answers[0]),
        "{answers:?}"
    );
}

#[tokio::test]
async fn after_ten_attempts_even_the_right_password_waits() {
    for name in ["admin", "nobody"] {
        let mut house = House::new();
        for _ in 0..10 {
            let answer = house
                .ask_from("192.0.2.1", login(name, "wrong horse"))
                .await;
            assert_eq!(kind(answer), FaultKind::Unauthenticated);
        }
        let hashes = house.plugin.registry.passwords.checked();
        for address in ["192.0.2.1", "198.51.100.1"] {
            let fault = house
                .ask_from(address, login(name, PASSWORD))
                .await
                .unwrap_err();
            assert_eq!(fault.kind, FaultKind::LimitReached);
            assert_eq!(fault.retry_after, Some(Duration::from_secs(60)));
        }
        assert_eq!(
            house.plugin.registry.passwords.checked(),
            hashes,
            "refused before any work"
        );
        let other = house
            .ask_from("192.0.2.1", login("somebody", "wrong horse"))
            .await;
        assert_eq!(kind(other), FaultKind::LimitReached, "by address too");
        house.pass(1);
        let answer = house.ask_from("192.0.2.1", login(name, PASSWORD)).await;
        assert_eq!(answer.is_ok(), name == "admin");
    }
}

#[tokio::test]
async fn a_log_in_ends_the_session_whose_cookie_it_carries() {
    let mut house = House::new();
    let (old, other) = (house.login().await, house.login().await);
    let again = |password: &str| Login {
        replaces: Some(secret::digest(&old.secret)),
        ..login("admin", password)
    };
    house.ask(again("wrong horse")).await.unwrap_err();
    assert!(
        house.recognise(&old.secret).await.is_some(),
        "not by a guess"
    );
    let new = house.ask(again(PASSWORD)).await.unwrap();
    assert!(!house.is_published(&old.secret));
    assert!(house.recognise(&old.secret).await.is_none());
    assert!(house.recognise(&other.secret).await.is_some());
    assert!(house.recognise(&new.secret).await.is_some());
}

#[tokio::test]
async fn a_new_password_ends_all_sessions_but_the_one_it_opens() {
    let mut house = House::new();
    let (session, stolen) = (house.login().await, house.login().await);
    let made = house.key(key(&[Scope::LLM_CHAT])).await;
    let change = |current: &str, new: &str| ChangePassword {
        current: current.to_owned(),
        new: new.to_owned(),
    };
    let wrong = house
        .ask_as(&session.caller, change("wrong horse", "another one"))
        .await;
    assert_eq!(kind(wrong), FaultKind::Unauthenticated);
    let short = house
        .ask_as(&session.caller, change(PASSWORD, "short"))
        .await;
    assert_eq!(kind(short), FaultKind::Unprocessable);
    assert!(
        house.recognise(&stolen.secret).await.is_some(),
        "nothing has changed"
    );
    let new = house
        .ask_as(&session.caller, change(PASSWORD, "another one"))
        .await
        .unwrap();
    for old in [&session.secret, &stolen.secret] {
        assert!(!house.is_published(old));
        assert!(house.recognise(old).await.is_none());
    }
    assert!(house.is_published(&new.secret));
    assert!(house.recognise(&made.key).await.is_some(), "keys live on");
    house.ask(login("admin", PASSWORD)).await.unwrap_err();
    house.ask(login("admin", "another one")).await.unwrap();
}

#[tokio::test]
async fn a_present_password_is_guessed_no_faster_by_a_stolen_session() {
    let mut house = House::new();
    let stolen = house.login().await.caller;
    let guess = ChangePassword {
        current: "wrong horse".to_owned(),
        new: "another one".to_owned(),
    };
    for _ in 0..10 {
        let answer = house.ask_as(&stolen, guess.clone()).await;
        assert_eq!(kind(answer), FaultKind::Unauthenticated);
    }
    let answer = house.ask_as(&stolen, guess).await;
    assert_eq!(kind(answer), FaultKind::LimitReached);
}

#[tokio::test]
async fn a_log_in_under_way_is_not_outrun_by_a_new_password_or_a_lock() {
    let mut house = House::new();
    house.ask(user("ann", &[Scope::LLM_CHAT])).await.unwrap();
    let registry = house.plugin.registry.clone();
    let checked = registry.find_user("ann".to_owned()).await.unwrap().unwrap();
    let change = UserChange {
        password: Some("another one".to_owned()),
        ..UserChange::default()
    };
    let username = "ann".to_owned();
    house.ask(ChangeUser { username, change }).await.unwrap();
    // What a log-in does that has checked the old password already.
    let origin = Origin::internal("test");
    let opened = registry.open_session(&origin, checked, None, None).await;
    assert_eq!(kind(opened), FaultKind::Unauthenticated);
    let mut current = registry.find_user("ann".to_owned()).await.unwrap().unwrap();
    registry
        .open_session(&origin, current.clone(), None, None)
        .await
        .unwrap();
    let change = UserChange {
        disabled: Some(true),
        ..UserChange::default()
    };
    let username = "ann".to_owned();
    house.ask(ChangeUser { username, change }).await.unwrap();
    current.disabled = false;
    let opened = registry.open_session(&origin, current, None, None).await;
    assert_eq!(kind(opened), FaultKind::Unauthenticated);
}

#[tokio::test]
async fn log_in_and_log_out_are_written_down() {
    let mut house = House::new();
    let session = house
        .ask_from("2001:db8::7", login("admin", PASSWORD))
        .await
        .unwrap();
    let entry = last_entry(&mut house).await;
    assert_eq!(entry.action, "session.login");
    assert_eq!(
        (&entry.actor, entry.user.as_str()),
        (&session.caller.id, "admin")
    );
    assert_eq!(entry.address.as_deref(), Some("2001:db8::7"));
    let digest = secret::digest(&session.secret);
    house
        .ask_as(&session.caller, Logout { digest })
        .await
        .unwrap();
    let entry = last_entry(&mut house).await;
    assert_eq!(
        (entry.action.as_str(), &entry.target),
        ("session.logout", &session.caller.id)
    );
    let log = ListAudit {
        limit: 1000,
        ..ListAudit::default()
    };
    let text = serde_json::to_string(&house.ask(log).await.unwrap()).unwrap();
    assert!(
        !text.contains(&session.secret) && !text.contains(PASSWORD),
        "{text}"
    );
}

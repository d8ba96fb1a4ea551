//! Roles, and changes of a user that must hold at once.

use super::*;

fn change(username: &str, change: UserChange) -> ChangeUser {
    ChangeUser {
        username: username.to_owned(),
        change,
    }
}

fn locked(disabled: bool) -> UserChange {
    UserChange {
        disabled: Some(disabled),
        ..UserChange::default()
    }
}

fn ranked(role: Role, list: &[Scope]) -> UserChange {
    UserChange {
        role: Some(role),
        scopes: Some(scopes(list)),
        ..UserChange::default()
    }
}

fn with_password(password: &str) -> UserChange {
    UserChange {
        password: Some(password.to_owned()),
        ..UserChange::default()
    }
}

/// Ann, with a session and a key of hers.
async fn ann(house: &mut House, list: &[Scope]) -> (User, NewSession, NewKey) {
    let made = house.ask(user("ann", list)).await.unwrap();
    let session = house.ask(login("ann", "long enough")).await.unwrap();
    let key = house.ask_as(&session.caller, key(list)).await.unwrap();
    (made, session, key)
}

async fn another_admin(house: &mut House) -> Arc<Caller> {
    let made = CreateUser {
        role: Role::Admin,
        ..user("root", &[])
    };
    let made = house.ask(made).await.unwrap();
    assert_eq!(made.scopes, scopes(&[Scope::EVERYTHING]));
    house
        .ask(login("root", "long enough"))
        .await
        .unwrap()
        .caller
}

#[tokio::test]
async fn a_disabled_user_is_out_at_once_with_all_his_keys() {
    let mut house = House::new();
    let (_, session, made) = ann(&mut house, &[Scope::LLM_CHAT]).await;
    let told = house.ask(change("ann", locked(true))).await.unwrap();
    assert!(told.disabled);
    for secret in [&session.secret, &made.key] {
        assert!(!house.is_published(secret));
        assert!(house.recognise(secret).await.is_none());
    }
    let again = house.ask(login("ann", "long enough")).await;
    assert_eq!(kind(again), FaultKind::Unauthenticated);
    house.restart();
    assert!(house.recognise(&made.key).await.is_none());
    house.ask(change("ann", locked(false))).await.unwrap();
    assert!(house.is_published(&made.key), "the key holds again");
    assert!(
        house.recognise(&session.secret).await.is_none(),
        "the session has ended for good"
    );
}

#[tokio::test]
async fn narrower_scopes_hold_at_once_in_sessions_and_keys() {
    let mut house = House::new();
    let (_, session, made) = ann(&mut house, &[Scope::LLM_CHAT, Scope::BRAINML_QUERY]).await;
    let narrow = UserChange {
        scopes: Some(scopes(&[Scope::LLM_CHAT])),
        ..UserChange::default()
    };
    house.ask(change("ann", narrow)).await.unwrap();
    for round in ["published", "after a restart"] {
        for secret in [&session.secret, &made.key] {
            let grant = house.recognise(secret).await.unwrap();
            assert_eq!(grant.caller.scopes, scopes(&[Scope::LLM_CHAT]), "{round}");
        }
        house.restart();
    }
    house.credentials.replace(Default::default());
    let grant = house.recognise(&made.key).await.unwrap();
    assert_eq!(grant.caller.scopes, scopes(&[Scope::LLM_CHAT]), "looked up");
}

#[tokio::test]
async fn a_demoted_admin_loses_what_his_keys_could_do() {
    let mut house = House::new();
    let root = another_admin(&mut house).await;
    let everything = house
        .ask_as(&root, key(&[Scope::EVERYTHING]))
        .await
        .unwrap();
    let demoted = change("root", ranked(Role::User, &[Scope::LLM_CHAT]));
    let told = house.ask(demoted).await.unwrap();
    assert_eq!(
        (told.role, told.scopes),
        (Role::User, scopes(&[Scope::LLM_CHAT]))
    );
    let grant = house.recognise(&everything.key).await.unwrap();
    assert_eq!(grant.caller.scopes, scopes(&[Scope::LLM_CHAT]));
}

#[tokio::test]
async fn the_last_working_admin_stays() {
    let mut house = House::new();
    let conflict = |answer: Result<User, Fault>| {
        let fault = answer.unwrap_err();
        (fault.kind, fault.code.unwrap()) == (FaultKind::Conflict, "last_admin".to_owned())
    };
    let demote = || change("admin", ranked(Role::User, &[Scope::LLM_CHAT]));
    assert!(conflict(house.ask(demote()).await));
    assert!(conflict(house.ask(change("admin", locked(true))).await));
    another_admin(&mut house).await;
    house.ask(change("root", locked(true))).await.unwrap();
    assert!(
        conflict(house.ask(demote()).await),
        "an admin who is locked out does not count"
    );
    house.ask(change("root", locked(false))).await.unwrap();
    house.ask(demote()).await.unwrap();
    assert!(conflict(house.ask(change("root", locked(true))).await));
}

#[tokio::test]
async fn an_admin_sets_a_password_that_ends_all_sessions() {
    let mut house = House::new();
    let (_, session, made) = ann(&mut house, &[Scope::LLM_CHAT]).await;
    house
        .ask(change("ann", with_password("another one")))
        .await
        .unwrap();
    assert!(house.recognise(&session.secret).await.is_none());
    assert!(house.recognise(&made.key).await.is_some(), "keys live on");
    assert!(house.ask(login("ann", "long enough")).await.is_err());
    house.ask(login("ann", "another one")).await.unwrap();
}

#[tokio::test]
async fn nobody_reaches_above_himself_through_another_user() {
    let mut house = House::new();
    house.ask(user("ann", &[Scope::LLM_CHAT])).await.unwrap();
    let operator = house.key(key(&[Scope::ADMIN])).await;
    let operator = house.recognise(&operator.key).await.unwrap().caller;
    for (whom, wish) in [
        ("admin", with_password("mine now!")),
        (
            "admin",
            UserChange {
                totp: Some(false),
                ..with_password("mine now!")
            },
        ),
        ("ann", ranked(Role::Admin, &[])),
        (
            "ann",
            ranked(Role::User, &[Scope::LLM_CHAT, Scope::LLM_EMBED]),
        ),
        ("ann", with_password("mine now!")),
    ] {
        let answer = house.ask_as(&operator, change(whom, wish.clone())).await;
        assert_eq!(kind(answer), FaultKind::Denied, "{whom} {wish:?}");
    }
    house.ask(login("admin", PASSWORD)).await.unwrap();
    let locked = house.ask_as(&operator, change("ann", locked(true))).await;
    assert!(locked.unwrap().disabled, "locking out hands out nothing");
    let ann = Caller {
        scopes: scopes(&[Scope::LLM_CHAT]),
        ..Caller::owner()
    };
    let answer = house
        .ask_as(&ann, change("ann", with_password("long one")))
        .await;
    assert_eq!(kind(answer), FaultKind::Denied);
}

#[tokio::test]
async fn nonsense_in_a_change_is_refused_and_changes_nothing() {
    let mut house = House::new();
    let before = house.ask(user("ann", &[Scope::LLM_CHAT])).await.unwrap();
    for (wish, param) in [
        (ranked(Role::User, &[]), "scopes"),
        (ranked(Role::User, &[Scope::ADMIN]), "scopes"),
        (ranked(Role::User, &[Scope::EVERYTHING]), "scopes"),
        (ranked(Role::Admin, &[Scope::LLM_CHAT]), "scopes"),
        (with_password("short"), "password"),
        (
            UserChange {
                totp: Some(true),
                ..locked(true)
            },
            "totp",
        ),
    ] {
        let wish = UserChange {
            disabled: Some(true),
            ..wish
        };
        let fault = house.ask(change("ann", wish)).await.unwrap_err();
        assert_eq!(fault.kind, FaultKind::Unprocessable, "{fault:?}");
        assert_eq!(fault.param.as_deref(), Some(param));
    }
    let told = house.ask(change("nobody", locked(true))).await;
    assert_eq!(kind(told), FaultKind::Unknown);
    assert_eq!(house.ask(ListUsers).await.unwrap()[1], before);
}

#[tokio::test]
async fn a_change_that_is_not_committed_is_not_published() {
    let mut house = House::new();
    let (_, session, made) = ann(&mut house, &[Scope::LLM_CHAT]).await;
    let trigger = "CREATE TRIGGER full BEFORE INSERT ON audit_log
        BEGIN SELECT RAISE(FAIL, 'database or disk is full'); END";
    let full = house.store.write(move |conn| {
        Ok(diesel::RunQueryDsl::execute(
            diesel::sql_query(trigger),
            conn,
        )?)
    });
    full.await.unwrap();
    let widen = ranked(Role::User, &[Scope::LLM_CHAT, Scope::LLM_EMBED]);
    for wish in [widen, locked(true)] {
        let answer = house.ask(change("ann", wish)).await;
        assert_eq!(kind(answer), FaultKind::StorageFull);
        for secret in [&session.secret, &made.key] {
            assert!(house.is_published(secret));
            let grant = house.recognise(secret).await.unwrap();
            assert_eq!(grant.caller.scopes, scopes(&[Scope::LLM_CHAT]));
        }
    }
}

#[tokio::test]
async fn a_key_made_for_a_user_who_is_locked_out_is_told_to_be_of_no_use() {
    let mut house = House::new();
    let root = another_admin(&mut house).await;
    house
        .ask_as(&root, change("admin", locked(true)))
        .await
        .unwrap();
    assert_eq!(
        kind(house.ask(key(&[Scope::LLM_CHAT])).await),
        FaultKind::Conflict
    );
}

//! A change does not outrun the end of what its caller came with.

use messages::apikeys::{ChangeUser, UpdateKey};
use serde_json::json;

use super::{
    limits::{change, rotate},
    *,
};

fn ends_in(minutes: i64, list: &[Scope]) -> CreateKey {
    CreateKey {
        expires_at: Some(Timestamp::from_millisecond(START + minutes * MINUTE).unwrap()),
        ..key(list)
    }
}

fn locked() -> ChangeUser {
    ChangeUser {
        username: "ann".to_owned(),
        change: UserChange {
            disabled: Some(true),
            ..UserChange::default()
        },
    }
}

/// Whoever was let in as `caller`, and waited, tries all that writes.
async fn tries(house: &mut House, caller: &Caller, id: &str) -> [Result<(), Fault>; 6] {
    let named: UpdateKey = change(id, json!({"name": "mine"}));
    let id = id.to_owned();
    [
        house.ask_as(caller, key(&[Scope::ADMIN])).await.map(drop),
        house.ask_as(caller, named).await.map(drop),
        house.ask_as(caller, rotate(&id, 0)).await.map(drop),
        house.ask_as(caller, RevokeKey { id }).await,
        house
            .ask_as(caller, user("eve", &[Scope::LLM_CHAT]))
            .await
            .map(drop),
        house.ask_as(caller, locked()).await.map(drop),
    ]
}

async fn changes_nothing(house: &mut House, caller: &Caller, wanted: FaultKind) {
    let id = house.key(key(&[Scope::ADMIN])).await.about.id;
    let (keys, users) = (house.ask(ListKeys).await, house.ask(ListUsers).await);
    for answer in tries(house, caller, &id).await {
        assert_eq!(kind(answer), wanted);
    }
    assert_eq!(house.ask(ListKeys).await, keys);
    assert_eq!(house.ask(ListUsers).await, users);
}

#[tokio::test]
async fn who_has_logged_out_changes_nothing_by_a_request_that_waited() {
    let mut house = House::new();
    house.ask(user("ann", &[Scope::LLM_CHAT])).await.unwrap();
    let session = house.login().await;
    let digest = secret::digest(&session.secret);
    house.ask(Logout { digest }).await.unwrap();
    changes_nothing(&mut house, &session.caller, FaultKind::Unauthenticated).await;
}

#[tokio::test]
async fn a_session_that_is_over_changes_nothing_by_a_request_that_waited() {
    let mut house = House::new();
    house.ask(user("ann", &[Scope::LLM_CHAT])).await.unwrap();
    let session = house.login().await;
    house.pass(12 * 60);
    changes_nothing(&mut house, &session.caller, FaultKind::Unauthenticated).await;
}

#[tokio::test]
async fn a_revoked_key_changes_nothing_by_a_request_that_waited() {
    let mut house = House::new();
    house.ask(user("ann", &[Scope::LLM_CHAT])).await.unwrap();
    let made = house.key(key(&[Scope::EVERYTHING])).await;
    let caller = house.recognise(&made.key).await.unwrap().caller;
    house.ask(RevokeKey { id: made.about.id }).await.unwrap();
    changes_nothing(&mut house, &caller, FaultKind::Unauthenticated).await;
}

#[tokio::test]
async fn a_key_that_has_ended_changes_nothing_by_a_request_that_waited() {
    let mut house = House::new();
    house.ask(user("ann", &[Scope::LLM_CHAT])).await.unwrap();
    let made = house.key(ends_in(1, &[Scope::EVERYTHING])).await;
    let caller = house.recognise(&made.key).await.unwrap().caller;
    house.pass(1);
    changes_nothing(&mut house, &caller, FaultKind::Unauthenticated).await;
}

#[tokio::test]
async fn who_was_demoted_hands_out_nothing_by_a_request_that_waited() {
    let mut house = House::new();
    let root = CreateUser {
        role: Role::Admin,
        ..user("root", &[])
    };
    house.ask(root).await.unwrap();
    let session = house.ask(login("root", "long enough")).await.unwrap();
    let wider = house
        .ask_as(&session.caller, key(&[Scope::ADMIN]))
        .await
        .unwrap();
    let demoted = UserChange {
        role: Some(Role::User),
        scopes: Some(scopes(&[Scope::LLM_CHAT])),
        ..UserChange::default()
    };
    let username = "root".to_owned();
    let change = ChangeUser {
        username,
        change: demoted,
    };
    house.ask(change).await.unwrap();
    let old = session.caller;
    assert!(old.scopes.allow(&Scope::ADMIN), "as it was let in");
    let answers = [
        house.ask_as(&old, key(&[Scope::ADMIN])).await.map(drop),
        house
            .ask_as(&old, rotate(&wider.about.id, 0))
            .await
            .map(drop),
        house
            .ask_as(&old, user("eve", &[Scope::LLM_CHAT]))
            .await
            .map(drop),
    ];
    for answer in answers {
        assert_eq!(kind(answer), FaultKind::Denied);
    }
    house.ask_as(&old, key(&[Scope::LLM_CHAT])).await.unwrap();
}

#[tokio::test]
async fn a_key_that_ends_gets_no_key_that_ends_later() {
    let mut house = House::new();
    let own = house.key(ends_in(60, &[Scope::ADMIN])).await;
    let free = house.key(key(&[Scope::ADMIN])).await.about.id;
    let holder = house.recognise(&own.key).await.unwrap().caller;
    let refused = |answer: Result<(), Fault>| {
        let fault = answer.unwrap_err();
        assert_eq!(fault.kind, FaultKind::Denied);
        assert_eq!(fault.code.as_deref(), Some("expiry_exceeds_own"));
    };
    for later in [key(&[Scope::ADMIN]), ends_in(61, &[Scope::ADMIN])] {
        refused(house.ask_as(&holder, later).await.map(drop));
    }
    let late = (START + 61 * MINUTE) / 1000;
    for body in [json!({"expires_at": null}), json!({"expires_at": late})] {
        let longer = change(&own.about.id, body);
        refused(house.ask_as(&holder, longer).await.map(drop));
    }
    refused(house.ask_as(&holder, rotate(&free, 0)).await.map(drop));
    let same = ends_in(60, &[Scope::ADMIN]);
    house.ask_as(&holder, same).await.unwrap();
    let sooner = json!({"expires_at": (START + 59 * MINUTE) / 1000});
    let told = house.ask_as(&holder, change(&own.about.id, sooner)).await;
    told.unwrap();
}

#[tokio::test]
async fn the_secret_before_makes_itself_no_new_one() {
    let mut house = House::new();
    let old = house.key(key(&[Scope::ADMIN])).await;
    let id = old.about.id.clone();
    house.ask(rotate(&id, 120)).await.unwrap();
    let holder = house.recognise(&old.key).await.unwrap().caller;
    let named = change(&id, json!({"name": "mine"}));
    for answer in [
        house.ask_as(&holder, rotate(&id, 0)).await.map(drop),
        house.ask_as(&holder, named).await.map(drop),
    ] {
        assert_eq!(answer.unwrap_err().code.as_deref(), Some("key_in_overlap"));
    }
    house.pass(2);
    house.ask_as(&holder, rotate(&id, 0)).await.unwrap();
}

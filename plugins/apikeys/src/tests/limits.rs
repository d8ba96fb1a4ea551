//! Limits, changes and rotation of keys.

use messages::{
    apikeys::{KeyChange, RotateKey, UpdateKey},
    usage::{Limits, Meter, Moment},
};

use super::*;

pub(super) fn requests(limit: u64) -> Limits {
    Limits {
        requests_per_minute: Some(limit),
        ..Limits::default()
    }
}

pub(super) fn limited(list: &[Scope], limits: Limits) -> CreateKey {
    CreateKey {
        limits: Some(limits),
        ..key(list)
    }
}

pub(super) fn change(id: &str, change: serde_json::Value) -> UpdateKey {
    UpdateKey {
        id: id.to_owned(),
        change: serde_json::from_value::<KeyChange>(change).unwrap(),
    }
}

pub(super) fn rotate(id: &str, seconds: u64) -> RotateKey {
    RotateKey {
        id: id.to_owned(),
        overlap: Duration::from_secs(seconds),
    }
}

fn meter(grant: &Grant) -> Arc<Meter> {
    grant.meter.clone().unwrap()
}

#[tokio::test]
async fn a_changed_limit_is_in_force_at_once_and_forgives_nothing() {
    let mut house = House::new();
    let made = house.key(limited(&[Scope::LLM_CHAT], requests(3))).await;
    assert_eq!(made.about.limits, requests(3));
    let held = meter(&house.recognise(&made.key).await.unwrap());
    let now = Moment::now();
    drop((held.admit(now).unwrap(), held.admit(now).unwrap()));
    let narrow = serde_json::json!({"limits": {"requests_per_minute": 2}});
    let told = house.ask(change(&made.about.id, narrow)).await.unwrap();
    assert_eq!(told.limits, requests(2));
    assert_eq!(kind(held.admit(now)), FaultKind::LimitReached);
    let free = serde_json::json!({"limits": null});
    house.ask(change(&made.about.id, free)).await.unwrap();
    held.admit(now).unwrap();
    assert_eq!(held.limits(), Limits::default());
}

#[tokio::test]
async fn a_restart_of_the_plugin_forgives_nothing() {
    let mut house = House::new();
    let made = house.key(limited(&[Scope::LLM_CHAT], requests(1))).await;
    let held = meter(&house.recognise(&made.key).await.unwrap());
    let _at_work = held.admit(Moment::now()).unwrap();
    house.restart_plugin();
    let again = meter(&house.recognise(&made.key).await.unwrap());
    assert!(Arc::ptr_eq(&held, &again));
    assert_eq!(kind(again.admit(Moment::now())), FaultKind::LimitReached);
}

#[tokio::test]
async fn a_change_leaves_what_it_does_not_name() {
    let mut house = House::new();
    let mut request = limited(&[Scope::LLM_CHAT], requests(3));
    request.expires_at = Some(Timestamp::from_millisecond(START + 9 * MINUTE).unwrap());
    let made = house.key(request).await.about;
    let told = house
        .ask(change(&made.id, serde_json::json!({"name": "new"})))
        .await
        .unwrap();
    assert_eq!(told.name, "new");
    let other = serde_json::json!({"scopes": ["llm.embed"], "expires_at": null,
        "limits": {"monthly_tokens": 5}});
    let told = house.ask(change(&made.id, other)).await.unwrap();
    assert_eq!(told.scopes, scopes(&[Scope::LLM_EMBED]));
    let both = Limits {
        monthly_tokens: Some(5),
        ..requests(3)
    };
    assert_eq!((told.expires_at, told.limits), (None, both));
    assert_eq!(house.ask(ListKeys).await.unwrap(), [told]);
}

#[tokio::test]
async fn nonsense_in_a_change_is_refused_and_changes_nothing() {
    let mut house = House::new();
    let made = house.key(key(&[Scope::LLM_CHAT])).await.about;
    for nonsense in [
        serde_json::json!({"name": " "}),
        serde_json::json!({"scopes": []}),
        serde_json::json!({"expires_at": 1}),
        serde_json::json!({"limits": {"requests_per_minute": 0}}),
        serde_json::json!({"name": "half", "limits": {"monthly_tokens": u64::MAX}}),
    ] {
        let answer = house.ask(change(&made.id, nonsense.clone())).await;
        assert_eq!(kind(answer), FaultKind::Unprocessable, "{nonsense}");
    }
    assert_eq!(house.ask(ListKeys).await.unwrap(), [made]);
}

#[tokio::test]
async fn both_secrets_hold_until_the_overlap_ends_and_share_one_meter() {
    let mut house = House::new();
    let old = house.key(limited(&[Scope::LLM_CHAT], requests(1))).await;
    let new = house.ask(rotate(&old.about.id, 120)).await.unwrap();
    assert_eq!(new.about.id, old.about.id);
    assert_ne!(new.key, old.key);
    let grants = [
        house.recognise(&old.key).await.unwrap(),
        house.recognise(&new.key).await.unwrap(),
    ];
    assert_eq!(grants[0].caller, grants[1].caller);
    let _at_work = meter(&grants[0]).admit(Moment::now()).unwrap();
    let refused = meter(&grants[1]).admit(Moment::now());
    assert_eq!(kind(refused), FaultKind::LimitReached);
    house.restart_plugin();
    assert!(house.is_published(&old.key));
    house.pass(2);
    assert!(
        house.recognise(&old.key).await.is_none(),
        "its time is over"
    );
    assert!(house.recognise(&new.key).await.is_some());
    house.restart();
    assert!(house.recognise(&old.key).await.is_none());
    assert!(house.recognise(&new.key).await.is_some());
}

#[tokio::test]
async fn without_an_overlap_the_old_secret_ends_at_once() {
    let mut house = House::new();
    let first = house.key(key(&[Scope::LLM_CHAT])).await;
    let second = house.ask(rotate(&first.about.id, 600)).await.unwrap();
    let third = house.ask(rotate(&first.about.id, 0)).await.unwrap();
    for ended in [&first.key, &second.key] {
        assert!(house.recognise(ended).await.is_none());
    }
    assert!(house.recognise(&third.key).await.is_some());
}

#[tokio::test]
async fn a_revocation_ends_both_secrets_and_nothing_revives_them() {
    let mut house = House::new();
    let old = house.key(key(&[Scope::LLM_CHAT])).await;
    let id = old.about.id.clone();
    let new = house.ask(rotate(&id, 600)).await.unwrap();
    house.ask(RevokeKey { id: id.clone() }).await.unwrap();
    for secret in [&old.key, &new.key] {
        assert!(house.recognise(secret).await.is_none());
    }
    assert_eq!(kind(house.ask(rotate(&id, 600)).await), FaultKind::Conflict);
    let name = change(&id, serde_json::json!({"name": "x"}));
    assert_eq!(kind(house.ask(name).await), FaultKind::Conflict);
    house.restart();
    for secret in [&old.key, &new.key] {
        assert!(house.recognise(secret).await.is_none());
    }
}

#[tokio::test]
async fn the_old_secret_is_found_where_the_table_lacks_it() {
    let mut house = House::new();
    let old = house.key(key(&[Scope::LLM_CHAT])).await;
    house.ask(rotate(&old.about.id, 120)).await.unwrap();
    house.credentials.replace(Default::default());
    assert!(house.recognise(&old.key).await.is_some());
    house.pass(2);
    assert!(house.recognise(&old.key).await.is_none());
}

#[tokio::test]
async fn anothers_key_does_not_exist_for_a_user() {
    let mut house = House::new();
    house.ask(user("ann", &[Scope::LLM_CHAT])).await.unwrap();
    let ann = house.ask(login("ann", "long enough")).await.unwrap().caller;
    let his = house.key(key(&[Scope::LLM_CHAT])).await.about.id;
    let hers = house.ask_as(&ann, key(&[Scope::LLM_CHAT])).await.unwrap();
    let hers = hers.about.id;
    for id in [his.as_str(), "nobodys"] {
        let name = change(id, serde_json::json!({"name": "x"}));
        assert_eq!(kind(house.ask_as(&ann, name).await), FaultKind::Unknown);
        assert_eq!(
            kind(house.ask_as(&ann, rotate(id, 0)).await),
            FaultKind::Unknown
        );
    }
    let limit = change(
        &hers,
        serde_json::json!({"limits": {"tokens_per_minute": 9}}),
    );
    house.ask_as(&ann, limit).await.unwrap();
    house.ask_as(&ann, rotate(&hers, 0)).await.unwrap();
}

//! Keys: form, end, revocation, reach.

use super::*;

#[tokio::test]
async fn a_key_holds_as_soon_as_it_is_made() {
    let mut house = House::new();
    let made = house.key(key(&[Scope::LLM_CHAT])).await;
    assert!(secret::is_key(&made.key), "{}", made.key);
    assert!(house.is_published(&made.key));
    let grant = house.recognise(&made.key).await.unwrap();
    assert_eq!(grant.caller.id, format!("key:{}", made.about.id));
    assert_eq!(grant.caller.user, "admin");
    assert_eq!(grant.caller.scopes, scopes(&[Scope::LLM_CHAT]));
}

#[tokio::test]
async fn no_secret_is_stored() {
    let mut house = House::new();
    let made = house.key(key(&[Scope::LLM_CHAT])).await.key;
    let cookie = house.login().await.secret;
    for file in ["bkg.db", "bkg.db-wal"] {
        let bytes = std::fs::read(house.data.path().join(file)).unwrap();
        for secret in [made.as_str(), &cookie, PASSWORD] {
            let held = bytes
                .windows(secret.len())
                .any(|part| part == secret.as_bytes());
            assert!(!held, "{file} holds {secret}");
        }
    }
}

#[tokio::test]
async fn a_key_ends_when_it_expires() {
    let mut house = House::new();
    let mut request = key(&[Scope::LLM_CHAT]);
    request.expires_at = Some(Timestamp::from_millisecond(START + 2 * MINUTE).unwrap());
    let made = house.key(request).await;
    assert_eq!(
        made.about.expires_at.unwrap().as_millisecond(),
        START + 2 * MINUTE
    );
    house.pass(1);
    assert!(house.recognise(&made.key).await.is_some());
    house.pass(1);
    assert!(house.recognise(&made.key).await.is_none());
    house.restart();
    assert!(house.recognise(&made.key).await.is_none());
}

#[tokio::test]
async fn a_revoked_key_is_refused_at_once() {
    let mut house = House::new();
    let made = house.key(key(&[Scope::LLM_CHAT])).await;
    let other = house.key(key(&[Scope::LLM_CHAT])).await;
    let revoke = RevokeKey { id: made.about.id };
    house.ask(revoke.clone()).await.unwrap();
    assert!(!house.is_published(&made.key));
    assert!(house.recognise(&made.key).await.is_none());
    assert!(house.recognise(&other.key).await.is_some());
    house.pass(1);
    house.ask(revoke).await.unwrap();
    let listed = house.ask(ListKeys).await.unwrap();
    let first = listed.iter().find(|key| key.revoked_at.is_some()).unwrap();
    assert_eq!(first.revoked_at.unwrap().as_millisecond(), START);
}

#[tokio::test]
async fn the_newest_key_is_listed_first() {
    let mut house = House::new();
    let old = house.key(key(&[Scope::LLM_CHAT])).await.about;
    house.pass(1);
    let new = house.key(key(&[Scope::LLM_CHAT])).await.about;
    assert_eq!(house.ask(ListKeys).await.unwrap(), [new, old]);
}

#[tokio::test]
async fn revoking_an_unknown_id_is_told() {
    let mut house = House::new();
    let id = "no such key".to_owned();
    assert_eq!(kind(house.ask(RevokeKey { id }).await), FaultKind::Unknown);
}

#[tokio::test]
async fn nobody_hands_out_more_than_he_has() {
    let mut house = House::new();
    let made = house
        .key(key(&[Scope::LLM_CHAT, Scope::BRAINML_QUERY]))
        .await;
    let limited = house.recognise(&made.key).await.unwrap().caller;
    let all: &[&[Scope]] = &[
        &[Scope::ADMIN],
        &[Scope::EVERYTHING],
        &[Scope::LLM_CHAT, Scope::LLM_EMBED],
    ];
    for beyond in all {
        assert_eq!(
            kind(house.ask_as(&limited, key(beyond)).await),
            FaultKind::Denied
        );
    }
    house
        .ask_as(&limited, key(&[Scope::LLM_CHAT]))
        .await
        .unwrap();
    let admin = Caller {
        scopes: scopes(&[Scope::ADMIN]),
        ..Caller::owner()
    };
    let new = CreateUser {
        role: Role::Admin,
        ..user("eve", &[])
    };
    assert_eq!(kind(house.ask_as(&admin, new).await), FaultKind::Denied);
}

#[tokio::test]
async fn nonsense_in_a_key_request_is_refused() {
    let mut house = House::new();
    let mut past = key(&[Scope::LLM_CHAT]);
    past.expires_at = Some(house.time());
    let mut nameless = key(&[Scope::LLM_CHAT]);
    nameless.name = " ".to_owned();
    for (request, param) in [
        (past, "expires_at"),
        (nameless, "name"),
        (key(&[]), "scopes"),
    ] {
        let fault = house.ask(request).await.unwrap_err();
        assert_eq!(fault.kind, FaultKind::Unprocessable);
        assert_eq!(fault.param.as_deref(), Some(param));
    }
    assert_eq!(house.ask(ListKeys).await.unwrap(), []);
}

#[tokio::test]
async fn a_user_sees_and_revokes_his_own_keys_alone() {
    let mut house = House::new();
    house.ask(user("ann", &[Scope::LLM_CHAT])).await.unwrap();
    let ann = house.ask(login("ann", "long enough")).await.unwrap().caller;
    let hers = house
        .ask_as(&ann, key(&[Scope::LLM_CHAT]))
        .await
        .unwrap()
        .about;
    let his = house.key(key(&[Scope::LLM_CHAT])).await.about;
    assert_eq!(
        house.ask_as(&ann, ListKeys).await.unwrap(),
        std::slice::from_ref(&hers)
    );
    assert_eq!(house.ask(ListKeys).await.unwrap().len(), 2);
    let foreign = RevokeKey { id: his.id };
    assert_eq!(kind(house.ask_as(&ann, foreign).await), FaultKind::Unknown);
    house.ask_as(&ann, RevokeKey { id: hers.id }).await.unwrap();
}

#[tokio::test]
async fn a_restart_publishes_what_holds() {
    let mut house = House::new();
    let kept = house.key(key(&[Scope::LLM_CHAT])).await;
    let revoked = house.key(key(&[Scope::LLM_CHAT])).await;
    let id = revoked.about.id.clone();
    house.ask(RevokeKey { id }).await.unwrap();
    let session = house.login().await;
    house.restart();
    assert!(house.is_published(&kept.key));
    assert!(!house.is_published(&revoked.key));
    assert!(house.is_published(&session.secret));
    let grant = house.recognise(&kept.key).await.unwrap();
    assert_eq!(grant.caller.scopes, scopes(&[Scope::LLM_CHAT]));
}

#[tokio::test]
async fn what_is_stored_but_not_published_is_looked_up() {
    let mut house = House::new();
    let kept = house.key(key(&[Scope::LLM_CHAT])).await;
    let revoked = house.key(key(&[Scope::LLM_CHAT])).await;
    let id = revoked.about.id.clone();
    house.ask(RevokeKey { id }).await.unwrap();
    let session = house.login().await;
    house.credentials.replace(Default::default());
    assert!(house.recognise(&kept.key).await.is_some());
    assert!(house.recognise(&session.secret).await.is_some());
    assert!(house.recognise(&revoked.key).await.is_none());
    assert!(house.recognise("bkg_nothing").await.is_none());
}

#[tokio::test]
async fn a_use_is_noted_once_a_minute() {
    let mut house = House::new();
    let made = house.key(key(&[Scope::LLM_CHAT])).await;
    let mut noted = Vec::new();
    for seconds in [0, 30, 60, 90, 180] {
        house.now.store(START + seconds * 1000, SeqCst);
        house.recognise(&made.key).await.unwrap();
        let used = house.ask(ListKeys).await.unwrap()[0].last_used_at.unwrap();
        noted.push((used.as_millisecond() - START) / 1000);
    }
    assert_eq!(noted, [0, 0, 60, 60, 180]);
}

#[tokio::test]
async fn noting_a_use_does_not_bring_back_what_was_withdrawn() {
    let mut house = House::new();
    let made = house.key(key(&[Scope::LLM_CHAT])).await;
    let digest = secret::digest(&made.key);
    house.ask(RevokeKey { id: made.about.id }).await.unwrap();
    house
        .credentials
        .amend(&digest, |grant| grant.expires_at = None);
    assert!(!house.is_published(&made.key));
}

//! The published table and the database say the same, whoever leaves and whatever fails.

use std::{future::poll_fn, task::Poll};

use diesel::RunQueryDsl;
use tokio::sync::oneshot;

use super::{
    limits::{change, limited, requests},
    *,
};

const PATIENCE: Duration = Duration::from_secs(20);

/// Makes the commit of the transaction fail, and nothing before it.
fn spoil(conn: &mut diesel::SqliteConnection) {
    for statement in [
        "PRAGMA defer_foreign_keys = ON",
        "INSERT INTO sessions (digest, id, username, seen_at, expires_at) \
         VALUES (x'00', 'nobodys', 'nobody', 0, 0)",
    ] {
        diesel::sql_query(statement).execute(conn).unwrap();
    }
}

#[tokio::test]
async fn what_was_not_committed_is_taken_back_also_when_the_caller_has_left() {
    let mut house = House::new();
    house.ask(user("ann", &[Scope::LLM_CHAT])).await.unwrap();
    let session = house.ask(login("ann", "long enough")).await.unwrap();
    let (tell, told) = oneshot::channel();
    let registry = house.plugin.registry.clone();
    let mut widen = Box::pin(registry.change_and_publish("ann".to_owned(), |conn| {
        let widen = "UPDATE users SET scopes = '*' WHERE username = 'ann'";
        diesel::sql_query(widen).execute(conn)?;
        spoil(conn);
        tell.send(()).unwrap();
        Ok(())
    }));
    // Asked once, and then its caller leaves.
    let asked = poll_fn(|cx| Poll::Ready(widen.as_mut().poll(cx))).await;
    assert!(asked.is_pending());
    drop(widen);
    told.await.unwrap();
    house.store.write(|_| Ok(())).await.unwrap();
    let digest = secret::digest(&session.secret);
    let scopes_of = |house: &House| {
        let grant = house.credentials.grant(&digest, house.time());
        grant.map(|grant| grant.caller.scopes.clone())
    };
    let undone = async {
        while scopes_of(&house) != Some(scopes(&[Scope::LLM_CHAT])) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(PATIENCE, undone).await.unwrap();
}

#[tokio::test]
async fn a_look_up_by_old_rows_does_not_widen_a_limit() {
    let mut house = House::new();
    let made = house.key(limited(&[Scope::LLM_CHAT], requests(5))).await;
    let held = house.recognise(&made.key).await.unwrap().meter.unwrap();
    let narrow = serde_json::json!({"limits": {"requests_per_minute": 1}});
    house.ask(change(&made.about.id, narrow)).await.unwrap();
    // As a reader sees it whose snapshot is older than the change.
    let stale = |conn: &mut diesel::SqliteConnection| {
        diesel::sql_query("UPDATE api_keys SET requests_per_minute = 5").execute(conn)?;
        Ok(())
    };
    house.store.write(stale).await.unwrap();
    house.credentials.replace(Default::default());
    let found = house.recognise(&made.key).await.unwrap().meter.unwrap();
    assert!(Arc::ptr_eq(&held, &found));
    assert_eq!(found.limits(), requests(1));
}

//! The audit log: what is in it, and that nobody can change it unnoticed.

use diesel::RunQueryDsl;
use messages::apikeys::{AuditEntry, AuditVerdict};

use super::*;

async fn entries(house: &mut House) -> Vec<AuditEntry> {
    let ask = ListAudit {
        limit: 1000,
        ..ListAudit::default()
    };
    house.ask(ask).await.unwrap()
}

async fn verdict(house: &mut House, head: Option<&str>) -> AuditVerdict {
    let head = head.map(str::to_owned);
    house.ask(VerifyAudit { head }).await.unwrap()
}

async fn execute(house: &House, statement: &'static str) {
    let write = house
        .store
        .write(move |conn| Ok(diesel::sql_query(statement).execute(conn)?));
    assert!(write.await.unwrap() > 0, "{statement}");
}

/// A log of five entries.
async fn filled() -> House {
    let mut house = House::new();
    for name in ["ann", "bob"] {
        house.ask(user(name, &[Scope::LLM_CHAT])).await.unwrap();
    }
    let made = house.key(key(&[Scope::LLM_CHAT])).await;
    house.ask(RevokeKey { id: made.about.id }).await.unwrap();
    house
}

#[tokio::test]
async fn every_change_of_keys_and_users_is_there_with_who_made_it() {
    let mut house = filled().await;
    let found = entries(&mut house).await;
    let told: Vec<&str> = found.iter().map(|entry| entry.action.as_str()).collect();
    let wanted = [
        "user.create",
        "user.create",
        "user.create",
        "key.create",
        "key.revoke",
    ];
    assert_eq!(told, wanted);
    let numbers: Vec<u64> = found.iter().map(|entry| entry.seq).collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5]);
    let made = &found[3];
    assert_eq!(
        (made.actor.as_str(), made.user.as_str()),
        ("owner", "admin")
    );
    assert_eq!(made.request_id, "internal-test");
    assert_eq!(made.at, house.time());
    assert_eq!(made.detail["scopes"], serde_json::json!(["llm.chat"]));
    assert_eq!(made.previous, found[2].hash);
    let text = serde_json::to_string(&found).unwrap();
    assert!(
        !text.contains("bkg_") && !text.contains("long enough"),
        "{text}"
    );
    let whole = verdict(&mut house, None).await;
    assert_eq!((whole.intact, whole.entries, whole.broken), (true, 5, None));
    assert_eq!(whole.head, found[4].hash);
}

#[tokio::test]
async fn a_change_that_fails_leaves_no_entry() {
    let mut house = filled().await;
    house
        .ask(user("ann", &[Scope::LLM_CHAT]))
        .await
        .unwrap_err();
    let id = "no such key".to_owned();
    house.ask(RevokeKey { id }).await.unwrap_err();
    assert_eq!(entries(&mut house).await.len(), 5);
}

#[tokio::test]
async fn what_other_plugins_do_is_written_down_for_whoever_asked() {
    let mut house = House::new();
    let caller = house.login().await.caller;
    let deed = RecordAudit {
        action: "plugin.stop".into(),
        target: "x".repeat(100_000),
        detail: serde_json::json!({"a": "b".repeat(100_000)}),
    };
    house.ask_as(&caller, deed).await.unwrap();
    let last = entries(&mut house).await.pop().unwrap();
    assert_eq!(
        (last.action.as_str(), &last.actor),
        ("plugin.stop", &caller.id)
    );
    assert_eq!(last.target.len(), 512, "cut, and still there");
    assert!(last.detail.to_string().len() < 100);
    assert!(verdict(&mut house, None).await.intact);
}

#[tokio::test]
async fn a_page_follows_the_entry_that_is_known() {
    let mut house = filled().await;
    let ask = |after, limit, action: Option<&str>| ListAudit {
        after,
        limit,
        action: action.map(str::to_owned),
    };
    for (wish, wanted) in [
        (ask(Some(0), 2, None), vec![1, 2]),
        (ask(Some(2), 2, None), vec![3, 4]),
        (ask(Some(5), 2, None), vec![]),
        (ask(None, 2, None), vec![4, 5]),
        (ask(None, 9, Some("user.create")), vec![1, 2, 3]),
        (ask(Some(1), 1, Some("user.create")), vec![2]),
        (ask(Some(u64::MAX), 1, None), vec![]),
    ] {
        let found = house.ask(wish.clone()).await.unwrap();
        let numbers: Vec<u64> = found.iter().map(|entry| entry.seq).collect();
        assert_eq!(numbers, wanted, "{wish:?}");
    }
    for limit in [0, 1001] {
        let fault = house.ask(ask(None, limit, None)).await.unwrap_err();
        assert_eq!(fault.kind, FaultKind::Unprocessable);
    }
}

#[tokio::test]
async fn a_flipped_byte_in_any_column_is_found() {
    for statement in [
        "UPDATE audit_log SET at = at + 1 WHERE seq = 3",
        "UPDATE audit_log SET actor = 'Owner' WHERE seq = 3",
        "UPDATE audit_log SET username = 'bdmin' WHERE seq = 3",
        "UPDATE audit_log SET address = '' WHERE seq = 3",
        "UPDATE audit_log SET request_id = request_id || '1' WHERE seq = 3",
        "UPDATE audit_log SET action = 'user.create ' WHERE seq = 3",
        "UPDATE audit_log SET target = 'cob' WHERE seq = 3",
        "UPDATE audit_log SET detail = '{}' WHERE seq = 3",
        "UPDATE audit_log SET previous = zeroblob(32) WHERE seq = 3",
        "UPDATE audit_log SET hash = zeroblob(32) WHERE seq = 3",
        // A byte that moves from one column to the next.
        "UPDATE audit_log SET action = 'user.createb', target = 'ob' WHERE seq = 3",
        "DELETE FROM audit_log WHERE seq = 3",
    ] {
        let mut house = filled().await;
        execute(&house, statement).await;
        let found = verdict(&mut house, None).await;
        assert!(!found.intact, "{statement}");
        assert_eq!(found.broken.unwrap().seq, 3, "{statement}");
        assert_eq!(found.entries, 2, "{statement}");
    }
}

#[tokio::test]
async fn an_end_that_was_cut_off_is_found_by_the_head_that_was_noted() {
    let mut house = filled().await;
    let head = verdict(&mut house, None).await.head;
    house.ask(user("eve", &[Scope::LLM_CHAT])).await.unwrap();
    assert!(
        verdict(&mut house, Some(&head)).await.intact,
        "it has grown"
    );
    assert!(verdict(&mut house, Some(&head.to_uppercase())).await.intact);
    execute(&house, "DELETE FROM audit_log WHERE seq >= 5").await;
    assert!(verdict(&mut house, None).await.intact, "it hangs together");
    let found = verdict(&mut house, Some(&head)).await;
    assert!(!found.intact);
    assert_eq!(found.broken.unwrap().seq, 5);
    execute(&house, "DELETE FROM audit_log").await;
    assert!(!verdict(&mut house, Some(&head)).await.intact);
    let fault = house
        .ask(VerifyAudit {
            head: Some("beef".to_owned()),
        })
        .await;
    assert_eq!(kind(fault), FaultKind::Unprocessable);
}

#[tokio::test]
async fn only_admins_read_it() {
    let mut house = House::new();
    house.ask(user("ann", &[Scope::LLM_CHAT])).await.unwrap();
    let ann = house.ask(login("ann", "long enough")).await.unwrap().caller;
    let list = ListAudit {
        limit: 1,
        ..ListAudit::default()
    };
    assert_eq!(kind(house.ask_as(&ann, list).await), FaultKind::Denied);
    let verify = VerifyAudit::default();
    assert_eq!(kind(house.ask_as(&ann, verify).await), FaultKind::Denied);
}

//! The bounds that are too large to be reached over HTTP.

use diesel::{RunQueryDsl, sql_query, sqlite::SqliteConnection};
use messages::{
    fault::FaultKind,
    llmserver::{ConversationDraft, ConversationMessage, Speaker},
};
use store::StoreError;

use super::{
    draft::{Prepared, fold, one_line},
    rows,
};
use crate::testing::store;

fn prepared(content: &str) -> Prepared {
    let message = ConversationMessage {
        role: Speaker::User,
        content: content.to_owned(),
        annotations: Vec::new(),
        model: None,
        usage: None,
        created_at: None,
    };
    let draft = ConversationDraft {
        messages: vec![message],
        ..ConversationDraft::default()
    };
    Prepared::new(draft).unwrap()
}

/// Rows of `owner`'s, each said to have `bytes`.
fn fill(conn: &mut SqliteConnection, owner: &str, count: u32, bytes: i64) {
    let rows = format!(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count})
         INSERT INTO llmserver_conversations
         SELECT '{owner}-' || i, '{owner}', 1, '', '', NULL,
             '{{\"system\":null,\"settings\":{{}},\"collections\":[]}}', 0, {bytes}, 0, 0 FROM n"
    );
    sql_query(rows).execute(conn).unwrap();
}

fn code(error: StoreError) -> (FaultKind, String) {
    match error {
        StoreError::Refused(fault) => (fault.kind, fault.code.unwrap_or_default()),
        error => panic!("{error}"),
    }
}

#[test]
fn a_user_keeps_ten_thousand_conversations_and_no_more() {
    let (_directory, store) = store();
    let outcome = store.write_blocking(|conn| {
        fill(conn, "full", 9_999, 1);
        rows::insert(conn, "full", prepared("the last")).unwrap();
        let full = rows::insert(conn, "full", prepared("too many")).unwrap_err();
        assert_eq!(
            code(full),
            (FaultKind::Conflict, "too_many_conversations".to_owned())
        );
        // Others are not held up by that, and whoever is full may go on with what he has.
        rows::insert(conn, "other", prepared("x")).unwrap();
        rows::replace(conn, "full", "full-1", 1, prepared("more")).unwrap();
        rows::delete(conn, "full", "full-2").unwrap();
        rows::insert(conn, "full", prepared("room again")).map(drop)
    });
    assert!(outcome.is_ok(), "{outcome:?}");
}

#[test]
fn a_users_conversations_have_a_bound_together() {
    let (_directory, store) = store();
    let outcome = store.write_blocking(|conn| {
        fill(conn, "full", 256, 4 << 20);
        let full = rows::insert(conn, "full", prepared("x")).unwrap_err();
        assert_eq!(
            code(full),
            (FaultKind::Conflict, "conversations_too_large".to_owned())
        );
        // What becomes smaller makes room.
        rows::replace(conn, "full", "full-1", 1, prepared("less")).unwrap();
        rows::insert(conn, "full", prepared("x")).map(drop)
    });
    assert!(outcome.is_ok(), "{outcome:?}");
}

#[test]
fn folding_keeps_every_place() {
    for text in ["İstanbul ẞ ǅ\u{0}Σίσυφος", "ÄÖÜ", "日本", ""] {
        assert_eq!(fold(text).chars().count(), text.chars().count(), "{text}");
    }
    assert_eq!(fold("ÄPFEL\u{0}X"), "äpfel x");
    assert_eq!(one_line(" a\r\n\u{7}b\u{2028}c "), "a b c");
}

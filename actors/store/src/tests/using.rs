//! Reading and writing: what is undone and what is told.

use super::*;

#[tokio::test]
async fn a_refused_write_is_rolled_back() {
    let data = folder();
    let store = noted(data.path());
    let refused = store.write(|conn| {
        add_note(conn)?;
        Err::<(), _>(Fault::conflict("no").into())
    });
    let fault = Fault::from(refused.await.unwrap_err());
    assert_eq!(fault, Fault::conflict("no"));
    assert_eq!(notes(&store), 0);
}

#[tokio::test]
async fn a_panic_fails_its_own_call_and_is_rolled_back() {
    let data = folder();
    let store = noted(data.path());
    for _ in 0..3 {
        let panicked = store.write(|conn| -> Result<(), StoreError> {
            add_note(conn)?;
            panic!("a bad row")
        });
        let fault = Fault::from(panicked.await.unwrap_err());
        assert_eq!(fault.kind, FaultKind::Crashed);
        assert!(fault.message.contains("a bad row"), "{fault}");
        store.write(add_note).await.unwrap();
    }
    assert_eq!(notes(&store), 3);
}

#[test]
fn readers_cannot_write() {
    let data = folder();
    let store = noted(data.path());
    let refused = store.read_blocking(add_note).unwrap_err();
    assert!(matches!(refused, StoreError::Database(_)), "{refused}");
    assert_eq!(notes(&store), 0);
}

#[test]
fn every_connection_has_the_settings() {
    #[derive(QueryableByName)]
    struct Found {
        #[diesel(sql_type = BigInt)]
        synchronous: i64,
    }
    let data = folder();
    let store = noted(data.path());
    let full = |conn: &mut SqliteConnection| {
        let row: Found = sql_query("PRAGMA synchronous").get_result(conn)?;
        Ok(row.synchronous)
    };
    assert_eq!(store.write_blocking(full).unwrap(), 2);
    assert_eq!(store.read_blocking(full).unwrap(), 2);
    let orphan = store.write_blocking(|conn| {
        sql_query("CREATE TABLE a (id BIGINT PRIMARY KEY)").execute(conn)?;
        sql_query("CREATE TABLE b (a BIGINT REFERENCES a)").execute(conn)?;
        sql_query("INSERT INTO b VALUES (7)").execute(conn)?;
        Ok(())
    });
    assert!(orphan.is_err());
}

#[tokio::test]
async fn a_full_disk_is_told_apart() {
    let data = folder();
    let store = noted(data.path());
    let full = store.write(|conn| {
        sql_query("PRAGMA max_page_count = 1").execute(conn)?;
        for _ in 0..10_000 {
            add_note(conn)?;
        }
        Ok(())
    });
    let fault = Fault::from(full.await.unwrap_err());
    assert_eq!(fault.kind, FaultKind::StorageFull, "{fault}");
    assert_eq!(notes(&store), 0);
    store.write(add_note).await.unwrap();
}

#[tokio::test]
async fn damage_found_later_makes_the_store_read_only() {
    let data = folder();
    let store = noted(data.path());
    store.health().await.unwrap();
    store.check_pages_blocking().unwrap();
    let found: Result<(), _> =
        store.read_blocking(|_| Err(StoreError::Damaged("page 7".to_owned())));
    assert!(found.is_err());
    let refused = store.write(add_note).await.unwrap_err();
    assert!(refused.to_string().contains("page 7"), "{refused}");
    assert!(store.health().await.is_err());
    assert_eq!(notes(&store), 0);
}

#[test]
fn an_operators_change_is_kept_until_it_is_cleared() {
    let data = folder();
    let settings = serde_json::json!({"model": "bkg-extract"});
    let mut change = operator::Change {
        plugin: "llmserver".to_owned(),
        settings: settings.as_object().cloned(),
        autostart: None,
        changed_at: 1,
    };
    let store = Store::open(data.path()).unwrap();
    store
        .write_blocking(|conn| operator::save(conn, &change))
        .unwrap();
    (change.autostart, change.changed_at) = (Some(false), 2);
    store
        .write_blocking(|conn| operator::save(conn, &change))
        .unwrap();
    close(store);
    let store = Store::open(data.path()).unwrap();
    assert_eq!(store.read_blocking(operator::load_all).unwrap(), [change]);
    let clear = |conn: &mut SqliteConnection| operator::clear(conn, "llmserver");
    assert!(store.write_blocking(clear).unwrap());
    assert!(!store.write_blocking(clear).unwrap());
    assert_eq!(store.read_blocking(operator::load_all).unwrap(), []);
}

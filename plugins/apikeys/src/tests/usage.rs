//! What was used: written down, read back, and told to those whom it concerns.

use std::collections::BTreeSet;

use messages::usage::{Group, Limits, Line, Moment, ReadUsage, Tokens, Totals, Usage};
use store::StoreError;

use super::{limits::limited, *};
use crate::usage::write_down;

fn line(key: &str, user: &str, day: &str) -> Line {
    Line {
        day: day.parse().unwrap(),
        key: key.into(),
        user: user.into(),
        model: "m".into(),
        route: "/v1/chat/completions".into(),
        status: 200,
    }
}

fn used(prompt: u64, completion: u64) -> Totals {
    Totals::one(Tokens { prompt, completion }, Duration::from_millis(20))
}

/// The day at which the tests' clock starts.
const TODAY: &str = "2027-01-15";

fn by(groups: &[Group]) -> ReadUsage {
    ReadUsage {
        group_by: groups.iter().copied().collect(),
        ..ReadUsage::default()
    }
}

fn counts(usage: &Usage) -> (u64, u64) {
    (usage.total.requests, usage.total.total_tokens)
}

#[tokio::test]
async fn what_was_used_adds_up_whether_written_or_not() {
    let mut house = House::new();
    let ledger = |house: &House, line, totals| house.credentials.ledger().add(line, &totals);
    ledger(&house, line("k1", "ann", TODAY), used(3, 4));
    ledger(&house, line("k1", "ann", TODAY), used(30, 40));
    write_down(&house.store, &house.credentials).unwrap();
    ledger(&house, line("k1", "ann", TODAY), used(300, 400));
    ledger(&house, line("k2", "bob", "2027-01-14"), used(1, 1));
    ledger(&house, line("k2", "bob", "2026-12-31"), used(5, 5));
    let told = house.ask(by(&[Group::Key])).await.unwrap();
    let keys: Vec<_> = told
        .usage
        .iter()
        .map(|row| (row.key.as_deref().unwrap(), row.requests, row.total_tokens))
        .collect();
    assert_eq!(keys, [("k1", 3, 777), ("k2", 1, 2)]);
    assert_eq!(counts(&told), (4, 779), "the month so far");
    assert_eq!((told.total.mean_ms, told.total.max_ms), (20.0, 20.0));
    write_down(&house.store, &house.credentials).unwrap();
    house.restart();
    let days = ReadUsage {
        from: Some("2026-12-01".parse().unwrap()),
        key: Some("k2".to_owned()),
        ..by(&[Group::Day, Group::Status])
    };
    let told = house.ask(days).await.unwrap();
    let days: BTreeSet<String> = told
        .usage
        .iter()
        .map(|row| row.day.unwrap().to_string())
        .collect();
    assert_eq!(days, ["2026-12-31", "2027-01-14"].map(str::to_owned).into());
    assert_eq!((told.usage[0].status, counts(&told)), (Some(200), (2, 12)));
    let never = ReadUsage {
        to: Some("2026-01-01".parse().unwrap()),
        from: Some("2026-01-02".parse().unwrap()),
        ..ReadUsage::default()
    };
    assert_eq!(kind(house.ask(never).await), FaultKind::Unprocessable);
}

#[tokio::test]
async fn a_user_sees_his_own_use_alone() {
    let mut house = House::new();
    house.ask(user("ann", &[Scope::LLM_CHAT])).await.unwrap();
    let ann = house.ask(login("ann", "long enough")).await.unwrap().caller;
    let ledger = house.credentials.ledger();
    ledger.add(line("k1", "ann", TODAY), &used(3, 4));
    ledger.add(line("k2", "bob", TODAY), &used(5, 6));
    let told = house.ask_as(&ann, by(&[Group::User])).await.unwrap();
    assert_eq!(counts(&told), (1, 7));
    let foreign = ReadUsage {
        key: Some("k2".to_owned()),
        ..by(&[Group::Key])
    };
    let told = house.ask_as(&ann, foreign).await.unwrap();
    assert_eq!((told.usage.len(), counts(&told)), (0, (0, 0)));
}

#[tokio::test]
async fn a_budget_is_read_back_after_the_whole_gateway_was_restarted() {
    let mut house = House::new();
    let limits = Limits {
        monthly_tokens: Some(100),
        ..Limits::default()
    };
    let made = house.key(limited(&[Scope::LLM_CHAT], limits)).await;
    let ledger = house.credentials.ledger();
    let id = made.about.id.as_str();
    ledger.add(line(id, "admin", TODAY), &used(60, 35));
    ledger.add(line(id, "admin", "2026-12-31"), &used(1_000, 0));
    ledger.add(line("other", "admin", TODAY), &used(1_000, 0));
    write_down(&house.store, &house.credentials).unwrap();
    house.restart();
    let grant = house.recognise(&made.key).await.unwrap();
    let now = Moment {
        wall: house.time(),
        ..Moment::now()
    };
    let mut admission = grant.meter.unwrap().admit(now).unwrap();
    assert_eq!(admission.reserve(1..=50, now), Ok(5));
    assert_eq!(
        admission.reserve(1..=1, now).unwrap_err().code.as_deref(),
        Some("insufficient_quota")
    );
}

#[tokio::test]
async fn what_cannot_be_written_is_told_and_written_later() {
    let mut house = House::new();
    house
        .credentials
        .ledger()
        .add(line("k", "ann", TODAY), &used(3, 4));
    let forbid = |conn: &mut diesel::SqliteConnection| -> Result<(), StoreError> {
        use diesel::RunQueryDsl;
        let full = "CREATE TRIGGER full BEFORE INSERT ON usage_lines \
                    BEGIN SELECT RAISE(ABORT, 'no space'); END";
        diesel::sql_query(full).execute(conn)?;
        Ok(())
    };
    house.store.write(forbid).await.unwrap();
    write_down(&house.store, &house.credentials).unwrap_err();
    let told = house.ask(by(&[])).await.unwrap();
    assert_eq!(counts(&told), (1, 7));
    let allow = |conn: &mut diesel::SqliteConnection| -> Result<(), StoreError> {
        use diesel::RunQueryDsl;
        diesel::sql_query("DROP TRIGGER full").execute(conn)?;
        Ok(())
    };
    house.store.write(allow).await.unwrap();
    write_down(&house.store, &house.credentials).unwrap();
    house.restart();
    assert_eq!(counts(&house.ask(by(&[])).await.unwrap()), (1, 7));
}

#[tokio::test]
async fn a_report_over_a_thousand_years_is_refused() {
    let mut house = House::new();
    let span = |from: &str, to: &str| ReadUsage {
        from: Some(from.parse().unwrap()),
        to: Some(to.parse().unwrap()),
        ..by(&[Group::Day])
    };
    for (from, to) in [("0001-01-01", "9999-12-31"), ("2026-01-01", "2027-02-05")] {
        let fault = house.ask(span(from, to)).await.unwrap_err();
        assert_eq!(fault.kind, FaultKind::Unprocessable);
        assert!(fault.to_string().contains("from and to"), "{fault}");
    }
    house.ask(span("2026-01-01", "2027-02-04")).await.unwrap();
}

#[tokio::test]
async fn reading_what_was_used_writes_nothing() {
    let mut house = House::new();
    house
        .credentials
        .ledger()
        .add(line("k", "ann", TODAY), &used(3, 4));
    for _ in 0..2 {
        assert_eq!(counts(&house.ask(by(&[])).await.unwrap()), (1, 7));
    }
    let unwritten = house.credentials.ledger().read(|lines| lines());
    assert_eq!(unwritten.len(), 1);
}

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

//! Users: the first one and the others.

use diesel::{QueryDsl, RunQueryDsl};

use super::*;
use crate::schema::users;

#[tokio::test]
async fn the_first_start_announces_a_password_that_works() {
    let data = tempfile::tempdir().unwrap();
    let mut house = House::new();
    house.store = Store::open(data.path()).unwrap();
    let told = Arc::new(Mutex::new(Vec::new()));
    let ear = told.clone();
    let first = FirstAdmin::new(Some(String::new()), move |text| {
        ear.lock().unwrap().push(text.to_owned());
    });
    house.plugin = start(&house.store, &house.credentials, &house.now, &first);
    house.plugin = start(&house.store, &house.credentials, &house.now, &first);
    let told = told.lock().unwrap().clone();
    assert_eq!(told.len(), 1, "once, not at every start");
    assert!(told[0].len() >= 20);
    let session = house.ask(login("admin", &told[0])).await.unwrap();
    assert!(session.caller.scopes.allow(&Scope::ADMIN));
    assert_eq!(
        kind(house.ask(login("admin", PASSWORD)).await),
        FaultKind::Unauthenticated
    );
}

#[test]
fn a_kill_after_the_commit_cannot_lose_the_announcement() {
    let data = tempfile::tempdir().unwrap();
    let store = Store::open(data.path()).unwrap();
    let (reader, told) = (store.clone(), Arc::new(Mutex::new(Vec::new())));
    let ear = told.clone();
    let first = FirstAdmin::new(None, move |_| {
        let users =
            reader.read_blocking(|conn| Ok(users::table.count().get_result::<i64>(conn)?));
        ear.lock().unwrap().push(users.unwrap());
    });
    let now = Arc::new(AtomicI64::new(START));
    start(&store, &Arc::default(), &now, &first);
    assert_eq!(
        *told.lock().unwrap(),
        [0],
        "announced before there is a user"
    );
}

#[tokio::test]
async fn users_are_made_by_admins_once() {
    let mut house = House::new();
    let made = house.ask(user("ann", &[Scope::LLM_CHAT])).await.unwrap();
    let listed = house.ask(ListUsers).await.unwrap();
    assert_eq!(listed.len(), 2);
    assert_eq!(listed[1], made);
    let again = user("ann", &[Scope::LLM_CHAT]);
    assert_eq!(kind(house.ask(again).await), FaultKind::Conflict);
    let ann = house.ask(login("ann", "long enough")).await.unwrap().caller;
    assert_eq!(kind(house.ask_as(&ann, ListUsers).await), FaultKind::Denied);
    let other = user("bob", &[Scope::LLM_CHAT]);
    assert_eq!(kind(house.ask_as(&ann, other).await), FaultKind::Denied);
}

#[tokio::test]
async fn nonsense_in_a_user_request_is_refused() {
    let mut house = House::new();
    let mut short = user("ann", &[Scope::LLM_CHAT]);
    short.password = "7 chars".to_owned();
    let requests = [
        (short, "password"),
        (user("", &[Scope::LLM_CHAT]), "username"),
        (user("Ann Smith", &[Scope::LLM_CHAT]), "username"),
        (user(&"a".repeat(65), &[Scope::LLM_CHAT]), "username"),
        (user("ann", &[]), "scopes"),
    ];
    for (request, param) in requests {
        let fault = house.ask(request).await.unwrap_err();
        assert_eq!(fault.kind, FaultKind::Unprocessable);
        assert_eq!(fault.param.as_deref(), Some(param));
    }
}

//! The plugin through its messages, by a clock of the test's own.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use jiff::Timestamp;
use messages::{
    apikeys::{
        Authenticate, Caller, CreateKey, CreateUser, Credentials, Grant, ListKeys, ListUsers,
        Login, Logout, NewKey, NewSession, RevokeKey, Scope, Scopes, secret,
    },
    call::{Call, Capability, Cx, Origin},
    fault::{Fault, FaultKind},
    host::Host,
    line::{Card, Directory, Gate},
    plugin::{Answer, Serve, Status},
};
use store::Store;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::{Apikeys, Clock, FirstAdmin};

const MINUTE: i64 = 60_000;
const START: i64 = 1_800_000_000_000;
const PASSWORD: &str = "correct horse";

/// A plugin on a directory of its own.
struct House {
    plugin: Apikeys,
    credentials: Arc<Credentials>,
    store: Store,
    now: Arc<AtomicI64>,
    data: TempDir,
}

impl House {
    fn new() -> Self {
        let data = tempfile::tempdir().unwrap();
        let store = Store::open(data.path()).unwrap();
        let credentials = Arc::new(Credentials::default());
        let now = Arc::new(AtomicI64::new(START));
        let first = FirstAdmin::new(Some(PASSWORD.to_owned()), |_| panic!("nothing to announce"));
        let plugin = start(&store, &credentials, &now, &first);
        Self {
            plugin,
            credentials,
            store,
            now,
            data,
        }
    }

    /// A new life of the plugin, as after a restart of the whole gateway.
    fn restart(&mut self) {
        self.credentials = Arc::new(Credentials::default());
        let first = FirstAdmin::new(None, |_| panic!("there is an admin already"));
        self.plugin = start(&self.store, &self.credentials, &self.now, &first);
    }

    fn pass(&self, minutes: i64) {
        self.now.fetch_add(minutes * MINUTE, SeqCst);
    }

    fn time(&self) -> Timestamp {
        Timestamp::from_millisecond(self.now.load(SeqCst)).unwrap()
    }

    /// What the HTTP layer does for each request.
    async fn recognise(&mut self, secret: &str) -> Option<Grant> {
        let (digest, now) = (secret::digest(secret), self.time());
        match self.credentials.grant(&digest, now) {
            Some(grant) if grant.note_after.is_none_or(|due| due > now) => Some(grant),
            _ => self.ask(Authenticate { digest }).await.unwrap(),
        }
    }

    fn is_published(&self, secret: &str) -> bool {
        let digest = secret::digest(secret);
        self.credentials.grant(&digest, self.time()).is_some()
    }

    async fn ask<C: Capability>(&mut self, body: C) -> Result<C::Reply, Fault>
    where
        Apikeys: Serve<C>,
    {
        self.ask_as(&Caller::owner(), body).await
    }

    async fn ask_as<C: Capability>(&mut self, caller: &Caller, body: C) -> Result<C::Reply, Fault>
    where
        Apikeys: Serve<C>,
    {
        let origin = Origin {
            caller: Arc::new(caller.clone()),
            ..Origin::internal("test")
        };
        let deadline = tokio::time::Instant::now() + C::DEADLINE;
        let cx = Cx::new(origin, deadline, None);
        match self.plugin.serve(Call { body, cx }) {
            Answer::Now(answer) => answer,
            Answer::Later(answer) => answer.await,
        }
    }

    async fn key(&mut self, request: CreateKey) -> NewKey {
        self.ask(request).await.unwrap()
    }

    async fn login(&mut self) -> NewSession {
        self.ask(login("admin", PASSWORD)).await.unwrap()
    }
}

fn start(
    store: &Store,
    credentials: &Arc<Credentials>,
    now: &Arc<AtomicI64>,
    first: &FirstAdmin,
) -> Apikeys {
    let directory = Directory::default();
    let gate = Gate::new(
        "apikeys",
        Status::Running,
        Card::default(),
        directory.changes(),
    );
    let host = Host::new(
        Arc::new(serde_json::json!({})),
        directory,
        Arc::new(gate),
        CancellationToken::new(),
    );
    let now = now.clone();
    let clock = Clock::new(move || Timestamp::from_millisecond(now.load(SeqCst)).unwrap());
    Apikeys::with_clock(&host, store.clone(), credentials.clone(), first, clock).unwrap()
}

fn login(username: &str, password: &str) -> Login {
    Login {
        username: username.to_owned(),
        password: password.to_owned(),
    }
}

fn scopes(list: &[Scope]) -> Scopes {
    list.iter().cloned().collect()
}

fn key(list: &[Scope]) -> CreateKey {
    CreateKey {
        name: "a script".to_owned(),
        scopes: scopes(list),
        expires_at: None,
    }
}

fn user(username: &str, list: &[Scope]) -> CreateUser {
    CreateUser {
        username: username.to_owned(),
        password: "long enough".to_owned(),
        scopes: scopes(list),
    }
}

fn kind<T>(answer: Result<T, Fault>) -> FaultKind {
    answer.err().expect("a refusal").kind
}

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
    let new = user("eve", &[Scope::EVERYTHING]);
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

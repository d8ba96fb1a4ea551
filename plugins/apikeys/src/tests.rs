//! The plugin through its messages, by a clock of the test's own.

mod audit;
mod holder;
mod keys;
mod limits;
mod publishing;
mod reach;
mod roles;
mod sessions;
mod totp;
mod usage;
mod users;

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
        Authenticate, BeginTotp, Caller, ChangePassword, ChangeUser, ConfirmTotp, CreateKey,
        CreateUser, Credentials, EndTotp, Grant, ListAudit, ListKeys, ListUsers, Login, Logout,
        NewKey, NewSession, RecordAudit, RevokeKey, Role, Scope, Scopes, User, UserChange,
        VerifyAudit, secret,
    },
    call::{Call, Capability, Cx, Origin},
    fault::{Fault, FaultKind},
    gate::{Card, Gate},
    host::Host,
    line::Directory,
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

    /// A new life of the plugin alone; what the gateway shares with it stays.
    fn restart_plugin(&mut self) {
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

    /// From an address, as over HTTP.
    async fn ask_from<C: Capability>(&mut self, address: &str, body: C) -> Result<C::Reply, Fault>
    where
        Apikeys: Serve<C>,
    {
        let origin = Origin {
            caller: Arc::new(Caller::nobody()),
            address: Some(address.parse().unwrap()),
            ..Origin::internal("test")
        };
        self.ask_of(origin, body).await
    }

    async fn ask_as<C: Capability>(&mut self, caller: &Caller, body: C) -> Result<C::Reply, Fault>
    where
        Apikeys: Serve<C>,
    {
        let origin = Origin {
            caller: Arc::new(caller.clone()),
            ..Origin::internal("test")
        };
        self.ask_of(origin, body).await
    }

    async fn ask_of<C: Capability>(&mut self, origin: Origin, body: C) -> Result<C::Reply, Fault>
    where
        Apikeys: Serve<C>,
    {
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
        code: None,
        replaces: None,
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
        limits: None,
    }
}

fn user(username: &str, list: &[Scope]) -> CreateUser {
    CreateUser {
        username: username.to_owned(),
        password: "long enough".to_owned(),
        role: Role::User,
        scopes: scopes(list),
    }
}

fn kind<T>(answer: Result<T, Fault>) -> FaultKind {
    answer.err().expect("a refusal").kind
}

//! The only file that names plugins: builds the store, the log, the supervisor and the plugins,
//! and gives each what it needs.

use std::{
    fs::DirBuilder,
    io::{self, Write},
    os::unix::fs::DirBuilderExt,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

mod backups;
mod schema;

use actix_web::web;
use apikeys::{Apikeys, FirstAdmin};
use brainml::{Brainml, GuideDocument};
use futures_util::{FutureExt, future::BoxFuture};
use llmserver::{Llmserver, Reach};
use messages::{
    apikeys::Credentials,
    call::Capability,
    fault::Fault,
    line::Directory,
    llmserver::{Chat, Complete, CreateConversation, UpdateConversation},
    plugin::Policy,
    upstreams::UpstreamBoard,
};
use serde::Serialize;
use serde_json::Value;
use store::{Store, backup, operator};
use supervisor::{
    Baseline, Handle, Keep, Override, Overrides, Registry, RootSupervisor,
    Settings as PluginSettings,
};
use utoipa::ToSchema;

use crate::{
    guide,
    http::{
        Drain, Edge,
        address::Proxies,
        auth::CookiePolicy,
        cors::Cors,
        health::StoreHealth,
        metrics::requests::Requests,
        openai::known::KnownModels,
        server::{body::Pace, places::Places},
        tls::Certificate,
        traces::Traces,
        ws::Readers,
    },
    settings::Settings,
    start_error::StartError,
    telemetry::Telemetry,
};

/// The plugins that a gateway starts unless a file says otherwise.
const BUILT_IN: &str = include_str!("../plugins/plugins.json");

/// How long the plugins get to stop, all together.
const STOP_WITHIN: Duration = Duration::from_secs(15);

/// Conversations that are being written, of each kind: each is held several times over meanwhile,
/// and there is one writer anyway.
const CONVERSATIONS_AT_ONCE: usize = 16;

pub(crate) use self::backups::{BackupError, move_out, restore};

/// Everything behind the HTTP edge.
#[derive(Debug)]
pub(crate) struct House {
    directory: Directory,
    credentials: Arc<Credentials>,
    upstreams: Arc<UpstreamBoard>,
    store: Store,
    supervisor: Handle,
    telemetry: Telemetry,
}

impl House {
    /// Opens the store and lists the plugins; starts none yet.
    pub(crate) fn open(settings: &Settings, everyone: bool) -> Result<Self, StartError> {
        make_private(&settings.data_dir)?;
        let telemetry = Telemetry::start(settings, everyone)?;
        let store = Store::open(&settings.data_dir)?;
        let directory = Directory::default();
        let credentials = Arc::<Credentials>::default();
        let upstreams = Arc::<UpstreamBoard>::default();
        let registry = registry(settings, &directory, &store, &credentials, &upstreams)?;
        let overrides = overrides(&store)?;
        let supervisor =
            RootSupervisor::start(registry, baseline(settings)?, overrides, keep(&store))
                .map_err(|error| StartError::file(&settings.data_dir, error))?;
        Ok(Self {
            directory,
            credentials,
            upstreams,
            store,
            supervisor,
            telemetry,
        })
    }

    /// What the HTTP edge may know of all this.
    pub(crate) fn edge(
        &self,
        settings: &Settings,
        certificate: Option<Arc<Certificate>>,
    ) -> web::Data<Edge> {
        let server = &settings.server;
        let store = self.store.clone();
        web::Data::new(Edge {
            directory: self.directory.clone(),
            credentials: self.credentials.clone(),
            upstreams: self.upstreams.clone(),
            logs: self.telemetry.ring(),
            readers: Arc::new(Readers::new(
                server.socket_silence_seconds.into(),
                server.reader_seconds.into(),
            )),
            store: StoreHealth::new(Box::new(move || {
                let store = store.clone();
                async move { store.health().await.map_err(Fault::from) }.boxed()
            })),
            backups: backups::makers(&self.store),
            places: Places::of(server),
            pace: Pace::of(server),
            drain: Arc::new(Drain::default()),
            public_url: server.public_url.clone(),
            proxies: Proxies::new(server),
            cors: Cors::new(&server.cors_origins),
            encrypted: certificate.is_some()
                || server
                    .public_url
                    .as_deref()
                    .is_some_and(|url| url.starts_with("https://")),
            cookies: CookiePolicy::of(
                certificate.is_some(),
                server.public_url.as_deref(),
                server.host,
                server.allow_insecure_cookies,
            ),
            body_limit: server.body_limit,
            documents_limit: server.documents_limit,
            requests: Requests::default(),
            traces: Traces::new(settings.telemetry.sample.into(), self.telemetry.exporter()),
            database: self.store.directory().join("bkg.db").into(),
            models: KnownModels::default(),
            completion_tokens: settings.usage.completion_tokens,
            settings: settings.reference().map_err(|why| why.to_string()),
            started: Instant::now(),
            certificate,
        })
    }

    /// Starts the plugins, or just `only` and what they need, and has the database's pages
    /// checked meanwhile.
    pub(crate) async fn start(&self, only: Option<Vec<String>>) {
        let check_pages = only.is_none();
        self.supervisor.start_all(only).await;
        if check_pages {
            self.check_pages();
        }
    }

    /// On a thread that nobody waits for: it may take minutes, and must not hold up the end.
    fn check_pages(&self) {
        let store = self.store.clone();
        let check = move || {
            if let Err(error) = store.check_pages_blocking() {
                log::error!("{error}");
            }
        };
        let thread = std::thread::Builder::new().name("check-pages".to_owned());
        if let Err(error) = thread.spawn(check) {
            log::warn!("the database's pages are not checked: {error}");
        }
    }

    /// Stops the plugins, each before those that it needs, and sends the last spans.
    pub(crate) async fn stop(&self) {
        self.supervisor.stop_all(STOP_WITHIN).await;
        self.telemetry.close().await;
    }

    pub(crate) fn directory(&self) -> &Directory {
        &self.directory
    }
}

/// The plugins, each with its policy, its settings and its factory.
fn registry(
    settings: &Settings,
    directory: &Directory,
    store: &Store,
    credentials: &Arc<Credentials>,
    upstreams: &Arc<UpstreamBoard>,
) -> Result<Registry, StartError> {
    let mut registry = Registry::new(directory.clone());
    let password = settings.admin_password.clone().map(|secret| secret.0);
    let first = FirstAdmin::new(password, announce_password);
    let (keys, table) = (store.clone(), credentials.clone());
    registry.add(Policy::default(), PluginSettings::none(), move |host| {
        Apikeys::new(host, keys.clone(), table.clone(), &first)
    });
    let models = settings.models_dir();
    let reach = reach(&settings.upstreams)?;
    let (allowed, board) = (reach.clone(), upstreams.clone());
    let chats = settings.server.chats_at_once;
    let talks = store.clone();
    registry.add(
        llmserver_policy(chats),
        defaults::<llmserver::Settings>(llmserver::Settings::check)
            .saved_only_if(move |settings| llmserver::Settings::check_reach(settings, &allowed)),
        move |host| Llmserver::new(host, models.clone(), &reach, &board, talks.clone()),
    );
    let (rows, indexes) = (store.clone(), settings.data_dir.join(backup::DERIVED));
    registry.add(
        Policy::default(),
        defaults::<brainml::Settings>(brainml::Settings::check),
        move |host| Brainml::new(host, rows.clone(), indexes.clone(), guide_documents()),
    );
    Ok(registry)
}

/// Chats mostly wait for an upstream, so many may be at work.
fn llmserver_policy(chats: usize) -> Policy {
    Policy {
        permits_of: [
            (Chat::NAME, chats),
            (Complete::NAME, chats),
            (CreateConversation::NAME, CONVERSATIONS_AT_ONCE),
            (UpdateConversation::NAME, CONVERSATIONS_AT_ONCE),
        ]
        .into(),
        ..Policy::default()
    }
}

/// Where upstreams may be.
fn reach(upstreams: &crate::settings::Upstreams) -> Result<Reach, StartError> {
    let proxy = upstreams.proxy.as_ref().map(|secret| secret.0.as_str());
    let reach = Reach::new(&upstreams.allow_hosts.0, &upstreams.allow_private.0, proxy);
    reach.map_err(|error| StartError::Upstreams(error.to_string()))
}

fn guide_documents() -> Vec<GuideDocument> {
    let document = |page: guide::Page| GuideDocument {
        id: page.id,
        title: page.title,
        text: page.text,
    };
    guide::pages().into_iter().map(document).collect()
}

/// A plugin's default settings, what they may be, and its own word on which others it could start
/// with.
fn defaults<T: Default + Serialize + ToSchema>(
    check: fn(&Value) -> Result<(), Fault>,
) -> PluginSettings {
    let defaults = serde_json::to_value(T::default()).unwrap_or_default();
    let schema = schema::of::<T>(&defaults);
    PluginSettings::new(defaults, check).described_by(schema)
}

/// On the terminal and nowhere else: the log is read by others.
fn announce_password(password: &str) {
    let text =
        format!("\n  The user admin has the password  {password}\n  It is shown this once.\n\n");
    if let Err(error) = io::stderr().write_all(text.as_bytes()) {
        log::error!("the password of the user admin could not be shown: {error}");
    }
}

/// `plugins.json` of the settings, else of the data directory, else the one built in.
fn baseline(settings: &Settings) -> Result<Baseline, StartError> {
    let own = settings.data_dir.join("plugins.json");
    let path = match &settings.plugins_file {
        Some(path) => path.clone(),
        None if own.exists() => own,
        None => return Ok(Baseline::parse("built in", BUILT_IN)?),
    };
    let text = std::fs::read_to_string(&path).map_err(|error| StartError::PluginsFile {
        path: path.clone(),
        error,
    })?;
    Ok(Baseline::parse(&path.display().to_string(), &text)?)
}

/// What operators have changed, as the store has kept it.
fn overrides(store: &Store) -> Result<Overrides, StartError> {
    let kept = store.read_blocking(operator::load_all)?;
    let overrides = kept.into_iter().map(|change| {
        let settings = change.settings.unwrap_or_default().into_iter().collect();
        let autostart = change.autostart;
        (
            change.plugin,
            Override {
                settings,
                autostart,
            },
        )
    });
    Ok(overrides.collect())
}

/// How the supervisor keeps what an operator changes.
fn keep(store: &Store) -> Keep {
    let store = store.clone();
    Arc::new(move |plugin, change: Override| -> BoxFuture<'static, _> {
        let store = store.clone();
        let change = operator::Change {
            plugin,
            settings: Some(change.settings.into_iter().collect()),
            autostart: change.autostart,
            changed_at: jiff::Timestamp::now().as_millisecond(),
        };
        async move {
            let saved = store.write(move |conn| operator::save(conn, &change));
            saved.await.map_err(Fault::from)
        }
        .boxed()
    })
}

/// Makes the data directory for its owner alone; one that exists keeps its mode.
fn make_private(directory: &Path) -> Result<(), StartError> {
    let made = DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory);
    made.map_err(|error: io::Error| StartError::file(directory, error))
}

//! Every setting: its doc, type and default, and where its value comes from.
//!
//! Defaults < `bkg.toml` < `BKG_*` environment < flags. The environment name of `server.port` is
//! `BKG_SERVER__PORT`, that of `data_dir` is `BKG_DATA_DIR`. Some variables of OpenTelemetry count
//! where nothing else is said.

use std::{
    collections::HashMap,
    ffi::OsString,
    fmt,
    net::IpAddr,
    path::{Path, PathBuf},
};

use config::{
    Config, ConfigBuilder, ConfigError, Environment, File, FileFormat, Source,
    builder::DefaultState,
};
use serde::{Deserialize, Serialize, Serializer};

mod list;
mod network;
mod reference;
mod seconds;
mod share;
mod sources;
mod web_origin;

use self::reference::{Described, Field};
pub use self::{
    list::List,
    network::{Network, NetworkError},
    reference::Reference,
    seconds::Seconds,
    share::{NoShare, Share},
    sources::{Source as SettingSource, Sources},
    web_origin::{WebOrigin, WebOriginError},
};

macro_rules! settings {
    ($(
        $(#[doc = $about:literal])*
        $group:ident $(with $(#[doc = $about_extra:literal])* $extra:ident: $extra_type:ty,)? { $($(#[doc = $doc:literal])* $field:ident: $type:ty = $default:expr,)* }
    )*) => {
        $(
            $(#[doc = $about])*
            #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
            #[serde(default, deny_unknown_fields)]
            pub struct $group {
                $($(#[doc = $doc])* pub $field: $type,)*
                $($(#[doc = $about_extra])* #[serde(skip)] pub $extra: $extra_type,)?
            }

            impl Default for $group {
                fn default() -> Self {
                    Self { $($field: $default,)* $($extra: Default::default(),)? }
                }
            }

            impl Described for $group {
                fn kind() -> String {
                    stringify!($group).to_owned()
                }

                fn fields() -> Vec<Field> {
                    vec![$(Field::of::<$type>(stringify!($field), concat!($($doc),*)),)*]
                }
            }
        )*
    };
}

settings! {
    /// All settings of the gateway. Those of a plugin are in `plugins.json`.
    Settings with
        /// Where their values come from.
        sources: Sources,
    {
        /// Where everything that is kept lies: the database, indexes, models.
        data_dir: PathBuf = "data".into(),
        /// Where models lie; `<data_dir>/models` unless set.
        models_dir: Option<PathBuf> = None,
        /// The list of plugins that replaces the one built in; `<data_dir>/plugins.json` is used
        /// where it exists.
        plugins_file: Option<PathBuf> = None,
        /// The password that `admin` gets on the first start; made at random and printed once
        /// unless set.
        admin_password: Option<Secret> = None,
        /// The HTTP server.
        server: Server = Server::default(),
        /// Logging.
        log: Log = Log::default(),
        /// Where the upstreams of the plugin `llmserver` may be.
        upstreams: Upstreams = Upstreams::default(),
        /// Usage accounting.
        usage: Usage = Usage::default(),
        /// Traces.
        telemetry: Telemetry = Telemetry::default(),
    }

    /// The HTTP server.
    Server {
        /// The address to listen on.
        host: IpAddr = IpAddr::from([127, 0, 0, 1]),
        /// The port to listen on; 0 takes a free one.
        port: u16 = 43119,
        /// Threads that serve HTTP; 0 takes one a core.
        workers: usize = 0,
        /// The address that people see, where a proxy stands before the gateway. With `https` the
        /// session cookie is `Secure`.
        public_url: Option<String> = None,
        /// Send session cookies without `Secure` although the address is not a loopback one.
        allow_insecure_cookies: bool = false,
        /// Seconds for which new requests are still taken after SIGTERM, so that a load balancer
        /// notices that readiness is gone.
        drain_accept_seconds: u64 = 5,
        /// Seconds after which streams that have not finished are ended with an error.
        drain_seconds: u64 = 30,
        /// Connections at once, of everyone together; 0 is no limit. The socket in the data
        /// directory is not counted.
        max_connections: usize = 16_384,
        /// Connections at once from one address, or with IPv6 from one /64 network; 0 is no limit.
        max_connections_per_address: usize = 1_024,
        /// The certificate chain for TLS, a PEM file; together with `tls_key`. The file is read
        /// again when it changes.
        tls_certificate: Option<PathBuf> = None,
        /// The certificate's private key, a PEM file.
        tls_key: Option<PathBuf> = None,
        /// Seconds between two looks at the files of the certificate.
        tls_reload_seconds: Seconds = Seconds::of(10),
        /// Seconds for a TLS handshake.
        tls_handshake_seconds: Seconds = Seconds::of(3),
        /// Seconds for the head of a request, from connecting or from its first byte.
        head_seconds: Seconds = Seconds::of(5),
        /// Seconds for the body of a request.
        body_seconds: Seconds = Seconds::of(30),
        /// Seconds for a body of documents to index.
        documents_body_seconds: Seconds = Seconds::of(300),
        /// Bytes a second that a body must bring, over each `body_rate_seconds`; 0 asks for none.
        body_rate: u64 = 256,
        /// Seconds over which `body_rate` is judged.
        body_rate_seconds: Seconds = Seconds::of(10),
        /// Seconds after which a connection without a request is closed.
        keep_alive_seconds: Seconds = Seconds::of(60),
        /// Seconds after which a client that takes nothing of its answer is cut off.
        reader_seconds: Seconds = Seconds::of(30),
        /// Chats and completions at work at the same time, of each kind: a stream is one until it
        /// ends. One more is refused at once. Most of them wait for an upstream.
        chats_at_once: usize = 1024,
        /// Seconds after which a WebSocket is closed whose reader answers no ping and takes nothing.
        socket_silence_seconds: Seconds = Seconds::of(30),
        /// The largest body of a question to a model, in bytes. Documents have their own limit,
        /// conversations end at 5 MiB, and other bodies at 64 KiB.
        body_limit: usize = 2 << 20,
        /// The largest body of documents to index, in bytes.
        documents_limit: usize = 32 << 20,
        /// The web pages of other origins that may ask with a key, such as `https://app.example`;
        /// none unless named.
        cors_origins: List<WebOrigin> = List::default(),
        /// Proxies before the gateway, as addresses and networks such as `10.0.0.0/8`: their word
        /// on where a request comes from is taken, and nobody else's.
        trusted_proxies: List<Network> = List::default(),
        /// The header in which those proxies say it. Only one is read: a proxy passes on
        /// untouched what it does not write itself.
        forwarded_by: ForwardedBy = ForwardedBy::XForwardedFor,
    }

    /// Usage accounting.
    Usage {
        /// Tokens set aside for an answer whose length its request does not name. A key whose
        /// tokens are limited gets no longer answer than that.
        completion_tokens: u64 = 4096,
    }

    /// Traces.
    Telemetry {
        /// The collector that sampled traces are sent to, such as `http://collector:4318`: OTLP over
        /// HTTP in protobuf, below that address at `/v1/traces`. Without it
        /// `OTEL_EXPORTER_OTLP_ENDPOINT` counts, and without both nothing is sent.
        otlp_endpoint: Option<String> = None,
        /// Headers that the collector wants, as `name=value,name=value` with values encoded as in
        /// addresses. Without it `OTEL_EXPORTER_OTLP_HEADERS` counts.
        otlp_headers: Option<Secret> = None,
        /// What the gateway is called in traces. Without it `OTEL_SERVICE_NAME` counts.
        service_name: String = "bkg".to_owned(),
        /// The share of traces that are sampled, 0 to 1, where a caller's `traceparent` does not say
        /// whether its trace is. All of the last traces can be looked at, sampled or not.
        sample: Share = Share::ALL,
    }

    /// Logging.
    Log {
        /// What is logged, in the syntax of `env_logger`: `info,brainml=debug`.
        filter: String = "info".to_owned(),
        /// How lines are written to standard error: `text` for people, `json` for programs, one
        /// object a line.
        format: LogFormat = LogFormat::Text,
        /// Log lines kept in memory for `bkg logs` and the live view.
        keep: usize = 16_384,
    }

    /// Where the upstreams of the plugin `llmserver` may be. It is for who operates the machine to
    /// say, not for whoever has an admin key.
    Upstreams {
        /// Hosts that upstreams may be at: `api.example.com`, `*.example.com`, an address, each with
        /// or without `:port`. Where empty, every public host.
        allow_hosts: List<String> = List::default(),
        /// Hosts, addresses and networks (`10.0.0.0/8`) that upstreams may be at although they are
        /// this machine's or private: `127.0.0.1:11434` for a local Ollama.
        allow_private: List<String> = List::default(),
        /// The HTTP proxy to upstreams that are not private, such as `http://proxy:3128`. It looks
        /// the names up, so what they lead to is not checked here; `allow_hosts` must name the
        /// hosts then. The environment's proxies are not asked.
        proxy: Option<Secret> = None,
    }
}

/// The header in which proxies say where a request comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ForwardedBy {
    /// `X-Forwarded-For`, as `x-forwarded-for`.
    XForwardedFor,
    /// `Forwarded` of RFC 7239, as `forwarded`.
    Forwarded,
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// A text that is never shown.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(pub String);

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("(secret)")
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("(secret)")
    }
}

/// A setting that cannot be used, with its key and where it came from.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// A source holds a value that is wrong, or one that nobody knows.
    #[error("{from}: {error}")]
    Wrong {
        /// The source: a file, the environment, the flags.
        from: String,
        /// What is wrong, with the key.
        error: Box<ConfigError>,
    },
    /// An environment variable that is not text.
    #[error("the environment (BKG_*): {0} is not UTF-8")]
    NotText(String),
    /// A `--set` without `=`.
    #[error("settings: --set {0:?} is not of the form key=value")]
    Flag(String),
    /// A file that was named does not exist.
    #[error("settings: there is no file {0}")]
    NoFile(PathBuf),
    /// A value that cannot be shown as text.
    #[error("settings: {0}")]
    Untold(serde_json::Error),
}

impl SettingsError {
    fn wrong(from: &str, error: ConfigError) -> Self {
        Self::Wrong {
            from: from.to_owned(),
            error: Box::new(error),
        }
    }
}

/// What the command line says about settings.
#[derive(Debug, Clone, Default)]
pub struct Flags {
    /// The settings file; without it `bkg.toml`, where it exists.
    pub file: Option<PathBuf>,
    /// `key=value` pairs; the last of a key wins.
    pub set: Vec<String>,
}

impl Settings {
    /// Reads all sources.
    ///
    /// # Errors
    /// Names the first source that is wrong, and the key in it.
    pub fn load(
        flags: &Flags,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Self, SettingsError> {
        let environment: Vec<_> = environment.into_iter().collect();
        let mut sources = Sources::default();
        let wrong = |error| SettingsError::wrong("settings", error);
        let theirs = of_opentelemetry(&environment)?;
        let noted = sources.note(SettingSource::Environment, &theirs);
        noted.map_err(wrong)?;
        let mut all = Config::builder().add_source(theirs);
        if let Some(path) = settings_file(flags)? {
            let file = File::from(path.as_path()).format(FileFormat::Toml);
            check(&path.display().to_string(), file.clone())?;
            sources.note(SettingSource::File, &file).map_err(wrong)?;
            all = all.add_source(file);
        }
        let environment = Environment::with_prefix("BKG")
            .prefix_separator("_")
            .separator("__")
            .ignore_empty(true)
            .source(Some(ours(environment)?));
        check("the environment (BKG_*)", environment.clone())?;
        let noted = sources.note(SettingSource::Environment, &environment);
        noted.map_err(wrong)?;
        all = all.add_source(environment);
        let flags = flags_as_source(flags)?;
        check("the flags", flags.clone())?;
        sources.note(SettingSource::Flag, &flags).map_err(wrong)?;
        let settings = Self::read(all.add_source(flags)).map_err(wrong)?;
        Ok(Self {
            sources,
            ..settings
        })
    }

    fn read(sources: ConfigBuilder<DefaultState>) -> Result<Self, ConfigError> {
        sources.build()?.try_deserialize()
    }

    /// Where models lie.
    pub fn models_dir(&self) -> PathBuf {
        let own = || self.data_dir.join("models");
        self.models_dir.clone().unwrap_or_else(own)
    }

    /// The socket over which the command line reaches a running gateway.
    pub fn socket(&self) -> PathBuf {
        self.data_dir.join("bkg.sock")
    }

    /// The socket of a command's own gateway, which runs a few plugins for that command alone.
    pub fn own_socket(&self) -> PathBuf {
        self.data_dir.join("bkg.own.sock")
    }
}

fn settings_file(flags: &Flags) -> Result<Option<PathBuf>, SettingsError> {
    match &flags.file {
        Some(path) if !path.is_file() => Err(SettingsError::NoFile(path.clone())),
        Some(path) => Ok(Some(path.clone())),
        None => Ok(Some(Path::new("bkg.toml"))
            .filter(|path| path.is_file())
            .map(Path::to_owned)),
    }
}

/// Every setting has a default, so each source can be judged alone, and the wrong one be named.
fn check(name: &str, source: impl Source + Send + Sync + 'static) -> Result<(), SettingsError> {
    let alone = Config::builder().add_source(source);
    Settings::read(alone)
        .map(drop)
        .map_err(|error| SettingsError::wrong(name, error))
}

fn flags_as_source(flags: &Flags) -> Result<Config, SettingsError> {
    let mut source = Config::builder();
    for pair in &flags.set {
        let (key, value) = pair
            .split_once('=')
            .ok_or_else(|| SettingsError::Flag(pair.clone()))?;
        source = source
            .set_override(key, value)
            .map_err(|error| SettingsError::wrong("the flags", error))?;
    }
    source
        .build()
        .map_err(|error| SettingsError::wrong("the flags", error))
}

/// OpenTelemetry's own variables, which stand in for settings that nobody has set.
fn of_opentelemetry(environment: &[(OsString, OsString)]) -> Result<Config, SettingsError> {
    let mut source = Config::builder();
    for (name, key) in OPENTELEMETRY {
        let mut values = environment.iter().filter(|(known, _)| known == name);
        let value = values.next().and_then(|(_, value)| value.to_str());
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            let set = source.set_override(key, value);
            source = set.map_err(|error| SettingsError::wrong(name, error))?;
        }
    }
    let built = source.build();
    built.map_err(|error| SettingsError::wrong("the environment (OTEL_*)", error))
}

/// Variables of OpenTelemetry, and the settings that they stand in for.
const OPENTELEMETRY: [(&str, &str); 3] = [
    ("OTEL_EXPORTER_OTLP_ENDPOINT", "telemetry.otlp_endpoint"),
    ("OTEL_EXPORTER_OTLP_HEADERS", "telemetry.otlp_headers"),
    ("OTEL_SERVICE_NAME", "telemetry.service_name"),
];

/// The variables that are settings. The tests' own share the prefix.
fn ours(
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<HashMap<String, String>, SettingsError> {
    let named = environment.into_iter().filter_map(|(name, value)| {
        let name = name.into_string().ok()?;
        (name.starts_with("BKG_") && !name.starts_with("BKG_TEST_")).then_some((name, value))
    });
    named
        .map(|(name, value)| match value.into_string() {
            Ok(value) => Ok((name, value)),
            Err(_) => Err(SettingsError::NotText(name)),
        })
        .collect()
}

#[cfg(test)]
mod tests;

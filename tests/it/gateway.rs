//! Starts the real program on a free port with a data directory of its own.

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::mpsc,
    time::{Duration, Instant},
};

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use tempfile::TempDir;

/// What `admin` logs in with.
pub const PASSWORD: &str = "correct horse battery";

/// How long anything may take on a busy machine before the test gives up.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A running gateway. It is killed when dropped.
pub struct Gateway {
    /// The data directory.
    pub data: TempDir,
    /// Such as `http://127.0.0.1:40001`.
    pub url: String,
    /// A key that may do everything.
    pub key: String,
    child: Child,
    env: Vec<(String, String)>,
    http: reqwest::Client,
}

impl Gateway {
    /// Starts with default settings.
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// Starts with more environment variables.
    pub async fn start_with(env: &[(&str, &str)]) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), env).await
    }

    /// Starts on a data directory that has been prepared.
    pub async fn start_in(data: TempDir, env: &[(&str, &str)]) -> Self {
        let env = env
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let env: Vec<_> = env.collect();
        let (child, url) = spawn(data.path(), &env);
        let mut gateway = Self {
            data,
            url,
            key: String::new(),
            child,
            env,
            http: client(),
        };
        gateway.key = gateway.new_key("*");
        gateway
    }

    /// Kills the process as the kernel would, without a word.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts again on the same data directory.
    pub fn restart(&mut self) {
        let (child, url) = spawn(self.data.path(), &self.env);
        (self.child, self.url) = (child, url);
    }

    /// Sends SIGTERM.
    pub fn terminate(&self) {
        let sent = Command::new("kill").arg(self.pid().to_string()).status();
        assert!(sent.unwrap().success());
    }

    /// Waits until the process has ended.
    pub fn ended(&mut self) -> ExitStatus {
        let started = Instant::now();
        while started.elapsed() < PATIENCE {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("the gateway did not end");
    }

    /// The process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Runs a subcommand on this data directory.
    pub fn bkg(&self, args: &[&str]) -> Output {
        bkg(self.data.path(), &self.env, args).output().unwrap()
    }

    /// Makes a key with comma-separated scopes.
    pub fn new_key(&self, scopes: &str) -> String {
        let output = self.bkg(&["keys", "create", "--name", "test", "--scopes", scopes]);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// A request without credentials.
    pub fn anonymous(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.url))
    }

    /// A request with the key that may do everything.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.anonymous(method, path).bearer_auth(&self.key)
    }

    /// Gets JSON, with its status.
    pub async fn get(&self, path: &str) -> (u16, Value) {
        answer(self.request(Method::GET, path)).await
    }

    /// Posts JSON and gets JSON, with its status.
    pub async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        answer(self.request(Method::POST, path).json(body)).await
    }

    /// Puts JSON and gets JSON, with its status.
    pub async fn put(&self, path: &str, body: &Value) -> (u16, Value) {
        answer(self.request(Method::PUT, path).json(body)).await
    }

    /// Makes a collection with these documents.
    pub async fn index(&self, collection: &str, documents: &Value) -> Value {
        let path = format!("/brainml/collections/{collection}");
        let (status, made) = self.put(&path, &json!({})).await;
        assert_eq!(status, 200, "{made}");
        let body = json!({ "documents": documents });
        let (status, indexed) = self.post(&format!("{path}/documents"), &body).await;
        assert_eq!(status, 200, "{indexed}");
        indexed
    }

    /// One plugin's state.
    pub async fn plugin(&self, name: &str) -> Value {
        self.get(&format!("/admin/plugins/{name}")).await.1
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn client() -> reqwest::Client {
    // reqwest wants a provider even where no connection is encrypted.
    drop(rustls::crypto::ring::default_provider().install_default());
    reqwest::Client::builder().no_proxy().build().unwrap()
}

/// Sends a request and reads its answer as JSON.
pub async fn answer(request: RequestBuilder) -> (u16, Value) {
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    let bytes = response.bytes().await.unwrap();
    let value = serde_json::from_slice(&bytes);
    (
        status,
        value.unwrap_or_else(|_| Value::from(String::from_utf8_lossy(&bytes))),
    )
}

/// The program on a data directory, with the tests' models and without any of the developer's own
/// settings.
pub fn bkg(data: &Path, env: &[(String, String)], args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bkg"));
    let own = std::env::vars();
    let own = own.filter(|(name, _)| name.starts_with("BKG_") || name.starts_with("OTEL_"));
    own.for_each(|(name, _)| {
        command.env_remove(name);
    });
    command
        .args(args)
        .current_dir(data)
        .env("BKG_DATA_DIR", data)
        .env("BKG_MODELS_DIR", models())
        .env("BKG_ADMIN_PASSWORD", PASSWORD)
        .env("BKG_SERVER__PORT", "0")
        .env("BKG_SERVER__DRAIN_ACCEPT_SECONDS", "0")
        .env("BKG_UPSTREAMS__ALLOW_PRIVATE", "127.0.0.1")
        .envs(env.iter().map(|(name, value)| (name, value)));
    command
}

/// Starts the gateway and waits until it listens.
fn spawn(data: &Path, env: &[(String, String)]) -> (Child, String) {
    let mut child = bkg(data, env, &["serve"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let stderr = BufReader::new(child.stderr.take().unwrap());
    let (found, address) = mpsc::channel();
    // Read to the end, or the gateway would wait for room in the pipe.
    std::thread::spawn(move || {
        for line in stderr.lines().map_while(Result::ok) {
            if std::env::var_os("BKG_TEST_LOG").is_some() {
                eprintln!("{line}");
            }
            if let Some((_, url)) = line.split_once("listening on ") {
                drop(found.send(url.trim().to_owned()));
            }
        }
    });
    match address.recv_timeout(PATIENCE) {
        Ok(url) => (child, url),
        Err(_) => {
            drop(child.kill());
            panic!("the gateway did not start: {:?}", child.wait());
        }
    }
}

/// Where `make test` has put the models.
pub fn models() -> PathBuf {
    let own = || workspace().join("target/models");
    std::env::var_os("BKG_TEST_MODELS").map_or_else(own, PathBuf::from)
}

/// Whether the embedding model is there; says loudly if it is not.
pub fn has_model() -> bool {
    let there = models()
        .join("all-MiniLM-L6-v2/model.safetensors")
        .is_file();
    if !there {
        eprintln!(
            "SKIPPED: no model in {}; `make models` fetches it",
            models().display()
        );
    }
    there
}

/// A file of the test data that cannot be shipped; says loudly if it is not there.
pub fn test_data(name: &str) -> Option<PathBuf> {
    let own = || workspace().join("../shared/data");
    let path = std::env::var_os("BKG_TEST_DATA")
        .map_or_else(own, PathBuf::from)
        .join(name);
    if !path.exists() {
        eprintln!("SKIPPED: no {}; set BKG_TEST_DATA", path.display());
        return None;
    }
    Some(path)
}

/// The root of the sources.
pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Waits until `holds` does.
pub async fn eventually<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let started = Instant::now();
    while !holds().await {
        assert!(started.elapsed() < PATIENCE, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

//! The program itself, with a data directory of its own, an upstream, and a key that has everything
//! which costs something: scopes, limits by the minute and a budget.

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    process::{Process, Start},
    target::Target,
    wire::Connection,
};

/// Limits that are looked at with each request and never reached.
const LIMITS: [&str; 8] = [
    "--requests-per-minute",
    "1000000000",
    "--tokens-per-minute",
    "1000000000",
    "--concurrent-requests",
    "1000000",
    "--monthly-tokens",
    "1000000000000",
];

/// How the program is started.
pub struct Program<'a> {
    /// The release program.
    pub path: &'a Path,
    /// Its data directory, which is also where its log goes.
    pub data: PathBuf,
    /// The core that it may use.
    pub core: &'a str,
}

impl Program<'_> {
    /// Starts it and waits until it is ready.
    pub fn start(&self) -> Target {
        fs::create_dir_all(self.data.join("no-models")).unwrap();
        let address = free_address();
        let mut env = self.env();
        env.push(("BKG_SERVER__PORT".to_owned(), address.port().to_string()));
        // One machine plays a crowd here.
        for cap in ["MAX_CONNECTIONS", "MAX_CONNECTIONS_PER_ADDRESS"] {
            env.push((format!("BKG_SERVER__{cap}"), "0".to_owned()));
        }
        let start = Start {
            command: vec![self.path.into(), "serve".into()],
            env,
            folder: &self.data,
            core: Some(self.core),
        };
        let mut process = Process::start(&start);
        let ready = process.wait(|_| answers(address, "/health/ready").then_some(()));
        ready.unwrap_or_else(|error| panic!("bkg: {error}"));
        Target {
            name: "bkg",
            address,
            prefix: "",
            path: "/v1/chat/completions",
            key: None,
            ready: process.started.elapsed(),
            process: Some(process),
        }
    }

    /// Names the upstream and makes a key for `llm.chat` alone, with limits that are never reached.
    pub fn prepare(&self, target: &mut Target, upstream: SocketAddr) {
        let upstreams = format!(
            r#"upstreams=[{{"name":"load","base_url":"http://{upstream}/v1","models":["fast","paced"]}}]"#
        );
        self.tell(&["plugins", "set", "llmserver", &upstreams]);
        target.key = Some(self.key("llm.chat", &LIMITS));
    }

    /// Makes a key.
    pub fn key(&self, scopes: &str, limits: &[&str]) -> String {
        let create = ["keys", "create", "--name", "load", "--scopes", scopes];
        let key = self.tell(&[&create, limits].concat());
        key.trim().to_owned()
    }

    fn tell(&self, args: &[&str]) -> String {
        let mut command = Command::new(self.path);
        command.args(args).env_clear().envs(self.env());
        let output = command.current_dir(&self.data).output().unwrap();
        assert!(output.status.success(), "bkg {args:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn env(&self) -> Vec<(String, String)> {
        let folder = |path: &Path| path.display().to_string();
        [
            ("BKG_DATA_DIR", folder(&self.data)),
            ("BKG_MODELS_DIR", folder(&self.data.join("no-models"))),
            ("BKG_ADMIN_PASSWORD", "correct horse battery".to_owned()),
            ("BKG_UPSTREAMS__ALLOW_PRIVATE", "127.0.0.1".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }
}

/// Whether a GET is answered with 200.
pub fn answers(address: SocketAddr, path: &str) -> bool {
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\n\r\n");
    let asked = Connection::new(address).ask(request.as_bytes(), &mut |_| ());
    asked.is_ok_and(|status| status == 200)
}

/// An address that nobody listens on now.
pub fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

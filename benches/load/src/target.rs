//! Whoever can be asked for a chat completion: the upstream itself, and what stands before it.

use std::{net::SocketAddr, time::Duration};

use crate::process::Process;

/// One to ask.
pub struct Target {
    /// The column in the report.
    pub name: &'static str,
    /// Where it listens.
    pub address: SocketAddr,
    /// What it calls the upstream's models: this and their names.
    pub prefix: &'static str,
    /// The path of chat completions.
    pub path: &'static str,
    /// The key that it checks.
    pub key: Option<String>,
    /// What it took from its start to being ready.
    pub ready: Duration,
    /// The process that is measured; the upstream's own is not.
    pub process: Option<Process>,
}

impl Target {
    /// The bytes of a request.
    pub fn request(&self, model: &str, streamed: bool) -> Vec<u8> {
        let stream = if streamed { r#","stream":true"# } else { "" };
        let body = format!(
            r#"{{"model":"{}{model}","messages":[{{"role":"system","content":"You are a terse assistant who answers in one sentence."}},{{"role":"user","content":"Are you there? I have been waiting for some time."}}],"max_tokens":128{stream}}}"#,
            self.prefix
        );
        let head = self.head("POST", self.path, "content-type: application/json\r\n");
        format!("{head}content-length: {}\r\n\r\n{body}", body.len()).into_bytes()
    }

    /// The head of a request with its key, up to where more headers may follow.
    pub fn head(&self, method: &str, path: &str, headers: &str) -> String {
        let key = self.key.as_ref();
        let key = key.map_or_else(String::new, |key| {
            format!("authorization: Bearer {key}\r\n")
        });
        let host = self.address;
        format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\n{key}{headers}")
    }

    /// Processor time of the process so far.
    pub fn processor(&self) -> Duration {
        self.process
            .as_ref()
            .map_or(Duration::ZERO, Process::processor)
    }
}

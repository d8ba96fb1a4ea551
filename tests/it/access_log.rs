//! The log as JSON: each line an object, each request one line, and nothing forged or secret in it.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    process::{Child, Stdio},
};

use serde_json::{Value, json};

use crate::gateway::{PATIENCE, bkg};

/// A gateway that logs JSON; what it wrote is read when it has ended.
struct Logging {
    child: Child,
    stderr: BufReader<std::process::ChildStderr>,
    address: String,
    key: String,
    lines: Vec<String>,
    _data: tempfile::TempDir,
}

impl Logging {
    fn start(upstreams: &Value) -> Self {
        let data = tempfile::tempdir().unwrap();
        let entry = |settings: Value| json!({"kind": "builtin", "settings": settings});
        let plugins = json!({"plugins": {
            "apikeys": entry(json!({})), "brainml": entry(json!({})),
            "llmserver": entry(json!({"upstreams": upstreams})),
        }});
        std::fs::write(data.path().join("plugins.json"), plugins.to_string()).unwrap();
        let env = [("BKG_LOG__FORMAT", "json"), ("BKG_MODELS_DIR", "none")];
        let env = env.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let mut child = bkg(data.path(), &env, &["serve"])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut lines = Vec::new();
        let address = loop {
            let mut line = String::new();
            assert!(stderr.read_line(&mut line).unwrap() > 0, "{lines:?}");
            lines.push(line.clone());
            if let Some((_, rest)) = line.split_once("listening on http://") {
                break rest.split('"').next().unwrap().to_owned();
            }
        };
        let create = ["keys", "create", "--name", "log", "--scopes", "*"];
        let made = bkg(data.path(), &env, &create).output().unwrap();
        let key = String::from_utf8(made.stdout).unwrap().trim().to_owned();
        Self {
            child,
            stderr,
            address,
            key,
            lines,
            _data: data,
        }
    }

    /// Sends a request as it stands and gets the answer's head.
    fn send(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// Ends the gateway and reads all that it wrote.
    fn end(mut self) -> (Vec<String>, String) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        let rest = (&mut self.stderr).lines().map(Result::unwrap);
        self.lines.extend(rest);
        (std::mem::take(&mut self.lines), self.key.clone())
    }
}

fn header<'a>(answer: &'a str, name: &str) -> &'a str {
    let lines = answer.lines().map(|line| line.split_once(": "));
    let found = lines
        .flatten()
        .find(|(known, _)| known.eq_ignore_ascii_case(name));
    found.unwrap().1
}

#[test]
fn each_line_is_an_object_and_each_request_has_exactly_one() {
    let gateway = Logging::start(&json!([]));
    let close = "host: bkg\r\nconnection: close\r\n";
    let bearer = format!("authorization: Bearer {}\r\n", gateway.key);
    let mut answers = Vec::new();
    for n in 0..5 {
        answers.push(gateway.send(&format!("GET /v1/models HTTP/1.1\r\n{close}{bearer}\r\n")));
        answers.push(gateway.send(&format!(
            "GET /x{n}?api_key={} HTTP/1.1\r\n{close}\r\n",
            gateway.key
        )));
    }
    let (lines, key) = gateway.end();
    let lines: Vec<Value> = lines
        .iter()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect();
    for line in &lines {
        for own in ["ts", "level", "plugin", "message"] {
            assert!(line[own].is_string(), "{own}: {line}");
        }
        assert!(!line.to_string().contains(&key), "{line}");
    }
    for answer in &answers {
        let id = header(answer, "x-request-id");
        let own = lines.iter().filter(|line| line["request_id"] == id);
        let own: Vec<_> = own.filter(|line| line["took_ms"].is_number()).collect();
        assert_eq!(own.len(), 1, "{id}");
        let status = answer.split(' ').nth(1).unwrap();
        assert_eq!(own[0]["status"].to_string(), status, "{}", own[0]);
        assert!(own[0]["bytes"].as_u64().unwrap() > 0, "{}", own[0]);
    }
    let models = lines.iter().filter(|line| line["route"] == "/v1/models");
    let models: Vec<_> = models.collect();
    assert_eq!(models.len(), 5);
    assert!(
        models[0]["caller"].as_str().unwrap().starts_with("key:"),
        "{}",
        models[0]
    );
    assert_eq!(models[0]["method"], "GET");
}

/// An upstream that is asked once and says `message`.
fn upstream(message: &str) -> (Value, std::thread::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    let body = json!({"error": {"message": message}}).to_string();
    let answering = std::thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        let length = body.len();
        let head = "HTTP/1.1 500 Oops\r\ncontent-type: application/json\r\nconnection: close\r\n";
        assert!(socket.read(&mut [0; 4096]).unwrap() > 0);
        write!(socket, "{head}content-length: {length}\r\n\r\n{body}").unwrap();
    });
    (
        json!([{"name": "far", "base_url": url, "models": ["far-chat"]}]),
        answering,
    )
}

#[test]
fn what_forges_lines_or_drives_a_terminal_is_escaped() {
    let (upstreams, answering) = upstream("\u{1b}[31m\r\nERROR forged\u{9b}2J\u{202e}");
    let gateway = Logging::start(&upstreams);
    let body = r#"{"model":"far-chat","messages":[{"role":"user","content":"x"}]}"#;
    let answer = gateway.send(&format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: bkg\r\nconnection: close\r\n\
         authorization: Bearer {}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        gateway.key,
        body.len()
    ));
    assert!(answer.starts_with("HTTP/1.1 502 "), "{answer}");
    answering.join().unwrap();
    let path = "/a%0d%0a%7b%22level%22%3a%22error%22%7d%1b%5b2J\u{9b}31m\u{202e}";
    let agent = "user-agent: x\u{9b}y\r\nx-request-id: bad id \u{1}\r\n";
    let request = format!("GET {path} HTTP/1.1\r\nhost: bkg\r\nconnection: close\r\n{agent}\r\n");
    gateway.send(&request);
    gateway.send("GET /b%0aforged HTTP/1.1\r\nhost: bkg\r\nconnection: close\r\n\r\n");
    let (lines, _) = gateway.end();
    let told = lines.iter().find(|line| line.contains("/b"));
    assert!(told.is_some(), "{lines:?}");
    let told = lines.iter().any(|line| line.contains("ERROR forged"));
    assert!(told, "{lines:?}");
    for line in &lines {
        let line: Value = serde_json::from_str(line).unwrap();
        for text in line.as_object().unwrap().values().filter_map(Value::as_str) {
            let harmful = |c: char| c.is_control() || c == '\u{202e}';
            assert!(!text.contains(harmful), "{line}");
        }
    }
}

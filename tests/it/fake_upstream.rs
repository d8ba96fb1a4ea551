//! An OpenAI-compatible server of the tests' own, which notes what it is asked and when its clients
//! leave.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};

use crate::gateway::Gateway;

/// The key that the gateway shows to the upstream, and to nobody else.
pub const KEY: &str = "sk-canary-7391";

/// What the server got.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The request line and the headers, in lower case.
    pub head: String,
    /// The body.
    pub body: Value,
}

/// What the server answers.
pub enum Reply {
    /// All at once: the status line's end, more header lines (each with its line end), the body.
    Whole(&'static str, &'static str, String),
    /// `first` at once; after [`Upstream::release`] `rest` and `[DONE]`.
    Stream {
        /// Events before the release.
        first: Vec<Value>,
        /// Events after it.
        rest: Vec<Value>,
    },
}

/// A running server. It ends with the test.
pub struct Upstream {
    url: String,
    state: Arc<State>,
}

struct State {
    reply: fn(&Value) -> Reply,
    asked: Mutex<Vec<Asked>>,
    left: AtomicUsize,
    gate: Semaphore,
}

impl Upstream {
    /// Starts a server that answers as `reply` says.
    pub async fn start(reply: fn(&Value) -> Reply) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        let state = Arc::new(State {
            reply,
            asked: Mutex::default(),
            left: AtomicUsize::new(0),
            gate: Semaphore::new(0),
        });
        let serving = state.clone();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(serve(socket, serving.clone()));
            }
        });
        Self { url, state }
    }

    /// Lets `gateway` offer the models `far-chat` and `far-embed` of this server.
    pub async fn join(&self, gateway: &Gateway) {
        let body = json!({"settings": {"upstreams": [self.settings()]}});
        let path = "/admin/plugins/llmserver/config";
        let (status, answer) = gateway.put(path, &body).await;
        assert_eq!(
            (status, &answer["state"]),
            (200, &json!("running")),
            "{answer}"
        );
    }

    /// Its API's root.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// How many requests came so far.
    pub fn times_asked(&self) -> usize {
        self.state.asked.lock().unwrap().len()
    }

    /// This server, as the settings of `llmserver` name one.
    pub fn settings(&self) -> Value {
        json!({
            "name": "far", "base_url": self.url, "api_key": KEY,
            "models": ["far-chat"], "embedding_models": ["far-embed"],
        })
    }

    /// The only request so far.
    pub fn asked(&self) -> Asked {
        let asked = self.state.asked.lock().unwrap();
        assert_eq!(asked.len(), 1);
        asked[0].clone()
    }

    /// How many clients left before their stream had ended.
    pub fn left(&self) -> usize {
        self.state.left.load(SeqCst)
    }

    /// Lets every stream go on to its end.
    pub fn release(&self) {
        self.state.gate.add_permits(100);
    }
}

/// A chunk of a chat completion.
pub fn chunk(content: &str, reason: Option<&str>) -> Value {
    json!({
        "id": "up-1", "object": "chat.completion.chunk", "created": 1, "model": "far-chat",
        "choices": [{"index": 0, "delta": {"content": content}, "finish_reason": reason}],
    })
}

async fn serve(mut socket: TcpStream, state: Arc<State>) {
    let Some(asked) = request(&mut socket).await else {
        return;
    };
    let reply = (state.reply)(&asked.body);
    state.asked.lock().unwrap().push(asked);
    match reply {
        Reply::Whole(status, headers, body) => {
            let length = body.len();
            let answer = format!(
                "HTTP/1.1 {status}\r\n{headers}connection: close\r\ncontent-length: {length}\r\n\r\n{body}"
            );
            socket.write_all(answer.as_bytes()).await.ok();
        }
        Reply::Stream { first, rest } => stream(&mut socket, &state, &first, &rest).await,
    }
}

async fn stream(socket: &mut TcpStream, state: &State, first: &[Value], rest: &[Value]) {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";
    let answer = head.to_owned() + &events(first);
    socket.write_all(answer.as_bytes()).await.ok();
    tokio::select! {
        _ = state.gate.acquire() => {
            let answer = events(rest) + "data: [DONE]\n\n";
            socket.write_all(answer.as_bytes()).await.ok();
        }
        _ = socket.read_u8() => {
            state.left.fetch_add(1, SeqCst);
        }
    }
}

fn events(values: &[Value]) -> String {
    values
        .iter()
        .map(|value| format!("data: {value}\n\n"))
        .collect()
}

async fn request(socket: &mut TcpStream) -> Option<Asked> {
    let mut bytes = Vec::new();
    while socket.read_buf(&mut bytes).await.ok()? > 0 {
        let text = String::from_utf8_lossy(&bytes);
        if let Some((head, body)) = text.split_once("\r\n\r\n")
            && let Ok(body) = serde_json::from_str(body)
        {
            let head = head.to_lowercase();
            return Some(Asked { head, body });
        }
    }
    None
}

//! A WebSocket client of the gateway.

use futures_util::StreamExt;
use serde_json::Value;
use tokio::{
    net::{TcpSocket, TcpStream},
    time::timeout,
};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Error, Message, Utf8Bytes, client::IntoClientRequest, http::HeaderValue},
};

use crate::gateway::{Gateway, PATIENCE};

/// An open socket that is read when the test says so.
pub struct Socket(WebSocketStream<TcpStream>);

impl Socket {
    /// Opens `path` with a key; answers the status where the gateway refuses.
    pub async fn open(gateway: &Gateway, path: &str, key: Option<&str>) -> Result<Self, u16> {
        Self::over(TcpSocket::new_v4().unwrap(), gateway, path, key).await
    }

    /// Opens `path` over a connection whose receiving end holds a few KiB.
    pub async fn open_narrow(gateway: &Gateway, path: &str) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        let opened = Self::over(socket, gateway, path, Some(&gateway.key)).await;
        opened.unwrap_or_else(|status| panic!("{path}: {status}"))
    }

    async fn over(
        socket: TcpSocket,
        gateway: &Gateway,
        path: &str,
        key: Option<&str>,
    ) -> Result<Self, u16> {
        let host = gateway.url.strip_prefix("http://").unwrap();
        let stream = socket.connect(host.parse().unwrap()).await.unwrap();
        let url = format!("ws://{host}{path}");
        let mut request = url.into_client_request().unwrap();
        if let Some(key) = key {
            let value = HeaderValue::from_str(&format!("Bearer {key}")).unwrap();
            request.headers_mut().insert("authorization", value);
        }
        match client_async(request, stream).await {
            Ok((socket, _)) => Ok(Self(socket)),
            Err(Error::Http(response)) => Err(response.status().as_u16()),
            Err(error) => panic!("{path}: {error}"),
        }
    }

    /// The next frame as it came; nothing where the gateway has closed the socket.
    pub async fn text(&mut self) -> Option<Utf8Bytes> {
        loop {
            let message = timeout(PATIENCE, self.0.next()).await;
            match message.expect("a frame in time")?.unwrap() {
                Message::Text(text) => return Some(text),
                Message::Close(_) => return None,
                _ => (),
            }
        }
    }

    /// The next frame; nothing where the gateway has closed the socket.
    pub async fn next(&mut self) -> Option<Value> {
        let text = self.text().await?;
        Some(serde_json::from_str(&text).unwrap())
    }

    /// All frames up to the one that `is_last`, that one included.
    pub async fn until(&mut self, is_last: impl Fn(&Value) -> bool) -> Vec<Value> {
        let mut frames = Vec::new();
        loop {
            frames.push(self.next().await.expect("the socket stays open"));
            if frames.last().is_some_and(&is_last) {
                return frames;
            }
        }
    }

    /// All frames until the gateway closes the socket.
    pub async fn rest(&mut self) -> Vec<Value> {
        let mut frames = Vec::new();
        while let Some(frame) = self.next().await {
            frames.push(frame);
        }
        frames
    }
}

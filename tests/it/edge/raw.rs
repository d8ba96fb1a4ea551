//! A connection that sends whatever bytes a test likes.

use std::time::{Duration, Instant};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::gateway::{Gateway, PATIENCE};

/// A connection to the gateway.
pub struct Raw(pub TcpStream);

impl Raw {
    /// Connects.
    pub async fn to(gateway: &Gateway) -> Self {
        Self(TcpStream::connect(address(gateway)).await.unwrap())
    }

    /// Sends bytes; whether the gateway still takes them is seen when reading.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.0.write_all(bytes.as_ref()).await.is_ok()
    }

    /// Sends one byte after the other until the gateway no longer takes them.
    pub async fn drip(&mut self, bytes: &[u8], every: Duration) {
        for byte in bytes {
            if !self.send([*byte]).await {
                return;
            }
            // A connection that has been ended has something to read, if only its end.
            if timeout(every, self.0.readable()).await.is_ok() {
                return;
            }
        }
    }

    /// Reads to the end of the connection.
    pub async fn rest(&mut self) -> String {
        let mut bytes = Vec::new();
        let read = timeout(PATIENCE, self.0.read_to_end(&mut bytes));
        // A reset ends the connection too.
        drop(read.await.expect("the gateway closes the connection"));
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Reads one answer with a `Content-Length`.
    pub async fn answer(&mut self) -> String {
        let mut bytes = Vec::new();
        loop {
            let text = String::from_utf8_lossy(&bytes);
            if let Some((head, body)) = text.split_once("\r\n\r\n")
                && body.len() >= length(head)
            {
                return text.into_owned();
            }
            let read = timeout(PATIENCE, self.0.read_buf(&mut bytes));
            let read = read.await.expect("an answer").unwrap();
            assert!(
                read > 0,
                "closed after {:?}",
                String::from_utf8_lossy(&bytes)
            );
        }
    }
}

fn length(head: &str) -> usize {
    let head = head.to_lowercase();
    let line = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    line.map_or(0, |length| length.parse().unwrap())
}

/// Where the gateway listens.
pub fn address(gateway: &Gateway) -> &str {
    gateway.url.split_once("://").unwrap().1
}

/// How often `text` is an answer's first line.
pub fn answers(text: &str) -> usize {
    text.matches("HTTP/1.1 ").count()
}

/// How long something took.
pub async fn timed<T>(work: impl Future<Output = T>) -> (T, Duration) {
    let started = Instant::now();
    (work.await, started.elapsed())
}

//! Reads server-sent events as OpenAI's clients do.

use reqwest::{RequestBuilder, Response};
use serde_json::Value;

/// An answer that arrives event by event.
pub struct Events {
    response: Response,
    rest: Vec<u8>,
}

impl Events {
    /// Sends `request`, which must be answered with a stream.
    pub async fn of(request: RequestBuilder) -> Self {
        let response = request.send().await.unwrap();
        let kind = response.headers()["content-type"].to_str().unwrap();
        let streams = kind.starts_with("text/event-stream");
        if !streams || response.status() != 200 {
            panic!("no stream: {:?}", response.text().await);
        }
        let rest = Vec::new();
        Self { response, rest }
    }

    /// The next event's data; nothing once the answer has ended.
    pub async fn next(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.rest.windows(2).position(|pair| pair == b"\n\n") {
                let event: Vec<u8> = self.rest.drain(..end + 2).collect();
                let event = String::from_utf8(event).unwrap();
                let data = event
                    .strip_prefix("data: ")
                    .expect("one data line an event");
                return Some(data.trim_end().to_owned());
            }
            match self.response.chunk().await.unwrap() {
                Some(bytes) => self.rest.extend_from_slice(&bytes),
                None => {
                    assert!(self.rest.is_empty(), "the last event is cut");
                    return None;
                }
            }
        }
    }

    /// The next event's JSON.
    pub async fn value(&mut self) -> Value {
        let data = self.next().await.expect("the answer ended early");
        serde_json::from_str(&data).unwrap()
    }

    /// All that is left before the closing `[DONE]`, which must be there and be the last.
    pub async fn values(mut self) -> Vec<Value> {
        let mut events = Vec::new();
        while let Some(data) = self.next().await {
            events.push(data);
        }
        assert_eq!(events.pop().as_deref(), Some("[DONE]"));
        let values = events.iter().map(|data| serde_json::from_str(data));
        values.collect::<Result<_, _>>().unwrap()
    }
}

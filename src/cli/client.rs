//! A client of the gateway that owns the data directory: the running one over its socket, or one
//! started for this command alone.

use std::{
    os::unix::net::UnixStream,
    path::Path,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::{Stream, StreamExt, TryStreamExt};
use reqwest::{Method, RequestBuilder, Response};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::CliError;
use crate::{Gateway, Serving, settings::Settings};

/// How long another process that owns the data directory is waited for: a gateway that is starting
/// has no socket yet, and another command's own gateway never has one for us.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long to wait before the next look.
const TRY_AGAIN: Duration = Duration::from_millis(100);

/// A connection to a gateway.
pub(super) struct Client {
    http: reqwest::Client,
    own: Option<Gateway>,
}

impl Client {
    /// Reaches the running gateway, or starts one with just `plugins` and what they need. Where
    /// another one is just starting or another command is at work, waits a while for it.
    pub(super) async fn connect(settings: &Settings, plugins: &[&str]) -> Result<Self, CliError> {
        let started = Instant::now();
        loop {
            if is_running(settings) {
                return Self::to(&settings.socket(), None);
            }
            let plugins = plugins.iter().map(|name| (*name).to_owned()).collect();
            match crate::start(settings.clone(), Serving::OwnerOnly { plugins }).await {
                Ok(own) => return Self::to(&settings.own_socket(), Some(own)),
                Err(error) if error.is_claimed() && started.elapsed() < PATIENCE => {
                    tokio::time::sleep(TRY_AGAIN).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Reaches the running gateway.
    pub(super) fn running(settings: &Settings) -> Result<Self, CliError> {
        if is_running(settings) {
            return Self::to(&settings.socket(), None);
        }
        Err(CliError::NotRunning(settings.data_dir.clone()))
    }

    fn to(socket: &Path, own: Option<Gateway>) -> Result<Self, CliError> {
        // reqwest wants a provider even where no connection is encrypted; one that is installed
        // already will do.
        drop(rustls::crypto::ring::default_provider().install_default());
        let http = reqwest::Client::builder()
            .unix_socket(socket.to_owned())
            .connect_timeout(Duration::from_secs(5))
            .no_proxy()
            .build()?;
        Ok(Self { http, own })
    }

    /// Ends the command's own gateway in good order.
    pub(super) async fn close(self) {
        if let Some(gateway) = self.own {
            gateway.stop().await;
        }
    }

    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, CliError> {
        answer(self.request(Method::GET, path)).await
    }

    pub(super) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, CliError> {
        answer(self.request(Method::POST, path).json(body)).await
    }

    pub(super) async fn put<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, CliError> {
        answer(self.request(Method::PUT, path).json(body)).await
    }

    pub(super) async fn patch<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, CliError> {
        answer(self.request(Method::PATCH, path).json(body)).await
    }

    pub(super) async fn delete(&self, path: &str) -> Result<(), CliError> {
        checked(self.request(Method::DELETE, path)).await.map(drop)
    }

    /// Posts and reads the answer's server-sent events until `[DONE]`.
    pub(super) async fn events(
        &self,
        path: &str,
        body: &Value,
    ) -> Result<impl Stream<Item = Result<Value, CliError>> + use<>, CliError> {
        let response = checked(self.request(Method::POST, path).json(body)).await?;
        let bytes = response.bytes_stream().map_err(CliError::from);
        Ok(events(Box::pin(bytes)))
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        // The host name is a formality: every connection goes to the socket.
        self.http.request(method, format!("http://localhost{path}"))
    }
}

fn is_running(settings: &Settings) -> bool {
    UnixStream::connect(settings.socket()).is_ok()
}

async fn answer<T: DeserializeOwned>(request: RequestBuilder) -> Result<T, CliError> {
    let bytes = checked(request).await?.bytes().await?;
    serde_json::from_slice(&bytes).map_err(|error| CliError::Answer(error.to_string()))
}

async fn checked(request: RequestBuilder) -> Result<Response, CliError> {
    let response = request.send().await?;
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let body: Value = response.json().await.unwrap_or_default();
    Err(refused(status.as_u16(), &body))
}

fn refused(status: u16, body: &Value) -> CliError {
    let said = body.pointer("/error/message").and_then(Value::as_str);
    let message = said.map_or_else(|| format!("status {status}"), str::to_owned);
    CliError::Refused { status, message }
}

/// Cuts a byte stream into the values of its `data:` lines.
fn events<S>(bytes: S) -> impl Stream<Item = Result<Value, CliError>>
where
    S: Stream<Item = Result<Bytes, CliError>> + Unpin,
{
    let state = (bytes, Vec::new());
    futures_util::stream::try_unfold(state, |(mut bytes, mut rest)| async move {
        loop {
            if let Some(line) = take_line(&mut rest) {
                match line.strip_prefix("data: ") {
                    Some("[DONE]") => return Ok(None),
                    Some(data) => return event(data).map(|value| Some((value, (bytes, rest)))),
                    None => continue,
                }
            }
            match bytes.next().await {
                Some(more) => rest.extend_from_slice(&more?),
                None => return Err(CliError::Answer("the stream ended early".to_owned())),
            }
        }
    })
}

fn take_line(rest: &mut Vec<u8>) -> Option<String> {
    let end = rest.iter().position(|byte| *byte == b'\n')?;
    let line: Vec<u8> = rest.drain(..=end).collect();
    Some(String::from_utf8_lossy(&line).trim_end().to_owned())
}

fn event(data: &str) -> Result<Value, CliError> {
    let value: Value =
        serde_json::from_str(data).map_err(|error| CliError::Answer(error.to_string()))?;
    if value.get("error").is_some() {
        return Err(refused(200, &value));
    }
    Ok(value)
}

/// Escapes one segment of a path.
pub(super) fn segment(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    let escaped = text.bytes().map(|byte| match plain(byte) {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    });
    escaped.collect()
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;

    async fn read(pieces: &[&'static str]) -> Vec<Result<Value, CliError>> {
        let bytes: Vec<_> = pieces.iter().map(|piece| Ok(Bytes::from(*piece))).collect();
        events(stream::iter(bytes)).collect().await
    }

    #[tokio::test]
    async fn events_are_whole_however_the_bytes_arrive() {
        let read = read(&["data: {\"a\"", ":1}\n", "\ndata: 2\n\ndata: [DO", "NE]\n\n"]).await;
        let values: Vec<Value> = read.into_iter().map(Result::unwrap).collect();
        assert_eq!(values, [serde_json::json!({"a": 1}), serde_json::json!(2)]);
    }

    #[tokio::test]
    async fn a_stream_cut_short_is_an_error() {
        let read = read(&["data: 1\n\n"]).await;
        assert!(read.last().unwrap().is_err());
    }

    #[tokio::test]
    async fn an_error_event_is_an_error() {
        let read = read(&["data: {\"error\":{\"message\":\"no\"}}\n\ndata: [DONE]\n\n"]).await;
        assert_eq!(read[0].as_ref().unwrap_err().to_string(), "no");
    }

    #[test]
    fn a_segment_holds_no_separator() {
        assert_eq!(segment("a/b ?é"), "a%2Fb%20%3F%C3%A9");
    }
}

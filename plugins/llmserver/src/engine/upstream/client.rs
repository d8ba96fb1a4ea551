//! One upstream: its address, its key and its connections.

use std::{env, sync::Arc, time::Duration};

use messages::{call::Cx, fault::Fault, host::Host};
use reqwest::{Client, Proxy, RequestBuilder, Response, Url, redirect::Policy};
use serde::Serialize;
use serde_json::Value;

use super::{
    breaker::Breaker,
    lookup::{self, Resolver},
    reach::{Reach, Target},
    refusal,
    setback::{Next, Setback},
};
use crate::settings::UpstreamSettings;

/// How long a connection may take to stand.
const CONNECT: Duration = Duration::from_secs(5);
/// How long an unused connection is kept, and how often it is tried whether it still stands.
const IDLE: Duration = Duration::from_secs(300);
const ALIVE: Duration = Duration::from_secs(30);
/// Longest whole answer, in bytes.
const LONGEST_ANSWER: usize = 64 << 20;

/// An OpenAI-compatible server.
#[derive(Debug)]
pub(crate) struct Upstream {
    settings: UpstreamSettings,
    target: Target,
    key: Option<String>,
    client: Client,
    breaker: Arc<Breaker>,
    pub(super) host: Host,
}

impl Upstream {
    /// A client that follows no redirects, so that a key goes nowhere but to `base_url`.
    ///
    /// # Errors
    /// When the address is not one that `reach` allows, or the key's variable is not set.
    pub(super) fn new(
        host: &Host,
        settings: &UpstreamSettings,
        reach: &Reach,
    ) -> Result<Self, Fault> {
        let refuse = |what| settings.refusal(what);
        settings.check().map_err(refuse)?;
        let target = reach.check(&settings.base_url).map_err(refuse)?;
        let key = key(settings).map_err(refuse)?;
        let client = connector(settings, &target)
            .and_then(reqwest::ClientBuilder::build)
            .map_err(|error| refuse(error.to_string()))?;
        Ok(Self {
            settings: settings.clone(),
            target,
            key,
            client,
            breaker: Breaker::new(&settings.name),
            host: host.clone(),
        })
    }

    /// What it is called.
    pub(crate) fn name(&self) -> &str {
        &self.settings.name
    }

    /// Its settings.
    pub(super) fn settings(&self) -> &UpstreamSettings {
        &self.settings
    }

    /// How many requests it gets, in proportion to the weights of others with the same model.
    pub(super) fn weight(&self) -> u32 {
        self.settings.weight
    }

    /// Whether it is left alone for a while.
    pub(super) fn breaker(&self) -> &Arc<Breaker> {
        &self.breaker
    }

    /// `path` below its API's root.
    fn at(&self, path: &str) -> Url {
        let mut url = self.target.url().clone();
        url.set_path(&format!("{}{path}", url.path().trim_end_matches('/')));
        url
    }

    /// Posts `body` and waits for the head of an answer of success. Ends with the call.
    ///
    /// # Errors
    /// What the upstream said, or why it cannot be reached.
    pub(super) async fn post(
        &self,
        path: &str,
        body: &impl Serialize,
        cx: &Cx,
    ) -> Result<Response, Setback> {
        let request = self.client.post(self.at(path)).json(body);
        let request = self.signed(request).header("x-request-id", cx.request_id());
        let response = self
            .while_wanted(cx, request.send())
            .await?
            .map_err(|error| Setback::unsent(refusal::unreachable(self.name(), &error), &error))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status().as_u16();
        let refused = refusal::read(self.name(), response);
        let fault = self.while_wanted(cx, refused).await?;
        Err(Setback::refused(fault, status))
    }

    /// Posts `body` and reads the whole answer.
    ///
    /// # Errors
    /// As [`Upstream::post`]; also when the answer is no JSON or longer than 64 MiB.
    pub(super) async fn ask(
        &self,
        path: &str,
        body: &impl Serialize,
        cx: &Cx,
    ) -> Result<Value, Setback> {
        let response = self.post(path, body, cx).await?;
        let text = self.while_wanted(cx, read(response, LONGEST_ANSWER));
        let text = text.await?.map_err(|error| match error {
            ReadFault::Cut(error) => {
                Setback::failing(refusal::unreachable(self.name(), &error), Next::Elsewhere)
            }
            // The next one would only be as long.
            ReadFault::TooLong => Setback::failing(
                refusal::wrong(self.name(), "its answer is too long"),
                Next::Nothing,
            ),
        })?;
        serde_json::from_slice(&text).map_err(|error| {
            let what = format!("its answer is no JSON: {error}");
            Setback::failing(refusal::wrong(self.name(), &what), Next::Elsewhere)
        })
    }

    async fn while_wanted<T>(&self, cx: &Cx, work: impl Future<Output = T>) -> Result<T, Setback> {
        let done = while_wanted(self.name(), cx, work).await;
        done.map_err(Setback::over)
    }

    fn signed(&self, request: RequestBuilder) -> RequestBuilder {
        match &self.key {
            Some(key) => request.bearer_auth(key),
            None => request,
        }
    }
}

/// Waits for `work` of the upstream `name`, but not beyond the call's end. What is dropped here
/// closes its connection.
pub(super) async fn while_wanted<T>(
    name: &str,
    cx: &Cx,
    work: impl Future<Output = T>,
) -> Result<T, Fault> {
    tokio::select! {
        biased;
        () = cx.cancel().cancelled() => Err(Fault::cancelled("the caller has gone away")),
        () = tokio::time::sleep_until(cx.deadline()) => Err(Fault::timed_out(format!(
            "upstream {name} did not answer in time"
        ))),
        done = work => Ok(done),
    }
}

/// How connections to `target` are made: only to addresses that it may have.
fn connector(
    settings: &UpstreamSettings,
    target: &Target,
) -> reqwest::Result<reqwest::ClientBuilder> {
    let resolver = Resolver::new(&settings.name, target, lookup::of_system());
    let client = crate::tls::client()
        .redirect(Policy::none())
        .dns_resolver(resolver)
        .connect_timeout(CONNECT)
        .read_timeout(Duration::from_secs(settings.silence_seconds))
        .tcp_nodelay(true)
        .tcp_keepalive(ALIVE)
        .pool_idle_timeout(IDLE)
        // What the environment says of proxies is meant for others.
        .no_proxy();
    match target.proxy() {
        Some(proxy) => Ok(client.proxy(Proxy::all(proxy.clone())?)),
        None => Ok(client),
    }
}

/// Why a body could not be read.
pub(super) enum ReadFault {
    /// The connection broke.
    Cut(reqwest::Error),
    /// It is longer than allowed.
    TooLong,
}

/// The body of `response`, of at most `most` bytes.
pub(super) async fn read(mut response: Response, most: usize) -> Result<Vec<u8>, ReadFault> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(ReadFault::Cut)? {
        if body.len() + chunk.len() > most {
            return Err(ReadFault::TooLong);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn key(settings: &UpstreamSettings) -> Result<Option<String>, String> {
    match (&settings.api_key, &settings.api_key_env) {
        (Some(key), _) => Ok(Some(key.clone())),
        (None, Some(name)) => env::var(name)
            .map(Some)
            .map_err(|_| format!("the environment has no variable `{name}`")),
        (None, None) => Ok(None),
    }
}

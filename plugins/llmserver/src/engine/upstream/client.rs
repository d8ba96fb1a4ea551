//! One upstream: its address, its key and its connections.

use std::{env, sync::Arc, time::Duration};

use messages::{
    call::Cx,
    fault::Fault,
    host::Host,
    upstreams::{UpstreamMeter, UpstreamOutcome},
};
use reqwest::{Client, Proxy, RequestBuilder, Response, Url, redirect::Policy};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::{
    attempt::{Attempt, Question},
    breaker::Breaker,
    lookup::{self, Resolver},
    reach::{Reach, Target},
    refusal,
    setback::{Next, Setback},
    weight::weight,
};
use crate::settings::UpstreamSettings;

/// How long a connection may take to stand.
const CONNECT: Duration = Duration::from_secs(5);
/// How long an unused connection is kept, and how often it is tried whether it still stands.
const IDLE: Duration = Duration::from_secs(300);
const ALIVE: Duration = Duration::from_secs(30);
/// How long a whole answer to a chat may be, and how much memory it may take once it is read.
const ANSWER: Longest = Longest {
    bytes: 8 << 20,
    advice: "ask for fewer choices or tokens, or for a stream",
};
const HEAVIEST_ANSWER: usize = 64 << 20;

/// How long an answer may be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Longest {
    /// In bytes.
    pub(super) bytes: usize,
    /// What its asker can do about a longer one.
    pub(super) advice: &'static str,
}

/// An OpenAI-compatible server.
#[derive(Debug)]
pub(crate) struct Upstream {
    settings: UpstreamSettings,
    target: Target,
    key: Option<String>,
    client: Client,
    breaker: Arc<Breaker>,
    meter: Arc<UpstreamMeter>,
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
        meter: Arc<UpstreamMeter>,
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
            breaker: Breaker::new(&settings.name, meter.clone()),
            meter,
            host: host.clone(),
        })
    }

    /// What it is called.
    pub(crate) fn name(&self) -> &str {
        &self.settings.name
    }

    /// Its host and port.
    pub(super) fn place(&self) -> (&str, Option<u16>) {
        let url = self.target.url();
        (
            url.host_str().unwrap_or_default(),
            url.port_or_known_default(),
        )
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

    /// What is counted of it.
    pub(super) fn meter(&self) -> &Arc<UpstreamMeter> {
        &self.meter
    }

    /// `path` below its API's root.
    fn at(&self, path: &str) -> Url {
        let mut url = self.target.url().clone();
        url.set_path(&format!("{}{path}", url.path().trim_end_matches('/')));
        url
    }

    /// Posts a question and waits for the head of an answer of success. Ends with the call.
    ///
    /// # Errors
    /// What the upstream said, or why it cannot be reached.
    pub(super) async fn post<B: Serialize>(
        &self,
        question: &Question<'_, B>,
        attempt: &Attempt,
        cx: &Cx,
    ) -> Result<Response, Setback> {
        let url = self.at(question.operation.path());
        let request = self.client.post(url).json(question.body);
        let mut request = self.signed(request).header("x-request-id", cx.request_id());
        if let Some(parent) = attempt.traceparent() {
            request = request.header("traceparent", parent);
        }
        let response = self
            .while_wanted(cx, request.send())
            .await?
            .map_err(|error| Setback::unsent(refusal::unreachable(self.name(), &error), &error))?;
        let status = response.status().as_u16();
        attempt.status(status);
        if response.status().is_success() {
            return Ok(response);
        }
        let refused = refusal::read(self.name(), response);
        let fault = self.while_wanted(cx, refused).await?;
        Err(Setback::refused(fault, status))
    }

    /// Posts a question and reads the whole answer.
    ///
    /// # Errors
    /// As [`Upstream::fetch`] and [`Upstream::parsed`]; also when the answer would take too much memory.
    pub(super) async fn ask<B: Serialize>(
        &self,
        question: &Question<'_, B>,
        cx: &Cx,
    ) -> Result<Value, Setback> {
        let attempt = Attempt::begin(self, question, cx);
        let answer = self.answer(question, &attempt, cx).await;
        if let Ok(answer) = &answer {
            attempt.heard(answer);
        }
        attempt.end(answer)
    }

    async fn answer<B: Serialize>(
        &self,
        question: &Question<'_, B>,
        attempt: &Attempt,
        cx: &Cx,
    ) -> Result<Value, Setback> {
        let text = self.fetch(question, ANSWER, attempt, cx).await?;
        if weight(&text) > HEAVIEST_ANSWER {
            let fault = refusal::too_long(self.name(), ANSWER);
            return Err(Setback::failing(fault, Next::Nothing));
        }
        self.parsed(&text)
            .inspect(|_| self.meter.ended(UpstreamOutcome::Answered))
    }

    /// Posts a question and answers the bytes of the answer.
    ///
    /// # Errors
    /// As [`Upstream::post`]; also when the answer breaks off or is longer than `longest`.
    pub(super) async fn fetch<B: Serialize>(
        &self,
        question: &Question<'_, B>,
        longest: Longest,
        attempt: &Attempt,
        cx: &Cx,
    ) -> Result<Vec<u8>, Setback> {
        let response = self.post(question, attempt, cx).await?;
        let text = self.while_wanted(cx, read(response, longest.bytes));
        text.await?.map_err(|error| match error {
            ReadFault::Cut(error) => {
                Setback::failing(refusal::unreachable(self.name(), &error), Next::Elsewhere)
            }
            // The next one would only be as long.
            ReadFault::TooLong => {
                Setback::failing(refusal::too_long(self.name(), longest), Next::Nothing)
            }
        })
    }

    /// What an answer says.
    ///
    /// # Errors
    /// Where it is no JSON, or not of that shape.
    pub(super) fn parsed<T: DeserializeOwned>(&self, text: &[u8]) -> Result<T, Setback> {
        serde_json::from_slice(text).map_err(|error| {
            let what = format!("its answer is no JSON of the right shape: {error}");
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

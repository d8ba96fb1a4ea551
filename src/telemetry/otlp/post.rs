//! Brings batches to the collector, and is patient with it.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message;
use reqwest::{
    Client, Response, StatusCode,
    header::{CONTENT_TYPE, RETRY_AFTER},
    redirect::Policy,
};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::{
    Counts, Finished, batch,
    target::{Target, TargetError},
};
use crate::settings;

/// How long the collector may take to connect, and to answer.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// The pause after a batch that could not be delivered; it doubles up to the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// Attempts at one batch: later ones are fresher.
const ATTEMPTS: u32 = 3;
/// Longest answer that is read, in bytes.
const LONGEST_ANSWER: usize = 64 << 10;

/// Brings batches to one collector.
pub(super) struct Courier {
    target: Target,
    service: String,
    client: Client,
    pause: Duration,
    troubled: bool,
}

/// Why a batch was not taken.
enum Failure {
    /// It would not be taken later either.
    Refused(String),
    /// It may be taken later, after so long where the collector says that.
    Later(String, Option<Duration>),
}

impl Courier {
    /// A courier to the collector of the settings; nothing where they name none.
    pub(super) fn new(settings: &settings::Telemetry) -> Result<Option<Self>, TargetError> {
        let Some(target) = Target::of(settings)? else {
            return Ok(None);
        };
        // An error only says that a provider is installed already.
        drop(rustls::crypto::ring::default_provider().install_default());
        let client = Client::builder()
            .user_agent(concat!("bkg/", env!("CARGO_PKG_VERSION")))
            // The headers are for this collector alone.
            .redirect(Policy::none())
            .no_proxy()
            .connect_timeout(CONNECT_WITHIN)
            .timeout(ANSWER_WITHIN)
            .default_headers(target.headers.clone())
            .build()?;
        Ok(Some(Self {
            target,
            service: settings.service_name.clone(),
            client,
            pause: FIRST_PAUSE,
            troubled: false,
        }))
    }

    /// The collector's place without anything secret.
    pub(super) fn place(&self) -> String {
        self.target.place()
    }

    /// Delivers a batch, or gives it up after some attempts; at the gateway's end after one.
    pub(super) async fn deliver(
        &mut self,
        batch: &[Finished],
        closing: &CancellationToken,
        counts: &Counts,
    ) {
        let spans = u64::try_from(batch.len()).unwrap_or(u64::MAX);
        let body = Bytes::from(batch::encode(batch, &self.service));
        for attempt in 1..=ATTEMPTS {
            let (why, wait) = match self.post(body.clone()).await {
                Ok(refused) => return self.took(spans, refused, counts),
                Err(Failure::Refused(why)) => {
                    self.complain(&why);
                    return add(&counts.refused, spans);
                }
                Err(Failure::Later(why, wait)) => (why, wait),
            };
            self.complain(&why);
            if attempt == ATTEMPTS || closing.is_cancelled() {
                break;
            }
            let pause = wait.unwrap_or(self.pause).min(LONGEST_PAUSE);
            self.pause = self.pause.saturating_mul(2).min(LONGEST_PAUSE);
            tokio::select! {
                () = sleep(pause) => (),
                () = closing.cancelled() => (),
            }
        }
        add(&counts.unsent, spans);
    }

    fn took(&mut self, spans: u64, refused: u64, counts: &Counts) {
        self.pause = FIRST_PAUSE;
        if std::mem::take(&mut self.troubled) {
            log::info!("the collector at {} takes spans again", self.place());
        }
        add(&counts.refused, refused.min(spans));
        add(&counts.sent, spans.saturating_sub(refused));
    }

    /// Says once that spans are lost, and again only after they were not.
    fn complain(&mut self, why: &str) {
        if !std::mem::replace(&mut self.troubled, true) {
            let place = self.place();
            log::warn!("the collector at {place} does not take spans: {why}; requests go on");
        }
    }

    /// Posts a batch; answers how many of its spans were refused.
    async fn post(&self, body: Bytes) -> Result<u64, Failure> {
        let request = self.client.post(self.target.url.clone());
        let request = request.header(CONTENT_TYPE, "application/x-protobuf");
        // The address may hold a password.
        let gone = |error: reqwest::Error| {
            let error = error.without_url();
            Failure::Later(reasons(&error), None)
        };
        let response = request.body(body).send().await.map_err(gone)?;
        let status = response.status();
        if status.is_success() {
            return refused(response).await.map_err(gone);
        }
        let wait = response.headers().get(RETRY_AFTER);
        let wait = wait.and_then(|wait| wait.to_str().ok()?.parse().ok());
        let why = format!("it answers {status}");
        Err(match status {
            StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT => Failure::Later(why, wait.map(Duration::from_secs)),
            _ => Failure::Refused(why),
        })
    }
}

/// What went wrong, with its causes.
fn reasons(error: &reqwest::Error) -> String {
    let mut reasons = vec![error.to_string()];
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        reasons.push(cause.to_string());
        source = cause.source();
    }
    reasons.join(": ")
}

/// How many spans an answer of success refuses.
async fn refused(mut response: Response) -> reqwest::Result<u64> {
    let mut text = Vec::new();
    while let Some(piece) = response.chunk().await? {
        if text.len() + piece.len() > LONGEST_ANSWER {
            return Ok(0);
        }
        text.extend_from_slice(&piece);
    }
    let answer = ExportTraceServiceResponse::decode(&*text).unwrap_or_default();
    let partly = answer.partial_success.unwrap_or_default();
    Ok(u64::try_from(partly.rejected_spans).unwrap_or_default())
}

fn add(count: &AtomicU64, spans: u64) {
    count.fetch_add(spans, Relaxed);
}

//! From a model to an upstream that answers: a choice by weight, attempts again and elsewhere while
//! nothing has reached the caller, and an end before the caller's patience has one.

use std::{sync::Arc, time::Duration};

use messages::{
    call::Cx,
    fault::Fault,
    llmserver::{Chat, Complete, Completion, Embed, Embeddings},
};
use serde::Serialize;
use tokio::time::{Instant, sleep_until};

use super::{
    attempt::{Operation, Question},
    breaker::Health,
    client::Upstream,
    embedding,
    setback::{Next, Setback},
};

/// Attempts of one call beyond one for each upstream.
const MORE: usize = 2;
/// The pause before the first attempt at the same upstream again is up to this; it doubles up to
/// the longest.
const PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// The upstreams that have one model.
#[derive(Debug, Clone)]
pub(crate) struct Route {
    pub(super) model: String,
    pub(super) upstreams: Vec<Arc<Upstream>>,
    /// Tells the model's vectors from others', whichever upstream makes them.
    pub(super) fingerprint: String,
}

/// How far a call has come with one of its upstreams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tried {
    Not,
    Again {
        /// How long it wants to be left alone.
        asked: Duration,
        /// Whether its breaker has counted a failure of this call.
        counted: bool,
    },
    Out,
}

impl Route {
    /// The upstream that is asked where all are well; for the log.
    pub(crate) fn name(&self) -> &str {
        let first = self.upstreams.first();
        first.map_or("", |upstream| upstream.name())
    }

    /// `POST /chat/completions`.
    ///
    /// # Errors
    /// What the last upstream said that was asked; also when the request asks for retrieval, which
    /// no upstream has.
    pub(crate) async fn chat(&self, body: Chat, cx: Cx) -> Result<Completion, Fault> {
        if body.retrieval.is_some() {
            let text = format!(
                "`retrieval` is an ability of {}; {} runs at upstream {}",
                crate::engine::extract::MODEL,
                body.model,
                self.name()
            );
            return Err(Fault::invalid(text).with_param("retrieval"));
        }
        let streamed = body.stream == Some(true);
        self.pass(Operation::Chat, &body, streamed, cx).await
    }

    /// `POST /completions`.
    ///
    /// # Errors
    /// What the last upstream said that was asked.
    pub(crate) async fn complete(&self, body: Complete, cx: Cx) -> Result<Completion, Fault> {
        let streamed = body.stream == Some(true);
        self.pass(Operation::Complete, &body, streamed, cx).await
    }

    /// `POST /embeddings`.
    ///
    /// # Errors
    /// As [`Route::complete`]; also when texts and token ids are mixed.
    pub(crate) async fn embed(&self, body: &Embed, cx: &Cx) -> Result<Embeddings, Fault> {
        let request = embedding::request(&self.model, body)?;
        let question = self.question(Operation::Embed, &request);
        let count = body.inputs.len();
        let made = self.first_that(cx, async |upstream: &Upstream| {
            upstream.embed(&question, count, cx).await
        });
        let (vectors, prompt_tokens) = made.await?;
        Ok(Embeddings {
            model: self.model.clone(),
            model_hash: self.fingerprint.clone(),
            vectors,
            prompt_tokens,
        })
    }

    fn question<'a, B>(&'a self, operation: Operation, body: &'a B) -> Question<'a, B> {
        Question {
            operation,
            model: &self.model,
            body,
        }
    }

    async fn pass<B: Serialize>(
        &self,
        operation: Operation,
        body: &B,
        streamed: bool,
        cx: Cx,
    ) -> Result<Completion, Fault> {
        let question = self.question(operation, body);
        if !streamed {
            let whole = self.first_that(&cx, async |upstream: &Upstream| {
                upstream.ask(&question, &cx).await
            });
            return whole.await.map(Completion::Whole);
        }
        let opened = self.first_that(&cx, async |upstream: &Upstream| {
            upstream.open(&question, &cx).await
        });
        Ok(Completion::Chunks(opened.await?.relay(cx)))
    }

    /// The first success of `attempt` at one of the upstreams.
    async fn first_that<T>(
        &self,
        cx: &Cx,
        attempt: impl AsyncFn(&Upstream) -> Result<T, Setback>,
    ) -> Result<T, Fault> {
        let mut tried = vec![Tried::Not; self.upstreams.len()];
        let mut last = None;
        let mut pauses = 0;
        for _ in 0..self.upstreams.len() + MORE {
            let Some((at, upstream)) = self.choose(&tried) else {
                break;
            };
            let mut counted = false;
            if let Some(Tried::Again {
                asked,
                counted: was,
            }) = tried.get(at).copied()
            {
                if !pause(cx, pauses, asked).await {
                    break;
                }
                pauses += 1;
                counted = was;
            }
            let Some(pass) = upstream.breaker().enter() else {
                continue;
            };
            if last.is_some() {
                upstream.meter().retried();
            }
            let setback = match attempt(upstream).await {
                Ok(done) => {
                    pass.tell(Health::Alive);
                    return Ok(done);
                }
                Err(setback) => setback,
            };
            upstream.meter().ended(setback.outcome());
            pass.tell(setback.health.after(counted));
            let state = match setback.next {
                Next::Nothing => return Err(setback.fault),
                Next::Elsewhere => Tried::Out,
                Next::Again => Tried::Again {
                    asked: setback.wait(),
                    counted: counted || setback.health == Health::Failing,
                },
            };
            log::info!(
                request_id = cx.request_id();
                "an attempt failed: {}", setback.fault
            );
            if let Some(tried) = tried.get_mut(at) {
                *tried = state;
            }
            last = Some(setback.fault);
        }
        Err(last.unwrap_or_else(|| self.all_open()))
    }

    /// One that has not been tried yet, by weight, or else one that may be tried again. Upstreams
    /// whose breaker is open are passed over.
    fn choose(&self, tried: &[Tried]) -> Option<(usize, &Arc<Upstream>)> {
        let may = |wanted: fn(&Tried) -> bool| {
            let places = self.upstreams.iter().enumerate().zip(tried);
            let open = places.filter(move |((_, upstream), tried)| {
                wanted(tried) && upstream.breaker().wait().is_none()
            });
            open.map(|(place, _)| place).collect::<Vec<_>>()
        };
        let mut choices = may(|tried| matches!(tried, Tried::Not));
        if choices.is_empty() {
            choices = may(|tried| matches!(tried, Tried::Again { .. }));
        }
        let weights = choices.iter().map(|(_, upstream)| upstream.weight());
        let drawn = draw(&weights.collect::<Vec<_>>(), rand::random());
        choices.get(drawn).copied()
    }

    fn all_open(&self) -> Fault {
        let breakers = self.upstreams.iter().map(|upstream| upstream.breaker());
        let soonest = breakers.filter_map(|breaker| breaker.wait()).min();
        let text = format!(
            "no upstream of the model {} works at present; try again later",
            self.model
        );
        Fault::overloaded(text).with_retry_after(soonest.unwrap_or(LONGEST_PAUSE))
    }
}

/// The place among `weights` that `luck` (0 to 1) falls on. A weight of 0 is drawn where there is
/// no other.
fn draw(weights: &[u32], luck: f64) -> usize {
    let all: f64 = weights.iter().copied().map(f64::from).sum();
    let mut left = luck * all;
    for (place, weight) in weights.iter().enumerate() {
        left -= f64::from(*weight);
        if left < 0.0 {
            return place;
        }
    }
    0
}

/// Waits before an attempt at the same upstream again: as long as it asked for, and a random time
/// up to a bound that doubles, so that many callers do not come back at once. False where the call
/// would be over by then.
async fn pause(cx: &Cx, pauses: u32, asked: Duration) -> bool {
    let bound = PAUSE
        .saturating_mul(2_u32.saturating_pow(pauses))
        .min(LONGEST_PAUSE);
    let wait = asked.saturating_add(bound.mul_f64(rand::random()));
    let end = Instant::now().checked_add(wait);
    let Some(end) = end.filter(|end| *end < cx.deadline()) else {
        return false;
    };
    tokio::select! {
        () = cx.cancel().cancelled() => false,
        () = sleep_until(end) => true,
    }
}

#[cfg(test)]
mod tests;

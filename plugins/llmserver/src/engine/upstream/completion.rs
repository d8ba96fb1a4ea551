//! Streams of chat and completions, passed through chunk by chunk.

use std::{collections::VecDeque, sync::Arc};

use messages::{
    call::Cx,
    fault::{Fault, FaultKind},
    host::Host,
    stream::{Deltas, Outlet},
    upstreams::{UpstreamMeter, UpstreamOutcome},
};
use reqwest::{Response, header::CONTENT_TYPE};
use serde::Serialize;
use serde_json::Value;

use super::{
    attempt::{Attempt, Question},
    breaker::{Breaker, Health},
    client::{Upstream, while_wanted},
    refusal,
    setback::{Next, Setback},
    sse::{Event, Events, Piece, SseFault, piece},
};

/// Chunks that may wait for a slow reader, however small; beyond that the upstream waits.
const UNREAD: usize = 32;

/// A stream that has begun: its first chunk is here, and was no error.
pub(super) struct Opened {
    first: Option<Piece>,
    rest: Rest,
    attempt: Attempt,
    host: Host,
    breaker: Arc<Breaker>,
    meter: Arc<UpstreamMeter>,
    /// Of which time of the breaker it speaks.
    epoch: u64,
}

/// What is still to come of a stream.
struct Rest {
    name: String,
    response: Response,
    events: Events,
    ready: VecDeque<Event>,
    /// Whether a reason to stop came: some servers leave out `[DONE]`.
    finished: bool,
    ended: bool,
}

impl Upstream {
    /// Posts a question and waits for the first chunk of a stream.
    ///
    /// # Errors
    /// As [`Upstream::post`]; also when it does not stream or begins with an error.
    pub(super) async fn open<B: Serialize>(
        &self,
        question: &Question<'_, B>,
        cx: &Cx,
    ) -> Result<Opened, Setback> {
        let epoch = self.breaker().epoch();
        let attempt = Attempt::begin(self, question, cx);
        let (first, rest) = match self.first(question, &attempt, cx).await {
            Ok(begun) => begun,
            Err(setback) => return attempt.end(Err(setback)),
        };
        Ok(Opened {
            first,
            rest,
            attempt,
            host: self.host.clone(),
            breaker: self.breaker().clone(),
            meter: self.meter().clone(),
            epoch,
        })
    }

    async fn first<B: Serialize>(
        &self,
        question: &Question<'_, B>,
        attempt: &Attempt,
        cx: &Cx,
    ) -> Result<(Option<Piece>, Rest), Setback> {
        let response = self.post(question, attempt, cx).await?;
        let elsewhere = |fault| Setback::failing(fault, Next::Elsewhere);
        if !is_event_stream(&response) {
            let fault = refusal::wrong(self.name(), "it does not stream");
            return Err(elsewhere(fault));
        }
        let mut rest = Rest {
            name: self.name().to_owned(),
            response,
            events: Events::default(),
            ready: VecDeque::new(),
            finished: false,
            ended: false,
        };
        let first = while_wanted(self.name(), cx, rest.next());
        let first = first.await.map_err(Setback::over)?.map_err(elsewhere)?;
        Ok((first, rest))
    }
}

impl Opened {
    /// Moves chunks until the stream ends or nobody reads it.
    pub(super) fn relay(self, cx: Cx) -> Deltas<Value> {
        let (outlet, deltas) = cx.stream(UNREAD);
        let Self {
            first,
            rest,
            attempt,
            host,
            breaker,
            meter,
            epoch,
        } = self;
        host.spawn(async move {
            let name = rest.name.clone();
            let moved = while_wanted(&name, outlet.cx(), rest.relay(first, &attempt, &outlet));
            let ended = moved.await.and_then(|relayed| relayed);
            meter.ended(outcome(&ended));
            if ended
                .as_ref()
                .is_err_and(|fault| fault.kind == FaultKind::Crashed)
            {
                breaker.note(epoch, Health::Failing);
            }
            match &ended {
                Ok(()) => attempt.done(),
                Err(fault) => attempt.fail(fault.kind.name()),
            }
            outlet.end(ended);
        });
        deltas
    }
}

impl Rest {
    async fn relay(
        mut self,
        first: Option<Piece>,
        attempt: &Attempt,
        outlet: &Outlet<Value>,
    ) -> Result<(), Fault> {
        let mut next = first;
        while let Some((chunk, bytes)) = next {
            attempt.heard(&chunk);
            outlet.send_weighed(chunk, bytes).await?;
            next = self.next().await?;
        }
        Ok(())
    }

    /// The next chunk, or nothing after the last.
    async fn next(&mut self) -> Result<Option<Piece>, Fault> {
        loop {
            match self.ready.pop_front() {
                Some(Event::Data(data)) => return self.judge(&data).map(Some),
                Some(Event::Done) => return Ok(None),
                None if self.ended => return self.close(),
                None => self.read().await?,
            }
        }
    }

    async fn read(&mut self) -> Result<(), Fault> {
        let chunk = self.response.chunk().await;
        let chunk = chunk.map_err(|error| refusal::unreachable(&self.name, &error))?;
        self.ended = chunk.is_none();
        let completed = match &chunk {
            Some(bytes) => self.events.feed(bytes),
            None => self.events.finish().map(Vec::from_iter),
        };
        let completed = completed.map_err(|fault| self.garbled(&fault))?;
        self.ready.extend(completed);
        Ok(())
    }

    fn garbled(&self, fault: &SseFault) -> Fault {
        refusal::wrong(&self.name, &fault.to_string())
    }

    fn judge(&mut self, data: &[u8]) -> Result<Piece, Fault> {
        let (value, weight) = piece(data).map_err(|fault| self.garbled(&fault))?;
        if let Some(error) = value.get("error").filter(|error| !error.is_null()) {
            return Err(refusal::reported(&self.name, error));
        }
        self.finished |= has_finished(&value);
        Ok((value, weight))
    }

    fn close(&self) -> Result<Option<Piece>, Fault> {
        match self.finished {
            true => Ok(None),
            false => Err(refusal::wrong(&self.name, "its stream ended half-way")),
        }
    }
}

/// How a stream that had begun has ended.
fn outcome(ended: &Result<(), Fault>) -> UpstreamOutcome {
    match ended.as_ref().map_err(|fault| &fault.kind) {
        Ok(()) => UpstreamOutcome::Answered,
        Err(FaultKind::TimedOut) => UpstreamOutcome::TimedOut,
        Err(FaultKind::Cancelled) => UpstreamOutcome::Cancelled,
        Err(_) => UpstreamOutcome::Failed,
    }
}

fn is_event_stream(response: &Response) -> bool {
    let kind = response.headers().get(CONTENT_TYPE);
    kind.and_then(|kind| kind.to_str().ok())
        .is_some_and(|kind| kind.trim_start().starts_with("text/event-stream"))
}

fn has_finished(chunk: &Value) -> bool {
    let choices = chunk.get("choices").and_then(Value::as_array);
    choices.is_some_and(|choices| {
        let reason = |choice: &Value| choice.get("finish_reason").cloned();
        choices
            .iter()
            .filter_map(reason)
            .any(|reason| !reason.is_null())
    })
}

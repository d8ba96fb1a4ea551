//! Chat and completions, passed through: the request's JSON out, the answer's JSON back.

use std::sync::Arc;

use messages::{
    call::Cx,
    fault::Fault,
    llmserver::{Chat, Complete, Completion},
    stream::Outlet,
};
use reqwest::{Response, header::CONTENT_TYPE};
use serde::Serialize;
use serde_json::Value;

use super::{
    client::Upstream,
    refusal,
    sse::{Event, Events},
};

/// Chunks that may wait for a slow reader; beyond that the upstream waits.
const UNREAD: usize = 32;

impl Upstream {
    /// `POST /chat/completions`.
    ///
    /// # Errors
    /// What the upstream said; also when the request asks for retrieval, which it does not have.
    pub(crate) async fn chat(self: Arc<Self>, body: Chat, cx: Cx) -> Result<Completion, Fault> {
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
        self.pass("/chat/completions", &body, streamed, cx).await
    }

    /// `POST /completions`.
    ///
    /// # Errors
    /// What the upstream said.
    pub(crate) async fn complete(
        self: Arc<Self>,
        body: Complete,
        cx: Cx,
    ) -> Result<Completion, Fault> {
        let streamed = body.stream == Some(true);
        self.pass("/completions", &body, streamed, cx).await
    }

    async fn pass(
        self: Arc<Self>,
        path: &str,
        body: &impl Serialize,
        streamed: bool,
        cx: Cx,
    ) -> Result<Completion, Fault> {
        if !streamed {
            return self.ask(path, body, &cx).await.map(Completion::Whole);
        }
        let response = self.post(path, body, &cx).await?;
        if !is_event_stream(&response) {
            return Err(refusal::wrong(self.name(), "it does not stream"));
        }
        let (outlet, deltas) = cx.stream(UNREAD);
        let host = self.host.clone();
        host.spawn(async move { self.pump(response, outlet).await });
        Ok(Completion::Chunks(deltas))
    }

    /// Moves chunks until the stream ends or nobody reads it.
    async fn pump(&self, response: Response, outlet: Outlet<Value>) {
        let moved = self.while_wanted(outlet.cx(), self.relay(response, &outlet));
        let ended = moved.await.and_then(|relayed| relayed);
        outlet.end(ended);
    }

    async fn relay(&self, mut response: Response, outlet: &Outlet<Value>) -> Result<(), Fault> {
        let mut events = Events::default();
        let mut finished = false;
        let garbled = |fault| refusal::wrong(self.name(), &format!("{fault}"));
        loop {
            let chunk = response.chunk().await;
            let chunk = chunk.map_err(|error| refusal::unreachable(self.name(), &error))?;
            let batch = match &chunk {
                Some(bytes) => events.feed(bytes).map_err(garbled)?,
                None => events.finish().map_err(garbled)?.into_iter().collect(),
            };
            for event in batch {
                let Event::Json(value) = event else {
                    return Ok(());
                };
                if let Some(error) = value.get("error").filter(|error| !error.is_null()) {
                    return Err(refusal::reported(self.name(), error));
                }
                finished |= has_finished(&value);
                outlet.send(value).await?;
            }
            if chunk.is_none() {
                // Some servers leave out `[DONE]`; a stream is whole once a reason to stop came.
                return match finished {
                    true => Ok(()),
                    false => Err(refusal::wrong(self.name(), "its stream ended half-way")),
                };
            }
        }
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

//! One attempt at an upstream: what is asked, and its span by OpenTelemetry's conventions for
//! generative AI. What callers and models say is not told, only what it was and what it cost.

use messages::{
    call::Cx,
    trace::{OpenSpan, SpanKind},
};
use serde_json::Value;

use super::{client::Upstream, setback::Setback};

/// Longest name of a model, and longest reason to stop, that is told.
const LONGEST_MODEL: usize = 128;
const LONGEST_REASON: usize = 32;
/// Most reasons to stop that are told.
const MOST_REASONS: usize = 8;

/// What an upstream can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    Chat,
    Complete,
    Embed,
}

impl Operation {
    /// Its path below the API's root.
    pub(super) fn path(self) -> &'static str {
        match self {
            Self::Chat => "/chat/completions",
            Self::Complete => "/completions",
            Self::Embed => "/embeddings",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Complete => "text_completion",
            Self::Embed => "embeddings",
        }
    }
}

/// What is asked of whichever upstream has the model.
#[derive(Debug)]
pub(super) struct Question<'a, B> {
    pub(super) operation: Operation,
    pub(super) model: &'a str,
    pub(super) body: &'a B,
}

/// An attempt under way. One that is dropped without an ending was given up by its caller.
#[derive(Debug)]
pub(super) struct Attempt {
    span: OpenSpan,
    ended: bool,
}

impl Attempt {
    /// Begins an attempt at `upstream`, as a part of the call.
    pub(super) fn begin<B>(upstream: &Upstream, question: &Question<'_, B>, cx: &Cx) -> Self {
        let operation = question.operation.name();
        let model = question.model;
        let span = cx.open_span(SpanKind::Client, operation);
        if span.is_taken() {
            span.rename(format!("{operation} {model}"));
            span.set("gen_ai.operation.name", operation);
            span.set("gen_ai.provider.name", upstream.name().to_owned());
            span.set("gen_ai.request.model", model.to_owned());
            let (host, port) = upstream.place();
            span.set("server.address", host.to_owned());
            if let Some(port) = port {
                span.set("server.port", u64::from(port));
            }
        }
        Self { span, ended: false }
    }

    /// The header that ties the upstream's own trace to this one.
    pub(super) fn traceparent(&self) -> Option<String> {
        let trace = self.span.trace();
        trace.map(|trace| trace.parent().to_string())
    }

    /// Tells the status of the upstream's answer.
    pub(super) fn status(&self, status: u16) {
        self.span
            .set("http.response.status_code", u64::from(status));
        if !(200..300).contains(&status) {
            self.span.fail(status.to_string());
        }
    }

    /// Tells what an answer or a piece of one says of itself.
    pub(super) fn heard(&self, answer: &Value) {
        if !self.span.is_taken() {
            return;
        }
        if let Some(model) = answer.get("model").and_then(Value::as_str)
            && is_word(model, LONGEST_MODEL, b"-_.:/@")
        {
            self.span.set("gen_ai.response.model", model.to_owned());
        }
        let usage = |name: &str| answer.get("usage")?.get(name)?.as_u64();
        if let Some(tokens) = usage("prompt_tokens") {
            self.span.set("gen_ai.usage.input_tokens", tokens);
        }
        if let Some(tokens) = usage("completion_tokens") {
            self.span.set("gen_ai.usage.output_tokens", tokens);
        }
        let reasons = reasons(answer);
        if !reasons.is_empty() {
            self.span.set("gen_ai.response.finish_reasons", reasons);
        }
    }

    /// Tells how many tokens were read.
    pub(super) fn read(&self, tokens: u64) {
        self.span.set("gen_ai.usage.input_tokens", tokens);
    }

    /// The attempt has succeeded.
    pub(super) fn done(mut self) {
        self.ended = true;
    }

    /// The attempt ends as `result` says.
    pub(super) fn end<T>(mut self, result: Result<T, Setback>) -> Result<T, Setback> {
        self.ended = true;
        result.inspect_err(|setback| self.span.fail(setback.fault.kind.name()))
    }

    /// The attempt has failed.
    pub(super) fn fail(mut self, error: &'static str) {
        self.ended = true;
        self.span.fail(error);
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if !self.ended {
            self.span.fail("cancelled");
        }
    }
}

/// Why each choice stopped. What is no plain word is none of OpenAI's reasons, and could be
/// anything.
fn reasons(answer: &Value) -> Vec<String> {
    let choices = answer.get("choices").and_then(Value::as_array);
    let reasons = choices.into_iter().flatten().filter_map(|choice| {
        let reason = choice.get("finish_reason")?.as_str()?;
        let plain = is_word(reason, LONGEST_REASON, b"-_");
        Some(if plain { reason } else { "other" }.to_owned())
    });
    reasons.take(MOST_REASONS).collect()
}

fn is_word(text: &str, longest: usize, marks: &[u8]) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || marks.contains(&byte);
    text.len() <= longest && text.bytes().all(plain)
}

//! Embeddings from an upstream.

use messages::{
    call::Cx,
    fault::Fault,
    llmserver::{Embed, EmbedInput},
    upstreams::UpstreamOutcome,
};
use serde::{Deserialize, Serialize};

use super::{
    attempt::{Attempt, Question},
    client::{Longest, Upstream},
    refusal,
    setback::{Next, Setback},
};
use crate::checksum::Checksum;

/// Bytes of one vector at the most, of what is around them, and of all together.
const VECTOR: usize = 128 << 10;
const AROUND: usize = 64 << 10;
const LONGEST: usize = 64 << 20;

#[derive(Serialize)]
pub(super) struct Request<'a> {
    model: &'a str,
    input: Input<'a>,
    encoding_format: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    dimensions: Option<u32>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Input<'a> {
    Texts(Vec<&'a str>),
    Tokens(Vec<&'a [u32]>),
}

#[derive(Deserialize)]
struct Answer {
    data: Vec<Item>,
    #[serde(default)]
    usage: Usage,
}

#[derive(Deserialize)]
struct Item {
    index: usize,
    embedding: Vec<f32>,
}

#[derive(Default, Deserialize)]
struct Usage {
    prompt_tokens: u64,
}

impl Upstream {
    /// `POST /embeddings`: a vector for each of `count` inputs, and the tokens that were read.
    ///
    /// # Errors
    /// What the upstream said; also when vectors are missing.
    pub(super) async fn embed(
        &self,
        question: &Question<'_, Request<'_>>,
        count: usize,
        cx: &Cx,
    ) -> Result<(Vec<Vec<f32>>, u64), Setback> {
        let attempt = Attempt::begin(self, question, cx);
        let made = self.embed_now(question, count, &attempt, cx).await;
        if let Ok((_, tokens)) = &made {
            attempt.read(*tokens);
        }
        attempt.end(made)
    }

    async fn embed_now(
        &self,
        question: &Question<'_, Request<'_>>,
        count: usize,
        attempt: &Attempt,
        cx: &Cx,
    ) -> Result<(Vec<Vec<f32>>, u64), Setback> {
        let longest = longest(count);
        let text = self.fetch(question, longest, attempt, cx).await?;
        let wrong =
            |what: &str| Setback::failing(refusal::wrong(self.name(), what), Next::Elsewhere);
        let mut answer: Answer = self.parsed(&text)?;
        answer.data.sort_by_key(|item| item.index);
        let places = answer.data.iter().map(|item| item.index);
        if !places.eq(0..count) {
            return Err(wrong("not one vector for each input"));
        }
        self.meter().ended(UpstreamOutcome::Answered);
        let vectors = answer.data.into_iter().map(|item| item.embedding);
        Ok((vectors.collect(), answer.usage.prompt_tokens))
    }
}

/// A vector of 4,096 numbers takes 90 KiB of text.
fn longest(count: usize) -> Longest {
    let bytes = count.saturating_mul(VECTOR).saturating_add(AROUND);
    Longest {
        bytes: bytes.min(LONGEST),
        advice: "ask for fewer inputs at once, or for fewer dimensions",
    }
}

/// What to ask of whichever upstream has `model`.
///
/// # Errors
/// When texts and token ids are mixed.
pub(super) fn request<'a>(model: &'a str, body: &'a Embed) -> Result<Request<'a>, Fault> {
    Ok(Request {
        model,
        input: input(&body.inputs)?,
        encoding_format: "float",
        dimensions: body.dimensions,
    })
}

/// Tells a model's vectors from others': its weights cannot be seen, its address can.
pub(super) fn fingerprint(base: &str, model: &str) -> String {
    let mut checksum = Checksum::default();
    for part in [base, "\n", model] {
        checksum.add(part.as_bytes());
    }
    checksum.finish()
}

fn input(inputs: &[EmbedInput]) -> Result<Input<'_>, Fault> {
    let texts: Vec<&str> = inputs.iter().filter_map(text).collect();
    let tokens: Vec<&[u32]> = inputs.iter().filter_map(tokens).collect();
    match (texts.is_empty(), tokens.is_empty()) {
        (_, true) => Ok(Input::Texts(texts)),
        (true, _) => Ok(Input::Tokens(tokens)),
        _ => Err(Fault::invalid("texts and token ids cannot be mixed").with_param("input")),
    }
}

fn text(input: &EmbedInput) -> Option<&str> {
    match input {
        EmbedInput::Text(text) => Some(text),
        EmbedInput::Tokens(_) => None,
    }
}

fn tokens(input: &EmbedInput) -> Option<&[u32]> {
    match input {
        EmbedInput::Tokens(ids) => Some(ids),
        EmbedInput::Text(_) => None,
    }
}

//! Embeddings from an upstream.

use messages::{
    call::Cx,
    fault::Fault,
    llmserver::{Embed, EmbedInput, Embeddings},
};
use serde::{Deserialize, Serialize};

use super::{client::Upstream, refusal};
use crate::checksum::Checksum;

#[derive(Serialize)]
struct Request<'a> {
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
    /// `POST /embeddings` for `model`.
    ///
    /// # Errors
    /// What the upstream said; also when texts and token ids are mixed, or vectors are missing.
    pub(crate) async fn embed(
        &self,
        model: String,
        body: &Embed,
        cx: &Cx,
    ) -> Result<Embeddings, Fault> {
        let request = Request {
            model: &model,
            input: input(&body.inputs)?,
            encoding_format: "float",
            dimensions: body.dimensions,
        };
        let answer = self.ask("/embeddings", &request, cx).await?;
        let mut answer: Answer = serde_json::from_value(answer)
            .map_err(|error| refusal::wrong(self.name(), &error.to_string()))?;
        answer.data.sort_by_key(|item| item.index);
        let places = answer.data.iter().map(|item| item.index);
        if !places.eq(0..body.inputs.len()) {
            return Err(refusal::wrong(self.name(), "not one vector for each input"));
        }
        Ok(Embeddings {
            model_hash: self.fingerprint(&model),
            model,
            vectors: answer.data.into_iter().map(|item| item.embedding).collect(),
            prompt_tokens: answer.usage.prompt_tokens,
        })
    }

    /// Tells this model's vectors from others': its weights cannot be seen, its address can.
    fn fingerprint(&self, model: &str) -> String {
        let mut checksum = Checksum::default();
        for part in [self.base(), "\n", model] {
            checksum.add(part.as_bytes());
        }
        checksum.finish()
    }
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

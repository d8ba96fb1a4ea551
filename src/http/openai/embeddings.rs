//! Embeddings: strings or token ids in, floats or base64 out.

use actix_web::{HttpResponse, post};
use base64::{Engine, prelude::BASE64_STANDARD};
use messages::{
    fault::Fault,
    llmserver::{Embed, EmbedInput, Embeddings},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{account::Account, cost::Cost};
use crate::http::{
    caller::{Allowed, LlmEmbed},
    error::{ErrorBody, Problem},
    json::{Json, Prompt},
};

/// OpenAI's limit on inputs a request.
const MOST_INPUTS: usize = 2048;

/// What `POST /v1/embeddings` takes.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct EmbeddingsRequest {
    /// The model's id.
    model: String,
    /// What to embed.
    input: Input,
    /// How the vectors are written; OpenAI's own packages ask for `base64`.
    #[serde(default)]
    encoding_format: Encoding,
    /// The length of each vector, where the model can choose.
    #[serde(default)]
    dimensions: Option<u32>,
    /// Taken for OpenAI's sake and not used.
    #[serde(default, rename = "user")]
    _user: Option<String>,
}

/// One text or many, as text or as token ids.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(
    untagged,
    expecting = "input must be a string, a list of strings, a list of token ids, or a list of lists of token ids"
)]
pub(crate) enum Input {
    /// One text.
    Text(String),
    /// Several texts.
    Texts(Vec<String>),
    /// The token ids of one text.
    Tokens(Vec<u32>),
    /// The token ids of several texts.
    TokenLists(Vec<Vec<u32>>),
}

impl Input {
    fn into_inputs(self) -> Result<Vec<EmbedInput>, Fault> {
        let inputs: Vec<EmbedInput> = match self {
            Self::Text(text) => vec![EmbedInput::Text(text)],
            Self::Texts(texts) => texts.into_iter().map(EmbedInput::Text).collect(),
            Self::Tokens(ids) if ids.is_empty() => Vec::new(),
            Self::Tokens(ids) => vec![EmbedInput::Tokens(ids)],
            Self::TokenLists(lists) => lists.into_iter().map(EmbedInput::Tokens).collect(),
        };
        if inputs.is_empty() || inputs.len() > MOST_INPUTS {
            let count = inputs.len();
            return Err(Fault::invalid(format!(
                "input must hold 1 to {MOST_INPUTS} texts; this one holds {count}"
            ))
            .with_param("input"));
        }
        Ok(inputs)
    }
}

/// How vectors are written.
#[derive(Debug, Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Encoding {
    /// A list of numbers.
    #[default]
    Float,
    /// Little-endian 32-bit floats in base64.
    Base64,
}

/// What `POST /v1/embeddings` answers.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EmbeddingsResponse {
    /// Always `list`.
    object: &'static str,
    /// The vectors, in the order of the inputs.
    data: Vec<EmbeddingObject>,
    /// The model that made them.
    model: String,
    /// What it cost.
    usage: EmbeddingsUsage,
}

/// One vector.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EmbeddingObject {
    /// Always `embedding`.
    object: &'static str,
    /// The place of its input.
    index: usize,
    /// The vector.
    embedding: Vector,
}

/// A vector as it is written.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum Vector {
    /// A list of numbers.
    Float(Vec<f32>),
    /// Little-endian 32-bit floats in base64.
    Base64(String),
}

/// What embeddings cost.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EmbeddingsUsage {
    /// Tokens read.
    prompt_tokens: u64,
    /// The same.
    total_tokens: u64,
}

/// Turns texts into vectors.
#[utoipa::path(tag = "openai", responses(
    (status = 200, body = EmbeddingsResponse), (status = 400, body = ErrorBody),
    (status = 401, body = ErrorBody), (status = 404, body = ErrorBody)
), security(("key" = [])))]
#[post("/v1/embeddings")]
pub(crate) async fn embeddings(
    caller: Allowed<LlmEmbed>,
    body: Json<EmbeddingsRequest, Prompt>,
) -> Result<HttpResponse, Problem> {
    let body = body.into_inner();
    let ask = Embed {
        model: Some(body.model.clone()),
        inputs: body.input.into_inputs()?,
        dimensions: body.dimensions,
    };
    let model = body.model;
    let mut account = Account::open(&caller, &model, cost(&ask.inputs))?;
    let made = account.outcome(caller.port().call(ask).await)?;
    account.embedded(&model, made.prompt_tokens, &caller.edge().models);
    Ok(HttpResponse::Ok().json(response(made, body.encoding_format)))
}

fn cost(inputs: &[EmbedInput]) -> Cost {
    let texts = inputs.iter().filter_map(|input| match input {
        EmbedInput::Text(text) => Some(text.len()),
        EmbedInput::Tokens(_) => None,
    });
    let ids = inputs.iter().map(|input| match input {
        EmbedInput::Text(_) => 0,
        EmbedInput::Tokens(ids) => ids.len().saturating_add(2),
    });
    Cost::of_embedding(texts, ids.sum())
}

fn response(made: Embeddings, encoding: Encoding) -> EmbeddingsResponse {
    let data = made.vectors.into_iter().enumerate();
    EmbeddingsResponse {
        object: "list",
        data: data
            .map(|(index, vector)| EmbeddingObject {
                object: "embedding",
                index,
                embedding: written(vector, encoding),
            })
            .collect(),
        model: made.model,
        usage: EmbeddingsUsage {
            prompt_tokens: made.prompt_tokens,
            total_tokens: made.prompt_tokens,
        },
    }
}

fn written(vector: Vec<f32>, encoding: Encoding) -> Vector {
    match encoding {
        Encoding::Float => Vector::Float(vector),
        Encoding::Base64 => {
            let bytes: Vec<u8> = vector.iter().flat_map(|x| x.to_le_bytes()).collect();
            Vector::Base64(BASE64_STANDARD.encode(bytes))
        }
    }
}

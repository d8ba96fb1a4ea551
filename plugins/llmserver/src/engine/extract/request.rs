//! What a chat or completion request asks of `bkg-extract`.

use messages::{
    brainml::{Group, Mode, Query},
    fault::Fault,
    llmserver::{Chat, Complete, Retrieval},
};
use serde_json::{Map, Value};

/// The part of a request that matters here. Sampling parameters do not: there is no sampling.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Request {
    /// The model's id, as the answer repeats it.
    pub(super) model: String,
    /// What is asked: the last message of the user.
    pub(super) question: String,
    /// Everything that was said, for the usage.
    pub(super) prompt: String,
    /// Where to look.
    pub(super) retrieval: Retrieval,
    /// Most tokens of the answer.
    pub(super) most_tokens: Option<u64>,
    /// Whether the answer comes in pieces.
    pub(super) streamed: bool,
    /// Whether a stream tells the usage.
    pub(super) tells_usage: bool,
}

impl Request {
    /// Reads a chat request.
    ///
    /// # Errors
    /// [`Invalid`](messages::fault::FaultKind::Invalid) when the user asks nothing, or for more
    /// than one answer.
    pub(super) fn of_chat(chat: &Chat) -> Result<Self, Fault> {
        let said = chat.messages.iter().rev().find(|one| one.role == "user");
        let question = said.map(|message| message.text()).unwrap_or_default();
        if question.trim().is_empty() {
            let text = "there is no question: the last message of the user is empty or missing";
            return Err(Fault::invalid(text).with_param("messages"));
        }
        let texts: Vec<String> = chat.messages.iter().map(|message| message.text()).collect();
        Ok(Self {
            model: chat.model.clone(),
            question: question.trim().to_owned(),
            prompt: texts.join("\n"),
            retrieval: chat.retrieval.clone().unwrap_or_default(),
            most_tokens: limits(&chat.extra)?,
            streamed: chat.stream == Some(true),
            tells_usage: chat
                .stream_options
                .as_ref()
                .is_some_and(|o| o.include_usage),
        })
    }

    /// Reads a completion request; its prompt is the question.
    ///
    /// # Errors
    /// As [`Request::of_chat`].
    pub(super) fn of_completion(body: &Complete) -> Result<Self, Fault> {
        let prompt = match &body.prompt {
            Value::Array(prompts) => match prompts.as_slice() {
                [Value::String(prompt)] => prompt.as_str(),
                _ => "",
            },
            prompt => prompt.as_str().unwrap_or_default(),
        };
        if prompt.trim().is_empty() {
            let text = "`prompt` must be one text that is not empty";
            return Err(Fault::invalid(text).with_param("prompt"));
        }
        Ok(Self {
            model: body.model.clone(),
            question: prompt.trim().to_owned(),
            prompt: prompt.to_owned(),
            retrieval: Retrieval::default(),
            most_tokens: limits(&body.extra)?,
            streamed: body.stream == Some(true),
            tells_usage: body
                .stream_options
                .as_ref()
                .is_some_and(|o| o.include_usage),
        })
    }

    /// What to ask of the index; `passages` is how many hits to look at by default.
    pub(super) fn query(&self, passages: u32) -> Query {
        Query {
            collections: self.retrieval.collections.clone(),
            query: self.question.clone(),
            top_k: self.retrieval.top_k.unwrap_or(passages),
            group: Group::Chunk,
            mode: Mode::Hybrid,
            filter: None,
            explain: false,
        }
    }
}

/// Refuses several answers at once; gives the most tokens of one.
fn limits(extra: &Map<String, Value>) -> Result<Option<u64>, Fault> {
    let given = |field: &str| extra.get(field).filter(|value| !value.is_null());
    if given("n").is_some_and(|n| n.as_u64() != Some(1)) {
        let text = format!(
            "{} has one answer to a question: `n` must be 1",
            super::MODEL
        );
        return Err(Fault::invalid(text).with_param("n"));
    }
    let field = ["max_completion_tokens", "max_tokens"]
        .into_iter()
        .find_map(|field| Some((field, given(field)?)));
    match field {
        None => Ok(None),
        Some((field, value)) => match value.as_u64() {
            Some(most) if most > 0 => Ok(Some(most)),
            _ => {
                let text = format!("`{field}` must be a whole number above 0");
                Err(Fault::invalid(text).with_param(field))
            }
        },
    }
}

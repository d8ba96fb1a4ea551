//! Chat, completions, embeddings and models: what can be asked of the plugin `llmserver`.
//!
//! The shapes are those of OpenAI's HTTP API. Fields that this gateway does not know are kept in
//! `extra` and passed on to upstreams unchanged.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::{call::Capability, stream::Deltas};

mod conversations;

pub use self::conversations::{
    Conversation, ConversationDraft, ConversationEntry, ConversationExport, ConversationMessage,
    ConversationPage, CreateConversation, DeleteConversation, ExportConversation, ExportFormat,
    GetConversation, ListConversations, SampleSettings, Speaker, UpdateConversation,
};

/// Asks for vectors.
#[derive(Debug, Clone)]
pub struct Embed {
    /// The model's id; absent asks the default embedding model.
    pub model: Option<String>,
    /// What to embed, at least one.
    pub inputs: Vec<EmbedInput>,
    /// The length of each vector, where the model can choose.
    pub dimensions: Option<u32>,
}

/// One text to embed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EmbedInput {
    /// Text.
    Text(String),
    /// Ids of the model's own tokens, without special tokens.
    Tokens(Vec<u32>),
}

/// Vectors in the order of the inputs.
#[derive(Debug, Clone)]
pub struct Embeddings {
    /// The model that made them.
    pub model: String,
    /// SHA-256 of the model's weights as lower-case hex, or what else tells its vectors from
    /// another model's.
    pub model_hash: String,
    /// One vector an input, of unit length where the model normalises.
    pub vectors: Vec<Vec<f32>>,
    /// Tokens read.
    pub prompt_tokens: u64,
}

impl Capability for Embed {
    type Reply = Embeddings;
    const NAME: &'static str = "llm.embed";
    const DEADLINE: Duration = Duration::from_secs(120);
}

/// A chat completion request, as OpenAI's `POST /v1/chat/completions`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Chat {
    /// The model's id.
    pub model: String,
    /// The conversation so far.
    pub messages: Vec<ChatMessage>,
    /// Whether the answer comes in pieces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<bool>,
    /// What the stream carries beside the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream_options: Option<StreamOptions>,
    /// The collections that the answer may be drawn from; an extension of this gateway's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retrieval: Option<Retrieval>,
    /// Everything else, passed on unchanged.
    #[serde(flatten)]
    #[schema(additional_properties)]
    pub extra: Map<String, Value>,
}

/// One message of a conversation.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ChatMessage {
    /// `system`, `developer`, `user`, `assistant` or `tool`.
    pub role: String,
    /// A string, a list of parts, or null.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    pub content: Value,
    /// Everything else, passed on unchanged.
    #[serde(flatten)]
    #[schema(additional_properties)]
    pub extra: Map<String, Value>,
}

impl ChatMessage {
    /// The message's text: the string, or the text parts joined by line ends.
    pub fn text(&self) -> String {
        match &self.content {
            Value::String(text) => text.clone(),
            Value::Array(parts) => {
                let texts = parts.iter().filter_map(|part| part.get("text")?.as_str());
                texts.collect::<Vec<_>>().join("\n")
            }
            _ => String::new(),
        }
    }
}

/// OpenAI's `stream_options`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StreamOptions {
    /// Whether a last chunk carries the usage.
    #[serde(default)]
    pub include_usage: bool,
    /// Everything else, passed on unchanged.
    #[serde(flatten)]
    #[schema(additional_properties)]
    pub extra: Map<String, Value>,
}

/// The collections that an answer may be drawn from.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Retrieval {
    /// Names of collections; empty means all that the caller may query.
    #[serde(default)]
    pub collections: Vec<String>,
    /// How many passages to consider.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top_k: Option<u32>,
}

/// A legacy completion request, as OpenAI's `POST /v1/completions`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Complete {
    /// The model's id.
    pub model: String,
    /// A string or a list of strings.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub prompt: Value,
    /// Whether the answer comes in pieces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<bool>,
    /// What the stream carries beside the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream_options: Option<StreamOptions>,
    /// Everything else, passed on unchanged.
    #[serde(flatten)]
    #[schema(additional_properties)]
    pub extra: Map<String, Value>,
}

/// An answer in OpenAI's shape: `chat.completion` or `text_completion` whole, or the chunks of one
/// (each the JSON of one `data:` line; the closing `[DONE]` is the edge's business).
#[derive(Debug)]
pub enum Completion {
    /// All at once.
    Whole(Value),
    /// In pieces.
    Chunks(Deltas<Value>),
}

impl Capability for Chat {
    type Reply = Completion;
    const NAME: &'static str = "llm.chat";
    const DEADLINE: Duration = Duration::from_secs(600);
}

impl Capability for Complete {
    type Reply = Completion;
    const NAME: &'static str = "llm.complete";
    const DEADLINE: Duration = Duration::from_secs(600);
}

/// What a model can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ModelTask {
    /// Chat and completions.
    Chat,
    /// Embeddings.
    Embedding,
}

impl ModelTask {
    /// The list of capabilities of a model for this task.
    pub fn capabilities(self) -> Vec<ModelCapability> {
        match self {
            Self::Chat => vec![ModelCapability::Chat],
            Self::Embedding => vec![ModelCapability::Embeddings],
        }
    }
}

/// What a model answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ModelCapability {
    /// Chat and completions.
    Chat,
    /// Embeddings.
    Embeddings,
}

/// A model that can be used now, in the shape of OpenAI's `model` object with more fields.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Model {
    /// The id that requests name.
    pub id: String,
    /// Always `model`.
    pub object: String,
    /// When it was made or added, in Unix seconds.
    pub created: i64,
    /// `bkg` for what runs here, else the upstream's name.
    pub owned_by: String,
    /// What it can do.
    pub task: ModelTask,
    /// The same as a list, for programs that expect more than one.
    #[serde(default)]
    pub capabilities: Vec<ModelCapability>,
    /// The engine that runs it: `burn`, `extract` or `upstream`.
    pub engine: String,
    /// The length of its vectors, for an embedding model that runs here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dimensions: Option<u32>,
    /// The tokens that it reads of one text, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<u32>,
}

/// Lists the models that can be used now.
#[derive(Debug, Clone)]
pub struct ListModels;

impl Capability for ListModels {
    type Reply = Vec<Model>;
    const NAME: &'static str = "llm.models";
    const DEADLINE: Duration = Duration::from_secs(10);
}

/// Fetches a model, checks its hashes and loads it.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PullModel {
    /// The model's name.
    pub name: String,
    /// A directory on the gateway's machine to take it from, instead of the network.
    #[serde(default)]
    pub from: Option<String>,
}

/// How far a pull has come. The last one has `stage` `ready`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PullProgress {
    /// What is being done: `connect`, `download`, `unpack`, `verify`, `load`, `ready`.
    pub stage: String,
    /// What it is about: a source or a file.
    pub item: String,
    /// Bytes done.
    pub done: u64,
    /// Bytes in all, where that is known.
    pub total: Option<u64>,
}

impl Capability for PullModel {
    type Reply = Deltas<PullProgress>;
    const NAME: &'static str = "llm.pull";
    const DEADLINE: Duration = Duration::from_secs(3600);
}

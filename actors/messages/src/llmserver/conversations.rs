//! Conversations that are kept: each user's own, as documents with a revision.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::{apikeys::instant, call::Capability};

/// Who speaks in a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Speaker {
    /// The person.
    User,
    /// The model.
    Assistant,
    /// Who instructs the model.
    System,
}

/// One message of a conversation that is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ConversationMessage {
    /// Who speaks.
    pub role: Speaker,
    /// What is said; Markdown from most models.
    pub content: String,
    /// Citations, as the answer carried them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<Object>)]
    pub annotations: Vec<Value>,
    /// The model that answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The tokens used, as the answer carried them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub usage: Option<Value>,
    /// When it was said: RFC 3339 or Unix seconds.
    #[serde(
        default,
        deserialize_with = "instant",
        skip_serializing_if = "Option::is_none"
    )]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub created_at: Option<Timestamp>,
}

/// How a model is asked in a conversation; what is absent is left to the model.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SampleSettings {
    /// OpenAI's `temperature`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// OpenAI's `top_p`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top_p: Option<f64>,
    /// OpenAI's `max_tokens`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u64>,
}

/// What a conversation is to be.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ConversationDraft {
    /// Its title; without one the beginning of the first thing that the user says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// The model that is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// What the model is told before everything else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system: Option<String>,
    /// How the model is asked.
    #[serde(default)]
    pub settings: SampleSettings,
    /// The collections that answers may be drawn from.
    #[serde(default)]
    pub collections: Vec<String>,
    /// What has been said, oldest first.
    #[serde(default)]
    pub messages: Vec<ConversationMessage>,
    /// The revision that was read and is to be replaced; a conversation that is new has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
}

/// A conversation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Conversation {
    /// Its id.
    pub id: String,
    /// 1 when it is new, and one more with each change.
    pub revision: u64,
    /// Its title.
    pub title: String,
    /// The model that is asked.
    pub model: Option<String>,
    /// What the model is told before everything else.
    pub system: Option<String>,
    /// How the model is asked.
    pub settings: SampleSettings,
    /// The collections that answers may be drawn from.
    pub collections: Vec<String>,
    /// What has been said, oldest first.
    pub messages: Vec<ConversationMessage>,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it was changed last.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
}

/// A conversation as a list shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ConversationEntry {
    /// Its id.
    pub id: String,
    /// Its title.
    pub title: String,
    /// The model that is asked.
    pub model: Option<String>,
    /// How many messages it has.
    pub messages: u64,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it was changed last.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
    /// Where a message holds what was searched for; nothing where only the title does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub excerpt: Option<String>,
}

/// A part of a list of conversations.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ConversationPage {
    /// The one that was changed last comes first.
    pub conversations: Vec<ConversationEntry>,
    /// What `before` must be to go on; nothing at the end.
    pub next: Option<String>,
}

/// Lists the caller's conversations.
#[derive(Debug, Clone)]
pub struct ListConversations {
    /// What title or messages must hold, in capitals or not.
    pub query: Option<String>,
    /// How many at the most, 1 to 200.
    pub limit: u32,
    /// The list goes on after this place, which an earlier part of it named.
    pub before: Option<String>,
}

/// Keeps a new conversation for the caller.
#[derive(Debug, Clone)]
pub struct CreateConversation {
    /// What it is to be.
    pub draft: ConversationDraft,
}

/// Reads one of the caller's conversations.
#[derive(Debug, Clone)]
pub struct GetConversation {
    /// Its id.
    pub id: String,
}

/// Replaces one of the caller's conversations, where it is still the one that was read.
#[derive(Debug, Clone)]
pub struct UpdateConversation {
    /// Its id.
    pub id: String,
    /// What it is to be.
    pub draft: ConversationDraft,
}

/// Deletes one of the caller's conversations.
#[derive(Debug, Clone)]
pub struct DeleteConversation {
    /// Its id.
    pub id: String,
}

/// What a conversation is written as.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ExportFormat {
    /// For people.
    #[default]
    Markdown,
    /// For programs: the whole conversation.
    Json,
}

/// Writes one of the caller's conversations as a file.
#[derive(Debug, Clone)]
pub struct ExportConversation {
    /// Its id.
    pub id: String,
    /// What it is written as.
    pub format: ExportFormat,
}

/// A conversation as a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConversationExport {
    /// A name of `a-z 0-9 - .` that says what it is about.
    pub file_name: String,
    /// What it is written as.
    pub format: ExportFormat,
    /// Its content.
    pub text: String,
}

macro_rules! capabilities {
    ($($name:ty = $text:literal -> $reply:ty,)*) => {
        $(impl Capability for $name {
            type Reply = $reply;
            const NAME: &'static str = $text;
            const DEADLINE: Duration = Duration::from_secs(10);
        })*
    };
}

capabilities! {
    ListConversations = "llm.list_conversations" -> ConversationPage,
    CreateConversation = "llm.create_conversation" -> Conversation,
    GetConversation = "llm.get_conversation" -> Conversation,
    UpdateConversation = "llm.update_conversation" -> Conversation,
    DeleteConversation = "llm.delete_conversation" -> (),
    ExportConversation = "llm.export_conversation" -> ConversationExport,
}

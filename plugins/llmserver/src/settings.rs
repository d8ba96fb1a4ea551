//! The plugin's settings, as `plugins.json` and the operator give them.

use serde::{Deserialize, Serialize};

/// Everything that can be set. Each field has a default, so `{}` is a whole configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// The model that answers a chat whose request names none.
    pub chat_model: String,
    /// The model that embeds where a request names none. Must be in the models directory.
    pub embedding_model: String,
    /// Tokens in one batch of the encoder. Larger batches keep a short question waiting for
    /// longer behind an indexing run, and beyond about 1,000 tokens bring no more throughput.
    pub batch_tokens: usize,
    /// Most inputs of one embedding call.
    pub max_inputs: usize,
    /// Longest text of one input or one question, in bytes.
    pub max_input_bytes: usize,
    /// How `bkg-extract` chooses what to quote.
    pub extract: ExtractSettings,
    /// OpenAI-compatible servers whose models are offered here under their own ids.
    pub upstreams: Vec<UpstreamSettings>,
}

/// How `bkg-extract` chooses what to quote.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ExtractSettings {
    /// A passage is near enough when its cosine with the question is at least this. Measured with
    /// all-MiniLM-L6-v2 on 700 documents of Cranfield: 0.35 lets 97 % of 150 questions of its own
    /// through, and of 20 foreign ones the two that are about aircraft and flight.
    pub cosine: f32,
    /// Or when it has at least this share of the question's weight in words.
    pub coverage: f32,
    /// Passages to look at where the request does not say.
    pub passages: u32,
    /// Most passages to quote.
    pub quotes: usize,
    /// A quote grows by whole sentences until it has this many bytes.
    pub quote_bytes: usize,
}

/// One OpenAI-compatible server.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UpstreamSettings {
    /// What it is called in `owned_by`, in errors and in the log.
    pub name: String,
    /// Its API's root, such as `https://api.openai.com/v1`.
    pub base_url: String,
    /// The key itself. Prefer `api_key_env`.
    #[serde(default)]
    pub api_key: Option<String>,
    /// The environment variable that holds the key.
    #[serde(default)]
    pub api_key_env: Option<String>,
    /// Ids of its models for chat and completions.
    #[serde(default)]
    pub models: Vec<String>,
    /// Ids of its embedding models.
    #[serde(default)]
    pub embedding_models: Vec<String>,
}

impl std::fmt::Debug for UpstreamSettings {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("UpstreamSettings")
            .field("name", &self.name)
            .field("base_url", &self.base_url)
            .field("api_key", &self.api_key.as_ref().map(|_| "(hidden)"))
            .field("api_key_env", &self.api_key_env)
            .field("models", &self.models)
            .field("embedding_models", &self.embedding_models)
            .finish()
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            chat_model: crate::engine::extract::MODEL.to_owned(),
            embedding_model: "all-MiniLM-L6-v2".to_owned(),
            batch_tokens: 1024,
            max_inputs: 2048,
            max_input_bytes: 64 * 1024,
            extract: ExtractSettings::default(),
            upstreams: Vec::new(),
        }
    }
}

impl Default for ExtractSettings {
    fn default() -> Self {
        Self {
            cosine: 0.35,
            coverage: 0.6,
            passages: 8,
            quotes: 3,
            quote_bytes: 240,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_a_whole_configuration() {
        assert_eq!(
            serde_json::from_str::<Settings>("{}").unwrap(),
            Settings::default()
        );
    }

    #[test]
    fn an_unknown_field_is_named() {
        let error = serde_json::from_str::<Settings>(r#"{"batch_token": 1}"#).unwrap_err();
        assert!(error.to_string().contains("batch_token"), "{error}");
    }

    #[test]
    fn a_key_is_not_shown_by_debug() {
        let text = r#"{"name":"u","base_url":"http://h/v1","api_key":"sk-canary"}"#;
        let upstream: UpstreamSettings = serde_json::from_str(text).unwrap();
        assert!(!format!("{upstream:?}").contains("canary"));
    }
}

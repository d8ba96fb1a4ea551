//! The plugin's settings, as `plugins.json` and the operator give them.

use std::{fmt::Display, ops::RangeInclusive};

use messages::fault::{Fault, FaultKind};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::engine::{extract, upstream::reach::Reach};

/// Most passages that one query of the index may ask for.
const MOST_PASSAGES: u32 = 1000;

/// Everything that can be set. Each field has a default, so `{}` is a whole configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// The model that answers a chat whose request names none.
    pub chat_model: String,
    /// The model that embeds where a request names none: one of the models directory, or else of
    /// an upstream. Where it is neither, search works by words alone.
    pub embedding_model: String,
    /// Tokens in one batch of the encoder. Larger batches keep a short question waiting for
    /// longer behind an indexing run, and beyond about 1,000 tokens bring no more throughput.
    pub batch_tokens: usize,
    /// Most inputs of one embedding call.
    pub max_inputs: usize,
    /// Longest text of one input or one question, in bytes.
    pub max_input_bytes: usize,
    /// Longest text of one chat or completion, in bytes; a model may read less.
    pub max_prompt_bytes: usize,
    /// Most tokens that a request may ask for; a model may write less.
    pub max_output_tokens: u64,
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
    /// Its share of the calls of a model that other upstreams have too; with 0 it is asked only
    /// when they fail.
    #[serde(default = "one")]
    pub weight: u32,
    /// How long it may stay silent, in seconds: a long prompt is read before the first token comes.
    #[serde(default = "five_minutes")]
    pub silence_seconds: u64,
}

fn one() -> u32 {
    1
}

fn five_minutes() -> u64 {
    300
}

impl Settings {
    /// Whether `settings` can be worked with: their fields, their bounds, and the form of each
    /// upstream. Whether an upstream's key is in the environment is not asked, for that may change.
    ///
    /// # Errors
    /// [`Unprocessable`](messages::fault::FaultKind::Unprocessable) with the field at fault.
    pub fn check(settings: &Value) -> Result<(), Fault> {
        let settings = Self::deserialize(settings)
            .map_err(|error| Fault::unprocessable(format!("settings: {error}")))?;
        settings.check_bounds()?;
        settings.upstreams.iter().try_for_each(|upstream| {
            let wrong = |what| upstream.refusal(what).with_param("upstreams");
            upstream.check().map_err(wrong)
        })
    }

    /// Whether an operator may save `settings`: every upstream must be where `reach` allows it. One
    /// that was saved before and is no longer allowed disables itself alone.
    ///
    /// # Errors
    /// [`Invalid`](messages::fault::FaultKind::Invalid) with the upstream and what would allow it.
    pub fn check_reach(settings: &Value, reach: &Reach) -> Result<(), Fault> {
        let settings = Self::deserialize(settings)
            .map_err(|error| Fault::unprocessable(format!("settings: {error}")))?;
        settings.upstreams.iter().try_for_each(|upstream| {
            let place = reach.check(&upstream.base_url);
            place.map(drop).map_err(|what| Fault {
                kind: FaultKind::Invalid,
                ..upstream.refusal(what).with_param("upstreams")
            })
        })
    }

    /// Whether the gateway's own part can work with these numbers.
    ///
    /// # Errors
    /// As [`Settings::check`].
    pub(crate) fn check_bounds(&self) -> Result<(), Fault> {
        let extract = &self.extract;
        within("batch_tokens", self.batch_tokens, 1..=16_384)?;
        within("max_inputs", self.max_inputs, 1..=65_536)?;
        within("max_input_bytes", self.max_input_bytes, 1..=16 << 20)?;
        within("max_prompt_bytes", self.max_prompt_bytes, 1..=32 << 20)?;
        within("max_output_tokens", self.max_output_tokens, 1..=1 << 24)?;
        within("extract.cosine", extract.cosine, -1.0..=1.0)?;
        within("extract.coverage", extract.coverage, 0.0..=1.0)?;
        within("extract.passages", extract.passages, 1..=MOST_PASSAGES)?;
        within("extract.quotes", extract.quotes, 1..=100)?;
        let longest = extract::pick::LONGEST;
        within("extract.quote_bytes", extract.quote_bytes, 1..=longest)?;
        named("chat_model", &self.chat_model)?;
        named("embedding_model", &self.embedding_model)
    }
}

fn within<T: PartialOrd + Display>(
    field: &str,
    value: T,
    range: RangeInclusive<T>,
) -> Result<(), Fault> {
    if range.contains(&value) {
        return Ok(());
    }
    let (least, most) = range.into_inner();
    let text = format!("settings: {field} must be {least} to {most}, not {value}");
    Err(Fault::unprocessable(text).with_param(field))
}

fn named(field: &str, model: &str) -> Result<(), Fault> {
    if model.is_empty() {
        let text = format!("settings: {field} must name a model");
        return Err(Fault::unprocessable(text).with_param(field));
    }
    Ok(())
}

impl UpstreamSettings {
    /// Whether its name and key have a form that can be used; [`Reach`] judges its address.
    ///
    /// # Errors
    /// What is wrong.
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.name.is_empty() {
            return Err("`name` is empty".to_owned());
        }
        if self.api_key.is_some() && self.api_key_env.is_some() {
            return Err("give `api_key` or `api_key_env`, not both".to_owned());
        }
        if !(1..=3600).contains(&self.silence_seconds) {
            return Err("`silence_seconds` must be 1 to 3600".to_owned());
        }
        Ok(())
    }

    /// The fault of an upstream that cannot be used because of `what`.
    pub(crate) fn refusal(&self, what: String) -> Fault {
        Fault::unprocessable(format!("settings of upstream `{}`: {what}", self.name))
    }
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
            .field("weight", &self.weight)
            .field("silence_seconds", &self.silence_seconds)
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
            max_prompt_bytes: 1 << 20,
            max_output_tokens: 1 << 20,
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
    use serde_json::json;

    use super::*;

    #[test]
    fn senseless_settings_are_refused_before_they_are_kept() {
        for (settings, field) in [
            (json!({"batch": 1}), "batch"),
            (json!({"batch_tokens": 0}), "batch_tokens"),
            (json!({"max_inputs": 0}), "max_inputs"),
            (json!({"max_input_bytes": 1_u64 << 40}), "max_input_bytes"),
            (json!({"embedding_model": ""}), "embedding_model"),
            (json!({"extract": {"cosine": 1e99}}), "extract.cosine"),
            (json!({"extract": {"coverage": -0.1}}), "extract.coverage"),
            (json!({"extract": {"passages": 0}}), "extract.passages"),
            (json!({"extract": {"passages": 1001}}), "extract.passages"),
            (json!({"extract": {"quotes": 0}}), "extract.quotes"),
            (
                json!({"extract": {"quote_bytes": 801}}),
                "extract.quote_bytes",
            ),
        ] {
            let fault = Settings::check(&settings).unwrap_err();
            assert!(fault.message.contains(field), "{fault}");
        }
        let defaults = serde_json::to_value(Settings::default()).unwrap();
        assert_eq!(Settings::check(&defaults), Ok(()));
    }

    #[test]
    fn an_upstream_is_checked_by_form_and_not_by_the_environment() {
        let check = |upstream: Value| Settings::check(&json!({"upstreams": [upstream]}));
        for wrong in [
            json!({"name": "w", "base_url": "http://h/v1", "api_key_env": "A", "api_key": "b"}),
            json!({"name": "", "base_url": "http://h/v1"}),
        ] {
            let fault = check(wrong).unwrap_err();
            assert!(fault.message.contains("upstream `"), "{fault}");
            assert_eq!(fault.param.as_deref(), Some("upstreams"));
        }
        let unset = json!({"name": "w", "base_url": "http://h/v1", "api_key_env": "BKG_NOT_SET"});
        assert_eq!(check(unset), Ok(()));
    }

    #[test]
    fn an_upstream_that_is_out_of_reach_is_not_saved() {
        let check = |url: &str| {
            let upstream = json!({"name": "w", "base_url": url});
            Settings::check_reach(&json!({"upstreams": [upstream]}), &Reach::default())
        };
        for wrong in [
            "no address",
            "file:///etc/passwd",
            "http://user@host/v1",
            "http://127.0.0.1/v1",
        ] {
            let fault = check(wrong).unwrap_err();
            assert_eq!(fault.kind, FaultKind::Invalid);
            assert!(fault.message.contains("upstream `w`"), "{fault}");
            assert_eq!(fault.param.as_deref(), Some("upstreams"));
        }
        assert_eq!(check("https://api.example.com/v1"), Ok(()));
    }

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

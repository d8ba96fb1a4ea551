//! The plugin's settings, as `plugins.json` and the operator give them.

use std::{fmt::Display, ops::RangeInclusive};

use messages::fault::{Fault, FaultKind};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;
use utoipa::ToSchema;

use crate::engine::{extract, upstream::reach::Reach};

/// Most passages that one query of the index may ask for.
const MOST_PASSAGES: u32 = 1000;

/// Everything that can be set. Each field has a default, so `{}` is a whole configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// The model that answers a chat whose request names none.
    #[schema(min_length = 1)]
    pub chat_model: String,
    /// The model that embeds where a request names none: one of the models directory, or else of
    /// an upstream. Where it is neither, search works by words alone.
    #[schema(min_length = 1)]
    pub embedding_model: String,
    /// Tokens in one batch of the encoder. Larger batches keep a short question waiting for
    /// longer behind an indexing run, and beyond about 1,000 tokens bring no more throughput.
    #[schema(minimum = 1, maximum = 16384)]
    pub batch_tokens: usize,
    /// Most inputs of one embedding call.
    #[schema(minimum = 1, maximum = 65536)]
    pub max_inputs: usize,
    /// Longest text of one input or one question, in bytes.
    #[schema(minimum = 1, maximum = 16777216)]
    pub max_input_bytes: usize,
    /// Longest text of one chat or completion, in bytes; a model may read less.
    #[schema(minimum = 1, maximum = 33554432)]
    pub max_prompt_bytes: usize,
    /// Most tokens that a request may ask for; a model may write less.
    #[schema(minimum = 1, maximum = 16777216)]
    pub max_output_tokens: u64,
    /// How `bkg-extract` chooses what to quote.
    #[schema(inline)]
    pub extract: ExtractSettings,
    /// OpenAI-compatible servers whose models are offered here under their own ids.
    #[schema(inline)]
    pub upstreams: Vec<UpstreamSettings>,
}

/// How `bkg-extract` chooses what to quote.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ExtractSettings {
    /// A passage is near enough when its cosine with the question is at least this. Measured with
    /// all-MiniLM-L6-v2 on 700 documents of Cranfield: 0.35 lets 97 % of 150 questions of its own
    /// through, and of 20 foreign ones the two that are about aircraft and flight.
    #[schema(minimum = -1, maximum = 1)]
    #[serde(serialize_with = "shortest")]
    pub cosine: f32,
    /// Or when it has at least this share of the question's weight in words.
    #[schema(minimum = 0, maximum = 1)]
    #[serde(serialize_with = "shortest")]
    pub coverage: f32,
    /// Passages to look at where the request does not say.
    #[schema(minimum = 1, maximum = 1000)]
    pub passages: u32,
    /// Most passages to quote.
    #[schema(minimum = 1, maximum = 100)]
    pub quotes: usize,
    /// A quote grows by whole sentences until it has this many bytes.
    #[schema(minimum = 1, maximum = 800)]
    pub quote_bytes: usize,
}

/// One OpenAI-compatible server.
#[derive(Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UpstreamSettings {
    /// What it is called in `owned_by`, in errors and in the log.
    #[schema(min_length = 1)]
    pub name: String,
    /// Its API's root, such as `https://api.openai.com/v1`.
    pub base_url: String,
    /// The key itself. Prefer `api_key_env`.
    #[serde(default)]
    #[schema(write_only)]
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
    #[schema(default = one)]
    pub weight: u32,
    /// How long it may stay silent, in seconds: a long prompt is read before the first token comes.
    #[serde(default = "five_minutes")]
    #[schema(default = five_minutes, minimum = 1, maximum = 3600)]
    pub silence_seconds: u64,
}

/// Writes 0.35 as 0.35, and not as the nearest number of twice the length.
fn shortest<S: Serializer>(number: &f32, out: S) -> Result<S::Ok, S::Error> {
    let shortest = number.to_string().parse();
    out.serialize_f64(shortest.unwrap_or_else(|_| f64::from(*number)))
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
mod tests;

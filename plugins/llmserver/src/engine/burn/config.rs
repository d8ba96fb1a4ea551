//! What a model directory says of its encoder: dimensions, window and pooling.

use std::path::Path;

use serde::{Deserialize, de::DeserializeOwned};

use super::fault::ModelFault;

/// The part of a BERT `config.json` that the forward pass needs.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct BertConfig {
    pub(crate) hidden_size: usize,
    pub(crate) num_hidden_layers: usize,
    pub(crate) num_attention_heads: usize,
    pub(crate) intermediate_size: usize,
    pub(crate) vocab_size: usize,
    pub(crate) max_position_embeddings: usize,
    pub(crate) type_vocab_size: usize,
    pub(crate) layer_norm_eps: f64,
    model_type: String,
    hidden_act: String,
    #[serde(default = "absolute")]
    position_embedding_type: String,
    /// Longest input in tokens, its two special ones included.
    #[serde(skip)]
    pub(crate) window: usize,
}

fn absolute() -> String {
    "absolute".to_owned()
}

/// `sentence_bert_config.json`: the window that the model was trained for.
#[derive(Deserialize)]
struct SentenceConfig {
    max_seq_length: usize,
}

/// `1_Pooling/config.json`: how token vectors become one vector.
#[derive(Deserialize)]
struct PoolingConfig {
    pooling_mode_mean_tokens: bool,
}

impl BertConfig {
    /// Reads `config.json`, and beside it, where they are there, `sentence_bert_config.json` and
    /// `1_Pooling/config.json`.
    ///
    /// # Errors
    /// When a file is unreadable, or describes a model of another family.
    pub(crate) fn load(directory: &Path) -> Result<Self, ModelFault> {
        let path = directory.join("config.json");
        let mut config: Self = json(&path)?;
        config
            .check()
            .map_err(|what| ModelFault::Unsupported { path, what })?;
        let sentence: Option<SentenceConfig> =
            optional(&directory.join("sentence_bert_config.json"))?;
        config.window = sentence.map_or(config.max_position_embeddings, |sentence| {
            sentence.max_seq_length.min(config.max_position_embeddings)
        });
        check_pooling(&directory.join("1_Pooling").join("config.json"))?;
        Ok(config)
    }

    /// Width of one attention head.
    pub(crate) fn head_size(&self) -> usize {
        self.hidden_size / self.num_attention_heads.max(1)
    }

    fn check(&self) -> Result<(), String> {
        let named = |field: &str, found: &str, wanted: &str| {
            (found == wanted)
                .then_some(())
                .ok_or_else(|| format!("`{field}` is `{found}`, only `{wanted}` is known"))
        };
        named("model_type", &self.model_type, "bert")?;
        named("hidden_act", &self.hidden_act, "gelu")?;
        let positions = &self.position_embedding_type;
        named("position_embedding_type", positions, "absolute")?;
        let sizes = [
            self.hidden_size,
            self.num_attention_heads,
            self.intermediate_size,
            self.vocab_size,
            self.max_position_embeddings,
            self.type_vocab_size,
        ];
        if sizes.contains(&0) {
            return Err("a size of zero".to_owned());
        }
        if !self.hidden_size.is_multiple_of(self.num_attention_heads) {
            return Err("`hidden_size` is not a multiple of `num_attention_heads`".to_owned());
        }
        Ok(())
    }
}

fn check_pooling(path: &Path) -> Result<(), ModelFault> {
    match optional::<PoolingConfig>(path)? {
        Some(pooling) if !pooling.pooling_mode_mean_tokens => Err(ModelFault::Unsupported {
            path: path.to_owned(),
            what: "`pooling_mode_mean_tokens` is false, only mean pooling is known".to_owned(),
        }),
        _ => Ok(()),
    }
}

fn optional<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, ModelFault> {
    if path.exists() {
        json(path).map(Some)
    } else {
        Ok(None)
    }
}

fn json<T: DeserializeOwned>(path: &Path) -> Result<T, ModelFault> {
    let text = std::fs::read(path).map_err(|source| ModelFault::Read {
        path: path.to_owned(),
        source,
    })?;
    serde_json::from_slice(&text).map_err(|source| ModelFault::Json {
        path: path.to_owned(),
        source,
    })
}

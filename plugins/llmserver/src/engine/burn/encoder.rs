//! Sentence encoder: one vector of unit length for each sequence of tokens.

use std::path::Path;

use burn::tensor::Device;
use messages::{fault::Fault, llmserver::EmbedInput};

use super::{bert::Bert, config::BertConfig, fault::ModelFault, tokens::Tokens, weights::Weights};
use crate::{
    checksum::{self, Checksum},
    engine::embedder::Embedder,
};

/// The file of the weights.
pub(crate) const WEIGHTS: &str = "model.safetensors";

/// A BERT with mean pooling, loaded from a model directory in Hugging Face's layout.
#[derive(Debug)]
pub(crate) struct Encoder {
    tokens: Tokens,
    bert: Bert,
    dimensions: usize,
    fingerprint: String,
    bytes: u64,
}

impl Encoder {
    /// Reads `config.json`, `tokenizer.json` and `model.safetensors` in `directory`, of which the
    /// last must have the SHA-256 `pin` where one is given. Takes a fraction of a second, so it
    /// belongs on a thread that may block.
    ///
    /// # Errors
    /// [`ModelFault`] names the file and what is wrong with it.
    pub(crate) fn load(directory: &Path, pin: Option<&str>) -> Result<Self, ModelFault> {
        let path = directory.join(WEIGHTS);
        let found = checksum_of(&path)?;
        if let Some(wanted) = pin.filter(|pin| *pin != found) {
            let wanted = wanted.to_owned();
            return Err(ModelFault::Pin {
                path,
                wanted,
                found,
            });
        }
        let config = BertConfig::load(directory)?;
        let tokens = Tokens::load(directory, config.window, config.vocab_size)?;
        let tokenizer = checksum_of(&directory.join("tokenizer.json"))?;
        let fingerprint = fingerprint(&found, &tokenizer, &config);
        let mut weights = Weights::open(&path, Device::flex());
        let bert = Bert::load(&config, &mut weights)?;
        Ok(Self {
            tokens,
            bert,
            bytes: weights.bytes(),
            dimensions: config.hidden_size,
            fingerprint,
        })
    }

    /// The length of a vector.
    pub(crate) fn dimensions(&self) -> usize {
        self.dimensions
    }

    /// Bytes of its weights in memory.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// 64 hexadecimal digits over everything that shapes a vector: vectors may be compared if and
    /// only if they are the same.
    pub(crate) fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// How many tokens `text` has.
    pub(crate) fn count(&self, text: &str) -> u64 {
        u64::try_from(self.tokens.count(text)).unwrap_or(u64::MAX)
    }
}

impl Embedder for Encoder {
    fn tokens(&self, input: &EmbedInput) -> Result<Vec<u32>, Fault> {
        match input {
            EmbedInput::Text(text) => self.tokens.of_text(text),
            EmbedInput::Tokens(ids) => self.tokens.of_ids(ids),
        }
    }

    fn embed(&self, sequences: &[&[u32]]) -> Result<Vec<Vec<f32>>, Fault> {
        let wrong = |reason: String| Fault::internal(format!("the encoder failed: {reason}"));
        let state = self.bert.forward(sequences).map_err(wrong)?;
        let state = state
            .into_data()
            .try_into_vec::<f32>()
            .map_err(|error| wrong(error.to_string()))?;
        let mut rows = state.chunks_exact(self.dimensions);
        Ok(sequences
            .iter()
            .map(|ids| unit_mean(rows.by_ref().take(ids.len()), self.dimensions))
            .collect())
    }
}

fn checksum_of(path: &Path) -> Result<String, ModelFault> {
    checksum::of_file(path).map_err(|source| ModelFault::Read {
        path: path.to_owned(),
        source,
    })
}

/// SHA-256 of what shapes a vector: the files of the weights and of the tokenizer by their own
/// checksums, and what the descriptions say beside the weights' shapes.
fn fingerprint(weights: &str, tokenizer: &str, config: &BertConfig) -> String {
    let mut checksum = Checksum::default();
    let (window, heads) = (config.window, config.num_attention_heads);
    let rest = format!("window {window} heads {heads} pooling mean");
    checksum.add([weights, tokenizer, &rest].join("\n").as_bytes());
    checksum.add(&config.layer_norm_eps.to_le_bytes());
    checksum.finish()
}

/// The mean of `rows`, scaled to length 1. Dividing by their number would change nothing.
fn unit_mean<'a>(rows: impl Iterator<Item = &'a [f32]>, dimensions: usize) -> Vec<f32> {
    let mut sum = vec![0.0_f32; dimensions];
    for row in rows {
        sum.iter_mut().zip(row).for_each(|(total, x)| *total += x);
    }
    let length = sum.iter().map(|x| x * x).sum::<f32>().sqrt();
    let scale = 1.0 / length.max(f32::MIN_POSITIVE);
    sum.iter_mut().for_each(|x| *x *= scale);
    sum
}

#[cfg(test)]
mod tests;

//! Sentence encoder: one vector of unit length for each sequence of tokens.

use std::path::Path;

use burn::tensor::Device;
use messages::{fault::Fault, llmserver::EmbedInput};

use super::{bert::Bert, config::BertConfig, fault::ModelFault, tokens::Tokens, weights::Weights};
use crate::{checksum, engine::embedder::Embedder};

/// A BERT with mean pooling, loaded from a model directory in Hugging Face's layout.
#[derive(Debug)]
pub(crate) struct Encoder {
    tokens: Tokens,
    bert: Bert,
    dimensions: usize,
    fingerprint: String,
}

impl Encoder {
    /// Reads `config.json`, `tokenizer.json` and `model.safetensors` in `directory`. Takes a
    /// fraction of a second, so it belongs on a thread that may block.
    ///
    /// # Errors
    /// [`ModelFault`] names the file and what is wrong with it.
    pub(crate) fn load(directory: &Path) -> Result<Self, ModelFault> {
        let config = BertConfig::load(directory)?;
        let tokens = Tokens::load(directory, config.window, config.vocab_size)?;
        let path = directory.join("model.safetensors");
        let fingerprint = checksum::of_file(&path).map_err(|source| ModelFault::Read {
            path: path.clone(),
            source,
        })?;
        let mut weights = Weights::open(&path, Device::flex());
        Ok(Self {
            tokens,
            bert: Bert::load(&config, &mut weights)?,
            dimensions: config.hidden_size,
            fingerprint,
        })
    }

    /// The length of a vector.
    pub(crate) fn dimensions(&self) -> usize {
        self.dimensions
    }

    /// SHA-256 of the weights: vectors may be compared if and only if it is the same.
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

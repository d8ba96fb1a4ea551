//! The forward pass of BERT over a packed batch: sequences of any lengths one after another,
//! without padding.
//!
//! Devlin et al., "BERT: Pre-training of Deep Bidirectional Transformers" (2018), post-norm.
//! Everything but attention works on single tokens, so a batch is one matrix of tokens and no
//! multiplication is spent on padding. Attention runs over neighbours of equal length at once.

use burn::tensor::{
    Device, Int, Tensor, TensorData,
    module::{attention, layer_norm, linear},
    ops::AttentionModuleOptions,
    s,
};

use super::{config::BertConfig, fault::ModelFault, gelu::gelu, weights::Weights};

/// The encoder's weights. Cloning shares them.
#[derive(Debug, Clone)]
pub(crate) struct Bert {
    words: Tensor<2>,
    /// Position embeddings plus the embedding of token type 0: single sentences have no other.
    positions: Tensor<2>,
    norm: Norm,
    layers: Vec<Layer>,
    heads: usize,
    head_size: usize,
}

#[derive(Debug, Clone)]
struct Layer {
    query: Affine,
    key: Affine,
    value: Affine,
    attended: Affine,
    attention_norm: Norm,
    up: Affine,
    down: Affine,
    norm: Norm,
}

#[derive(Debug, Clone)]
struct Affine {
    weight: Tensor<2>,
    bias: Tensor<1>,
}

#[derive(Debug, Clone)]
struct Norm {
    gamma: Tensor<1>,
    beta: Tensor<1>,
    epsilon: f64,
}

/// `count` neighbouring sequences of `length` tokens, from row `start` on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Run {
    start: usize,
    count: usize,
    length: usize,
}

impl Bert {
    /// Takes the weights out of `weights`, with the names that Hugging Face gives them.
    ///
    /// # Errors
    /// When a tensor is absent or of another shape than `config` says.
    pub(crate) fn load(config: &BertConfig, weights: &mut Weights) -> Result<Self, ModelFault> {
        let hidden = config.hidden_size;
        let mut table = |name: &str, rows: usize| {
            weights.tensor(&format!("embeddings.{name}.weight"), [rows, hidden])
        };
        let words = table("word_embeddings", config.vocab_size)?;
        let positions = table("position_embeddings", config.max_position_embeddings)?;
        let types: Tensor<2> = table("token_type_embeddings", config.type_vocab_size)?;
        Ok(Self {
            words,
            positions: positions + types.slice(s![0..1, ..]),
            norm: Norm::load(config, weights, "embeddings.LayerNorm")?,
            layers: (0..config.num_hidden_layers)
                .map(|index| Layer::load(config, weights, index))
                .collect::<Result<_, _>>()?,
            heads: config.num_attention_heads,
            head_size: config.head_size(),
        })
    }

    /// The last hidden state, `[tokens of all sequences, hidden size]`, in the order given.
    /// Every id must be below the vocabulary's size and every length at least 1 and at most
    /// `max_position_embeddings`. Sequences of equal length should stand together.
    ///
    /// # Errors
    /// When the backend hands out something else than `f32`.
    pub(crate) fn forward(&self, sequences: &[&[u32]]) -> Result<Tensor<2>, String> {
        let device = self.words.device();
        let runs = runs(sequences);
        let ids = sequences.iter().flat_map(|ids| ids.iter().copied());
        let places = sequences.iter().flat_map(|ids| (0_u32..).take(ids.len()));
        let words = self.words.clone().select(0, indices(ids, &device));
        let positions = self.positions.clone().select(0, indices(places, &device));
        let mut state = self.norm.apply(words + positions);
        for layer in &self.layers {
            let attended = self.attend(layer, &state, &runs);
            state = layer
                .attention_norm
                .apply(layer.attended.apply(attended) + state);
            let inner = gelu(layer.up.apply(state.clone()))?;
            state = layer.norm.apply(layer.down.apply(inner) + state);
        }
        Ok(state)
    }

    /// Self-attention within each sequence: `[tokens, hidden]` to the same.
    fn attend(&self, layer: &Layer, state: &Tensor<2>, runs: &[Run]) -> Tensor<2> {
        let [query, key, value] =
            [&layer.query, &layer.key, &layer.value].map(|part| part.apply(state.clone()));
        let parts = runs
            .iter()
            .map(|run| {
                let [query, key, value] = [&query, &key, &value].map(|part| self.split(part, run));
                let options = AttentionModuleOptions::default();
                let seen = attention(query, key, value, None, None, options);
                seen.swap_dims(1, 2)
                    .reshape([run.count * run.length, self.heads * self.head_size])
            })
            .collect();
        Tensor::cat(parts, 0)
    }

    /// The rows of `run` as `[sequences, heads, tokens, head size]`.
    fn split(&self, rows: &Tensor<2>, run: &Run) -> Tensor<4> {
        rows.clone()
            .slice(s![run.start..run.start + run.count * run.length, ..])
            .reshape([run.count, run.length, self.heads, self.head_size])
            .swap_dims(1, 2)
    }
}

impl Layer {
    fn load(config: &BertConfig, weights: &mut Weights, index: usize) -> Result<Self, ModelFault> {
        let (hidden, inner) = (config.hidden_size, config.intermediate_size);
        let name = |part: &str| format!("encoder.layer.{index}.{part}");
        let mut affine = |part: &str, from, to| Affine::load(weights, &name(part), from, to);
        Ok(Self {
            query: affine("attention.self.query", hidden, hidden)?,
            key: affine("attention.self.key", hidden, hidden)?,
            value: affine("attention.self.value", hidden, hidden)?,
            attended: affine("attention.output.dense", hidden, hidden)?,
            up: affine("intermediate.dense", hidden, inner)?,
            down: affine("output.dense", inner, hidden)?,
            attention_norm: Norm::load(config, weights, &name("attention.output.LayerNorm"))?,
            norm: Norm::load(config, weights, &name("output.LayerNorm"))?,
        })
    }
}

impl Affine {
    /// The file holds `[to, from]`, the product wants `[from, to]`.
    fn load(weights: &mut Weights, name: &str, from: usize, to: usize) -> Result<Self, ModelFault> {
        let weight: Tensor<2> = weights.tensor(&format!("{name}.weight"), [to, from])?;
        let bias = weights.tensor(&format!("{name}.bias"), [to])?;
        // Through data, so that the transposed matrix is laid out in rows once and not at each use.
        let device = weight.device();
        let weight = Tensor::from_data(weight.transpose().into_data(), &device);
        Ok(Self { weight, bias })
    }

    fn apply(&self, input: Tensor<2>) -> Tensor<2> {
        linear(input, self.weight.clone(), Some(self.bias.clone()))
    }
}

impl Norm {
    fn load(config: &BertConfig, weights: &mut Weights, name: &str) -> Result<Self, ModelFault> {
        let width = [config.hidden_size];
        Ok(Self {
            gamma: weights.tensor(&format!("{name}.weight"), width)?,
            beta: weights.tensor(&format!("{name}.bias"), width)?,
            epsilon: config.layer_norm_eps,
        })
    }

    fn apply(&self, input: Tensor<2>) -> Tensor<2> {
        let beta = Some(self.beta.clone());
        layer_norm(input, self.gamma.clone(), beta, self.epsilon)
    }
}

/// Neighbours of equal length, as runs.
fn runs(sequences: &[&[u32]]) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    let mut start = 0;
    for length in sequences.iter().map(|ids| ids.len()) {
        match runs.last_mut().filter(|run| run.length == length) {
            Some(run) => run.count += 1,
            None => runs.push(Run {
                start,
                count: 1,
                length,
            }),
        }
        start += length;
    }
    runs
}

fn indices(values: impl Iterator<Item = u32>, device: &Device) -> Tensor<1, Int> {
    let values: Vec<i64> = values.map(i64::from).collect();
    let length = values.len();
    Tensor::from_data(TensorData::new(values, [length]), device)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_neighbours_share_a_run() {
        let sequences: [&[u32]; 4] = [&[1, 2], &[3, 4], &[5], &[6, 7]];
        let run = |start, count, length| Run {
            start,
            count,
            length,
        };
        assert_eq!(runs(&sequences), [run(0, 2, 2), run(4, 1, 1), run(5, 1, 2)]);
    }
}

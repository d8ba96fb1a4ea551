//! Text to token ids and back to the window of the model.

use std::path::Path;

use messages::fault::Fault;
use tokenizers::Tokenizer;

use super::fault::ModelFault;

/// A model's tokenizer. What `tokenizer.json` says of padding and truncation is not used: some
/// packages pad each input to 128 tokens there, which would multiply the work of a short query.
#[derive(Debug)]
pub(crate) struct Tokens {
    tokenizer: Tokenizer,
    prefix: Vec<u32>,
    suffix: Vec<u32>,
    window: usize,
    vocabulary: usize,
}

impl Tokens {
    /// Reads `tokenizer.json` in `directory`. `window` is the longest input in tokens, special
    /// ones included; ids from `vocabulary` on are refused.
    ///
    /// # Errors
    /// When the file is no tokenizer, or has special tokens for which the window has no room.
    pub(crate) fn load(
        directory: &Path,
        window: usize,
        vocabulary: usize,
    ) -> Result<Self, ModelFault> {
        let path = directory.join("tokenizer.json");
        let refuse = |reason: String| ModelFault::Tokenizer {
            path: path.clone(),
            reason,
        };
        let bytes = std::fs::read(&path).map_err(|source| ModelFault::Read {
            path: path.clone(),
            source,
        })?;
        let mut tokenizer =
            Tokenizer::from_bytes(bytes).map_err(|error| refuse(error.to_string()))?;
        tokenizer.with_padding(None);
        tokenizer
            .with_truncation(None)
            .map_err(|error| refuse(error.to_string()))?;
        let (prefix, suffix) = frame(&tokenizer).map_err(&refuse)?;
        if prefix.len() + suffix.len() >= window {
            return Err(refuse(format!(
                "its special tokens fill the window of {window} tokens"
            )));
        }
        Ok(Self {
            tokenizer,
            prefix,
            suffix,
            window,
            vocabulary,
        })
    }

    /// The ids of `text` within its special tokens, cut at the window.
    ///
    /// # Errors
    /// When the text is empty or cannot be tokenised.
    pub(crate) fn of_text(&self, text: &str) -> Result<Vec<u32>, Fault> {
        if text.is_empty() {
            return Err(empty());
        }
        let encoding = self
            .tokenizer
            .encode_fast(text, false)
            .map_err(|error| Fault::invalid(format!("the input cannot be tokenised: {error}")))?;
        self.within_frame(encoding.get_ids())
    }

    /// Ids of this model's vocabulary within their special tokens (which they may already have),
    /// cut at the window.
    ///
    /// # Errors
    /// When there is none, or one that is not in the vocabulary.
    pub(crate) fn of_ids(&self, ids: &[u32]) -> Result<Vec<u32>, Fault> {
        if ids.is_empty() {
            return Err(empty());
        }
        let bare = ids
            .strip_prefix(self.prefix.as_slice())
            .and_then(|rest| rest.strip_suffix(self.suffix.as_slice()));
        self.within_frame(bare.unwrap_or(ids))
    }

    /// How many tokens `text` has, without special ones and however long it is.
    pub(crate) fn count(&self, text: &str) -> usize {
        let encoding = self.tokenizer.encode_fast(text, false);
        encoding.map_or(0, |encoding| encoding.len())
    }

    fn within_frame(&self, ids: &[u32]) -> Result<Vec<u32>, Fault> {
        let room = self.window - self.prefix.len() - self.suffix.len();
        let kept = ids.iter().copied().take(room);
        let framed: Vec<u32> = self
            .prefix
            .iter()
            .copied()
            .chain(kept)
            .chain(self.suffix.iter().copied())
            .collect();
        match framed.iter().find(|&&id| !self.knows(id)) {
            None => Ok(framed),
            Some(id) => Err(Fault::invalid(format!(
                "token id {id} is not in the model's vocabulary of {} tokens",
                self.vocabulary
            ))
            .with_param("input")),
        }
    }

    fn knows(&self, id: u32) -> bool {
        usize::try_from(id).is_ok_and(|id| id < self.vocabulary)
    }
}

/// The special tokens that the tokenizer puts before and after a sentence.
fn frame(tokenizer: &Tokenizer) -> Result<(Vec<u32>, Vec<u32>), String> {
    let encoding = tokenizer
        .encode_fast("a", true)
        .map_err(|error| error.to_string())?;
    let marked = encoding
        .get_ids()
        .iter()
        .zip(encoding.get_special_tokens_mask());
    let special = |&(_, mask): &(&u32, &u32)| *mask == 1;
    let before = marked.clone().take_while(special).map(|(id, _)| *id);
    let after = marked
        .skip_while(special)
        .skip_while(|(_, mask)| **mask == 0)
        .map(|(id, _)| *id);
    Ok((before.collect(), after.collect()))
}

fn empty() -> Fault {
    Fault::invalid("an input is empty; each needs at least one character or token")
        .with_param("input")
        .with_code("invalid_input")
}

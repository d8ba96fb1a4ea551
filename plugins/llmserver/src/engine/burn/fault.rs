//! Why a model directory cannot be used: always the file, and the tensor or field in it.

use std::path::PathBuf;

/// A model that cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ModelFault {
    /// A file is missing or cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A JSON file does not have the form that this family of models has.
    #[error("{path} is not a model description: {source}")]
    Json {
        /// The file.
        path: PathBuf,
        /// The place and the reason.
        source: serde_json::Error,
    },
    /// The description is readable and asks for something that this encoder cannot do.
    #[error("{path} asks for something that this encoder does not have: {what}")]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// The field and what it may be.
        what: String,
    },
    /// The weights are not a whole safetensors file.
    #[error("{path} is not a readable safetensors file: {reason}")]
    Weights {
        /// The file.
        path: PathBuf,
        /// What the reader said.
        reason: String,
    },
    /// The weights are not those that were published under the model's name.
    #[error(
        "{path} is refused: its SHA-256 is {found}, it must be {wanted}; fetch the model again \
         with `bkg models pull`, or use another model under a name of its own"
    )]
    Pin {
        /// The file.
        path: PathBuf,
        /// The pinned hash.
        wanted: String,
        /// The hash that it has.
        found: String,
    },
    /// A tensor is absent.
    #[error("{path} has no tensor `{tensor}`")]
    Missing {
        /// The file.
        path: PathBuf,
        /// The tensor's name in the file.
        tensor: String,
    },
    /// A tensor contradicts `config.json`.
    #[error("{path}: tensor `{tensor}` has shape {found:?}, config.json says {wanted:?}")]
    Shape {
        /// The file.
        path: PathBuf,
        /// The tensor's name in the file.
        tensor: String,
        /// The shape according to `config.json`.
        wanted: Vec<usize>,
        /// The shape in the file.
        found: Vec<usize>,
    },
    /// The tokenizer's file is not one.
    #[error("{path} is not a usable tokenizer: {reason}")]
    Tokenizer {
        /// The file.
        path: PathBuf,
        /// What the tokenizer's library said.
        reason: String,
    },
}

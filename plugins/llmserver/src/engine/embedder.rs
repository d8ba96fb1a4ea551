//! What an embedding engine is: tokens in, vectors of unit length out.

use messages::{fault::Fault, llmserver::EmbedInput};

/// An engine that a worker thread drives. Both methods that work may panic: the worker catches it.
pub(crate) trait Embedder: Send + Sync + 'static {
    /// The sequence that the engine reads for `input`, at most as long as the engine can read.
    ///
    /// # Errors
    /// When the input is empty or holds what the model does not know.
    fn tokens(&self, input: &EmbedInput) -> Result<Vec<u32>, Fault>;

    /// A vector of unit length for each of `sequences`, in their order. Sequences of equal length
    /// should stand together.
    ///
    /// # Errors
    /// When the engine itself fails.
    fn embed(&self, sequences: &[&[u32]]) -> Result<Vec<Vec<f32>>, Fault>;
}

//! The ability to chat and to complete: finds the engine that has the model.

use std::sync::Arc;

use messages::{
    call::Call,
    fault::Fault,
    llmserver::{Chat, Complete, Completion},
};

use crate::{
    catalogue::{Catalogue, missing},
    engine::{
        extract::{self, Extract, engine::Count},
        upstream::Upstreams,
    },
    limits,
    settings::Settings,
};

/// Everything that answers chats.
#[derive(Debug, Clone)]
pub(crate) struct Chats {
    pub(crate) settings: Arc<Settings>,
    pub(crate) catalogue: Arc<Catalogue>,
    pub(crate) extract: Arc<Extract>,
    pub(crate) upstreams: Arc<Upstreams>,
}

impl Chats {
    /// Answers one chat.
    ///
    /// # Errors
    /// [`Unknown`](messages::fault::FaultKind::Unknown) for a model that is not here; otherwise
    /// what the engine says.
    pub(crate) async fn chat(self, call: Call<Chat>) -> Result<Completion, Fault> {
        let Call { mut body, cx } = call;
        self.settle_model(&mut body.model);
        limits::check_chat(&self.settings, &body)?;
        if body.model == extract::MODEL {
            return self.extract.chat(&body, cx, self.count()).await;
        }
        match self.upstreams.chat(&body.model)? {
            Some(upstream) => upstream.chat(body, cx).await,
            None => Err(self.not_for_chat(&body.model)),
        }
    }

    /// Answers one legacy completion.
    ///
    /// # Errors
    /// As [`Chats::chat`].
    pub(crate) async fn complete(self, call: Call<Complete>) -> Result<Completion, Fault> {
        let Call { mut body, cx } = call;
        self.settle_model(&mut body.model);
        limits::check_completion(&self.settings, &body)?;
        if body.model == extract::MODEL {
            return self.extract.complete(&body, cx, self.count()).await;
        }
        match self.upstreams.chat(&body.model)? {
            Some(upstream) => upstream.complete(body, cx).await,
            None => Err(self.not_for_chat(&body.model)),
        }
    }

    fn settle_model(&self, model: &mut String) {
        if model.is_empty() {
            model.clone_from(&self.settings.chat_model);
        }
    }

    fn not_for_chat(&self, model: &str) -> Fault {
        let elsewhere = !matches!(self.upstreams.embedding(model), Ok(None));
        if self.catalogue.has(model) || elsewhere {
            return Fault::invalid(format!("{model} is an embedding model and cannot chat"))
                .with_param("model");
        }
        missing(model)
    }

    /// The embedding model's tokenizer where that is in memory, else a quarter of the bytes.
    fn count(&self) -> Count {
        match self.catalogue.in_memory(&self.settings.embedding_model) {
            Some(loaded) => Arc::new(move |text| loaded.encoder.count(text)),
            None => Arc::new(by_bytes),
        }
    }
}

fn by_bytes(text: &str) -> u64 {
    u64::try_from(text.len().div_ceil(4)).unwrap_or(u64::MAX)
}

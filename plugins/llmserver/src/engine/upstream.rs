//! Models that run elsewhere: any server that speaks OpenAI's API, named in the settings.

pub(crate) mod client;
mod completion;
mod embedding;
mod refusal;
mod sse;

use std::sync::Arc;

use messages::{
    fault::Fault,
    host::Host,
    llmserver::{Model, ModelTask},
};

use self::client::Upstream;
use crate::settings::UpstreamSettings;

/// All upstreams of the settings, in their order; where two have a model, the first answers.
#[derive(Debug, Default)]
pub(crate) struct Upstreams(Vec<Arc<Upstream>>);

impl Upstreams {
    /// Prepares a client for each; nothing is contacted yet.
    ///
    /// # Errors
    /// [`Unprocessable`](messages::fault::FaultKind::Unprocessable) when an address or a key
    /// cannot be used.
    pub(crate) fn new(host: &Host, settings: &[UpstreamSettings]) -> Result<Self, Fault> {
        let upstreams = settings.iter().map(|one| Upstream::new(host, one));
        upstreams
            .map(|upstream| upstream.map(Arc::new))
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// Who has the chat model `model`.
    pub(crate) fn chat(&self, model: &str) -> Option<Arc<Upstream>> {
        self.find(|upstream| upstream.chat_models(), model)
    }

    /// Who has the embedding model `model`.
    pub(crate) fn embedding(&self, model: &str) -> Option<Arc<Upstream>> {
        self.find(|upstream| upstream.embedding_models(), model)
    }

    /// Their models; `created` is in Unix seconds.
    pub(crate) fn list(&self, created: i64) -> Vec<Model> {
        let models = self.0.iter().flat_map(|upstream| {
            let chat = upstream.chat_models().iter();
            let embedding = upstream.embedding_models().iter();
            chat.map(|id| (id, ModelTask::Chat))
                .chain(embedding.map(|id| (id, ModelTask::Embedding)))
                .map(|(id, task)| Model {
                    id: id.clone(),
                    object: "model".to_owned(),
                    created,
                    owned_by: upstream.name().to_owned(),
                    task,
                    engine: "upstream".to_owned(),
                    dimensions: None,
                    context: None,
                })
        });
        models.collect()
    }

    fn find(&self, models: impl Fn(&Upstream) -> &[String], model: &str) -> Option<Arc<Upstream>> {
        let has = |upstream: &&Arc<Upstream>| models(upstream).iter().any(|id| id == model);
        self.0.iter().find(has).cloned()
    }
}

#[cfg(test)]
mod tests;

//! Models that run elsewhere: any server that speaks OpenAI's API, named in the settings.

mod address;
mod attempt;
mod breaker;
mod client;
mod completion;
mod embedding;
mod entry;
mod lookup;
pub(crate) mod reach;
mod refusal;
pub(crate) mod route;
mod setback;
mod sse;
mod weight;

use std::{collections::HashSet, sync::Arc};

use messages::{
    fault::Fault,
    host::Host,
    llmserver::{Model, ModelTask},
    upstreams::UpstreamBoard,
};

use self::{client::Upstream, reach::Reach, route::Route};
use crate::settings::UpstreamSettings;

/// All upstreams of the settings, in their order; where several have a model, they share its calls.
/// One that cannot be used disables itself alone.
#[derive(Debug, Default)]
pub(crate) struct Upstreams {
    usable: Vec<Arc<Upstream>>,
    unusable: Vec<UpstreamSettings>,
    all: Vec<UpstreamSettings>,
}

impl Upstreams {
    /// Prepares a client for each; nothing is contacted yet. An upstream whose address or key
    /// cannot be used is logged and left out. All are counted on `board`.
    pub(crate) fn new(
        host: &Host,
        settings: &[UpstreamSettings],
        reach: &Reach,
        board: &UpstreamBoard,
    ) -> Self {
        let mut upstreams = Self {
            all: settings.to_vec(),
            ..Self::default()
        };
        let meters = board.name(settings.iter().map(|one| &*one.name));
        for (one, meter) in settings.iter().zip(meters) {
            match Upstream::new(host, one, reach, meter) {
                Ok(upstream) => upstreams.usable.push(Arc::new(upstream)),
                Err(fault) => {
                    log::error!("{fault}; its models are left out");
                    upstreams.unusable.push(one.clone());
                }
            }
        }
        upstreams
    }

    /// Who has the chat model `model`.
    ///
    /// # Errors
    /// [`Crashed`](messages::fault::FaultKind::Crashed) when only an upstream that cannot be used
    /// has it.
    pub(crate) fn chat(&self, model: &str) -> Result<Option<Route>, Fault> {
        self.find(model, |settings| &settings.models)
    }

    /// Who has the embedding model `model`.
    ///
    /// # Errors
    /// As [`Upstreams::chat`].
    pub(crate) fn embedding(&self, model: &str) -> Result<Option<Route>, Fault> {
        self.find(model, |settings| &settings.embedding_models)
    }

    /// Their models, each once; `created` is in Unix seconds.
    pub(crate) fn list(&self, created: i64) -> Vec<Model> {
        let mut seen = HashSet::new();
        let models = self.usable.iter().flat_map(|upstream| {
            let chat = upstream.settings().models.iter();
            let embedding = upstream.settings().embedding_models.iter();
            chat.map(|id| (id, ModelTask::Chat))
                .chain(embedding.map(|id| (id, ModelTask::Embedding)))
                .filter(|model| seen.insert(*model))
                .collect::<Vec<_>>()
                .into_iter()
                .map(|(id, task)| Model {
                    id: id.clone(),
                    object: "model".to_owned(),
                    created,
                    owned_by: upstream.name().to_owned(),
                    task,
                    capabilities: task.capabilities(),
                    engine: "upstream".to_owned(),
                    dimensions: None,
                    context: None,
                })
        });
        models.collect()
    }

    /// All usable ones that have the model.
    fn find(
        &self,
        model: &str,
        models: impl Fn(&UpstreamSettings) -> &[String],
    ) -> Result<Option<Route>, Fault> {
        let has = |settings: &UpstreamSettings| models(settings).iter().any(|id| id == model);
        let usable = self.usable.iter().filter(|one| has(one.settings()));
        let upstreams: Vec<Arc<Upstream>> = usable.cloned().collect();
        if !upstreams.is_empty() {
            return Ok(Some(Route {
                model: model.to_owned(),
                fingerprint: self.fingerprint(model),
                upstreams,
            }));
        }
        match self.unusable.iter().find(|one| has(one)) {
            Some(one) => Err(Fault::crashed(format!(
                "upstream {}, which has the model {model}, cannot be used as it is set up; \
                 the gateway's log says why",
                one.name
            ))),
            None => Ok(None),
        }
    }

    /// By the first upstream in the settings that has the embedding model: its vectors are the
    /// same, whichever upstream makes them.
    fn fingerprint(&self, model: &str) -> String {
        let has = |one: &&UpstreamSettings| one.embedding_models.iter().any(|id| id == model);
        let first = self.all.iter().find(has);
        let base = first.map_or("", |one| one.base_url.trim_end_matches('/'));
        embedding::fingerprint(base, model)
    }
}

#[cfg(test)]
mod tests;

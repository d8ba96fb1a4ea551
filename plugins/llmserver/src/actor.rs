//! The plugin: hands each call to the ability that answers it.

use std::{path::PathBuf, sync::Arc};

use messages::{
    call::Call,
    fault::Fault,
    host::Host,
    llmserver::{
        Chat, Complete, CreateConversation, DeleteConversation, Embed, ExportConversation,
        GetConversation, ListConversations, ListModels, Model, ModelTask, PullModel,
        UpdateConversation,
    },
    plugin::{Answer, Exports, Plugin, Serve},
    upstreams::UpstreamBoard,
};
use store::Store;

use crate::{
    catalogue::Catalogue,
    chat::Chats,
    conversations::Conversations,
    embed::embed,
    engine::{
        extract::{self, Extract, engine::now},
        upstream::{Upstreams, reach::Reach},
    },
    pull::Puller,
    settings::Settings,
};

/// Chat, completions, embeddings and models.
#[derive(Debug)]
pub struct Llmserver {
    host: Host,
    settings: Arc<Settings>,
    catalogue: Arc<Catalogue>,
    upstreams: Arc<Upstreams>,
    chats: Chats,
    conversations: Conversations,
    puller: Puller,
    started: i64,
}

impl Llmserver {
    /// One life of the plugin, with its models in `models`, upstreams where `reach` allows them, and
    /// conversations in `store`. Models are loaded at their first use; requests to upstreams are
    /// counted on `board`.
    ///
    /// # Errors
    /// [`Unprocessable`](messages::fault::FaultKind::Unprocessable) with what is wrong in the
    /// settings, except in an upstream: one that cannot be used is logged and left out.
    pub fn new(
        host: &Host,
        models: PathBuf,
        reach: &Reach,
        board: &UpstreamBoard,
        store: Store,
    ) -> Result<Self, Fault> {
        let settings: Arc<Settings> = Arc::new(host.settings()?);
        settings.check_bounds()?;
        let upstreams = Arc::new(Upstreams::new(host, &settings.upstreams, reach, board));
        let catalogue = Arc::new(Catalogue::new(host, models, settings.batch_tokens));
        // Puts a model back that is aside, so it comes before the look at what is there.
        let puller = Puller::new(host, catalogue.clone());
        announce(&catalogue, &upstreams, &settings);
        Ok(Self {
            chats: Chats {
                settings: settings.clone(),
                catalogue: catalogue.clone(),
                extract: Arc::new(Extract::new(host, settings.clone())),
                upstreams: upstreams.clone(),
            },
            conversations: Conversations::new(host, store),
            puller,
            host: host.clone(),
            started: now(),
            settings,
            catalogue,
            upstreams,
        })
    }
}

/// Says at the start whether there are embeddings.
fn announce(catalogue: &Catalogue, upstreams: &Upstreams, settings: &Settings) {
    let model = &settings.embedding_model;
    if catalogue.has(model) {
        log::info!(
            "embedding model {model} is in {}",
            catalogue.directory().display()
        );
    } else if let Ok(Some(upstream)) = upstreams.embedding(model) {
        log::info!("embedding model {model} is at upstream {}", upstream.name());
    } else {
        log::warn!(
            "embedding model {model} is not in {}: search works by words alone until \
             `bkg models pull {model}`",
            catalogue.directory().display()
        );
    }
}

impl Plugin for Llmserver {
    const NAME: &'static str = "llmserver";

    fn exports(exports: &mut impl Exports<Self>) {
        exports
            .serve::<Embed>()
            .serve::<Chat>()
            .serve::<Complete>()
            .serve::<ListModels>()
            .serve::<PullModel>()
            .serve::<ListConversations>()
            .serve::<CreateConversation>()
            .serve::<GetConversation>()
            .serve::<UpdateConversation>()
            .serve::<DeleteConversation>()
            .serve::<ExportConversation>();
    }
}

impl Serve<Embed> for Llmserver {
    fn serve(&mut self, call: Call<Embed>) -> Answer<Embed> {
        let (catalogue, upstreams) = (self.catalogue.clone(), self.upstreams.clone());
        Answer::later(embed(self.settings.clone(), catalogue, upstreams, call))
    }
}

impl Serve<Chat> for Llmserver {
    fn serve(&mut self, call: Call<Chat>) -> Answer<Chat> {
        Answer::later(self.chats.clone().chat(call))
    }
}

impl Serve<Complete> for Llmserver {
    fn serve(&mut self, call: Call<Complete>) -> Answer<Complete> {
        Answer::later(self.chats.clone().complete(call))
    }
}

impl Serve<ListModels> for Llmserver {
    fn serve(&mut self, _call: Call<ListModels>) -> Answer<ListModels> {
        let (host, started) = (self.host.clone(), self.started);
        let elsewhere = self.upstreams.list(started);
        let directory = self.catalogue.directory().to_owned();
        Answer::later(async move {
            let here = host.run(move || Catalogue::list(&directory)).await?;
            let extract = std::iter::once(extract_model(started));
            Ok(extract.chain(here).chain(elsewhere).collect())
        })
    }
}

impl Serve<PullModel> for Llmserver {
    fn serve(&mut self, call: Call<PullModel>) -> Answer<PullModel> {
        self.puller.pull(call).into()
    }
}

/// Each is answered by the ability of the same name, with the call's context, and so its permit.
macro_rules! serve_conversations {
    ($($message:ty => $ability:ident;)*) => {
        $(impl Serve<$message> for Llmserver {
            fn serve(&mut self, call: Call<$message>) -> Answer<$message> {
                Answer::later(self.conversations.clone().$ability(call.body, call.cx))
            }
        })*
    };
}

serve_conversations! {
    ListConversations => list;
    CreateConversation => create;
    GetConversation => get;
    UpdateConversation => update;
    DeleteConversation => delete;
    ExportConversation => export;
}

fn extract_model(created: i64) -> Model {
    Model {
        id: extract::MODEL.to_owned(),
        object: "model".to_owned(),
        created,
        owned_by: "bkg".to_owned(),
        task: ModelTask::Chat,
        capabilities: ModelTask::Chat.capabilities(),
        engine: "extract".to_owned(),
        dimensions: None,
        context: None,
    }
}

#[cfg(test)]
mod tests;

//! A life of the plugin beside an embedder of the test's own.

use std::{
    collections::hash_map::DefaultHasher,
    future::{pending, ready},
    hash::{Hash, Hasher},
    path::Path,
    pin::pin,
    sync::{Arc, Mutex},
    task::{Context, Waker},
    time::Duration,
};

use actix::{Actor, Handler, ResponseFuture};
use messages::{
    brainml::{Document, IndexDocuments, Indexed, Query, ReadStats, Results, Stats},
    call::{Call, Capability, Cx, Origin},
    fault::Fault,
    gate::{Card, Gate},
    host::Host,
    line::{Directory, Line},
    llmserver::{Embed, EmbedInput, Embeddings},
    plugin::{Answer, Plugin, Serve, Status},
};
use serde_json::{Value, json};
use store::Store;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::{Brainml, GuideDocument, collection::Collection};

/// Makes a vector out of the words of a text, as long as it has a model.
#[derive(Debug, Clone, Default)]
pub(super) struct Embedder {
    pub(super) model: Arc<Mutex<Option<String>>>,
    texts: Arc<Mutex<Vec<String>>>,
}

impl Actor for Embedder {
    type Context = actix::Context<Self>;
}

impl Handler<Call<Embed>> for Embedder {
    type Result = ResponseFuture<Result<Embeddings, Fault>>;

    fn handle(&mut self, call: Call<Embed>, _: &mut actix::Context<Self>) -> Self::Result {
        if self.model.lock().unwrap().as_deref() == Some("one that hangs") {
            return Box::pin(pending());
        }
        Box::pin(ready(self.embed(call)))
    }
}

impl Embedder {
    fn embed(&self, call: Call<Embed>) -> Result<Embeddings, Fault> {
        let model = self.model.lock().unwrap().clone();
        let model = model.ok_or_else(|| Fault::stopped("no model here"))?;
        let texts = call.body.inputs.into_iter().map(|input| match input {
            EmbedInput::Text(text) => text,
            EmbedInput::Tokens(_) => panic!("brainml sends texts"),
        });
        let texts: Vec<String> = texts.collect();
        if texts.iter().any(|text| text.contains("unspeakable")) {
            return Err(Fault::invalid("a text that no model takes"));
        }
        let vectors = texts.iter().map(|text| vector(text)).collect();
        self.texts.lock().unwrap().extend(texts);
        Ok(Embeddings {
            model_hash: format!("hash of {model}"),
            model,
            vectors,
            prompt_tokens: 7,
        })
    }
}

fn vector(text: &str) -> Vec<f32> {
    let mut vector = vec![0.01; 64];
    for word in text.split_whitespace() {
        let mut hasher = DefaultHasher::new();
        word.hash(&mut hasher);
        vector[usize::try_from(hasher.finish() % 64).unwrap()] += 1.0;
    }
    vector
}

/// One life of the plugin over a store that outlives it.
pub(super) struct Room {
    pub(super) plugin: Brainml,
    pub(super) embedder: Embedder,
    life: CancellationToken,
}

impl Room {
    /// Starts a life; `model` is the embedder's.
    pub(super) fn start(store: &Store, model: Option<&str>) -> Self {
        Self::with_guide(store, model, Vec::new())
    }

    pub(super) fn with_guide(
        store: &Store,
        model: Option<&str>,
        guide: Vec<GuideDocument>,
    ) -> Self {
        Self::with(store, model, guide, json!({}))
    }

    pub(super) fn with(
        store: &Store,
        model: Option<&str>,
        guide: Vec<GuideDocument>,
        settings: Value,
    ) -> Self {
        let directory = Directory::default();
        let gate = |name: &str| {
            Arc::new(Gate::new(
                name,
                Status::Running,
                Card::default(),
                directory.changes(),
            ))
        };
        let embedder = Embedder::default();
        embedder.load(model);
        let to = embedder.clone().start().recipient();
        directory.publish::<Embed>(Line::new(to, 64, gate("llmserver")));
        let life = CancellationToken::new();
        let host = Host::new(
            Arc::new(settings),
            directory.clone(),
            gate("brainml"),
            life.clone(),
        );
        let indexes = store.directory().join("indexes");
        let plugin = Brainml::new(&host, store.clone(), indexes, guide).unwrap();
        Self {
            plugin,
            embedder,
            life,
        }
    }

    /// Ends the life as an operator does.
    pub(super) fn stop(mut self) {
        self.plugin.stopping();
        self.life.cancel();
    }

    /// Ends the life as a panic or a power cut does: nothing is saved.
    pub(super) fn crash(self) {
        self.life.cancel();
    }

    pub(super) async fn call<C: Capability>(&mut self, body: C) -> Result<C::Reply, Fault>
    where
        Brainml: Serve<C>,
    {
        self.call_within(Duration::from_secs(60), body).await
    }

    /// Asks with a deadline that the caller, as the supervisor, sees to.
    pub(super) async fn call_within<C: Capability>(
        &mut self,
        time: Duration,
        body: C,
    ) -> Result<C::Reply, Fault>
    where
        Brainml: Serve<C>,
    {
        let deadline = Instant::now() + time;
        let cx = Cx::new(Origin::internal("test"), deadline, None);
        match self.plugin.serve(Call { body, cx }) {
            Answer::Now(answer) => answer,
            Answer::Later(answer) => timeout_at(deadline, answer)
                .await
                .unwrap_or_else(|_| Err(Fault::timed_out("too late"))),
        }
    }

    /// Asks, and goes away before the answer.
    pub(super) fn leave<C: Capability>(&mut self, body: C)
    where
        Brainml: Serve<C>,
    {
        leave(self.call(body));
    }

    pub(super) fn host(&self) -> &Host {
        &self.plugin.library.host
    }

    pub(super) async fn collection(&self, name: &str) -> Arc<Collection> {
        self.plugin.library.collection(name).await.unwrap()
    }

    pub(super) async fn index(&mut self, documents: Vec<Document>) -> Indexed {
        let collection = "c".to_owned();
        self.call(IndexDocuments {
            collection,
            documents,
        })
        .await
        .unwrap()
    }

    pub(super) async fn query(&mut self, query: &str) -> Results {
        let query = Query {
            collections: vec!["c".into()],
            ..asking(query)
        };
        self.call(query).await.unwrap()
    }

    /// The ids that a query finds, best first.
    pub(super) async fn ids(&mut self, query: &str) -> Vec<String> {
        let results = self.query(query).await.results;
        results.into_iter().map(|hit| hit.document_id).collect()
    }

    pub(super) async fn stats(&mut self) -> Stats {
        self.call(ReadStats {
            collection: "c".into(),
        })
        .await
        .unwrap()
    }

    /// Waits for background work, which a query may have to wake.
    pub(super) async fn until(&mut self, holds: impl Fn(&Stats) -> bool) -> Stats {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            self.query("anything").await;
            let stats = self.stats().await;
            if holds(&stats) {
                return stats;
            }
            assert!(Instant::now() < deadline, "{stats:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Embedder {
    /// Loads a model, or none.
    pub(super) fn load(&self, model: Option<&str>) {
        *self.model.lock().unwrap() = model.map(str::to_owned);
    }

    /// What it has embedded.
    pub(super) fn texts(&self) -> Vec<String> {
        self.texts.lock().unwrap().clone()
    }
}

/// Begins to wait, and gives up at once.
pub(super) fn leave(work: impl Future) {
    let mut cx = Context::from_waker(Waker::noop());
    assert!(pin!(work).poll(&mut cx).is_pending());
}

/// A query for ten chunks of all collections.
pub(super) fn asking(query: &str) -> Query {
    Query {
        query: query.to_owned(),
        top_k: 10,
        ..Query::default()
    }
}

pub(super) fn document(id: &str, text: &str) -> Document {
    Document {
        id: id.into(),
        text: text.into(),
        ..Document::default()
    }
}

pub(super) fn open(data: &Path) -> Store {
    Store::open(data).unwrap()
}

//! Gives chunks their vectors, whoever makes them.

use std::sync::{
    Arc, PoisonError,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use messages::{
    fault::{Fault, FaultKind},
    llmserver::{Embed, EmbedInput},
    port::Port,
};

use crate::{
    collection::Collection,
    embeddings::{self, Unembedded},
    index::{Index, Model},
    library::Library,
    rows,
    vectors::normalised,
};

/// Chunks a call: enough to keep a model busy, few enough to lose little.
const CHUNKS_A_CALL: usize = 32;

type Vectors = Vec<(i64, Vec<f32>)>;

/// Who embeds, and what that has cost so far.
#[derive(Debug)]
pub(crate) struct Embedder {
    port: Port<Embed>,
    tokens: AtomicU64,
}

impl Embedder {
    /// Nothing has been read yet.
    pub(crate) fn new(port: Port<Embed>) -> Self {
        Self {
            port,
            tokens: AtomicU64::new(0),
        }
    }

    /// Tokens read so far.
    pub(crate) fn tokens(&self) -> u64 {
        self.tokens.load(Relaxed)
    }
}

impl Library {
    /// Embeds chunks of a collection, keeps the vectors, and makes them searchable.
    ///
    /// # Errors
    /// When the embedder does not answer; what it answered before is kept. A text that it refuses
    /// is no error.
    pub(crate) async fn embed(
        &self,
        collection: &Arc<Collection>,
        chunks: Vec<i64>,
        embedder: &Embedder,
    ) -> Result<(), Fault> {
        for batch in chunks.chunks(CHUNKS_A_CALL) {
            let _no_one_else = collection.embedding.lock().await;
            let lacking = self.lacking_of(collection, batch).await?;
            self.take_known(collection, lacking).await?;
            let lacking = self.lacking_of(collection, batch).await?;
            let texts = move |conn: &mut _| Ok(embeddings::unembedded(conn, &lacking)?);
            let texts = self.store.read(texts).await?;
            if texts.is_empty() {
                continue;
            }
            self.embed_texts(collection, texts, embedder).await?;
        }
        Ok(())
    }

    async fn lacking_of(
        &self,
        collection: &Arc<Collection>,
        chunks: &[i64],
    ) -> Result<Vec<i64>, Fault> {
        let mut chunks = chunks.to_vec();
        let lacking = move |_: &Collection, index: &Index| {
            chunks.retain(|chunk| index.lacking.contains(chunk));
            chunks
        };
        collection.look(&self.host, lacking).await
    }

    /// Uses vectors that the model made before the collection turned to another one and back.
    async fn take_known(
        &self,
        collection: &Arc<Collection>,
        chunks: Vec<i64>,
    ) -> Result<(), Fault> {
        let Some(model) = self.model_of(collection).await? else {
            return Ok(());
        };
        let hash = model.hash.clone();
        let known = move |conn: &mut _| Ok(embeddings::known(conn, &chunks, &hash)?);
        let known = self.store.read(known).await?;
        self.keep(collection, model, known).await
    }

    async fn embed_texts(
        &self,
        collection: &Arc<Collection>,
        texts: Vec<Unembedded>,
        embedder: &Embedder,
    ) -> Result<(), Fault> {
        match self.call(&texts, embedder).await {
            Ok((model, vectors)) => self.keep(collection, model, vectors).await,
            Err(fault) if may_be_the_texts(&fault) => {
                self.embed_singly(collection, texts, embedder).await
            }
            Err(fault) => Err(fault),
        }
    }

    /// One text that the model cannot take must not keep others from their vectors. A crash counts
    /// as the text's fault only if the model has taken another text meanwhile.
    async fn embed_singly(
        &self,
        collection: &Arc<Collection>,
        texts: Vec<Unembedded>,
        embedder: &Embedder,
    ) -> Result<(), Fault> {
        let (mut refused, mut crashed, mut works) = (Vec::new(), Vec::new(), false);
        for text in texts {
            let chunk = text.chunk;
            match self.call(&[text], embedder).await {
                Ok((model, vectors)) => {
                    works = true;
                    self.keep(collection, model, vectors).await?;
                }
                Err(fault) if is_the_texts(&fault) => refused.push((chunk, fault)),
                Err(fault) if may_be_the_texts(&fault) => crashed.push((chunk, fault)),
                Err(fault) => return Err(fault),
            }
        }
        if works {
            refused.append(&mut crashed);
        }
        self.refuse(collection, refused).await?;
        crashed.pop().map_or(Ok(()), |(_, fault)| Err(fault))
    }

    /// Leaves chunks to their words for this life. An embedder that has taken no text at all is
    /// more likely to be set up wrongly, and is asked again.
    async fn refuse(
        &self,
        collection: &Arc<Collection>,
        refused: Vec<(i64, Fault)>,
    ) -> Result<(), Fault> {
        if self.last_model().is_none() {
            let first = refused.into_iter().next();
            return first.map_or(Ok(()), |(_, fault)| Err(fault));
        }
        for (chunk, fault) in &refused {
            let name = &collection.name;
            log::warn!("chunk {chunk} of {name} is searched by its words alone: {fault}");
        }
        let chunks: Vec<i64> = refused.into_iter().map(|(chunk, _)| chunk).collect();
        if chunks.is_empty() {
            return Ok(());
        }
        let collection = collection.clone();
        self.host.run(move || collection.refuse(&chunks)).await
    }

    async fn call(
        &self,
        texts: &[Unembedded],
        embedder: &Embedder,
    ) -> Result<(Model, Vectors), Fault> {
        let inputs = texts.iter().map(|text| text.text.clone()).collect();
        let (model, vectors) = self.vectors(inputs, embedder).await?;
        Ok((
            model,
            texts.iter().map(|text| text.chunk).zip(vectors).collect(),
        ))
    }

    /// Asks for vectors of unit length, one a text.
    ///
    /// # Errors
    /// What the embedder says; unprocessable where it makes a vector without direction of a text,
    /// crashed where its answer does not fit the question.
    pub(crate) async fn vectors(
        &self,
        texts: Vec<String>,
        embedder: &Embedder,
    ) -> Result<(Model, Vec<Vec<f32>>), Fault> {
        let asked = texts.len();
        let inputs = texts.into_iter().map(EmbedInput::Text).collect();
        let ask = Embed {
            model: None,
            inputs,
            dimensions: None,
        };
        let answer = embedder.port.call(ask).await?;
        embedder.tokens.fetch_add(answer.prompt_tokens, Relaxed);
        let vectors: Result<Vec<_>, _> = answer.vectors.iter().map(|v| normalised(v)).collect();
        let vectors =
            vectors.map_err(|error| Fault::unprocessable(format!("{}: {error}", answer.model)))?;
        if vectors.len() != asked {
            let (model, got) = (&answer.model, vectors.len());
            return Err(Fault::crashed(format!(
                "{model} made {got} vectors of {asked} texts"
            )));
        }
        let model = Model {
            name: answer.model,
            hash: answer.model_hash,
        };
        *self.model.lock().unwrap_or_else(PoisonError::into_inner) = Some(model.clone());
        Ok((model, vectors))
    }

    /// The model that embedded last.
    pub(crate) fn last_model(&self) -> Option<Model> {
        self.model
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    async fn keep(
        &self,
        collection: &Arc<Collection>,
        model: Model,
        vectors: Vectors,
    ) -> Result<(), Fault> {
        if vectors.is_empty() {
            return Ok(());
        }
        self.adopt(collection, &model).await?;
        let id = collection.id;
        let insert = move |conn: &mut _| Ok(embeddings::insert(conn, id, &model, &vectors)?);
        self.store.write(insert).await?;
        collection.catch_up(&self.host, &self.store).await
    }

    async fn model_of(&self, collection: &Arc<Collection>) -> Result<Option<Model>, Fault> {
        collection
            .look(&self.host, |_, index| index.model.clone())
            .await
    }

    /// Turns a collection to another model, if it is another.
    ///
    /// # Errors
    /// What the store says.
    pub(crate) async fn adopt(
        &self,
        collection: &Arc<Collection>,
        model: &Model,
    ) -> Result<(), Fault> {
        if self.model_of(collection).await?.as_ref() == Some(model) {
            return Ok(());
        }
        log::info!(
            "collection {} is searched by vectors of {} from now on",
            collection.name,
            model.name
        );
        let (id, model) = (collection.id, model.clone());
        let adopt = move |conn: &mut _| Ok(rows::adopt_model(conn, id, &model)?);
        self.store.write(adopt).await?;
        // All its chunks lack their vectors now, also those that the keeper has passed already.
        self.wake.notify_one();
        collection.catch_up(&self.host, &self.store).await
    }
}

/// Whether the text is at fault.
fn is_the_texts(fault: &Fault) -> bool {
    matches!(fault.kind, FaultKind::Invalid | FaultKind::Unprocessable)
}

/// Whether another text might have been answered.
fn may_be_the_texts(fault: &Fault) -> bool {
    is_the_texts(fault) || matches!(fault.kind, FaultKind::Crashed | FaultKind::Internal)
}

//! Documents in and out.

use std::{sync::Arc, time::Duration};

use messages::{
    brainml::{DeleteDocument, Document, GetDocument, IndexDocuments, Indexed},
    call::Cx,
    fault::Fault,
};
use rayon::prelude::*;
use tokio::time::{Instant, timeout};

use crate::{
    analyzer::Analyzer,
    changes::parse_metadata,
    chunker::ChunkSizes,
    collection::{Collection, unknown},
    embedder::Embedder,
    finish::to_the_end,
    index::Index,
    library::Library,
    limits, rows,
    upsert::{Prepared, upsert},
};

/// How long a request waits for its vectors: most come in a few seconds, and a caller who waits
/// much longer gives up or is given up. The keeper makes the rest; until then results are degraded.
const EMBEDDING_WAIT: Duration = Duration::from_secs(20);

/// Puts documents into a collection; answers once they are durable and searchable.
///
/// # Errors
/// Unprocessable, unknown, or what the store says. After a fault none or all of the documents are there.
pub(crate) async fn index_documents(
    library: Arc<Library>,
    request: IndexDocuments,
    cx: Cx,
) -> Result<Indexed, Fault> {
    let collection = library.collection(&request.collection).await?;
    let sizes = library.sizes;
    let prepare = move || prepare(request, sizes);
    let prepared = library.host.run_for(&cx, prepare).await??;
    let worker = library.clone();
    let put = async move { worker.put(&collection, prepared, &cx).await };
    to_the_end(&library.host, put).await
}

/// Checks and cuts up documents, and analyzes them once for nothing: a text that breaks the
/// analyzer must fail this call, and not every later attempt to index its rows.
fn prepare(request: IndexDocuments, sizes: ChunkSizes) -> Result<Vec<Prepared>, Fault> {
    limits::check_documents(&request)?;
    let analyzer = Analyzer::default();
    let prepare = |document: Document| {
        let title = document.title.as_deref().unwrap_or_default();
        analyzer.count([title, document.text.as_str()]);
        Prepared::new(document, sizes)
    };
    Ok(request.documents.into_par_iter().map(prepare).collect())
}

impl Library {
    async fn put(
        &self,
        collection: &Arc<Collection>,
        prepared: Vec<Prepared>,
        cx: &Cx,
    ) -> Result<Indexed, Fault> {
        let (id, name) = (collection.id, collection.name.clone());
        let write = move |conn: &mut _| {
            rows::collection(conn, id)?.ok_or_else(|| unknown(&name))?;
            Ok(upsert(conn, id, &prepared)?)
        };
        let upserted = self.store.write(write).await?;
        collection.note_written(upserted.revision);
        // Should this attempt break off, the keeper finishes it.
        self.wake.notify_one();
        collection.catch_up(&self.host, &self.store).await?;
        let count = upserted.documents.len();
        let embedder = Embedder::new(self.embed.within(cx));
        let embed = self.embed_documents(collection, upserted.documents, &embedder);
        let left = cx.deadline().saturating_duration_since(Instant::now());
        match timeout(EMBEDDING_WAIT.min(left / 2), embed).await {
            Ok(Ok(())) => (),
            Ok(Err(fault)) => log::debug!("{} will be embedded later: {fault}", collection.name),
            Err(_) => log::debug!("the rest of {} will be embedded later", collection.name),
        }
        self.wake.notify_one();
        Ok(Indexed {
            tokens: self.cost(&embedder, upserted.bytes),
            ..indexed(count, collection.written())
        })
    }

    /// What was read for a request with so many new bytes: at least a quarter of them, since the
    /// keeper reads what the request did not wait for.
    fn cost(&self, embedder: &Embedder, bytes: usize) -> u64 {
        let likely = u64::try_from(bytes.div_ceil(4)).unwrap_or(u64::MAX);
        match self.last_model() {
            Some(_) => embedder.tokens().max(likely),
            None => embedder.tokens(),
        }
    }

    /// Embeds what these documents lack. Without an embedder they are found by their words, and the
    /// keeper makes up for it later.
    async fn embed_documents(
        &self,
        collection: &Arc<Collection>,
        documents: Vec<i64>,
        embedder: &Embedder,
    ) -> Result<(), Fault> {
        let lacking = move |_: &Collection, index: &Index| {
            let chunks = documents
                .iter()
                .flat_map(|document| index.catalog.chunks_of(*document));
            chunks
                .filter(|chunk| index.lacking.contains(chunk))
                .collect()
        };
        let chunks = collection.look(&self.host, lacking).await?;
        self.embed(collection, chunks, embedder).await
    }
}

/// Takes a document out.
///
/// # Errors
/// Unknown where there is no such collection or document.
pub(crate) async fn delete_document(
    library: Arc<Library>,
    request: DeleteDocument,
) -> Result<Indexed, Fault> {
    let collection = library.collection(&request.collection).await?;
    let worker = library.clone();
    let work = async move {
        let (id, document) = (collection.id, request.id.clone());
        let delete = move |conn: &mut _| Ok(rows::delete_document(conn, id, &document)?);
        let revision = worker.store.write(delete).await?;
        collection.note_written(revision.ok_or_else(|| unknown_document(&request.id))?);
        collection.catch_up(&worker.host, &worker.store).await?;
        worker.wake.notify_one();
        Ok(indexed(0, collection.written()))
    };
    to_the_end(&library.host, work).await
}

/// Reads a document back as it was indexed.
///
/// # Errors
/// Unknown where there is no such collection or document.
pub(crate) async fn get_document(
    library: Arc<Library>,
    request: GetDocument,
) -> Result<Document, Fault> {
    let collection = library.collection(&request.collection).await?;
    let (id, document) = (collection.id, request.id.clone());
    let row = library
        .store
        .read(move |conn| Ok(rows::document(conn, id, &document)?))
        .await?;
    let row = row.ok_or_else(|| unknown_document(&request.id))?;
    Ok(Document {
        id: row.external_id,
        title: row.title,
        text: row.text,
        metadata: parse_metadata(&row.metadata),
    })
}

fn indexed(documents: usize, revision: i64) -> Indexed {
    Indexed {
        indexed: u64::try_from(documents).unwrap_or(u64::MAX),
        revision: revision.cast_unsigned(),
        tokens: 0,
    }
}

/// The fault for a document that is not there.
pub(crate) fn unknown_document(id: &str) -> Fault {
    Fault::unknown(format!("there is no document `{id}` in this collection"))
        .with_param("id")
        .with_code("document_not_found")
}

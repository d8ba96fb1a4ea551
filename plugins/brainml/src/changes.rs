//! What has changed in a collection since a revision, read from its rows page by page.

use std::collections::HashMap;

use diesel::{prelude::*, sqlite::SqliteConnection};
use serde_json::{Map, Value};

use crate::{
    analyzer::Analyzer,
    embeddings,
    index::{Analyzed, AnalyzedChunk},
    rows::{self, CollectionRow, DocumentRow},
    schema::{brainml_chunks, brainml_deletions, brainml_documents, brainml_embeddings},
};

/// Documents read at a time: bounds memory, whatever their size.
const DOCUMENTS_A_PAGE: i64 = 32;
/// Vectors read at a time.
const VECTORS_A_PAGE: i64 = 4096;

/// What a page of changes is read for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Since {
    /// The collection's row.
    pub(crate) collection: i64,
    /// Only what changed after this revision.
    pub(crate) revision: i64,
    /// The model of the vectors, by hash.
    pub(crate) model_hash: Option<String>,
}

/// A document that changed, not yet taken apart.
#[derive(Debug, Clone)]
pub(crate) struct Changed {
    /// Its row.
    pub(crate) id: i64,
    /// The revision that changed it.
    pub(crate) revision: i64,
    document: DocumentRow,
    chunks: Vec<ChangedChunk>,
}

#[derive(Debug, Clone)]
struct ChangedChunk {
    id: i64,
    start: usize,
    end: usize,
    vector: Option<Vec<f32>>,
}

impl Changed {
    /// Takes the document apart into terms.
    pub(crate) fn analyze(self, analyzer: &Analyzer) -> Analyzed {
        let title = self.document.title.unwrap_or_default();
        let text = self.document.text;
        let chunks = self.chunks.into_iter().map(|chunk| {
            let body = text.get(chunk.start..chunk.end).unwrap_or_default();
            AnalyzedChunk {
                id: chunk.id,
                start: u32::try_from(chunk.start).unwrap_or(u32::MAX),
                counts: analyzer.count([title.as_str(), body]),
                vector: chunk.vector,
            }
        });
        Analyzed {
            id: self.id,
            external_id: self.document.external_id,
            metadata: parse_metadata(&self.document.metadata),
            chunks: chunks.collect(),
        }
    }
}

/// Metadata as it was written by [`upsert`](crate::upsert::upsert).
pub(crate) fn parse_metadata(json: &str) -> Map<String, Value> {
    serde_json::from_str(json).unwrap_or_default()
}

/// Where a collection stands, and the rows of the documents deleted since a revision.
pub(crate) fn head(
    conn: &mut SqliteConnection,
    collection: i64,
    since: i64,
) -> QueryResult<Option<(CollectionRow, Vec<i64>)>> {
    use brainml_deletions::dsl;
    let Some(row) = rows::collection(conn, collection)? else {
        return Ok(None);
    };
    let deleted = dsl::brainml_deletions
        .filter(
            dsl::collection_id
                .eq(collection)
                .and(dsl::revision.gt(since)),
        )
        .select(dsl::document_id)
        .load(conn)?;
    Ok(Some((row, deleted)))
}

/// The next documents that changed, after the one with this revision and row.
pub(crate) fn documents(
    conn: &mut SqliteConnection,
    since: &Since,
    after: (i64, i64),
) -> QueryResult<Vec<Changed>> {
    use brainml_documents::dsl;
    let later = dsl::revision
        .gt(after.0)
        .or(dsl::revision.eq(after.0).and(dsl::id.gt(after.1)));
    let page: Vec<(i64, i64, DocumentRow)> = dsl::brainml_documents
        .filter(
            dsl::collection_id
                .eq(since.collection)
                .and(dsl::revision.ge(after.0))
                .and(later),
        )
        .order((dsl::revision, dsl::id))
        .limit(DOCUMENTS_A_PAGE)
        .select((dsl::id, dsl::revision, DocumentRow::as_select()))
        .load(conn)?;
    let ids: Vec<i64> = page.iter().map(|(id, ..)| *id).collect();
    let mut chunks = chunks_of(conn, &ids, since.model_hash.as_deref().unwrap_or_default())?;
    let changed = page.into_iter().map(|(id, revision, document)| {
        let chunks = chunks.remove(&id).unwrap_or_default();
        Changed {
            id,
            revision,
            document,
            chunks,
        }
    });
    Ok(changed.collect())
}

type ChunkWithVector = (i64, i64, i64, i64, Option<Vec<u8>>);

fn chunks_of(
    conn: &mut SqliteConnection,
    documents: &[i64],
    model_hash: &str,
) -> QueryResult<HashMap<i64, Vec<ChangedChunk>>> {
    use brainml_chunks::dsl;
    let of_model = brainml_embeddings::chunk_id
        .eq(dsl::id)
        .and(brainml_embeddings::model_hash.eq(model_hash));
    let rows: Vec<ChunkWithVector> = dsl::brainml_chunks
        .left_join(brainml_embeddings::table.on(of_model))
        .filter(dsl::document_id.eq_any(documents))
        .order((dsl::document_id, dsl::ordinal))
        .select((
            dsl::document_id,
            dsl::id,
            dsl::start_byte,
            dsl::end_byte,
            brainml_embeddings::vector.nullable(),
        ))
        .load(conn)?;
    let mut chunks: HashMap<i64, Vec<ChangedChunk>> = HashMap::new();
    for (document, id, start, end, vector) in rows {
        chunks.entry(document).or_default().push(ChangedChunk {
            id,
            start: usize::try_from(start).unwrap_or(0),
            end: usize::try_from(end).unwrap_or(0),
            vector: vector.map(|bytes| embeddings::decode(&bytes)),
        });
    }
    Ok(chunks)
}

/// The next vectors that came to chunks, after the one with this revision and chunk.
pub(crate) fn vectors(
    conn: &mut SqliteConnection,
    since: &Since,
    after: (i64, i64),
) -> QueryResult<Vec<(i64, i64, Vec<f32>)>> {
    use brainml_embeddings::dsl;
    let Some(model_hash) = &since.model_hash else {
        return Ok(Vec::new());
    };
    let later = dsl::revision
        .gt(after.0)
        .or(dsl::revision.eq(after.0).and(dsl::chunk_id.gt(after.1)));
    let of_model = dsl::collection_id
        .eq(since.collection)
        .and(dsl::model_hash.eq(model_hash));
    let page: Vec<(i64, i64, Vec<u8>)> = dsl::brainml_embeddings
        .filter(of_model.and(dsl::revision.ge(after.0)).and(later))
        .order((dsl::revision, dsl::chunk_id))
        .limit(VECTORS_A_PAGE)
        .select((dsl::revision, dsl::chunk_id, dsl::vector))
        .load(conn)?;
    let decoded = page
        .into_iter()
        .map(|(revision, chunk, bytes)| (revision, chunk, embeddings::decode(&bytes)));
    Ok(decoded.collect())
}

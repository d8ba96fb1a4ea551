//! Writes documents: rows change only where their content did.

use diesel::{prelude::*, sqlite::SqliteConnection};
use sha2::{Digest, Sha256};

use crate::{
    chunker::{ChunkSizes, chunks},
    rows::next_revision,
    schema::{brainml_chunks, brainml_collections, brainml_documents},
};

/// A document ready to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Prepared {
    external_id: String,
    title: Option<String>,
    text: String,
    metadata: String,
    content_hash: Vec<u8>,
    /// Byte ranges of its chunks.
    chunks: Vec<(i64, i64)>,
}

impl Prepared {
    /// Cuts a document into chunks. What has a title and no text is one empty chunk, so that its
    /// title is found; what has neither has no chunk.
    pub(crate) fn new(document: messages::brainml::Document, sizes: ChunkSizes) -> Self {
        let mut ranges = chunks(&document.text, sizes);
        let titled = document
            .title
            .as_deref()
            .is_some_and(|title| !title.trim().is_empty());
        if ranges.is_empty() && titled {
            ranges.push(0..0);
        }
        Self {
            content_hash: content_hash(document.title.as_deref(), &document.text),
            metadata: serde_json::Value::Object(document.metadata).to_string(),
            external_id: document.id,
            title: document.title,
            text: document.text,
            chunks: ranges
                .into_iter()
                .map(|range| (signed(range.start), signed(range.end)))
                .collect(),
        }
    }

    /// Those that a model reads.
    fn bytes(&self) -> usize {
        let title = self.title.as_deref().unwrap_or_default();
        self.text.len().saturating_add(title.len())
    }
}

fn content_hash(title: Option<&str>, text: &str) -> Vec<u8> {
    let mut hash = Sha256::new();
    hash.update([u8::from(title.is_some())]);
    let title = title.unwrap_or_default();
    // The length keeps title and text apart.
    hash.update(title.len().to_le_bytes());
    hash.update(title);
    hash.update(text);
    hash.finalize().to_vec()
}

fn signed(offset: usize) -> i64 {
    i64::try_from(offset).unwrap_or(i64::MAX)
}

/// What an upsert came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Upserted {
    /// The collection's revision that holds the documents.
    pub(crate) revision: i64,
    /// The rows of the documents, each once.
    pub(crate) documents: Vec<i64>,
    /// Bytes of titles and texts that are new.
    pub(crate) bytes: usize,
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = brainml_documents)]
struct Known {
    id: i64,
    content_hash: Vec<u8>,
    metadata: String,
}

/// Writes documents into a collection, in one transaction that the caller has opened. Nothing but
/// changes make a new revision.
pub(crate) fn upsert(
    conn: &mut SqliteConnection,
    collection: i64,
    documents: &[Prepared],
) -> QueryResult<Upserted> {
    let mut revision = None;
    let mut rows = std::collections::BTreeSet::new();
    let mut bytes = 0_usize;
    for document in documents {
        let (row, new) = put(conn, collection, document, &mut revision)?;
        rows.insert(row);
        bytes = bytes.saturating_add(if new { document.bytes() } else { 0 });
    }
    let revision = match revision {
        Some(revision) => revision,
        None => brainml_collections::table
            .find(collection)
            .select(brainml_collections::revision)
            .first(conn)?,
    };
    Ok(Upserted {
        revision,
        documents: rows.into_iter().collect(),
        bytes,
    })
}

/// The document's row, and whether its content is new.
fn put(
    conn: &mut SqliteConnection,
    collection: i64,
    document: &Prepared,
    revision: &mut Option<i64>,
) -> QueryResult<(i64, bool)> {
    use brainml_documents::dsl;
    let known = dsl::brainml_documents
        .filter(
            dsl::collection_id
                .eq(collection)
                .and(dsl::external_id.eq(&document.external_id)),
        )
        .select(Known::as_select())
        .first(conn)
        .optional()?;
    let same_content = match &known {
        Some(known) if known.content_hash == document.content_hash => {
            // Other sizes cut the same text differently.
            chunks_of(conn, known.id)? == document.chunks
        }
        _ => false,
    };
    if let Some(known) = &known
        && same_content
        && known.metadata == document.metadata
    {
        return Ok((known.id, false));
    }
    let revision = match *revision {
        Some(revision) => revision,
        None => *revision.insert(next_revision(conn, collection)?),
    };
    match known {
        Some(known) if same_content => {
            let changed = (
                dsl::metadata.eq(&document.metadata),
                dsl::revision.eq(revision),
            );
            diesel::update(dsl::brainml_documents.find(known.id))
                .set(changed)
                .execute(conn)?;
            Ok((known.id, false))
        }
        Some(known) => Ok((replace(conn, known.id, document, revision)?, true)),
        None => Ok((insert(conn, collection, document, revision)?, true)),
    }
}

fn chunks_of(conn: &mut SqliteConnection, document: i64) -> QueryResult<Vec<(i64, i64)>> {
    use brainml_chunks::dsl;
    dsl::brainml_chunks
        .filter(dsl::document_id.eq(document))
        .order(dsl::ordinal)
        .select((dsl::start_byte, dsl::end_byte))
        .load(conn)
}

fn replace(
    conn: &mut SqliteConnection,
    id: i64,
    document: &Prepared,
    revision: i64,
) -> QueryResult<i64> {
    use brainml_documents::dsl;
    diesel::delete(brainml_chunks::table.filter(brainml_chunks::document_id.eq(id)))
        .execute(conn)?;
    diesel::update(dsl::brainml_documents.find(id))
        .set((
            dsl::revision.eq(revision),
            dsl::content_hash.eq(&document.content_hash),
            dsl::chunk_count.eq(signed(document.chunks.len())),
            dsl::byte_count.eq(signed(document.text.len())),
            dsl::metadata.eq(&document.metadata),
            dsl::title.eq(&document.title),
            dsl::text.eq(&document.text),
        ))
        .execute(conn)?;
    insert_chunks(conn, id, document)?;
    Ok(id)
}

fn insert(
    conn: &mut SqliteConnection,
    collection: i64,
    document: &Prepared,
    revision: i64,
) -> QueryResult<i64> {
    use brainml_documents::dsl;
    let id = diesel::insert_into(dsl::brainml_documents)
        .values((
            dsl::collection_id.eq(collection),
            dsl::external_id.eq(&document.external_id),
            dsl::revision.eq(revision),
            dsl::content_hash.eq(&document.content_hash),
            dsl::chunk_count.eq(signed(document.chunks.len())),
            dsl::byte_count.eq(signed(document.text.len())),
            dsl::metadata.eq(&document.metadata),
            dsl::title.eq(&document.title),
            dsl::text.eq(&document.text),
        ))
        .returning(dsl::id)
        .get_result(conn)?;
    insert_chunks(conn, id, document)?;
    Ok(id)
}

fn insert_chunks(
    conn: &mut SqliteConnection,
    document: i64,
    prepared: &Prepared,
) -> QueryResult<()> {
    use brainml_chunks::dsl;
    for (ordinal, (start, end)) in (0_i64..).zip(&prepared.chunks) {
        let row = (
            dsl::document_id.eq(document),
            dsl::ordinal.eq(ordinal),
            dsl::start_byte.eq(start),
            dsl::end_byte.eq(end),
        );
        diesel::insert_into(dsl::brainml_chunks)
            .values(row)
            .execute(conn)?;
    }
    Ok(())
}

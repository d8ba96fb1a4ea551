//! Lists what a collection holds, for people who look through it: its documents, and the chunks of
//! one. All of it is read from the rows.

use std::sync::Arc;

use diesel::{dsl::exists, prelude::*, sqlite::SqliteConnection};
use messages::{
    brainml::{Chunk, DocumentEntry, DocumentPage, ListChunks, ListDocuments},
    call::Cx,
    fault::Fault,
};

use crate::{
    changes::parse_metadata,
    collection::unknown,
    ingest::unknown_document,
    library::Library,
    limits,
    schema::{brainml_chunks, brainml_collections, brainml_documents, brainml_embeddings},
};

/// The columns of a list of documents; the text stays where it is.
#[derive(Queryable, Selectable)]
#[diesel(table_name = brainml_documents)]
struct ListedRow {
    external_id: String,
    revision: i64,
    chunk_count: i64,
    byte_count: i64,
    metadata: String,
    title: Option<String>,
}

/// Lists documents by their ids.
///
/// # Errors
/// Unknown where there is no such collection; unprocessable for a limit out of bounds.
pub(crate) async fn list_documents(
    library: Arc<Library>,
    request: ListDocuments,
) -> Result<DocumentPage, Fault> {
    let limit = limits::check_listed(&request)?;
    let collection = library.collection(&request.collection).await?;
    let id = collection.id;
    let read = move |conn: &mut _| Ok(documents(conn, id, &request, limit)?);
    let mut rows = library.store.read(read).await?;
    // One more than was asked for tells whether the list goes on.
    let more = rows.len() > limit;
    rows.truncate(limit);
    let last = rows.last().map(|row| row.external_id.clone());
    Ok(DocumentPage {
        documents: rows.into_iter().map(entry).collect(),
        next: last.filter(|_| more),
    })
}

fn documents(
    conn: &mut SqliteConnection,
    collection: i64,
    request: &ListDocuments,
    limit: usize,
) -> QueryResult<Vec<ListedRow>> {
    use brainml_documents::dsl;
    let mut query = dsl::brainml_documents
        .filter(dsl::collection_id.eq(collection))
        .into_boxed();
    if let Some(after) = &request.after {
        query = query.filter(dsl::external_id.gt(after.clone()));
    }
    if let Some(part) = request.query.as_ref().filter(|part| !part.is_empty()) {
        let (by_id, by_title) = (holding(part), holding(part));
        let named = dsl::external_id.like(by_id).escape('\\');
        let titled = dsl::title.like(by_title).escape('\\');
        // Without a title the second half is NULL, which `OR` takes for no.
        query = query.filter(named.nullable().or(titled));
    }
    query
        .order(dsl::external_id)
        .limit(i64::try_from(limit).unwrap_or(i64::MAX - 1) + 1)
        .select(ListedRow::as_select())
        .load(conn)
}

/// The pattern of everything that holds `part`, in which nothing but the ends is a wildcard.
fn holding(part: &str) -> String {
    let mut pattern = String::with_capacity(part.len() + 2);
    pattern.push('%');
    for letter in part.chars() {
        if matches!(letter, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(letter);
    }
    pattern.push('%');
    pattern
}

fn entry(row: ListedRow) -> DocumentEntry {
    DocumentEntry {
        id: row.external_id,
        title: row.title,
        bytes: row.byte_count.cast_unsigned(),
        chunks: row.chunk_count.cast_unsigned(),
        revision: row.revision.cast_unsigned(),
        metadata: parse_metadata(&row.metadata),
    }
}

/// A document's text with the byte ranges of its chunks.
struct Cut {
    text: String,
    /// First and last byte, and whether the chunk has a vector.
    chunks: Vec<(i64, i64, bool)>,
}

/// Lists the chunks of a document.
///
/// # Errors
/// Unknown where there is no such collection or document.
pub(crate) async fn list_chunks(
    library: Arc<Library>,
    request: ListChunks,
    cx: Cx,
) -> Result<Vec<Chunk>, Fault> {
    let collection = library.collection(&request.collection).await?;
    let (id, name) = (collection.id, collection.name.clone());
    let document = request.id.clone();
    let read = move |conn: &mut SqliteConnection| {
        conn.transaction(|conn| {
            let model: Option<Option<String>> = brainml_collections::table
                .find(id)
                .select(brainml_collections::model_hash)
                .first(conn)
                .optional()?;
            let model = model.ok_or_else(|| unknown(&name))?;
            Ok(cut(conn, id, &document, model.unwrap_or_default())?)
        })
    };
    let cut = library.store.read(read).await?;
    let cut = cut.ok_or_else(|| unknown_document(&request.id))?;
    library
        .host
        .run_for(&cx, move || cut.told(&request.id))
        .await
}

fn cut(
    conn: &mut SqliteConnection,
    collection: i64,
    external_id: &str,
    model: String,
) -> QueryResult<Option<Cut>> {
    use brainml_documents::dsl;
    let named = dsl::collection_id
        .eq(collection)
        .and(dsl::external_id.eq(external_id));
    let found: Option<(i64, String)> = dsl::brainml_documents
        .filter(named)
        .select((dsl::id, dsl::text))
        .first(conn)
        .optional()?;
    let Some((document, text)) = found else {
        return Ok(None);
    };
    let vector = brainml_embeddings::chunk_id
        .eq(brainml_chunks::id)
        .and(brainml_embeddings::model_hash.eq(model));
    let chunks = brainml_chunks::table
        .filter(brainml_chunks::document_id.eq(document))
        .order(brainml_chunks::ordinal)
        .select((
            brainml_chunks::start_byte,
            brainml_chunks::end_byte,
            exists(brainml_embeddings::table.filter(vector)),
        ))
        .load(conn)?;
    Ok(Some(Cut { text, chunks }))
}

impl Cut {
    fn told(&self, document: &str) -> Vec<Chunk> {
        let chunks = self.chunks.iter().enumerate();
        chunks
            .map(|(ordinal, (start, end, embedded))| Chunk {
                chunk_id: format!("{document}#{ordinal}"),
                start: start.cast_unsigned(),
                end: end.cast_unsigned(),
                text: self.part(*start, *end),
                embedded: *embedded,
            })
            .collect()
    }

    fn part(&self, start: i64, end: i64) -> String {
        let place = |offset| usize::try_from(offset).unwrap_or(usize::MAX);
        let bytes = self.text.as_bytes().get(place(start)..place(end));
        String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned()
    }
}

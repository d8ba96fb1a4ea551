//! Reading and writing the rows of collections and documents: SQLite holds the truth.

use diesel::{
    dsl::sql,
    prelude::*,
    sql_types::{BigInt, Binary},
    sqlite::SqliteConnection,
};

use crate::{
    index::Model,
    schema::{
        brainml_chunks, brainml_collections, brainml_deletions, brainml_documents, brainml_guides,
    },
};

/// A collection's row.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable)]
#[diesel(table_name = brainml_collections)]
pub(crate) struct CollectionRow {
    pub(crate) id: i64,
    pub(crate) name: String,
    pub(crate) revision: i64,
    pub(crate) model: Option<String>,
    pub(crate) model_hash: Option<String>,
}

impl CollectionRow {
    /// The model whose vectors are searched.
    pub(crate) fn model(&self) -> Option<Model> {
        let (name, hash) = (self.model.clone()?, self.model_hash.clone()?);
        Some(Model { name, hash })
    }
}

/// What a collection amounts to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Queryable)]
pub(crate) struct Sizes {
    pub(crate) documents: i64,
    pub(crate) chunks: i64,
    pub(crate) bytes: i64,
}

/// A document as its owner wrote it.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable)]
#[diesel(table_name = brainml_documents)]
pub(crate) struct DocumentRow {
    pub(crate) external_id: String,
    pub(crate) metadata: String,
    pub(crate) title: Option<String>,
    pub(crate) text: String,
}

/// A chunk with its text and what its document says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Queryable)]
pub(crate) struct ChunkRow {
    pub(crate) id: i64,
    pub(crate) ordinal: i64,
    pub(crate) start_byte: i64,
    pub(crate) end_byte: i64,
    text: Vec<u8>,
    pub(crate) external_id: String,
    pub(crate) title: Option<String>,
    pub(crate) metadata: String,
}

impl ChunkRow {
    /// The chunk's text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.text).into_owned()
    }
}

/// All collections by name.
pub(crate) fn collections(conn: &mut SqliteConnection) -> QueryResult<Vec<CollectionRow>> {
    use brainml_collections::dsl;
    dsl::brainml_collections
        .order(dsl::name)
        .select(CollectionRow::as_select())
        .load(conn)
}

/// One collection.
pub(crate) fn collection(
    conn: &mut SqliteConnection,
    id: i64,
) -> QueryResult<Option<CollectionRow>> {
    let row = brainml_collections::table
        .find(id)
        .select(CollectionRow::as_select());
    row.first(conn).optional()
}

/// Makes a collection, or finds the one of that name.
pub(crate) fn create_collection(
    conn: &mut SqliteConnection,
    name: &str,
) -> QueryResult<CollectionRow> {
    use brainml_collections::dsl;
    diesel::insert_into(dsl::brainml_collections)
        .values(dsl::name.eq(name))
        .on_conflict_do_nothing()
        .execute(conn)?;
    dsl::brainml_collections
        .filter(dsl::name.eq(name))
        .select(CollectionRow::as_select())
        .first(conn)
}

/// Deletes a collection with everything in it.
pub(crate) fn delete_collection(conn: &mut SqliteConnection, id: i64) -> QueryResult<()> {
    diesel::delete(brainml_collections::table.find(id)).execute(conn)?;
    Ok(())
}

/// Counts a change, and answers its number.
pub(crate) fn next_revision(conn: &mut SqliteConnection, collection: i64) -> QueryResult<i64> {
    use brainml_collections::dsl;
    diesel::update(dsl::brainml_collections.find(collection))
        .set(dsl::revision.eq(dsl::revision + 1))
        .returning(dsl::revision)
        .get_result(conn)
}

/// Turns a collection to another embedding model.
pub(crate) fn adopt_model(
    conn: &mut SqliteConnection,
    collection: i64,
    model: &Model,
) -> QueryResult<()> {
    use brainml_collections::dsl;
    next_revision(conn, collection)?;
    diesel::update(dsl::brainml_collections.find(collection))
        .set((dsl::model.eq(&model.name), dsl::model_hash.eq(&model.hash)))
        .execute(conn)?;
    Ok(())
}

/// Counts documents, chunks and bytes of text, from an index over just these columns.
pub(crate) fn sizes(conn: &mut SqliteConnection, collection: i64) -> QueryResult<Sizes> {
    brainml_documents::table
        .filter(brainml_documents::collection_id.eq(collection))
        .select((
            diesel::dsl::count_star(),
            sql::<BigInt>("CAST(COALESCE(SUM(chunk_count), 0) AS BIGINT)"),
            sql::<BigInt>("CAST(COALESCE(SUM(byte_count), 0) AS BIGINT)"),
        ))
        .first(conn)
}

/// A document by the id that its owner gave it.
pub(crate) fn document(
    conn: &mut SqliteConnection,
    collection: i64,
    external_id: &str,
) -> QueryResult<Option<DocumentRow>> {
    use brainml_documents::dsl;
    dsl::brainml_documents
        .filter(
            dsl::collection_id
                .eq(collection)
                .and(dsl::external_id.eq(external_id)),
        )
        .select(DocumentRow::as_select())
        .first(conn)
        .optional()
}

/// Deletes a document; answers the revision without it, or nothing where there was none.
pub(crate) fn delete_document(
    conn: &mut SqliteConnection,
    collection: i64,
    external_id: &str,
) -> QueryResult<Option<i64>> {
    use brainml_documents::dsl;
    let deleted: Option<i64> = diesel::delete(
        dsl::brainml_documents.filter(
            dsl::collection_id
                .eq(collection)
                .and(dsl::external_id.eq(external_id)),
        ),
    )
    .returning(dsl::id)
    .get_result(conn)
    .optional()?;
    let Some(document) = deleted else {
        return Ok(None);
    };
    let revision = next_revision(conn, collection)?;
    diesel::insert_into(brainml_deletions::table)
        .values((
            brainml_deletions::document_id.eq(document),
            brainml_deletions::collection_id.eq(collection),
            brainml_deletions::revision.eq(revision),
        ))
        .execute(conn)?;
    Ok(Some(revision))
}

/// Forgets deletions that the persisted index has followed.
pub(crate) fn prune_deletions(
    conn: &mut SqliteConnection,
    collection: i64,
    reached: i64,
) -> QueryResult<()> {
    use brainml_deletions::dsl;
    let followed = dsl::collection_id
        .eq(collection)
        .and(dsl::revision.le(reached));
    diesel::delete(dsl::brainml_deletions.filter(followed)).execute(conn)?;
    Ok(())
}

/// The given chunks that still exist. Only their parts of the texts are read: a document may be a
/// thousand times as long as its chunk.
pub(crate) fn chunks(conn: &mut SqliteConnection, chunks: &[i64]) -> QueryResult<Vec<ChunkRow>> {
    use brainml_documents::dsl;
    // Offsets count bytes, so the text is cut as a blob (PostgreSQL: convert_to(text, 'UTF8')).
    let part = "substr(CAST(text AS BLOB), start_byte + 1, end_byte - start_byte)";
    brainml_chunks::table
        .inner_join(brainml_documents::table)
        .filter(brainml_chunks::id.eq_any(chunks))
        .select((
            brainml_chunks::id,
            brainml_chunks::ordinal,
            brainml_chunks::start_byte,
            brainml_chunks::end_byte,
            sql::<Binary>(part),
            dsl::external_id,
            dsl::title,
            dsl::metadata,
        ))
        .load(conn)
}

/// The ids that owners gave their documents, with the documents' metadata.
pub(crate) fn metadata(
    conn: &mut SqliteConnection,
    collection: i64,
) -> QueryResult<Vec<(String, String)>> {
    use brainml_documents::dsl;
    dsl::brainml_documents
        .filter(dsl::collection_id.eq(collection))
        .select((dsl::external_id, dsl::metadata))
        .load(conn)
}

/// Notes that the product made this collection; false where it had done so before.
pub(crate) fn claim_guide(conn: &mut SqliteConnection, name: &str) -> QueryResult<bool> {
    let claimed = diesel::insert_into(brainml_guides::table)
        .values(brainml_guides::name.eq(name))
        .on_conflict_do_nothing()
        .execute(conn)?;
    Ok(claimed > 0)
}

//! Embeddings as rows: bf16, since they cost hours to make again, with the hash of their model.

use diesel::{prelude::*, sqlite::SqliteConnection};
use half::bf16;

use crate::{
    index::Model,
    rows::{chunks, next_revision},
    schema::{brainml_chunks, brainml_embeddings},
};

/// Two bytes a number, little-endian.
pub(crate) fn encode(vector: &[f32]) -> Vec<u8> {
    vector
        .iter()
        .flat_map(|number| bf16::from_f32(*number).to_le_bytes())
        .collect()
}

/// The numbers of [`encode`].
pub(crate) fn decode(bytes: &[u8]) -> Vec<f32> {
    let (pairs, _) = bytes.as_chunks::<2>();
    pairs
        .iter()
        .map(|pair| bf16::from_le_bytes(*pair).to_f32())
        .collect()
}

/// A chunk that lacks a vector in the index.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Unembedded {
    /// Its row.
    pub(crate) chunk: i64,
    /// Title and text, as the model gets to read them.
    pub(crate) text: String,
}

/// What the model reads of the given chunks; those that are gone are left out.
pub(crate) fn unembedded(conn: &mut SqliteConnection, ids: &[i64]) -> QueryResult<Vec<Unembedded>> {
    let rows = chunks(conn, ids)?;
    let texts = rows.into_iter().map(|chunk| Unembedded {
        chunk: chunk.id,
        text: match &chunk.title {
            Some(title) => format!("{title}\n{}", chunk.text()),
            None => chunk.text(),
        },
    });
    Ok(texts.collect())
}

/// Which of the given chunks have rows of a model already, from before the collection turned to
/// another one.
pub(crate) fn known(
    conn: &mut SqliteConnection,
    ids: &[i64],
    model_hash: &str,
) -> QueryResult<Vec<(i64, Vec<f32>)>> {
    use brainml_embeddings::dsl;
    let rows: Vec<(i64, Vec<u8>)> = dsl::brainml_embeddings
        .filter(
            dsl::chunk_id
                .eq_any(ids)
                .and(dsl::model_hash.eq(model_hash)),
        )
        .select((dsl::chunk_id, dsl::vector))
        .load(conn)?;
    Ok(rows
        .into_iter()
        .map(|(chunk, bytes)| (chunk, decode(&bytes)))
        .collect())
}

/// Keeps vectors, in one transaction that the caller has opened. Chunks that are gone meanwhile are
/// passed over.
pub(crate) fn insert(
    conn: &mut SqliteConnection,
    collection: i64,
    model: &Model,
    vectors: &[(i64, Vec<f32>)],
) -> QueryResult<()> {
    use brainml_embeddings::dsl;
    let ids = vectors.iter().map(|(chunk, _)| *chunk);
    let alive: Vec<i64> = brainml_chunks::table
        .filter(brainml_chunks::id.eq_any(ids))
        .select(brainml_chunks::id)
        .load(conn)?;
    let revision = next_revision(conn, collection)?;
    for (chunk, vector) in vectors.iter().filter(|(chunk, _)| alive.contains(chunk)) {
        let row = (
            dsl::chunk_id.eq(chunk),
            dsl::model_hash.eq(&model.hash),
            dsl::collection_id.eq(collection),
            dsl::revision.eq(revision),
            dsl::vector.eq(encode(vector)),
        );
        // A new revision makes derived indexes look at a vector that they had no use for before.
        diesel::insert_into(dsl::brainml_embeddings)
            .values(row)
            .on_conflict((dsl::chunk_id, dsl::model_hash))
            .do_update()
            .set(dsl::revision.eq(revision))
            .execute(conn)?;
    }
    Ok(())
}

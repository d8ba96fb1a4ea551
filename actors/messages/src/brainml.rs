//! Collections, documents and search: what can be asked of the plugin `brainml`.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::call::Capability;

/// Makes a collection; one that exists is left as it is.
#[derive(Debug, Clone)]
pub struct CreateCollection {
    /// 1 to 64 characters of `a-z 0-9 _ -`, beginning with a letter or a digit.
    pub name: String,
}

/// Deletes a collection with everything in it.
#[derive(Debug, Clone)]
pub struct DeleteCollection {
    /// The collection's name.
    pub name: String,
}

/// Lists the collections.
#[derive(Debug, Clone)]
pub struct ListCollections;

/// Tells the size and state of a collection.
#[derive(Debug, Clone)]
pub struct ReadStats {
    /// The collection's name.
    pub collection: String,
}

/// The size and state of a collection.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Stats {
    /// The collection's name.
    pub name: String,
    /// Documents in it.
    pub documents: u64,
    /// Chunks that they were cut into.
    pub chunks: u64,
    /// Chunks that have a vector in the index.
    pub vectors: u64,
    /// Grows with every change.
    pub revision: u64,
    /// Bytes of the documents' text.
    pub bytes: u64,
    /// Whether a leg of the search is missing or behind the revision.
    pub degraded: bool,
    /// The embedding model whose vectors are searched, where there is one.
    pub model: Option<String>,
}

/// A document to index.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Document {
    /// The caller's own id; indexing it again replaces the document.
    #[serde(alias = "_id")]
    pub id: String,
    /// Ranked with the text, but outside its offsets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// UTF-8; may be empty.
    pub text: String,
    /// What filters look at.
    #[serde(default)]
    pub metadata: Map<String, Value>,
}

/// Puts documents into a collection, replacing those with the same ids.
#[derive(Debug, Clone)]
pub struct IndexDocuments {
    /// The collection's name.
    pub collection: String,
    /// 1 to 1,000 documents.
    pub documents: Vec<Document>,
}

/// Documents that are durable and searchable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Indexed {
    /// How many documents of the request are now in the collection.
    pub indexed: u64,
    /// The collection's revision that holds them.
    pub revision: u64,
    /// Tokens that the embedding model has read for this request.
    #[serde(default)]
    pub tokens: u64,
}

/// Takes a document out.
#[derive(Debug, Clone)]
pub struct DeleteDocument {
    /// The collection's name.
    pub collection: String,
    /// The document's id.
    pub id: String,
}

/// Reads a document back as it was indexed.
#[derive(Debug, Clone)]
pub struct GetDocument {
    /// The collection's name.
    pub collection: String,
    /// The document's id.
    pub id: String,
}

/// Lists the documents of a collection by their ids.
#[derive(Debug, Clone)]
pub struct ListDocuments {
    /// The collection's name.
    pub collection: String,
    /// The last id that is known; the list goes on after it.
    pub after: Option<String>,
    /// How many at the most, 1 to 1,000.
    pub limit: u32,
    /// A part of the id or of the title; letters of `a-z` match in either case.
    pub query: Option<String>,
}

/// A part of a list of documents.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DocumentPage {
    /// In the order of their ids, byte by byte.
    pub documents: Vec<DocumentEntry>,
    /// What `after` must be to go on; nothing at the end.
    pub next: Option<String>,
}

/// A document without its text.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DocumentEntry {
    /// Its id.
    pub id: String,
    /// Its title.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Bytes of its text.
    pub bytes: u64,
    /// Chunks that it was cut into.
    pub chunks: u64,
    /// The collection's revision that changed it last.
    pub revision: u64,
    /// Its metadata.
    pub metadata: Map<String, Value>,
}

/// Lists the chunks of a document.
#[derive(Debug, Clone)]
pub struct ListChunks {
    /// The collection's name.
    pub collection: String,
    /// The document's id.
    pub id: String,
}

/// A part of a document's text, as it is ranked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Chunk {
    /// The document's id, `#`, and the chunk's number from 0.
    pub chunk_id: String,
    /// Where it begins in the document's text, in bytes.
    pub start: u64,
    /// Where it ends, in bytes, exclusive.
    pub end: u64,
    /// Its text.
    pub text: String,
    /// Whether it has a vector of the model that the collection is searched by.
    pub embedded: bool,
}

/// Which legs of the search are used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Words and vectors, fused.
    #[default]
    Hybrid,
    /// Words alone.
    Lexical,
    /// Vectors alone.
    Vector,
}

/// What a result is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Group {
    /// Every chunk for itself.
    #[default]
    Chunk,
    /// Each document once, by its best chunk.
    Document,
}

/// A condition on metadata, in the shape of OpenAI's vector-store filters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "lowercase")]
#[schema(no_recursion)]
pub enum Filter {
    /// Equal.
    Eq(Comparison),
    /// Not equal, or absent.
    Ne(Comparison),
    /// Greater.
    Gt(Comparison),
    /// Greater or equal.
    Gte(Comparison),
    /// Less.
    Lt(Comparison),
    /// Less or equal.
    Lte(Comparison),
    /// One of a list.
    In(Comparison),
    /// None of a list, or absent.
    Nin(Comparison),
    /// All of them hold.
    And {
        /// The conditions.
        filters: Vec<Filter>,
    },
    /// One of them holds.
    Or {
        /// The conditions.
        filters: Vec<Filter>,
    },
}

/// A key of the metadata and what it is compared with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Comparison {
    /// The metadata's key.
    pub key: String,
    /// A string, a number, a boolean, or for `in` and `nin` a list of them.
    #[schema(value_type = Object)]
    pub value: Value,
}

/// Searches.
#[derive(Debug, Clone, Default)]
pub struct Query {
    /// Names of collections, ranked as one pooled list; empty means all that the caller may query.
    pub collections: Vec<String>,
    /// What to look for.
    pub query: String,
    /// How many results, 1 to 1,000.
    pub top_k: u32,
    /// What a result is.
    pub group: Group,
    /// Which legs are used.
    pub mode: Mode,
    /// Which documents count.
    pub filter: Option<Filter>,
    /// Whether each result says how its score came about.
    pub explain: bool,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Results {
    /// Best first; ties by document id, then by position.
    pub results: Vec<Hit>,
    /// The revision that was searched; over several collections their sum.
    pub revision: u64,
    /// Whether a leg was missing or behind the revision.
    pub degraded: bool,
    /// Tokens of the question that the embedding model has read.
    #[serde(default)]
    pub tokens: u64,
}

/// One result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Hit {
    /// The collection that it is in.
    pub collection: String,
    /// The document's id.
    pub document_id: String,
    /// The chunk's id: the document's id, `#`, and the chunk's number from 0.
    pub chunk_id: String,
    /// The fused score, 0 to 1; with one leg alone, that leg's own score.
    pub score: f64,
    /// The chunk's text.
    pub text: String,
    /// Where the chunk begins in the document's text, in bytes.
    pub start: u64,
    /// Where it ends, in bytes, exclusive.
    pub end: u64,
    /// The document's title.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// The document's metadata.
    pub metadata: Map<String, Value>,
    /// Its rank among the words' candidates, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lexical_rank: Option<u32>,
    /// Its rank among the vectors' candidates, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vector_rank: Option<u32>,
    /// The cosine of question and chunk, where both have a vector.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cosine: Option<f32>,
    /// The share of the question's weight (inverse document frequency) whose words the chunk has.
    pub coverage: f32,
    /// How the score came about, where that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub explanation: Option<Explanation>,
}

/// How a score came about.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Explanation {
    /// The BM25 score.
    pub lexical: Option<f64>,
    /// The BM25 score, scaled to 0..1 over the candidates.
    pub lexical_scaled: Option<f64>,
    /// The cosine.
    pub vector: Option<f64>,
    /// The cosine, scaled to 0..1 over the candidates.
    pub vector_scaled: Option<f64>,
    /// Each of the query's words that the chunk has, with its share of the BM25 score.
    pub terms: Vec<(String, f64)>,
}

macro_rules! capabilities {
    ($($name:ty = $text:literal in $seconds:literal s -> $reply:ty,)*) => {
        $(impl Capability for $name {
            type Reply = $reply;
            const NAME: &'static str = $text;
            const DEADLINE: Duration = Duration::from_secs($seconds);
        })*
    };
}

capabilities! {
    CreateCollection = "brainml.create_collection" in 10 s -> Stats,
    DeleteCollection = "brainml.delete_collection" in 60 s -> (),
    ListCollections = "brainml.list_collections" in 10 s -> Vec<Stats>,
    ReadStats = "brainml.stats" in 10 s -> Stats,
    IndexDocuments = "brainml.index" in 600 s -> Indexed,
    DeleteDocument = "brainml.delete_document" in 60 s -> Indexed,
    GetDocument = "brainml.get_document" in 10 s -> Document,
    ListDocuments = "brainml.list_documents" in 10 s -> DocumentPage,
    ListChunks = "brainml.list_chunks" in 10 s -> Vec<Chunk>,
    Query = "brainml.query" in 30 s -> Results,
}

//! Collections, documents and search.

use actix_web::{HttpResponse, delete, get, post, put, web};
use messages::brainml::{
    Chunk, CreateCollection, DeleteCollection, DeleteDocument, Document, DocumentPage, Filter,
    GetDocument, Group, IndexDocuments, Indexed, ListChunks, ListCollections, ListDocuments, Mode,
    Query, ReadStats, Results, Stats,
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::{IntoParams, ToSchema};

use super::{
    admin::audit::recorded,
    caller::{Allowed, BrainmlAdmin, BrainmlIndex, BrainmlQuery, BrainmlStats},
    error::{ErrorBody, Problem},
    json::{Bulk, Json, Maybe},
    openai::account::Account,
};

/// All collections.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CollectionList {
    /// By name.
    collections: Vec<Stats>,
}

/// What `POST …/documents` takes.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Documents {
    /// 1 to 1,000 documents.
    documents: Vec<Document>,
}

/// What `POST …/query` takes.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Question {
    /// What to look for.
    query: String,
    /// How many results, 1 to 1,000.
    #[serde(default = "ten")]
    top_k: u32,
    /// What a result is.
    #[serde(default)]
    group: Group,
    /// Which legs are used.
    #[serde(default)]
    mode: Mode,
    /// Which documents count.
    #[serde(default)]
    filter: Option<Filter>,
    /// Whether each result says how its score came about.
    #[serde(default)]
    explain: bool,
}

fn ten() -> u32 {
    10
}

/// Which documents a reader wants.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct DocumentWish {
    /// The last id that is known; the list goes on after it.
    after: Option<String>,
    /// How many documents at the most, 1 to 1,000.
    #[serde(default = "hundred")]
    limit: u32,
    /// A part of the id or of the title; letters of `a-z` match in either case.
    query: Option<String>,
}

fn hundred() -> u32 {
    100
}

/// The chunks of a document.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ChunkList {
    /// In the order of the text.
    chunks: Vec<Chunk>,
}

/// What `PUT …/{name}` may take: nothing is required.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CollectionSettings {}

/// Lists the collections.
#[utoipa::path(tag = "brainml", responses((status = 200, body = CollectionList)), security(("key" = [])))]
#[get("/brainml/collections")]
pub(crate) async fn list(caller: Allowed<BrainmlStats>) -> Result<HttpResponse, Problem> {
    let collections = caller.port().call(ListCollections).await?;
    Ok(HttpResponse::Ok().json(CollectionList { collections }))
}

/// Makes a collection; one that exists is left as it is.
#[utoipa::path(tag = "brainml", params(("name" = String, Path)), request_body = Option<CollectionSettings>, responses(
    (status = 200, body = Stats), (status = 422, body = ErrorBody)
), security(("key" = [])))]
#[put("/brainml/collections/{name}")]
pub(crate) async fn create(
    caller: Allowed<BrainmlIndex>,
    name: web::Path<String>,
    body: Maybe<CollectionSettings>,
) -> Result<HttpResponse, Problem> {
    let CollectionSettings {} = body.into_inner().unwrap_or_default();
    let name = name.into_inner();
    let (port, target) = (caller.port(), name.clone());
    let make = port.call(CreateCollection { name });
    let stats = recorded(&caller, "collection.create", &target, json!({}), make).await?;
    Ok(HttpResponse::Ok().json(stats))
}

/// The size and state of a collection.
#[utoipa::path(tag = "brainml", params(("name" = String, Path)), responses(
    (status = 200, body = Stats), (status = 404, body = ErrorBody)
), security(("key" = [])))]
#[get("/brainml/collections/{name}")]
pub(crate) async fn read(
    caller: Allowed<BrainmlStats>,
    name: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    tell(&caller, name.into_inner()).await
}

/// The size and state of a collection.
#[utoipa::path(tag = "brainml", params(("name" = String, Path)), responses(
    (status = 200, body = Stats), (status = 404, body = ErrorBody)
), security(("key" = [])))]
#[get("/brainml/collections/{name}/stats")]
pub(crate) async fn read_stats(
    caller: Allowed<BrainmlStats>,
    name: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    tell(&caller, name.into_inner()).await
}

async fn tell(caller: &Allowed<BrainmlStats>, collection: String) -> Result<HttpResponse, Problem> {
    let stats = caller.port().call(ReadStats { collection }).await?;
    Ok(HttpResponse::Ok().json(stats))
}

/// Deletes a collection with everything in it.
#[utoipa::path(tag = "brainml", params(("name" = String, Path)), responses(
    (status = 204), (status = 404, body = ErrorBody)
), security(("key" = [])))]
#[delete("/brainml/collections/{name}")]
pub(crate) async fn remove(
    caller: Allowed<BrainmlAdmin>,
    name: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let name = name.into_inner();
    let (port, target) = (caller.port(), name.clone());
    let delete = port.call(DeleteCollection { name });
    recorded(&caller, "collection.delete", &target, json!({}), delete).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Puts documents in, replacing those with the same ids; answers once they are durable and
/// searchable.
#[utoipa::path(tag = "brainml", params(("name" = String, Path)), responses(
    (status = 200, body = Indexed), (status = 404, body = ErrorBody), (status = 422, body = ErrorBody)
), security(("key" = [])))]
#[post("")]
pub(crate) async fn index(
    caller: Allowed<BrainmlIndex>,
    name: web::Path<String>,
    body: Json<Documents, Bulk>,
) -> Result<HttpResponse, Problem> {
    let (collection, documents) = (name.into_inner(), body.into_inner().documents);
    let texts = documents.iter().map(|document| {
        let title = document.title.as_deref().unwrap_or_default();
        document.text.len().saturating_add(title.len())
    });
    let account = Account::open_for_texts(&caller, texts)?;
    let (port, target) = (caller.port(), collection.clone());
    let detail = json!({"documents": documents.len()});
    let index = async {
        let indexed = port.call(IndexDocuments {
            collection,
            documents,
        });
        let indexed = indexed.await;
        account.read(&indexed, |indexed: &Indexed| indexed.tokens);
        indexed
    };
    let indexed = recorded(&caller, "documents.index", &target, detail, index).await?;
    Ok(HttpResponse::Ok().json(indexed))
}

/// Lists the documents of a collection by their ids.
#[utoipa::path(tag = "brainml", params(("name" = String, Path), DocumentWish), responses(
    (status = 200, body = DocumentPage), (status = 404, body = ErrorBody), (status = 422, body = ErrorBody)
), security(("key" = [])))]
#[get("")]
pub(crate) async fn list_documents(
    caller: Allowed<BrainmlQuery>,
    name: web::Path<String>,
    wish: web::Query<DocumentWish>,
) -> Result<HttpResponse, Problem> {
    let wish = wish.into_inner();
    let part = ListDocuments {
        collection: name.into_inner(),
        after: wish.after,
        limit: wish.limit,
        query: wish.query,
    };
    let page = caller.port().call(part).await?;
    Ok(HttpResponse::Ok().json(page))
}

/// Lists the chunks of a document. Ids may hold slashes; of a document whose own id ends in
/// `/chunks`, that slash must be written `%2F`.
#[utoipa::path(tag = "brainml", params(("name" = String, Path), ("id" = String, Path)), responses(
    (status = 200, body = ChunkList), (status = 404, body = ErrorBody)
), security(("key" = [])))]
#[get("/{id:.+}/chunks")]
pub(crate) async fn list_chunks(
    caller: Allowed<BrainmlQuery>,
    path: web::Path<(String, String)>,
) -> Result<HttpResponse, Problem> {
    let (collection, id) = path.into_inner();
    let chunks = caller.port().call(ListChunks { collection, id }).await?;
    Ok(HttpResponse::Ok().json(ChunkList { chunks }))
}

/// Reads a document back. Ids may hold slashes.
#[utoipa::path(tag = "brainml", params(("name" = String, Path), ("id" = String, Path)), responses(
    (status = 200, body = Document), (status = 404, body = ErrorBody)
), security(("key" = [])))]
#[get("/{id:.+}")]
pub(crate) async fn read_document(
    caller: Allowed<BrainmlQuery>,
    path: web::Path<(String, String)>,
) -> Result<HttpResponse, Problem> {
    let (collection, id) = path.into_inner();
    let document = caller.port().call(GetDocument { collection, id }).await?;
    Ok(HttpResponse::Ok().json(document))
}

/// Takes a document out. Ids may hold slashes.
#[utoipa::path(tag = "brainml", params(("name" = String, Path), ("id" = String, Path)), responses(
    (status = 200, body = Indexed), (status = 404, body = ErrorBody)
), security(("key" = [])))]
#[delete("/{id:.+}")]
pub(crate) async fn forget(
    caller: Allowed<BrainmlIndex>,
    path: web::Path<(String, String)>,
) -> Result<HttpResponse, Problem> {
    let (collection, id) = path.into_inner();
    let (port, target) = (caller.port(), collection.clone());
    let detail = json!({"document": id});
    let delete = port.call(DeleteDocument { collection, id });
    let change = recorded(&caller, "documents.forget", &target, detail, delete).await?;
    Ok(HttpResponse::Ok().json(change))
}

/// Searches.
#[utoipa::path(tag = "brainml", params(("name" = String, Path)), responses(
    (status = 200, body = Results), (status = 404, body = ErrorBody), (status = 422, body = ErrorBody)
), security(("key" = [])))]
#[post("/brainml/collections/{name}/query")]
pub(crate) async fn search(
    caller: Allowed<BrainmlQuery>,
    name: web::Path<String>,
    body: Json<Question>,
) -> Result<HttpResponse, Problem> {
    let question = body.into_inner();
    let ask = Query {
        collections: vec![name.into_inner()],
        query: question.query,
        top_k: question.top_k,
        group: question.group,
        mode: question.mode,
        filter: question.filter,
        explain: question.explain,
    };
    let text = Some(ask.query.len()).filter(|_| ask.mode != Mode::Lexical);
    let account = Account::open_for_texts(&caller, text.into_iter())?;
    let results = caller.port().call(ask).await;
    account.read(&results, |results: &Results| results.tokens);
    Ok(HttpResponse::Ok().json(results?))
}

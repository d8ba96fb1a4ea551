//! Conversations that are kept: each user's own.

use actix_web::{
    HttpResponse, delete, get,
    http::header::{CONTENT_TYPE, ContentDisposition, DispositionParam, DispositionType},
    post, put, web,
};
use messages::llmserver::{
    Conversation, ConversationDraft, ConversationPage, CreateConversation, DeleteConversation,
    ExportConversation, ExportFormat, GetConversation, ListConversations, UpdateConversation,
};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{
    caller::{Allowed, LlmChat},
    error::{ErrorBody, Problem},
    json::{Json, Talk},
};

/// Which conversations a reader wants.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct ConversationWish {
    /// What title or messages must hold, in capitals or not; at most 200 bytes.
    query: Option<String>,
    /// How many conversations at the most, 1 to 200.
    #[serde(default = "fifty")]
    limit: u32,
    /// The `next` of an earlier part of the list.
    before: Option<String>,
}

fn fifty() -> u32 {
    50
}

/// What a conversation is to be written as.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExportWish {
    /// `markdown` for people, `json` for programs.
    #[serde(default)]
    #[param(inline)]
    format: ExportFormat,
}

/// Lists the caller's conversations, the one that was changed last first.
#[utoipa::path(tag = "conversations", params(ConversationWish), responses(
    (status = 200, body = ConversationPage), (status = 422, body = ErrorBody)
), security(("key" = [])))]
#[get("/conversations")]
pub(crate) async fn list(
    caller: Allowed<LlmChat>,
    wish: web::Query<ConversationWish>,
) -> Result<HttpResponse, Problem> {
    let wish = wish.into_inner();
    let part = ListConversations {
        query: wish.query,
        limit: wish.limit,
        before: wish.before,
    };
    let page = caller.port().call(part).await?;
    Ok(HttpResponse::Ok().json(page))
}

/// Keeps a new conversation.
#[utoipa::path(tag = "conversations", responses(
    (status = 201, body = Conversation), (status = 409, body = ErrorBody), (status = 422, body = ErrorBody)
), security(("key" = [])))]
#[post("/conversations")]
pub(crate) async fn create(
    caller: Allowed<LlmChat>,
    body: Json<ConversationDraft, Talk>,
) -> Result<HttpResponse, Problem> {
    let draft = body.into_inner();
    let kept = caller.port().call(CreateConversation { draft }).await?;
    Ok(HttpResponse::Created().json(kept))
}

/// Reads a conversation of the caller's.
#[utoipa::path(tag = "conversations", params(("id" = String, Path)), responses(
    (status = 200, body = Conversation), (status = 404, body = ErrorBody)
), security(("key" = [])))]
#[get("/conversations/{id}")]
pub(crate) async fn read(
    caller: Allowed<LlmChat>,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let id = id.into_inner();
    let kept = caller.port().call(GetConversation { id }).await?;
    Ok(HttpResponse::Ok().json(kept))
}

/// Replaces a conversation of the caller's, where it is still the one that was read.
#[utoipa::path(tag = "conversations", params(("id" = String, Path)), responses(
    (status = 200, body = Conversation), (status = 404, body = ErrorBody),
    (status = 409, body = ErrorBody), (status = 422, body = ErrorBody)
), security(("key" = [])))]
#[put("/conversations/{id}")]
pub(crate) async fn update(
    caller: Allowed<LlmChat>,
    id: web::Path<String>,
    body: Json<ConversationDraft, Talk>,
) -> Result<HttpResponse, Problem> {
    let (id, draft) = (id.into_inner(), body.into_inner());
    let kept = caller.port().call(UpdateConversation { id, draft }).await?;
    Ok(HttpResponse::Ok().json(kept))
}

/// Deletes a conversation of the caller's.
#[utoipa::path(tag = "conversations", params(("id" = String, Path)), responses(
    (status = 204), (status = 404, body = ErrorBody)
), security(("key" = [])))]
#[delete("/conversations/{id}")]
pub(crate) async fn remove(
    caller: Allowed<LlmChat>,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let id = id.into_inner();
    caller.port().call(DeleteConversation { id }).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// A conversation of the caller's as a file.
#[utoipa::path(tag = "conversations", params(("id" = String, Path), ExportWish), responses(
    (status = 200, description = "the file", content(
        (String = "text/markdown"), (Conversation = "application/json")
    )),
    (status = 404, body = ErrorBody)
), security(("key" = [])))]
#[get("/conversations/{id}/export")]
pub(crate) async fn export(
    caller: Allowed<LlmChat>,
    id: web::Path<String>,
    wish: web::Query<ExportWish>,
) -> Result<HttpResponse, Problem> {
    let ExportWish { format } = wish.into_inner();
    let id = id.into_inner();
    let file = caller
        .port()
        .call(ExportConversation { id, format })
        .await?;
    let kind = match file.format {
        ExportFormat::Markdown => "text/markdown; charset=utf-8",
        ExportFormat::Json => "application/json",
    };
    // Never shown in place: what a model wrote is no page of this gateway's.
    let saved = ContentDisposition {
        disposition: DispositionType::Attachment,
        parameters: vec![DispositionParam::Filename(file.file_name)],
    };
    Ok(HttpResponse::Ok()
        .insert_header(saved)
        .insert_header((CONTENT_TYPE, kind))
        .body(file.text))
}

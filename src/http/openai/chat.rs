//! Chat completions.

use actix_web::{HttpResponse, post};
use messages::{
    apikeys::Scope,
    llmserver::{Chat, Completion},
};

use super::sse;
use crate::http::{
    caller::{Allowed, LlmChat},
    error::{ErrorBody, Problem, as_openai},
    json::{Json, Prompt},
};

/// Answers a conversation. With `retrieval`, from documents, with citations in
/// `message.annotations`.
#[utoipa::path(tag = "openai", responses(
    (status = 200, description = "a `chat.completion`, or with `stream` its chunks as server-sent events", body = Object),
    (status = 400, body = ErrorBody), (status = 401, body = ErrorBody), (status = 404, body = ErrorBody)
), security(("key" = [])))]
#[post("/v1/chat/completions")]
pub(crate) async fn chat(
    caller: Allowed<LlmChat>,
    body: Json<Chat, Prompt>,
) -> Result<HttpResponse, Problem> {
    if body.retrieval.is_some() {
        caller.also(&Scope::BRAINML_QUERY)?;
    }
    let answer = caller.port().call(body.into_inner()).await;
    Ok(match answer.map_err(as_openai)? {
        Completion::Whole(value) => HttpResponse::Ok().json(value),
        Completion::Chunks(deltas) => sse::respond(deltas, &caller.edge().drain),
    })
}

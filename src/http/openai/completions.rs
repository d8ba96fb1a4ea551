//! Legacy completions.

use actix_web::{HttpResponse, post};
use messages::llmserver::{Complete, Completion};

use super::sse;
use crate::http::{
    caller::{Allowed, LlmChat},
    error::{ErrorBody, Problem, as_openai},
    json::{Json, Prompt},
};

/// Completes a text.
#[utoipa::path(tag = "openai", responses(
    (status = 200, description = "a `text_completion`, or with `stream` its chunks as server-sent events", body = Object),
    (status = 400, body = ErrorBody), (status = 401, body = ErrorBody), (status = 404, body = ErrorBody)
), security(("key" = [])))]
#[post("/v1/completions")]
pub(crate) async fn complete(
    caller: Allowed<LlmChat>,
    body: Json<Complete, Prompt>,
) -> Result<HttpResponse, Problem> {
    let answer = caller.port().call(body.into_inner()).await;
    Ok(match answer.map_err(as_openai)? {
        Completion::Whole(value) => HttpResponse::Ok().json(value),
        Completion::Chunks(deltas) => sse::respond(deltas, &caller.edge().drain),
    })
}

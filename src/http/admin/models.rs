//! Models: fetch one, with its progress.

use actix_web::{HttpResponse, post, web};
use messages::llmserver::{PullModel, PullProgress};

use crate::http::{
    caller::{Admin, Allowed},
    error::{ErrorBody, Problem},
    openai::sse,
};

/// Fetches a model, checks its hashes and loads it; answers its progress as server-sent events.
#[utoipa::path(tag = "models", responses(
    (status = 200, description = "a stream of progress, closed by `[DONE]`", body = PullProgress),
    (status = 404, body = ErrorBody)
), security(("key" = [])))]
#[post("/admin/models/pull")]
pub(crate) async fn pull(
    caller: Allowed<Admin>,
    body: web::Json<PullModel>,
) -> Result<HttpResponse, Problem> {
    let progress = caller.port().call(body.into_inner()).await?;
    Ok(sse::respond(progress, &caller.edge().drain))
}

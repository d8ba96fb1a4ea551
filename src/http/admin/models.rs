//! Models: fetch one, with its progress.

use actix_web::{HttpResponse, post};
use messages::llmserver::{PullModel, PullProgress};
use serde_json::json;

use crate::http::{
    admin::audit::recorded,
    caller::{Admin, Allowed},
    error::{ErrorBody, Problem},
    json::Json,
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
    body: Json<PullModel>,
) -> Result<HttpResponse, Problem> {
    let (port, ask) = (caller.port(), body.into_inner());
    let (model, detail) = (ask.name.clone(), json!({"from": ask.from}));
    let progress = recorded(&caller, "model.pull", &model, detail, port.call(ask)).await?;
    Ok(sse::respond(progress, &caller.edge().drain))
}

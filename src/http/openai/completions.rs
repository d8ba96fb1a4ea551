//! Legacy completions.

use actix_web::{HttpResponse, post};
use messages::llmserver::Complete;

use super::{
    account::{Account, ask_for_usage},
    cost::Cost,
};
use crate::http::{
    caller::{Allowed, LlmChat},
    error::{ErrorBody, Problem},
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
    let mut body = body.into_inner();
    let model = body.model.clone();
    let account = Account::open(&caller, &model, Cost::of_completion(&body))?;
    account.cap(&mut body.extra, "max_tokens");
    let usage_wanted = body.stream == Some(true) && ask_for_usage(&mut body.stream_options);
    let answer = caller.port().call(body).await;
    account.answer(answer, &model, usage_wanted, caller.edge())
}

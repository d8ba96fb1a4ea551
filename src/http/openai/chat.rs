//! Chat completions.

use actix_web::{HttpResponse, post};
use messages::{apikeys::Scope, llmserver::Chat};

use super::{
    account::{Account, ask_for_usage},
    cost::Cost,
};
use crate::http::{
    caller::{Allowed, LlmChat},
    error::{ErrorBody, Problem},
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
    let mut body = body.into_inner();
    let model = body.model.clone();
    let account = Account::open(&caller, &model, Cost::of_chat(&body))?;
    account.cap(&mut body.extra, "max_completion_tokens");
    let usage_wanted = body.stream == Some(true) && ask_for_usage(&mut body.stream_options);
    let answer = caller.port().call(body).await;
    account.answer(answer, &model, usage_wanted, caller.edge())
}

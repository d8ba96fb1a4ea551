//! The models that can be used now.

use actix_web::{HttpResponse, get, web};
use messages::{
    fault::Fault,
    llmserver::{ListModels, Model},
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::{
    caller::{Allowed, Anyone},
    error::{ErrorBody, Problem, as_openai},
};

/// OpenAI's list object.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ModelList {
    /// Always `list`.
    object: &'static str,
    /// The models.
    data: Vec<Model>,
}

/// Lists the models that can be used now.
#[utoipa::path(tag = "openai", responses(
    (status = 200, body = ModelList), (status = 401, body = ErrorBody)
), security(("key" = [])))]
#[get("/v1/models")]
pub(crate) async fn list(caller: Allowed<Anyone>) -> Result<HttpResponse, Problem> {
    let data = models(&caller).await?;
    Ok(HttpResponse::Ok().json(ModelList {
        object: "list",
        data,
    }))
}

/// One model. Ids may hold slashes.
#[utoipa::path(tag = "openai", params(("model" = String, Path)), responses(
    (status = 200, body = Model), (status = 404, body = ErrorBody)
), security(("key" = [])))]
#[get("/v1/models/{model:.+}")]
pub(crate) async fn one(
    caller: Allowed<Anyone>,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let id = id.into_inner();
    let models = models(&caller).await?;
    let found = models.into_iter().find(|model| model.id == id);
    let model = found.ok_or_else(|| {
        Fault::unknown(format!("there is no model {id:?}; /v1/models lists them"))
            .with_param("model")
            .with_code("model_not_found")
    })?;
    Ok(HttpResponse::Ok().json(model))
}

async fn models(caller: &Allowed<Anyone>) -> Result<Vec<Model>, Problem> {
    caller.port().call(ListModels).await.map_err(as_openai)
}

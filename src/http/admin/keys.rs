//! Keys: make, list, revoke.

use actix_web::{HttpResponse, delete, get, post, web};
use messages::apikeys::{CreateKey, Key, ListKeys, NewKey, RevokeKey};
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::{
    caller::{Admin, Allowed},
    error::{ErrorBody, Problem},
    json::Json,
};

/// Keys without their secrets.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct KeyList {
    /// Newest first.
    keys: Vec<Key>,
}

/// Makes a key. Its secret is in this answer and nowhere else.
#[utoipa::path(tag = "identity", responses(
    (status = 201, body = NewKey), (status = 403, body = ErrorBody), (status = 422, body = ErrorBody)
), security(("key" = [])))]
#[post("/admin/keys")]
pub(crate) async fn create(
    caller: Allowed<Admin>,
    body: Json<CreateKey>,
) -> Result<HttpResponse, Problem> {
    let made = caller.port().call(body.into_inner()).await?;
    Ok(HttpResponse::Created().json(made))
}

/// Lists the keys.
#[utoipa::path(tag = "identity", responses((status = 200, body = KeyList)), security(("key" = [])))]
#[get("/admin/keys")]
pub(crate) async fn list(caller: Allowed<Admin>) -> Result<HttpResponse, Problem> {
    let keys = caller.port().call(ListKeys).await?;
    Ok(HttpResponse::Ok().json(KeyList { keys }))
}

/// Revokes a key, at once.
#[utoipa::path(tag = "identity", params(("id" = String, Path)), responses(
    (status = 204), (status = 404, body = ErrorBody)
), security(("key" = [])))]
#[delete("/admin/keys/{id}")]
pub(crate) async fn revoke(
    caller: Allowed<Admin>,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let id = id.into_inner();
    caller.port().call(RevokeKey { id }).await?;
    Ok(HttpResponse::NoContent().finish())
}

//! Keys: make, list, change, rotate, revoke. People have their own; keys need the scope `admin`.

use std::time::Duration;

use actix_web::{HttpResponse, delete, get, patch, post, web};
use messages::apikeys::{
    CreateKey, Key, KeyChange, ListKeys, NewKey, RevokeKey, RotateKey, UpdateKey,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::http::{
    caller::{Allowed, KeyKeeper},
    error::{ErrorBody, Problem},
    json::{Json, Maybe},
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
), security(("key" = []), ("session" = [])))]
#[post("/admin/keys")]
pub(crate) async fn create(
    caller: Allowed<KeyKeeper>,
    body: Json<CreateKey>,
) -> Result<HttpResponse, Problem> {
    let made = caller.port().call(body.into_inner()).await?;
    Ok(HttpResponse::Created().json(made))
}

/// Lists the keys.
#[utoipa::path(tag = "identity", responses((status = 200, body = KeyList)), security(("key" = []), ("session" = [])))]
#[get("/admin/keys")]
pub(crate) async fn list(caller: Allowed<KeyKeeper>) -> Result<HttpResponse, Problem> {
    let keys = caller.port().call(ListKeys).await?;
    Ok(HttpResponse::Ok().json(KeyList { keys }))
}

/// Changes a key, in force at once. What is absent stays as it is.
#[utoipa::path(tag = "identity", params(("id" = String, Path)), responses(
    (status = 200, body = Key), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody),
    (status = 422, body = ErrorBody)
), security(("key" = []), ("session" = [])))]
#[patch("/admin/keys/{id}")]
pub(crate) async fn update(
    caller: Allowed<KeyKeeper>,
    id: web::Path<String>,
    body: Json<KeyChange>,
) -> Result<HttpResponse, Problem> {
    let (id, change) = (id.into_inner(), body.into_inner());
    let key = caller.port().call(UpdateKey { id, change }).await?;
    Ok(HttpResponse::Ok().json(key))
}

/// What a rotation takes.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rotation {
    /// Seconds for which the old secret still holds; a day unless said, 0 for none.
    #[serde(default)]
    overlap_seconds: Option<u64>,
}

/// How long the old secret holds unless said: long enough to carry the new one everywhere.
const OVERLAP: Duration = Duration::from_secs(86_400);

/// Gives a key a new secret, which is in this answer and nowhere else.
#[utoipa::path(tag = "identity", params(("id" = String, Path)), responses(
    (status = 200, body = NewKey), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody),
    (status = 409, body = ErrorBody), (status = 422, body = ErrorBody)
), security(("key" = []), ("session" = [])))]
#[post("/admin/keys/{id}/rotate")]
pub(crate) async fn rotate(
    caller: Allowed<KeyKeeper>,
    id: web::Path<String>,
    body: Maybe<Rotation>,
) -> Result<HttpResponse, Problem> {
    let wanted = body.into_inner().and_then(|body| body.overlap_seconds);
    let overlap = wanted.map_or(OVERLAP, Duration::from_secs);
    let id = id.into_inner();
    let made = caller.port().call(RotateKey { id, overlap }).await?;
    Ok(HttpResponse::Ok().json(made))
}

/// Revokes a key, at once.
#[utoipa::path(tag = "identity", params(("id" = String, Path)), responses(
    (status = 204), (status = 404, body = ErrorBody)
), security(("key" = []), ("session" = [])))]
#[delete("/admin/keys/{id}")]
pub(crate) async fn revoke(
    caller: Allowed<KeyKeeper>,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let id = id.into_inner();
    caller.port().call(RevokeKey { id }).await?;
    Ok(HttpResponse::NoContent().finish())
}

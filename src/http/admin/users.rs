//! Users: make, list, change.

use actix_web::{HttpResponse, get, patch, post, web};
use messages::apikeys::{ChangeUser, CreateUser, ListUsers, User, UserChange};
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::{
    caller::{Admin, Allowed},
    error::{ErrorBody, Problem},
    json::Json,
};

/// All users.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct UserList {
    /// By name.
    users: Vec<User>,
}

/// Makes a user.
#[utoipa::path(tag = "identity", responses(
    (status = 201, body = User), (status = 409, body = ErrorBody), (status = 422, body = ErrorBody)
), security(("key" = [])))]
#[post("/admin/users")]
pub(crate) async fn create(
    caller: Allowed<Admin>,
    body: Json<CreateUser>,
) -> Result<HttpResponse, Problem> {
    let made = caller.port().call(body.into_inner()).await?;
    Ok(HttpResponse::Created().json(made))
}

/// Lists the users.
#[utoipa::path(tag = "identity", responses((status = 200, body = UserList)), security(("key" = [])))]
#[get("/admin/users")]
pub(crate) async fn list(caller: Allowed<Admin>) -> Result<HttpResponse, Problem> {
    let users = caller.port().call(ListUsers).await?;
    Ok(HttpResponse::Ok().json(UserList { users }))
}

/// Changes a user: what is changed holds at once, for sessions and keys too.
#[utoipa::path(tag = "identity", params(("username" = String, Path)), responses(
    (status = 200, body = User), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody),
    (status = 409, body = ErrorBody), (status = 422, body = ErrorBody)
), security(("key" = [])))]
#[patch("/admin/users/{username}")]
pub(crate) async fn change(
    caller: Allowed<Admin>,
    username: web::Path<String>,
    body: Json<UserChange>,
) -> Result<HttpResponse, Problem> {
    let ask = ChangeUser {
        username: username.into_inner(),
        change: body.into_inner(),
    };
    let user = caller.port().call(ask).await?;
    Ok(HttpResponse::Ok().json(user))
}

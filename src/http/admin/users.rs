//! Users: make and list.

use actix_web::{HttpResponse, get, post, web};
use messages::apikeys::{CreateUser, ListUsers, User};
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::{
    caller::{Admin, Allowed},
    error::{ErrorBody, Problem},
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
    body: web::Json<CreateUser>,
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

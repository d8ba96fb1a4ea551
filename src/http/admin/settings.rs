//! The gateway's own settings, as its file, its environment and its flags made them at the start.

use actix_web::{HttpResponse, get};
use messages::fault::Fault;
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    http::{
        caller::{Admin, Allowed},
        error::{ErrorBody, Problem},
    },
    settings::Reference,
};

/// What is in force, or why it cannot be told.
pub(crate) type InForce = Result<Vec<Reference>, String>;

/// All settings.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SettingList {
    /// In the order of the reference.
    settings: Vec<Reference>,
}

/// Lists the gateway's settings with what is in force and who says so; secrets are not told.
#[utoipa::path(tag = "operation", responses(
    (status = 200, body = SettingList), (status = 403, body = ErrorBody)
), security(("key" = [])))]
#[get("/admin/settings")]
pub(crate) async fn list(caller: Allowed<Admin>) -> Result<HttpResponse, Problem> {
    let edge = caller.edge();
    let told = |why: &String| Fault::internal(format!("the settings cannot be told: {why}"));
    let settings = edge.settings.as_ref().map_err(told)?.clone();
    Ok(HttpResponse::Ok().json(SettingList { settings }))
}

//! Backups: make one, list them.

use actix_web::{HttpResponse, get, post};
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use messages::fault::Fault;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use crate::http::{
    admin::audit::recorded,
    caller::{Admin, Allowed},
    error::{ErrorBody, Problem},
};

/// A backup under `backups` in the data directory.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct Backup {
    /// Its directory there, named after when it was made.
    pub(crate) name: String,
    /// The size of its files.
    pub(crate) bytes: u64,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub(crate) made_at: Timestamp,
}

/// All backups.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BackupList {
    /// Newest first.
    backups: Vec<Backup>,
}

/// Does something with backups.
type Deed<T> = Box<dyn Fn() -> BoxFuture<'static, Result<T, Fault>> + Send + Sync>;

/// How backups are made and listed.
pub(crate) struct Backups {
    /// Makes one.
    pub(crate) make: Deed<Backup>,
    /// Lists them, newest first.
    pub(crate) list: Deed<Vec<Backup>>,
}

/// Makes a backup of the database and of `plugins.json`, as of one moment; other requests go on
/// meanwhile. Models and indexes are not in it: they can be made again.
#[utoipa::path(tag = "backups", operation_id = "make_backup", responses(
    (status = 201, body = Backup), (status = 403, body = ErrorBody), (status = 507, body = ErrorBody)
), security(("key" = [])))]
#[post("/admin/backups")]
pub(crate) async fn create(caller: Allowed<Admin>) -> Result<HttpResponse, Problem> {
    let make = (caller.edge().backups.make)();
    let made = recorded(&caller, "backup.create", "", json!({}), make).await?;
    log::info!("{} made the backup {}", caller.caller().id, made.name);
    Ok(HttpResponse::Created().json(made))
}

/// Lists the backups.
#[utoipa::path(tag = "backups", operation_id = "list_backups", responses((status = 200, body = BackupList)), security(("key" = [])))]
#[get("/admin/backups")]
pub(crate) async fn list(caller: Allowed<Admin>) -> Result<HttpResponse, Problem> {
    let backups = (caller.edge().backups.list)().await?;
    Ok(HttpResponse::Ok().json(BackupList { backups }))
}

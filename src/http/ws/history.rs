//! The last log lines of one plugin, as plain JSON.

use actix_web::{HttpResponse, get, web};
use logbroker::Filter;
use messages::{
    fault::Fault,
    log_record::{Level, LogRecord},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use crate::http::{
    caller::{Admin, Allowed},
    error::{ErrorBody, Problem},
};

/// What a reader wants.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct HistoryWish {
    /// The least level.
    level: Option<Level>,
    /// How many lines at the most.
    #[serde(default = "hundred")]
    limit: usize,
}

fn hundred() -> usize {
    100
}

/// The last lines.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct History {
    /// The epoch of their numbers.
    epoch: String,
    /// Oldest first.
    #[schema(value_type = Vec<LogRecord>)]
    records: Vec<Value>,
}

/// The last log lines of one plugin; the gateway's own are `bkg`.
#[utoipa::path(tag = "logs", params(("name" = String, Path), HistoryWish), responses(
    (status = 200, body = History), (status = 404, body = ErrorBody)
), security(("key" = [])))]
#[get("/admin/plugins/{name}/logs")]
pub(crate) async fn read_history(
    caller: Allowed<Admin>,
    name: web::Path<String>,
    wish: web::Query<HistoryWish>,
) -> Result<HttpResponse, Problem> {
    let edge = caller.edge();
    if *name != "bkg" && edge.directory.gate(&name).is_none() {
        return Err(Fault::unknown(format!("there is no plugin {name:?}")).into());
    }
    let filter = Filter {
        plugin: Some(name.as_str().into()),
        level: wish.level,
    };
    let records = edge.logs.recent(&filter, wish.limit);
    Ok(HttpResponse::Ok().json(History {
        epoch: edge.logs.epoch().to_owned(),
        records: records
            .iter()
            .flat_map(|json| serde_json::from_str(json))
            .collect(),
    }))
}

//! What was used, by day, key, user, model, route and status.

use std::collections::BTreeSet;

use actix_web::{HttpResponse, get, web};
use jiff::civil::Date;
use messages::{
    fault::Fault,
    usage::{Group, ReadUsage, Usage},
};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::http::{
    caller::{Allowed, KeyKeeper},
    error::{ErrorBody, Problem},
};

/// Which use is asked for.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    /// The first day, in UTC; the first of the month unless said.
    #[param(value_type = Option<String>, format = Date)]
    from: Option<String>,
    /// The last day; today unless said. Both span 400 days at the most.
    #[param(value_type = Option<String>, format = Date)]
    to: Option<String>,
    /// What to tell apart, of `day,key,user,model,route,status`; `day,key,model` unless said.
    group_by: Option<String>,
    /// Only this key.
    key: Option<String>,
    /// Only this model.
    model: Option<String>,
}

/// What was used, the last second included. People without the scope `admin` see their own use.
#[utoipa::path(tag = "identity", params(Wanted), responses(
    (status = 200, body = Usage), (status = 403, body = ErrorBody), (status = 422, body = ErrorBody)
), security(("key" = []), ("session" = [])))]
#[get("/admin/usage")]
pub(crate) async fn read_usage(
    caller: Allowed<KeyKeeper>,
    wanted: web::Query<Wanted>,
) -> Result<HttpResponse, Problem> {
    let wanted = wanted.into_inner();
    let ask = ReadUsage {
        from: day("from", wanted.from.as_deref())?,
        to: day("to", wanted.to.as_deref())?,
        group_by: groups(wanted.group_by.as_deref().unwrap_or("day,key,model"))?,
        key: wanted.key,
        model: wanted.model,
    };
    let usage = caller.port().call(ask).await?;
    Ok(HttpResponse::Ok().json(usage))
}

fn day(name: &str, text: Option<&str>) -> Result<Option<Date>, Fault> {
    let written = |text: &str| {
        text.parse().map_err(|_| {
            Fault::unprocessable(format!("{name} must be a day, such as 2026-11-24"))
                .with_param(name)
        })
    };
    text.map(written).transpose()
}

fn groups(names: &str) -> Result<BTreeSet<Group>, Fault> {
    let named = names
        .split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty());
    named.map(str::parse).collect()
}

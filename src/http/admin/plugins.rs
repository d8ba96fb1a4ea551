//! Plugins: list, inspect, start, stop, restart, configure.

use std::collections::BTreeMap;

use actix_web::{HttpResponse, get, post, put, web};
use messages::{
    call::Capability,
    plugin::PluginState,
    supervisor::{
        Change, ConfigurePlugin, InspectPlugin, PluginDetail, RestartPlugin, StartPlugin,
        StopPlugin,
    },
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::http::{
    admin::audit::recorded,
    caller::{Admin, Allowed},
    error::{ErrorBody, Problem},
    json::Json,
};

/// All plugins.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PluginList {
    /// In the order in which they are compiled in; unknown names of `plugins.json` follow.
    plugins: Vec<PluginState>,
}

/// What `PUT /admin/plugins/{name}/config` takes.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PluginConfig {
    /// Settings by name; `null` takes an operator's value back, and what is not named stays.
    #[serde(default)]
    #[schema(value_type = Object)]
    settings: BTreeMap<String, Value>,
    /// Whether the gateway starts the plugin from now on; `null` takes an operator's word back, and
    /// without this field it stays.
    #[serde(default)]
    #[schema(value_type = Option<bool>)]
    autostart: Change<bool>,
}

/// Lists all plugins with their states and counters.
#[utoipa::path(tag = "plugins", responses((status = 200, body = PluginList), (status = 403, body = ErrorBody)), security(("key" = [])))]
#[get("/admin/plugins")]
pub(crate) async fn list(caller: Allowed<Admin>) -> HttpResponse {
    let plugins = caller.edge().directory.states();
    HttpResponse::Ok().json(PluginList { plugins })
}

/// Tells everything about one plugin.
#[utoipa::path(tag = "plugins", params(("name" = String, Path)), responses(
    (status = 200, body = PluginDetail), (status = 404, body = ErrorBody)
), security(("key" = [])))]
#[get("/admin/plugins/{name}")]
pub(crate) async fn inspect(
    caller: Allowed<Admin>,
    name: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let name = name.into_inner();
    ask(&caller, InspectPlugin { name }).await
}

/// Starts a plugin and waits until it runs.
#[utoipa::path(tag = "plugins", params(("name" = String, Path)), responses(
    (status = 200, body = PluginState), (status = 404, body = ErrorBody)
), security(("key" = [])))]
#[post("/admin/plugins/{name}/start")]
pub(crate) async fn start(
    caller: Allowed<Admin>,
    name: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let name = name.into_inner();
    let target = name.clone();
    change(
        &caller,
        "plugin.start",
        &target,
        json!({}),
        StartPlugin { name },
    )
    .await
}

/// Stops a plugin and waits until it has stopped.
#[utoipa::path(tag = "plugins", params(("name" = String, Path)), responses(
    (status = 200, body = PluginState), (status = 404, body = ErrorBody)
), security(("key" = [])))]
#[post("/admin/plugins/{name}/stop")]
pub(crate) async fn stop(
    caller: Allowed<Admin>,
    name: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let name = name.into_inner();
    let target = name.clone();
    change(
        &caller,
        "plugin.stop",
        &target,
        json!({}),
        StopPlugin { name },
    )
    .await
}

/// Stops and starts a plugin.
#[utoipa::path(tag = "plugins", params(("name" = String, Path)), responses(
    (status = 200, body = PluginState), (status = 404, body = ErrorBody)
), security(("key" = [])))]
#[post("/admin/plugins/{name}/restart")]
pub(crate) async fn restart(
    caller: Allowed<Admin>,
    name: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let name = name.into_inner();
    let target = name.clone();
    change(
        &caller,
        "plugin.restart",
        &target,
        json!({}),
        RestartPlugin { name },
    )
    .await
}

/// Changes a plugin's settings; a running plugin restarts with them.
#[utoipa::path(tag = "plugins", params(("name" = String, Path)), responses(
    (status = 200, body = PluginDetail), (status = 404, body = ErrorBody), (status = 422, body = ErrorBody)
), security(("key" = [])))]
#[put("/admin/plugins/{name}/config")]
pub(crate) async fn configure(
    caller: Allowed<Admin>,
    name: web::Path<String>,
    body: Json<PluginConfig>,
) -> Result<HttpResponse, Problem> {
    let body = body.into_inner();
    let name = name.into_inner();
    // Names alone: among the values there may be a secret.
    let named: Vec<&String> = body.settings.keys().collect();
    let detail = json!({"settings": named, "autostart": body.autostart != Change::Leave});
    let wish = ConfigurePlugin {
        name: name.clone(),
        settings: body.settings,
        autostart: body.autostart,
    };
    change(&caller, "plugin.configure", &name, detail, wish).await
}

/// The effective settings of a plugin, each with where it comes from.
#[utoipa::path(tag = "plugins", params(("name" = String, Path)), responses(
    (status = 200, body = PluginDetail), (status = 404, body = ErrorBody)
), security(("key" = [])))]
#[get("/admin/plugins/{name}/config")]
pub(crate) async fn configuration(
    caller: Allowed<Admin>,
    name: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let name = name.into_inner();
    ask(&caller, InspectPlugin { name }).await
}

async fn ask<C>(caller: &Allowed<Admin>, body: C) -> Result<HttpResponse, Problem>
where
    C: Capability<Reply: Serialize>,
{
    let reply = caller.port().call(body).await?;
    Ok(HttpResponse::Ok().json(reply))
}

async fn change<C>(
    caller: &Allowed<Admin>,
    action: &'static str,
    name: &str,
    detail: Value,
    body: C,
) -> Result<HttpResponse, Problem>
where
    C: Capability<Reply: Serialize>,
{
    let port = caller.port();
    let reply = recorded(caller, action, name, detail, port.call(body)).await?;
    Ok(HttpResponse::Ok().json(reply))
}

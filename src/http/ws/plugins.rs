//! `/ws/plugins`: the state of all plugins, and then each change of it.

use actix_web::{HttpRequest, HttpResponse, get, web};
use bytestring::ByteString;
use futures_util::{Stream, StreamExt, stream};
use messages::{line::Directory, plugin::PluginState};
use serde::Serialize;

use super::session;
use crate::http::{
    caller::{Admin, Allowed},
    error::{ErrorBody, Problem},
};

/// What is sent: all plugins first, then those that have changed.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Frame {
    Plugins { plugins: Vec<PluginState> },
    Changed { plugins: Vec<PluginState> },
}

/// Sends `{"type":"plugins","plugins":[…]}` and then `{"type":"changed","plugins":[…]}` whenever
/// the state of one or more plugins has changed.
#[utoipa::path(tag = "plugins", responses(
    (status = 101, description = "a WebSocket"), (status = 403, body = ErrorBody)
), security(("key" = [])))]
#[get("/ws/plugins")]
pub(crate) async fn watch_plugins(
    caller: Allowed<Admin>,
    request: HttpRequest,
    body: web::Payload,
) -> Result<HttpResponse, Problem> {
    let frames = frames(caller.edge().directory.clone()).filter_map(|frame| async move {
        serde_json::to_string(&frame).ok().map(ByteString::from)
    });
    session::open(&caller, &request, body, Box::pin(frames))
}

fn frames(directory: Directory) -> impl Stream<Item = Frame> {
    let changes = directory.watch();
    let known = directory.states();
    let first = Frame::Plugins {
        plugins: known.clone(),
    };
    let rest = stream::unfold((directory, changes, known), |state| async move {
        let (directory, mut changes, known) = state;
        changes.changed().await.ok()?;
        let states = directory.states();
        let news = states
            .iter()
            .filter(|now| !known.iter().any(|old| same(old, now)));
        let frame = Frame::Changed {
            plugins: news.cloned().collect(),
        };
        Some((frame, (directory, changes, states)))
    });
    let rest = rest.filter(|frame| {
        let empty = matches!(frame, Frame::Changed { plugins } if plugins.is_empty());
        async move { !empty }
    });
    stream::once(async { first }).chain(rest)
}

/// Whether nothing but figures differs.
fn same(old: &PluginState, now: &PluginState) -> bool {
    let plain = |state: &PluginState| PluginState {
        calls: Default::default(),
        latency: Default::default(),
        memory_bytes: None,
        ..state.clone()
    };
    plain(old) == plain(now)
}

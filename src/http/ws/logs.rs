//! `/ws/logs`: the log of all plugins as it happens.

use actix_web::{HttpRequest, HttpResponse, get, web};
use bytestring::ByteString;
use futures_util::{StreamExt, stream};
use logbroker::{Filter, Frame, Hello, Resume};
use messages::log_record::Level;
use serde::Deserialize;
use utoipa::IntoParams;

use super::session::{self, Frames};
use crate::http::{
    Edge,
    caller::{Admin, Allowed},
    error::{ErrorBody, Problem},
};

/// Records in one frame of what is past.
const RECORDS: usize = 100;

/// What a reader wants.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wish {
    /// One plugin's lines; the gateway's own are `bkg`.
    plugin: Option<String>,
    /// The least level.
    level: Option<Level>,
    /// The epoch in which `after` was seen; another one replays from the oldest line.
    epoch: Option<String>,
    /// The last line that was seen; without it everything that is still kept comes first.
    after: Option<u64>,
    /// Whether to go on when everything so far has been sent.
    #[serde(default = "yes")]
    follow: bool,
}

fn yes() -> bool {
    true
}

/// Sends `{"type":"hello","epoch","oldest","next"}`, then `{"type":"records","records":[…]}`, and
/// `{"type":"gap","from","to","count"}` where a slow reader lost lines.
#[utoipa::path(tag = "logs", params(Wish), responses(
    (status = 101, description = "a WebSocket"), (status = 403, body = ErrorBody)
), security(("key" = [])))]
#[get("/ws/logs")]
pub(crate) async fn watch_logs(
    caller: Allowed<Admin>,
    request: HttpRequest,
    wish: web::Query<Wish>,
    body: web::Payload,
) -> Result<HttpResponse, Problem> {
    session::open(&caller, &request, body, frames(caller.edge(), wish.0))
}

fn frames(edge: &Edge, wish: Wish) -> Frames {
    let filter = Filter {
        plugin: wish.plugin.map(Into::into),
        level: wish.level,
    };
    let hello = stream::iter([greeting(&edge.logs.hello())]);
    if !wish.follow {
        let past = edge.logs.recent(&filter, usize::MAX);
        let frames: Vec<_> = past
            .chunks(RECORDS)
            .map(|records| Frame::Records(records.to_vec()).to_json())
            .collect();
        return Box::pin(hello.chain(stream::iter(frames)));
    }
    let resume = wish.after.map(|after| Resume {
        epoch: wish.epoch,
        after,
    });
    let cursor = edge.logs.follow(filter, resume.as_ref());
    Box::pin(hello.chain(cursor.map(|frame| frame.to_json())))
}

fn greeting(hello: &Hello) -> ByteString {
    serde_json::to_string(hello).unwrap_or_default().into()
}

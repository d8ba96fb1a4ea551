//! Requests that a browser sends for the page of another site. A browser adds a session's cookie by
//! itself, so a cookie alone does not say that its user wants what is asked; a key has to be sent
//! on purpose, and needs none of this.

use actix_web::{
    HttpRequest,
    http::{
        Method,
        header::{self, HeaderName},
    },
};
use messages::fault::Fault;

use super::Edge;

const WEBSOCKET: &[u8] = b"websocket";

/// What a form of any page can send without asking first.
const FORMS: [&str; 3] = [
    "application/x-www-form-urlencoded",
    "multipart/form-data",
    "text/plain",
];

/// Refuses a request for another site's page, as far as the browser says so.
///
/// # Errors
/// [`Denied`](messages::fault::FaultKind::Denied) with the code `cross_site`.
pub(crate) fn refuse_foreign(edge: &Edge, request: &HttpRequest) -> Result<(), Fault> {
    if !same_origin(edge, request) || (!request.method().is_safe() && fetched_elsewhere(request)) {
        return Err(refusal("another site's page may not do this here"));
    }
    Ok(())
}

/// Refuses what a cookie may not be the credential of: requests for another site's page, and forms,
/// which no page of the gateway's own sends.
///
/// # Errors
/// As [`refuse_foreign`].
pub(crate) fn refuse_with_cookie(edge: &Edge, request: &HttpRequest) -> Result<(), Fault> {
    refuse_foreign(edge, request)?;
    if !request.method().is_safe() && is_form(request) {
        return Err(refusal("a session takes no forms; send JSON"));
    }
    Ok(())
}

/// Refuses a socket that another site's page opens, whatever it shows: browsers let pages open
/// sockets anywhere.
///
/// # Errors
/// As [`refuse_foreign`].
pub(crate) fn refuse_foreign_socket(edge: &Edge, request: &HttpRequest) -> Result<(), Fault> {
    // Any of them, and the word within a list: the handshake is content with that.
    let mut upgrades = request.headers().get_all(header::UPGRADE);
    let socket = upgrades.any(|to| {
        let text = to.as_bytes().to_ascii_lowercase();
        text.windows(WEBSOCKET.len()).any(|word| word == WEBSOCKET)
    });
    if socket && request.method() == Method::GET && !same_origin(edge, request) {
        return Err(refusal("another site's page may not open a socket here"));
    }
    Ok(())
}

/// Whether every `Origin` that the request names is the gateway's own. Programs name none.
fn same_origin(edge: &Edge, request: &HttpRequest) -> bool {
    let host = text(request, header::HOST);
    let public = edge.public_url.as_deref();
    let own = |origin: &str| {
        let authority = origin.split_once("://").map(|(_, authority)| authority);
        public.is_some_and(|url| url.trim_end_matches('/') == origin)
            || host.is_some_and(|host| authority == Some(host))
    };
    let mut origins = request.headers().get_all(header::ORIGIN);
    origins.all(|origin| origin.to_str().is_ok_and(own))
}

/// Whether the browser says that the page is not the gateway's own. `same-site` is another one:
/// another port of this machine, say.
fn fetched_elsewhere(request: &HttpRequest) -> bool {
    let mut sites = request.headers().get_all(SEC_FETCH_SITE);
    sites.any(|site| site != "same-origin" && site != "none")
}

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

fn is_form(request: &HttpRequest) -> bool {
    let kind = text(request, header::CONTENT_TYPE);
    let kind = kind.map(|kind| kind.split(';').next().unwrap_or_default().trim());
    kind.is_some_and(|kind| FORMS.iter().any(|form| kind.eq_ignore_ascii_case(form)))
}

fn text(request: &HttpRequest, name: HeaderName) -> Option<&str> {
    request.headers().get(name)?.to_str().ok()
}

fn refusal(why: &str) -> Fault {
    Fault::denied(why).with_code("cross_site")
}

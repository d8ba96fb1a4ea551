//! The admin site's files, as `build.rs` made them. Anyone may read them: what they show comes from
//! the API, which asks who that is.

use actix_web::{
    HttpRequest, HttpResponse,
    http::{
        Method, StatusCode,
        header::{
            ACCEPT, ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY,
            CONTENT_TYPE, ETAG, HeaderName, IF_NONE_MATCH, VARY,
        },
    },
    web::{self, Bytes},
};

use super::error::{Methods, nowhere};

/// One file of the site.
struct File {
    /// Such as `/assets/index.js`.
    path: &'static str,
    /// The start of its SHA-256, in hexadecimal.
    hash: &'static str,
    plain: &'static [u8],
    gzip: Option<&'static [u8]>,
    brotli: Option<&'static [u8]>,
}

#[cfg(feature = "site")]
include!(concat!(env!("OUT_DIR"), "/site.rs"));
#[cfg(not(feature = "site"))]
static FILES: &[File] = &[];

/// Nothing is loaded from elsewhere, and nothing in a page is script or style.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    img-src 'self' data: blob:; font-src 'self'; connect-src 'self'; frame-ancestors 'none'; \
    base-uri 'none'; form-action 'self'";

const OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");

/// The page that all paths of the site begin with.
const INDEX: &str = "/index.html";

/// Files below it have their hash in their name.
const HASHED: &str = "/assets/";

const NO_SITE: &str =
    "This bkg was built without its admin site. The API is described at /openapi.json.\n";

/// A file of the site, one of its pages, or nothing: what no route takes.
pub(crate) async fn page(request: HttpRequest, methods: web::Data<Methods>) -> HttpResponse {
    match found(&request, &methods) {
        Some(file) => answer(file, &request),
        None if is_asked_for(&request) && FILES.is_empty() && request.path() == "/" => {
            HttpResponse::Ok()
                .content_type("text/plain; charset=utf-8")
                .body(NO_SITE)
        }
        None => nowhere(request, methods).await,
    }
}

/// Whether the answer to `request` is the site's, which anyone may have.
pub(crate) fn answers(request: &HttpRequest) -> bool {
    let methods = request.app_data::<web::Data<Methods>>();
    methods.is_some_and(|methods| found(request, methods).is_some())
}

fn found(request: &HttpRequest, methods: &Methods) -> Option<&'static File> {
    if !is_asked_for(request) {
        return None;
    }
    let path = request.path();
    match file(path) {
        Some(file) => Some(file),
        None if path == "/" || is_page(request, methods) => file(INDEX),
        None => None,
    }
}

fn is_asked_for(request: &HttpRequest) -> bool {
    [Method::GET, Method::HEAD].contains(request.method())
}

/// Whether a browser asks for a page, where the API has nothing: the site itself knows its pages.
fn is_page(request: &HttpRequest, methods: &Methods) -> bool {
    let accepts = said(request, ACCEPT).any(|kinds| kinds.contains("text/html"));
    accepts && !request.path().starts_with(HASHED) && !methods.begins_route(request.path())
}

fn file(path: &str) -> Option<&'static File> {
    let place = FILES.binary_search_by(|file| file.path.cmp(path));
    place.ok().and_then(|place| FILES.get(place))
}

fn answer(file: &'static File, request: &HttpRequest) -> HttpResponse {
    let (body, encoding) = variant(file, request);
    let etag = format!("\"{}-{}\"", file.hash, encoding.unwrap_or("plain"));
    let known = said(request, IF_NONE_MATCH).any(|tags| matches(tags, &etag));
    let status = match known {
        true => StatusCode::NOT_MODIFIED,
        false => StatusCode::OK,
    };
    let cache = match file.path.starts_with(HASHED) {
        true => "public, max-age=31536000, immutable",
        false => "no-cache",
    };
    let mut response = HttpResponse::build(status);
    response
        .insert_header((CACHE_CONTROL, cache))
        .insert_header((CONTENT_SECURITY_POLICY, POLICY))
        .insert_header((OPENER_POLICY, "same-origin"))
        .insert_header((ETAG, etag))
        .insert_header((VARY, "Accept, Accept-Encoding"));
    if known {
        return response.finish();
    }
    response.insert_header((CONTENT_TYPE, kind(file.path)));
    if let Some(encoding) = encoding {
        response.insert_header((CONTENT_ENCODING, encoding));
    }
    response.body(Bytes::from_static(body))
}

/// The smallest variant that the reader takes, and what it is encoded by.
fn variant(file: &'static File, request: &HttpRequest) -> (&'static [u8], Option<&'static str>) {
    let takes = |name: &str| {
        said(request, ACCEPT_ENCODING)
            .flat_map(|list| list.split(','))
            .any(|one| takes(one, name))
    };
    if let Some(body) = file.brotli.filter(|_| takes("br")) {
        return (body, Some("br"));
    }
    if let Some(body) = file.gzip.filter(|_| takes("gzip")) {
        return (body, Some("gzip"));
    }
    (file.plain, None)
}

/// Whether one part of an `Accept-Encoding`, such as `br;q=0.5`, takes the encoding `name`.
fn takes(part: &str, name: &str) -> bool {
    let mut words = part.split(';').map(str::trim);
    let named = words
        .next()
        .is_some_and(|word| word.eq_ignore_ascii_case(name));
    let weight = words
        .find_map(|word| word.strip_prefix("q="))
        .map(str::parse::<f32>);
    named && !matches!(weight, Some(Ok(weight)) if weight <= 0.0)
}

/// Whether an `If-None-Match` names `etag`. Proxies weaken tags.
fn matches(tags: &str, etag: &str) -> bool {
    let mut tags = tags.split(',').map(str::trim);
    tags.any(|tag| tag == "*" || tag.trim_start_matches("W/") == etag)
}

fn said(request: &HttpRequest, name: HeaderName) -> impl Iterator<Item = &str> {
    let values = request.headers().get_all(name);
    values.filter_map(|value| value.to_str().ok())
}

fn kind(path: &str) -> &'static str {
    match path.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("json") => "application/json",
        Some("woff2") => "font/woff2",
        _ => "application/octet-stream",
    }
}

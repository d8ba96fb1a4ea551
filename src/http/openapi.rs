//! `/openapi.json`, generated from the handlers.

use actix_web::{HttpResponse, get, http::StatusCode, web};
use messages::brainml::Comparison;
use utoipa::{
    Modify, OpenApi,
    openapi::{
        OpenApi as Document, PathItem, RefOr,
        path::Operation,
        security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};

use super::auth::PLAIN;

/// The part of the document that no handler knows.
#[derive(Debug, OpenApi)]
#[openapi(
    info(
        title = "bkg",
        description = "An AI gateway made of supervised actors: OpenAI's API, retrieval with citations, scoped keys."
    ),
    // Where the schemas end that hold themselves, this one is forgotten.
    components(schemas(Comparison)),
    modifiers(&Schemes)
)]
pub(crate) struct Base;

struct Schemes;

impl Modify for Schemes {
    fn modify(&self, document: &mut Document) {
        let components = document.components.get_or_insert_default();
        let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
        components.add_security_scheme("key", SecurityScheme::Http(bearer));
        let cookie = ApiKey::Cookie(ApiKeyValue::new(PLAIN));
        components.add_security_scheme("session", SecurityScheme::ApiKey(cookie));
    }
}

/// Gives each operation an id that no other has and each response the description that the
/// specification demands, where the handlers leave them out.
pub(crate) fn complete(mut document: Document) -> Document {
    for (path, item) in &mut document.paths.paths {
        for (method, operation) in operations(item) {
            operation.operation_id = Some(operation_id(method, path));
            let responses = operation.responses.responses.iter_mut();
            for (status, response) in responses {
                if let RefOr::T(response) = response
                    && response.description.is_empty()
                {
                    response.description = reason(status);
                }
            }
        }
    }
    document
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = (&'static str, &mut Operation)> {
    let known = [
        ("get", &mut item.get),
        ("put", &mut item.put),
        ("post", &mut item.post),
        ("delete", &mut item.delete),
        ("patch", &mut item.patch),
    ];
    let present = known.into_iter();
    present.filter_map(|(method, operation)| Some((method, operation.as_mut()?)))
}

/// Such as `get_v1_models_model`.
fn operation_id(method: &str, path: &str) -> String {
    let words = path.split(|letter: char| !letter.is_ascii_alphanumeric());
    let words = words.filter(|word| !word.is_empty());
    let words: Vec<&str> = std::iter::once(method).chain(words).collect();
    words.join("_")
}

/// What a status code says by itself.
fn reason(status: &str) -> String {
    let code: Option<StatusCode> = status.parse().ok();
    let reason = code.and_then(|code| code.canonical_reason());
    reason.unwrap_or(status).to_owned()
}

/// This document.
#[utoipa::path(tag = "health", responses((status = 200, description = "the OpenAPI document", body = Object)))]
#[get("/openapi.json")]
pub(crate) async fn read_openapi(document: web::Data<Document>) -> HttpResponse {
    HttpResponse::Ok().json(document.get_ref())
}

//! `/openapi.json`, generated from the handlers.

use actix_web::{HttpResponse, get, web};
use utoipa::{
    Modify, OpenApi,
    openapi::{
        OpenApi as Document,
        security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};

use super::caller::COOKIES;

/// The part of the document that no handler knows.
#[derive(Debug, OpenApi)]
#[openapi(
    info(
        title = "bkg",
        description = "An AI gateway made of supervised actors: OpenAI's API, retrieval with citations, scoped keys."
    ),
    modifiers(&Schemes)
)]
pub(crate) struct Base;

struct Schemes;

impl Modify for Schemes {
    fn modify(&self, document: &mut Document) {
        let components = document.components.get_or_insert_default();
        let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
        components.add_security_scheme("key", SecurityScheme::Http(bearer));
        let [_, plain] = COOKIES;
        let cookie = ApiKey::Cookie(ApiKeyValue::new(plain));
        components.add_security_scheme("session", SecurityScheme::ApiKey(cookie));
    }
}

/// This document.
#[utoipa::path(tag = "health", responses((status = 200, description = "the OpenAPI document", body = Object)))]
#[get("/openapi.json")]
pub(crate) async fn read_openapi(document: web::Data<Document>) -> HttpResponse {
    HttpResponse::Ok().json(document.get_ref())
}

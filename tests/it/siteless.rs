//! A gateway that was built without its site (`--no-default-features`) says so, and is an API.

#![cfg(not(feature = "site"))]

use reqwest::{Method, header::ACCEPT};

use crate::gateway::Gateway;

#[tokio::test]
async fn a_visitor_is_told_that_there_is_no_site() {
    let gateway = Gateway::start_with(&[("BKG_MODELS_DIR", "no-models")]).await;
    let visit = |path| {
        gateway
            .anonymous(Method::GET, path)
            .header(ACCEPT, "text/html")
            .send()
    };
    let first = visit("/").await.unwrap();
    assert_eq!(first.status(), 200);
    assert!(
        first.headers()["content-type"]
            .to_str()
            .unwrap()
            .starts_with("text/plain")
    );
    assert!(first.text().await.unwrap().contains("/openapi.json"));
    for path in ["/plugins", "/index.html", "/assets/index.js"] {
        assert_eq!(visit(path).await.unwrap().status(), 404, "{path}");
    }
}

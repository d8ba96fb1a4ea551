//! The admin site's files: who gets them, with which policy, and what stays the API's.

#![cfg(feature = "site")]

use reqwest::{
    Method, Response,
    header::{
        ACCEPT, ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY,
        CONTENT_TYPE, COOKIE, ETAG, IF_NONE_MATCH,
    },
};

use crate::gateway::Gateway;

const BROWSER: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";

async fn start() -> Gateway {
    Gateway::start_with(&[("BKG_MODELS_DIR", "no-models")]).await
}

/// What a browser asks that opens `path`.
async fn visit(gateway: &Gateway, path: &str) -> Response {
    let request = gateway.anonymous(Method::GET, path);
    request.header(ACCEPT, BROWSER).send().await.unwrap()
}

fn said<'a>(response: &'a Response, name: &str) -> &'a str {
    let value = response.headers().get(name);
    value.map_or("", |value| value.to_str().unwrap())
}

/// The paths of the scripts and styles that the page loads.
fn assets(page: &str) -> Vec<String> {
    let quoted = page.split('"');
    let assets = quoted.filter(|text| text.starts_with("/assets/"));
    assets.map(str::to_owned).collect()
}

#[tokio::test]
async fn a_stranger_gets_the_page_with_a_policy_that_runs_nothing_inline() {
    let gateway = start().await;
    let response = visit(&gateway, "/").await;
    assert_eq!(response.status(), 200);
    assert_eq!(said(&response, "content-type"), "text/html; charset=utf-8");
    assert_eq!(said(&response, "cache-control"), "no-cache");
    let policy = response.headers()[CONTENT_SECURITY_POLICY]
        .to_str()
        .unwrap();
    for rule in [
        "default-src 'none'",
        "script-src 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
    ] {
        assert!(policy.contains(rule), "{policy}");
    }
    assert!(
        !policy.contains("unsafe") && !policy.contains('*'),
        "{policy}"
    );
    let page = response.text().await.unwrap();
    let inline = page
        .split("<script")
        .skip(1)
        .filter(|tag| !tag.split('>').next().unwrap().contains("src="));
    assert_eq!(inline.count(), 0, "{page}");
    assert!(
        !page.contains("<style") && !page.contains("style=") && !page.contains("http://"),
        "{page}"
    );
}

#[tokio::test]
async fn files_are_kept_for_good_where_their_name_holds_their_hash() {
    let gateway = start().await;
    let page = visit(&gateway, "/").await.text().await.unwrap();
    let assets = assets(&page);
    assert!(assets.len() >= 2, "{page}");
    for asset in assets {
        let response = gateway.anonymous(Method::GET, &asset).send().await.unwrap();
        assert_eq!(response.status(), 200, "{asset}");
        assert!(
            said(&response, "cache-control").contains("immutable"),
            "{asset}"
        );
        let kind = response.headers()[CONTENT_TYPE].to_str().unwrap();
        let wanted = if asset.ends_with(".js") {
            "text/javascript"
        } else {
            "text/css"
        };
        assert!(kind.starts_with(wanted), "{asset}: {kind}");
        assert_eq!(said(&response, "x-content-type-options"), "nosniff");
    }
}

#[tokio::test]
async fn a_page_that_has_not_changed_is_not_sent_again() {
    let gateway = start().await;
    let first = visit(&gateway, "/").await;
    let etag = first.headers()[ETAG].clone();
    let known = gateway
        .anonymous(Method::GET, "/")
        .header(IF_NONE_MATCH, &etag);
    let known = known.send().await.unwrap();
    assert_eq!(known.status(), 304);
    assert_eq!(known.headers()[ETAG], etag);
    assert_eq!(known.headers()[CACHE_CONTROL], "no-cache");
    assert!(known.bytes().await.unwrap().is_empty());
    let other = gateway
        .anonymous(Method::GET, "/")
        .header(IF_NONE_MATCH, "\"other\"");
    assert_eq!(other.send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn compressed_variants_go_to_those_who_take_them() {
    let gateway = start().await;
    let page = visit(&gateway, "/").await.text().await.unwrap();
    let script = assets(&page)
        .into_iter()
        .find(|path| path.ends_with(".js"))
        .unwrap();
    let mut sizes = Vec::new();
    for (takes, encoding) in [
        ("", ""),
        ("gzip, deflate", "gzip"),
        ("gzip, br", "br"),
        ("br;q=0", ""),
    ] {
        let request = gateway
            .anonymous(Method::GET, &script)
            .header(ACCEPT_ENCODING, takes);
        let response = request.send().await.unwrap();
        let told = response.headers().get(CONTENT_ENCODING);
        assert_eq!(
            told.map_or("", |told| told.to_str().unwrap()),
            encoding,
            "{takes}"
        );
        assert!(said(&response, "vary").contains("Accept-Encoding"));
        sizes.push(response.bytes().await.unwrap().len());
    }
    assert!(
        sizes[1] < sizes[0] && sizes[2] < sizes[1] && sizes[3] == sizes[0],
        "{sizes:?}"
    );
}

#[tokio::test]
async fn pages_are_the_sites_and_all_else_stays_the_apis() {
    let gateway = start().await;
    for path in ["/plugins", "/chat/some-conversation", "/nothing"] {
        let response = visit(&gateway, path).await;
        assert_eq!(response.status(), 200, "{path}");
        assert!(
            said(&response, "content-type").starts_with("text/html"),
            "{path}"
        );
        let response = gateway.anonymous(Method::GET, path).send().await.unwrap();
        assert_eq!(response.status(), 404, "{path}, asked by a program");
    }
    for path in [
        "/v1/nothing",
        "/admin/nothing",
        "/auth",
        "/health/nothing",
        "/assets/nothing.js",
    ] {
        let response = visit(&gateway, path).await;
        assert_eq!(response.status(), 404, "{path}");
        assert_eq!(
            said(&response, "content-type"),
            "application/json",
            "{path}"
        );
    }
    let posted = gateway.anonymous(Method::POST, "/").header(ACCEPT, BROWSER);
    assert_eq!(posted.send().await.unwrap().status(), 404);
    let head = gateway.anonymous(Method::HEAD, "/").send().await.unwrap();
    assert_eq!(head.status(), 200);
    assert!(said(&head, "content-length").parse::<usize>().unwrap() > 100);
}

#[tokio::test]
async fn the_page_comes_while_nobody_can_say_who_asks() {
    let gateway = start().await;
    let (status, told) = gateway
        .post("/admin/plugins/apikeys/stop", &serde_json::json!({}))
        .await;
    assert_eq!(status, 200, "{told}");
    for path in ["/", "/plugins", "/favicon.svg"] {
        let request = gateway.anonymous(Method::GET, path).header(ACCEPT, BROWSER);
        let response = request
            .header(COOKIE, "bkg_session=unknown")
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), 200, "{path}");
    }
}

#[tokio::test]
async fn paths_cannot_leave_the_site() {
    let gateway = start().await;
    for path in [
        "/..%2f..%2fCargo.toml",
        "/assets/..%2findex.html",
        "//index.html",
        "/index.html%00.js",
    ] {
        let response = gateway.anonymous(Method::GET, path).send().await.unwrap();
        assert_eq!(response.status(), 404, "{path}");
    }
}

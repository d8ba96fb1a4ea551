//! What browsers may make of answers: nothing that runs, nothing that is framed, nothing that is
//! kept, and nothing for pages of origins that nobody named.

use reqwest::{Method, Response, header::HeaderMap};
use serde_json::json;

use crate::{
    fake_upstream::{Reply, Upstream, chunk},
    gateway::{Gateway, PASSWORD, bkg},
};

const SCRIPT: &str = "<script>alert(document.cookie)</script>";

fn assert_is_no_page(what: &str, answer: &Response) {
    let header = |name: &str| {
        let value = answer.headers().get(name);
        value.map_or("", |value| value.to_str().unwrap())
    };
    assert_eq!(header("x-content-type-options"), "nosniff", "{what}");
    assert_eq!(header("x-frame-options"), "DENY", "{what}");
    assert_eq!(header("referrer-policy"), "no-referrer", "{what}");
    assert_eq!(
        header("cross-origin-resource-policy"),
        "same-origin",
        "{what}"
    );
    assert_eq!(header("cache-control"), "no-store", "{what}");
    assert_eq!(
        header("content-security-policy"),
        "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
        "{what}"
    );
    let kind = header("content-type");
    let data = ["", "application/json", "text/event-stream; charset=utf-8"];
    assert!(data.contains(&kind), "{what}: {kind}");
}

async fn start() -> Gateway {
    Gateway::start_with(&[("BKG_MODELS_DIR", "no-models")]).await
}

#[tokio::test]
async fn no_answer_can_be_taken_for_a_page() {
    let gateway = start().await;
    let login = json!({"username": "admin", "password": PASSWORD});
    let requests = [
        (200, gateway.anonymous(Method::GET, "/health/live")),
        (200, gateway.anonymous(Method::GET, "/openapi.json")),
        (200, gateway.request(Method::GET, "/v1/models")),
        (200, gateway.request(Method::GET, "/admin/keys")),
        (
            200,
            gateway.anonymous(Method::POST, "/auth/login").json(&login),
        ),
        (401, gateway.anonymous(Method::GET, "/v1/models")),
        (404, gateway.anonymous(Method::GET, &format!("/{SCRIPT}"))),
        (405, gateway.anonymous(Method::DELETE, "/v1/models")),
        (
            415,
            gateway
                .request(Method::POST, "/admin/keys")
                .header("content-encoding", "gzip"),
        ),
        (
            415,
            gateway.request(Method::POST, "/admin/keys").body(SCRIPT),
        ),
        (400, gateway.request(Method::GET, "/ws/logs")),
    ];
    for (status, request) in requests {
        let answer = request.send().await.unwrap();
        let what = format!("{} {}", answer.url(), answer.status());
        assert_eq!(answer.status().as_u16(), status, "{what}");
        assert_is_no_page(&what, &answer);
        assert!(
            !answer.headers().contains_key("strict-transport-security"),
            "{what}"
        );
    }
}

#[tokio::test]
async fn a_script_that_others_wrote_comes_back_as_data() {
    let gateway = start().await;
    let upstream = Upstream::start(|body| match body["stream"].as_bool() {
        Some(true) => Reply::Stream {
            first: vec![chunk(SCRIPT, None)],
            rest: vec![chunk("", Some("stop"))],
        },
        _ => Reply::Whole(
            "200 OK",
            "content-type: application/json\r\n",
            json!({"id": "1", "object": "chat.completion", "created": 1, "model": "far-chat",
                "choices": [{"index": 0, "finish_reason": "stop",
                    "message": {"role": "assistant", "content": SCRIPT}}]})
            .to_string(),
        ),
    })
    .await;
    upstream.join(&gateway).await;
    upstream.release();
    for stream in [false, true] {
        let ask = json!({"model": "far-chat", "stream": stream,
            "messages": [{"role": "user", "content": "hello"}]});
        let request = gateway.request(Method::POST, "/v1/chat/completions");
        let answer = request.json(&ask).send().await.unwrap();
        assert_is_no_page("a chat", &answer);
        assert!(
            answer.text().await.unwrap().contains(SCRIPT),
            "unchanged, as data"
        );
    }
    let document = json!([{"id": SCRIPT, "title": SCRIPT, "text": SCRIPT}]);
    gateway.index("pages", &document).await;
    let path = format!("/brainml/collections/pages/documents/{SCRIPT}");
    for path in [path.as_str(), "/admin/plugins/bkg/logs"] {
        let answer = gateway.request(Method::GET, path).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
        assert_is_no_page(path, &answer);
    }
}

#[tokio::test]
async fn browsers_are_told_to_stay_encrypted_where_people_come_by_https() {
    let url = ("BKG_SERVER__PUBLIC_URL", "https://gateway.example");
    let gateway = Gateway::start_with(&[("BKG_MODELS_DIR", "no-models"), url]).await;
    let answer = gateway
        .anonymous(Method::GET, "/health/live")
        .send()
        .await
        .unwrap();
    let told = answer.headers().get("strict-transport-security").unwrap();
    assert_eq!(told, "max-age=31536000");
}

async fn head(
    gateway: &Gateway,
    method: Method,
    path: &str,
    more: &[(&str, &str)],
) -> (u16, HeaderMap) {
    let request = gateway.anonymous(method, path);
    let request = more.iter().fold(request, |request, (name, value)| {
        request.header(*name, *value)
    });
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), answer.headers().clone())
}

fn is_open(headers: &HeaderMap) -> bool {
    headers
        .keys()
        .any(|name| name.as_str().starts_with("access-control-"))
}

const PREFLIGHT: [(&str, &str); 2] = [
    ("access-control-request-method", "POST"),
    (
        "access-control-request-headers",
        "authorization,content-type",
    ),
];

#[tokio::test]
async fn a_page_of_an_origin_that_nobody_named_is_told_nothing() {
    let closed = start().await;
    let named = (
        "BKG_SERVER__CORS_ORIGINS",
        "https://app.example,http://localhost:3000",
    );
    let open = Gateway::start_with(&[("BKG_MODELS_DIR", "no-models"), named]).await;
    let strangers = [
        "https://evil.example",
        "null",
        "*",
        "https://app.example.evil.example",
        "http://app.example",
        "https://app.example:8443",
        "https://APP.example",
        "https://sub.app.example",
        "http://localhost:3001",
    ];
    let all = strangers.iter().chain(&["https://app.example"]);
    for (gateway, origins) in [
        (&closed, all.collect::<Vec<_>>()),
        (&open, strangers.iter().collect()),
    ] {
        for origin in origins {
            let origin = ("origin", *origin);
            let (status, headers) = head(gateway, Method::GET, "/health/live", &[origin]).await;
            assert!(
                status == 200 && !is_open(&headers),
                "{origin:?} {headers:?}"
            );
            let asks = [origin, PREFLIGHT[0], PREFLIGHT[1]];
            let path = "/v1/chat/completions";
            let (status, headers) = head(gateway, Method::OPTIONS, path, &asks).await;
            assert!(
                status == 405 && !is_open(&headers),
                "{origin:?} {status} {headers:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_page_that_is_let_in_asks_with_a_key_and_never_with_a_cookie() {
    let named = ("BKG_SERVER__CORS_ORIGINS", "https://app.example");
    let gateway = Gateway::start_with(&[("BKG_MODELS_DIR", "no-models"), named]).await;
    let origin = ("origin", "https://app.example");
    let text = |headers: &HeaderMap, name: &str| {
        headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
            .to_owned()
    };
    let asks = [origin, PREFLIGHT[0], PREFLIGHT[1]];
    let (status, headers) = head(&gateway, Method::OPTIONS, "/v1/chat/completions", &asks).await;
    assert_eq!(status, 204, "{headers:?}");
    assert_eq!(
        text(&headers, "access-control-allow-origin"),
        "https://app.example"
    );
    assert_eq!(text(&headers, "access-control-max-age"), "600");
    let taken = text(&headers, "access-control-allow-headers");
    for name in ["authorization", "content-type", "x-api-key", "x-request-id"] {
        assert!(taken.split(", ").any(|one| one == name), "{taken}");
    }
    assert!(text(&headers, "access-control-allow-methods").contains("POST"));
    // Refusals too: a page is to see why.
    let bearer = format!("Bearer {}", gateway.key);
    for (credential, wanted) in [(bearer.as_str(), 200), ("Bearer none", 401)] {
        let sent = [origin, ("authorization", credential)];
        let (status, headers) = head(&gateway, Method::GET, "/v1/models", &sent).await;
        assert_eq!(status, wanted);
        assert_eq!(
            text(&headers, "access-control-allow-origin"),
            "https://app.example"
        );
        assert_eq!(text(&headers, "vary"), "Origin");
        assert!(!headers.contains_key("access-control-allow-credentials"));
        let shown = text(&headers, "access-control-expose-headers");
        assert!(
            shown.contains("x-request-id") && shown.contains("retry-after"),
            "{shown}"
        );
    }
    let (_, headers) = head(&gateway, Method::GET, "/v1/models", &[]).await;
    assert_eq!(
        text(&headers, "vary"),
        "Origin",
        "what is kept for one is not for all"
    );
}

#[test]
fn origins_that_would_open_the_gateway_to_everyone_end_the_start() {
    for (origins, told) in [
        ("*", "`*`"),
        ("https://app.example,*", "`*`"),
        ("https://app.example/path", "https://app.example/path"),
        ("app.example", "app.example"),
    ] {
        let data = tempfile::tempdir().unwrap();
        let env = [("BKG_SERVER__CORS_ORIGINS".to_owned(), origins.to_owned())];
        let output = bkg(data.path(), &env, &["serve"]).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(
            text.contains(told) && text.contains("server.cors_origins"),
            "{text}"
        );
    }
}

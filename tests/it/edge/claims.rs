//! What strangers claim in their headers: where they come from, and who they are.

use reqwest::Method;
use serde_json::Value;

use super::wire;
use crate::gateway::{Gateway, answer, bkg, eventually};

async fn start(env: &[(&str, &str)]) -> Gateway {
    Gateway::start_with(&[&[("BKG_MODELS_DIR", "no-models")], env].concat()).await
}

/// The address in the log's line on a request to `/said/{mark}` with these headers.
async fn logged(gateway: &Gateway, mark: &str, headers: &[(&str, &str)]) -> String {
    let request = gateway.anonymous(Method::GET, &format!("/said/{mark}"));
    let request = headers.iter().fold(request, |request, (name, value)| {
        request.header(*name, *value)
    });
    assert_eq!(answer(request).await.0, 404);
    let mut found = String::new();
    let path = "/admin/plugins/bkg/logs?limit=1000";
    for _ in 0..500 {
        let (_, told) = gateway.get(path).await;
        let says = |record: &&Value| {
            record["message"]
                .as_str()
                .unwrap()
                .contains(&format!("/said/{mark} "))
        };
        if let Some(record) = told["records"].as_array().unwrap().iter().find(says) {
            found = record["fields"]["address"].as_str().unwrap().to_owned();
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    found
}

#[tokio::test]
async fn where_a_stranger_says_it_comes_from_is_not_believed() {
    let gateway = start(&[]).await;
    let claims = [
        ("x-forwarded-for", "198.51.100.7"),
        ("forwarded", "for=198.51.100.7"),
        ("x-real-ip", "198.51.100.7"),
    ];
    assert_eq!(logged(&gateway, "a", &claims).await, "127.0.0.1");
}

#[tokio::test]
async fn a_trusted_proxy_says_where_a_request_comes_from_and_its_client_cannot() {
    let gateway = start(&[("BKG_SERVER__TRUSTED_PROXIES", "127.0.0.0/8, 10.0.0.0/8")]).await;
    let forged = [
        ("x-forwarded-for", "192.0.2.66, 198.51.100.7, 10.0.0.9"),
        ("forwarded", "for=192.0.2.1"),
    ];
    assert_eq!(logged(&gateway, "b", &forged).await, "198.51.100.7");
}

#[test]
fn a_proxy_that_is_no_address_ends_the_start() {
    for entry in ["proxy.example", "10.0.0.1/8", "*"] {
        let data = tempfile::tempdir().unwrap();
        let env = [("BKG_SERVER__TRUSTED_PROXIES".to_owned(), entry.to_owned())];
        let output = bkg(data.path(), &env, &["serve"]).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(
            text.contains(entry) && text.contains("server.trusted_proxies"),
            "{text}"
        );
    }
}

#[tokio::test]
async fn a_credential_made_to_harm_its_reader_is_only_wrong() {
    let gateway = start(&[]).await;
    let long = "A".repeat(10 * 1024);
    let odd = [
        "' OR '1'='1",
        "bkg_'; DROP TABLE keys; --",
        "\" OR 1=1 --",
        "%00",
        "bkg_%s%s%n",
        "${jndi:ldap://x}",
        "../../etc/passwd",
        "bkg_\u{e9}\u{202e}",
        &long,
    ];
    for key in odd {
        for (name, value) in [
            ("authorization", format!("Bearer {key}")),
            ("authorization", key.to_owned()),
            ("x-api-key", key.to_owned()),
            (
                "cookie",
                format!("bkg_session={}", key.replace([';', ' '], "")),
            ),
        ] {
            let request = gateway.anonymous(Method::GET, "/v1/models");
            let (status, told) = answer(request.header(name, value.as_bytes())).await;
            assert_eq!(status, 401, "{name}: {key:.40}: {told}");
            assert_eq!(told["error"]["code"], "invalid_api_key", "{told}");
            assert!(!told.to_string().contains(key), "{told}");
        }
        // A key in the query is no credential at all.
        let request = gateway
            .anonymous(Method::GET, "/v1/models")
            .query(&[("api_key", &gateway.key)]);
        assert_eq!(answer(request).await.0, 401);
    }
    let nul = "GET /v1/models HTTP/1.1\r\nhost: g\r\nauthorization: Bearer a\0b\r\nconnection: close\r\n\r\n";
    let told = wire::exchange(&gateway, nul).await;
    assert!(
        told.starts_with("HTTP/1.1 400 ") || told.starts_with("HTTP/1.1 401 "),
        "{told}"
    );
    eventually("the gateway goes on", || async {
        gateway.get("/v1/models").await.0 == 200
    })
    .await;
}

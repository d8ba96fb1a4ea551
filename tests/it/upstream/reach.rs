//! Upstreams that lead where none may be: this machine, private networks, a cloud's credentials.

use std::net::ToSocketAddrs;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{CHAT, NO_MODEL, echo, hello};
use crate::{
    fake_upstream::{Reply, Upstream},
    gateway::{Gateway, bkg, eventually},
};

const CONFIG: &str = "/admin/plugins/llmserver/config";

/// No private address is allowed.
const CLOSED: [(&str, &str); 2] = [NO_MODEL[0], ("BKG_UPSTREAMS__ALLOW_PRIVATE", "")];

fn at(url: &str) -> Value {
    json!([{"name": "far", "base_url": url, "models": ["far-chat"]}])
}

/// A data directory whose `plugins.json` names an upstream at `url`, which no check has seen.
fn planted(url: &str) -> TempDir {
    let data = tempfile::tempdir().unwrap();
    let builtin = |settings: Value| json!({"kind": "builtin", "settings": settings});
    let plugins = json!({"plugins": {
        "apikeys": builtin(json!({})), "brainml": builtin(json!({})),
        "llmserver": builtin(json!({"upstreams": at(url)})),
    }});
    std::fs::write(data.path().join("plugins.json"), plugins.to_string()).unwrap();
    data
}

#[tokio::test]
async fn an_upstream_that_leads_inside_is_refused_when_it_is_saved() {
    let gateway = Gateway::start_with(&CLOSED).await;
    let before = gateway.plugin("llmserver").await;
    for url in [
        "http://127.0.0.1:8080/v1",
        "http://localhost/v1",
        "http://10.0.0.7/v1",
        "http://172.16.0.1/v1",
        "http://192.168.1.1/v1",
        "http://169.254.169.254/latest/meta-data",
        "http://[::1]/v1",
        "http://[::ffff:127.0.0.1]/v1",
        "http://0x7f.1/v1",
        "http://2130706433/v1",
        "http://0177.0.0.1/v1",
        "http://user@example.com/v1",
        "http://example.com@127.0.0.1/v1",
        "https://example.com/v1#x",
        "file:///etc/passwd",
    ] {
        let body = json!({"settings": {"upstreams": at(url)}});
        let (status, told) = gateway.put(CONFIG, &body).await;
        assert_eq!(
            (status, &told["error"]["param"]),
            (400, &json!("upstreams")),
            "{url}: {told}"
        );
    }
    let after = gateway.plugin("llmserver").await;
    assert_eq!(after["settings"], before["settings"]);
    assert_eq!(after["generation"], before["generation"]);
    let body = json!({"settings": {"upstreams": at("https://api.example.com/v1")}});
    assert_eq!(gateway.put(CONFIG, &body).await.0, 200);
}

#[tokio::test]
async fn a_list_of_hosts_keeps_an_admin_from_sending_prompts_elsewhere() {
    let env = [NO_MODEL[0], ("BKG_UPSTREAMS__ALLOW_HOSTS", "*.example.com")];
    let gateway = Gateway::start_with(&env).await;
    for (url, status) in [
        ("https://api.example.com/v1", 200),
        ("https://example.com.evil.org/v1", 400),
    ] {
        let body = json!({"settings": {"upstreams": at(url)}});
        let (got, told) = gateway.put(CONFIG, &body).await;
        assert_eq!(got, status, "{told}");
    }
}

#[tokio::test]
async fn a_private_address_that_was_not_checked_when_saved_is_not_connected_to() {
    let upstream = Upstream::start(echo).await;
    let gateway = Gateway::start_in(planted(upstream.url()), &CLOSED).await;
    let (status, told) = gateway.post(CHAT, &hello(false)).await;
    assert_eq!(status, 502, "{told}");
    assert_eq!(upstream.times_asked(), 0);
    let (_, plugin) = gateway.get("/admin/plugins/llmserver").await;
    assert_eq!(plugin["state"], "running", "it alone is out of use");
}

/// A name, other than `localhost`, that the system's resolver turns into addresses of our own.
fn name_that_leads_inside() -> Option<String> {
    let own = std::fs::read_to_string("/etc/hostname").unwrap_or_default();
    let names = [own.trim(), "ip6-loopback", "ip6-localhost"];
    let inside = |name: &&str| {
        let found = (*name, 80).to_socket_addrs();
        found.is_ok_and(|mut all| {
            all.all(|at| match at.ip() {
                std::net::IpAddr::V4(ip) => ip.is_private() || ip.is_loopback(),
                std::net::IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local(),
            })
        })
    };
    let name = names
        .into_iter()
        .filter(|name| !name.is_empty())
        .find(inside);
    if name.is_none() {
        eprintln!("SKIPPED: no name of this system leads to a private address");
    }
    name.map(str::to_owned)
}

#[tokio::test]
async fn a_name_that_leads_inside_is_not_connected_to() {
    let Some(name) = name_that_leads_inside() else {
        return;
    };
    let gateway = Gateway::start_with(&CLOSED).await;
    let body = json!({"settings": {"upstreams": at(&format!("http://{name}:9/v1"))}});
    assert_eq!(gateway.put(CONFIG, &body).await.0, 200, "a name may be any");
    let (status, told) = gateway.post(CHAT, &hello(false)).await;
    let message = told["error"]["message"].as_str().unwrap();
    assert!(status == 502 && message.contains("no address"), "{told}");
    let gateway = &gateway;
    eventually("the log names the setting", || async move {
        let path = "/admin/plugins/llmserver/logs?limit=1000";
        let logged = gateway.get(path).await.1.to_string();
        logged.contains("upstreams.allow_private")
    })
    .await;
}

#[tokio::test]
async fn a_redirect_inside_is_not_followed() {
    fn redirect(body: &Value) -> Reply {
        let to = body["messages"][0]["content"].as_str().unwrap();
        let header = format!("location: {to}\r\n").leak();
        Reply::Whole("302 Found", header, String::new())
    }
    let inside = Upstream::start(echo).await;
    let (gateway, _upstream) = super::gateway_with(redirect).await;
    let mut body = hello(false);
    body["messages"][0]["content"] = json!(inside.url());
    let (status, told) = gateway.post(CHAT, &body).await;
    assert_eq!(status, 502, "{told}");
    assert_eq!(inside.times_asked(), 0);
}

#[test]
fn an_entry_that_allows_nothing_known_ends_the_start() {
    for (name, value) in [
        ("BKG_UPSTREAMS__ALLOW_PRIVATE", "10.0.0.0/99"),
        ("BKG_UPSTREAMS__ALLOW_HOSTS", "https://example.com"),
        ("BKG_UPSTREAMS__PROXY", "socks5://user:canary@proxy"),
        // It would be asked for any host.
        ("BKG_UPSTREAMS__PROXY", "http://user:canary@proxy:3128"),
    ] {
        let data = tempfile::tempdir().unwrap();
        let env = [(name.to_owned(), value.to_owned())];
        let output = bkg(data.path(), &env, &["serve"]).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{told}");
        let setting = name.trim_start_matches("BKG_UPSTREAMS__").to_lowercase();
        assert!(told.contains(&format!("upstreams.{setting}")), "{told}");
        assert!(!told.contains("canary"), "{told}");
    }
}

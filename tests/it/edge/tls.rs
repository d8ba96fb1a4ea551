//! TLS: what is shown, what is taken again from its files, and who is not let in.

use std::{fs, path::Path, sync::Arc, time::Duration};

use futures_util::future::join_all;
use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use rustls::{
    ClientConfig, RootCertStore, SupportedProtocolVersion,
    crypto::ring,
    pki_types::{CertificateDer, ServerName},
    version::{TLS12, TLS13},
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::raw::{Raw, address};
use crate::gateway::{Gateway, PASSWORD, PATIENCE, bkg, eventually};

/// A certificate and its key in one file, so that both change at once.
pub struct Identity {
    pem: String,
    der: CertificateDer<'static>,
}

impl Identity {
    /// One that holds now.
    pub fn new() -> Self {
        Self::until(2099)
    }

    fn until(year: i32) -> Self {
        let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        params.not_before = date_time_ymd(1999, 1, 1);
        params.not_after = date_time_ymd(year, 1, 1);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Self {
            pem: certificate.pem() + &key.serialize_pem(),
            der: certificate.der().clone(),
        }
    }

    /// Puts it where the gateway finds it, in one step.
    pub fn put(&self, path: &Path) {
        put(path, &self.pem);
    }
}

fn put(path: &Path, text: &str) {
    let aside = path.with_extension("new");
    fs::write(&aside, text).unwrap();
    fs::rename(aside, path).unwrap();
}

/// A gateway that shows what lies at `path`.
pub async fn start(path: &Path) -> Gateway {
    let path = path.to_str().unwrap();
    Gateway::start_with(&[
        ("BKG_MODELS_DIR", "no-models"),
        ("BKG_SERVER__TLS_CERTIFICATE", path),
        ("BKG_SERVER__TLS_KEY", path),
        ("BKG_SERVER__TLS_RELOAD_SECONDS", "1"),
        ("BKG_SERVER__TLS_HANDSHAKE_SECONDS", "1"),
        ("BKG_SERVER__HEAD_SECONDS", "60"),
    ])
    .await
}

/// A connection that trusts `identity` alone.
pub async fn connect(
    gateway: &Gateway,
    identity: &Identity,
    version: &'static SupportedProtocolVersion,
) -> Option<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(identity.der.clone()).unwrap();
    let mut config = ClientConfig::builder_with_provider(ring::default_provider().into())
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let socket = TcpStream::connect(address(gateway)).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let connector = TlsConnector::from(Arc::new(config));
    let connected = timeout(PATIENCE, connector.connect(name, socket));
    connected.await.unwrap().ok()
}

/// Asks over a connection of its own.
async fn ask(gateway: &Gateway, identity: &Identity, request: &str) -> Option<String> {
    let mut stream = connect(gateway, identity, &TLS13).await?;
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    let read = timeout(PATIENCE, stream.read_to_end(&mut bytes));
    drop(read.await.unwrap());
    Some(String::from_utf8(bytes).unwrap())
}

async fn serves(gateway: &Gateway, identity: &Identity) -> bool {
    let live = "GET /health/live HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    let answer = ask(gateway, identity, live).await;
    answer.is_some_and(|answer| answer.starts_with("HTTP/1.1 200"))
}

/// The body of what a caller with a key is answered.
async fn get(gateway: &Gateway, identity: &Identity, path: &str) -> String {
    let key = &gateway.key;
    let request = format!(
        "GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
         authorization: Bearer {key}\r\n\r\n"
    );
    let answer = ask(gateway, identity, &request).await.unwrap();
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    body.to_owned()
}

/// What `/health` says of the certificate.
async fn status(gateway: &Gateway, identity: &Identity) -> Value {
    let body = get(gateway, identity, "/health").await;
    let body: Value = serde_json::from_str(&body).unwrap();
    body["certificate"].clone()
}

#[tokio::test]
async fn both_versions_speak_http_1_1_and_the_session_is_sent_over_tls_alone() {
    let folder = TempDir::new().unwrap();
    let (path, identity) = (folder.path().join("it.pem"), Identity::new());
    identity.put(&path);
    let gateway = start(&path).await;
    assert!(gateway.url.starts_with("https://"), "{}", gateway.url);
    for version in [&TLS12, &TLS13] {
        let stream = connect(&gateway, &identity, version).await.unwrap();
        let (_, session) = stream.get_ref();
        assert_eq!(session.protocol_version(), Some(version.version));
        assert_eq!(session.alpn_protocol(), Some(&b"http/1.1"[..]));
    }
    let body = json!({"username": "admin", "password": PASSWORD}).to_string();
    let login = format!(
        "POST /auth/login HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let answer = ask(&gateway, &identity, &login).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(
        answer.contains("__Host-bkg=") && answer.contains("; Secure"),
        "{answer}"
    );
    let output = gateway.bkg(&["plugins", "list"]);
    assert!(
        output.status.success(),
        "the owner needs no TLS: {output:?}"
    );
}

#[tokio::test]
async fn a_renewed_certificate_is_shown_and_a_bad_one_leaves_the_old_one() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("it.pem");
    let (first, second, third) = (Identity::new(), Identity::new(), Identity::new());
    first.put(&path);
    let gateway = start(&path).await;
    let mut kept = connect(&gateway, &first, &TLS13).await.unwrap();
    second.put(&path);
    let renewed = || async { serves(&gateway, &second).await };
    eventually("the second certificate is shown", renewed).await;
    assert!(!serves(&gateway, &first).await, "the first no longer is");

    let mismatch = {
        let key = Identity::new().pem;
        let (_, key) = key.split_once("-----END CERTIFICATE-----").unwrap();
        let (own, _) = third.pem.split_once("-----BEGIN PRIVATE").unwrap();
        format!("{own}{key}")
    };
    let ended = Identity::until(2001).pem;
    for (count, bad) in ["no certificate", &mismatch, &ended]
        .into_iter()
        .enumerate()
    {
        put(&path, bad);
        let noticed = || async {
            let failed = status(&gateway, &second).await["failed_reloads"].as_u64();
            failed == Some(u64::try_from(count).unwrap() + 1)
        };
        eventually("the bad certificate is noticed", noticed).await;
    }
    tokio::time::sleep(Duration::from_millis(1200)).await;
    let told = status(&gateway, &second).await;
    assert_eq!(told["failed_reloads"], 3, "each counts once: {told}");
    let metrics = get(&gateway, &second, "/metrics").await;
    assert!(
        metrics.contains("bkg_tls_certificate_failed_reloads_total 3\n"),
        "{metrics}"
    );
    assert!(
        told["last_error"].as_str().unwrap().contains("ended at"),
        "{told}"
    );

    third.put(&path);
    let renewed = || async { serves(&gateway, &third).await };
    eventually("the third certificate is shown", renewed).await;
    let told = status(&gateway, &third).await;
    assert_eq!(told.get("last_error"), None, "{told}");
    assert_eq!(told["not_after"], "2099-01-01T00:00:00Z");
    kept.write_all(b"GET /health/live HTTP/1.1\r\nhost: localhost\r\n\r\n")
        .await
        .unwrap();
    kept.read_exact(&mut [0; 12])
        .await
        .expect("what is open stays open");
}

#[tokio::test]
async fn handshakes_that_stall_hold_nobody_up_and_are_ended() {
    let folder = TempDir::new().unwrap();
    let (path, identity) = (folder.path().join("it.pem"), Identity::new());
    identity.put(&path);
    let gateway = start(&path).await;
    let mut silent = join_all((0..600).map(|_| Raw::to(&gateway))).await;
    assert!(serves(&gateway, &identity).await);
    for client in &mut silent {
        assert_eq!(client.rest().await, "");
    }
    assert!(serves(&gateway, &identity).await);
}

#[tokio::test]
async fn plaintext_and_tls_1_1_on_the_tls_port_are_closed() {
    let folder = TempDir::new().unwrap();
    let (path, identity) = (folder.path().join("it.pem"), Identity::new());
    identity.put(&path);
    let gateway = start(&path).await;
    let mut plain = Raw::to(&gateway).await;
    plain
        .send("GET /health/live HTTP/1.1\r\nhost: localhost\r\n\r\n")
        .await;
    let answer = plain.rest().await;
    assert!(!answer.contains("HTTP"), "{answer}");

    let mut old = Raw::to(&gateway).await;
    old.send(hello_1_1()).await;
    let mut bytes = Vec::new();
    let read = timeout(PATIENCE, old.0.read_to_end(&mut bytes));
    drop(read.await.expect("closed"));
    assert_ne!(bytes.first(), Some(&0x16), "no handshake: {bytes:?}");
    assert!(serves(&gateway, &identity).await);
}

/// A `ClientHello` of TLS 1.1, which knows nothing newer.
fn hello_1_1() -> Vec<u8> {
    let mut hello = vec![0x03, 0x02];
    hello.extend([7; 32]);
    // No session, two suites, no compression.
    hello.extend([0, 0, 4, 0xC0, 0x14, 0x00, 0x2F, 1, 0]);
    let length = u8::try_from(hello.len()).unwrap();
    let mut record = vec![0x16, 0x03, 0x01, 0, length + 4, 0x01, 0, 0, length];
    record.extend(hello);
    record
}

#[test]
fn a_certificate_that_cannot_be_used_ends_the_start_and_is_named() {
    let data = TempDir::new().unwrap();
    let file = |name: &str, text: &str| {
        let path = data.path().join(name);
        put(&path, text);
        path.to_str().unwrap().to_owned()
    };
    let (good, other) = (Identity::new().pem, Identity::new().pem);
    let (good, other) = (file("good.pem", &good), file("other.pem", &other));
    let noise = file("noise.pem", "no certificate");
    let missing = data.path().join("missing.pem").to_str().unwrap().to_owned();
    for (certificate, key, setting, named) in [
        (&good, None, "tls_key", None),
        (&missing, Some(&good), "tls_certificate", Some(&missing)),
        (&noise, Some(&good), "tls_certificate", Some(&noise)),
        (&good, Some(&noise), "tls_key", Some(&noise)),
        (&good, Some(&other), "tls_key", Some(&other)),
    ] {
        let name = "BKG_SERVER__TLS_CERTIFICATE".to_owned();
        let mut env = vec![(name, certificate.clone())];
        env.extend(key.map(|key| ("BKG_SERVER__TLS_KEY".to_owned(), key.clone())));
        let output = bkg(data.path(), &env, &["serve"]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(&format!("server.{setting}")), "{said}");
        assert!(
            named.is_none_or(|file| said.contains(file.as_str())),
            "{said}"
        );
    }
}

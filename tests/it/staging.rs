//! `make staging-check`: passes a gateway that is set up as it should be, and no other.

use std::{
    path::Path,
    process::{Command, Output},
};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use tempfile::TempDir;

use crate::gateway::{Gateway, PASSWORD, workspace};

const ORIGINS: &str = "https://app.example,https://admin.example";

/// Puts an authority into `ca.pem`, and what it signs for this machine into `it.pem`.
fn make_certificate(folder: &Path) {
    let mut params = CertificateParams::default();
    let name = "the authority of the tests";
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let authority = params.self_signed(&key).unwrap();
    std::fs::write(folder.join("ca.pem"), authority.pem()).unwrap();
    let issuer = Issuer::new(params, key);
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let mut params = CertificateParams::new(names).unwrap();
    params.not_before = date_time_ymd(1999, 1, 1);
    params.not_after = date_time_ymd(2099, 1, 1);
    let key = KeyPair::generate().unwrap();
    let leaf = params.signed_by(&key, &issuer).unwrap();
    std::fs::write(folder.join("it.pem"), leaf.pem() + &key.serialize_pem()).unwrap();
}

async fn encrypted(folder: &Path) -> Gateway {
    make_certificate(folder);
    let path = folder.join("it.pem");
    let path = path.to_str().unwrap();
    Gateway::start_with(&[
        ("BKG_MODELS_DIR", "no-models"),
        ("BKG_SERVER__TLS_CERTIFICATE", path),
        ("BKG_SERVER__TLS_KEY", path),
        ("BKG_SERVER__CORS_ORIGINS", ORIGINS),
    ])
    .await
}

/// What the check says of `url`, and whether it lets it pass.
fn check(url: &str, origins: &str, authority: &Path) -> (String, Option<i32>) {
    let mut check = Command::new("python3");
    check
        .arg(workspace().join("docker/staging_check.py"))
        .args([url, "--origin", origins, "--ca"])
        .arg(authority)
        .env("BKG_CHECK_PASSWORD", PASSWORD);
    let Output {
        status,
        stdout,
        stderr,
    } = check.output().unwrap();
    let told = [stdout, stderr].concat();
    (String::from_utf8(told).unwrap(), status.code())
}

fn failures(told: &str) -> Vec<&str> {
    told.lines()
        .filter(|line| line.starts_with("FAIL"))
        .collect()
}

#[tokio::test]
async fn a_gateway_with_tls_and_its_origins_passes_and_a_strangers_word_on_either_fails() {
    let folder = TempDir::new().unwrap();
    let gateway = encrypted(folder.path()).await;
    let authority = folder.path().join("ca.pem");
    let (told, code) = check(&gateway.url, ORIGINS, &authority);
    assert_eq!((failures(&told), code), (vec![], Some(0)), "{told}");
    for part in ["certificate", "protocols", "CORS", "cookie", "CSP"] {
        let held = told
            .lines()
            .any(|line| line.starts_with("PASS") && line.contains(part));
        assert!(held, "{part}: {told}");
    }
    let other = TempDir::new().unwrap();
    make_certificate(other.path());
    let other = other.path().join("ca.pem");
    let (told, code) = check(&gateway.url, "https://other.example", &other);
    assert_eq!(code, Some(1), "{told}");
    let failures = failures(&told);
    let trusted = failures.iter().filter(|line| line.contains("certificate"));
    let let_in = failures
        .iter()
        .filter(|line| line.contains("other.example"));
    assert_eq!(trusted.count(), 1, "{told}");
    assert!(let_in.count() >= 2, "{told}");
}

#[tokio::test]
async fn a_gateway_without_tls_does_not_pass() {
    let folder = TempDir::new().unwrap();
    make_certificate(folder.path());
    let gateway = Gateway::start_with(&[("BKG_MODELS_DIR", "no-models")]).await;
    let authority = folder.path().join("ca.pem");
    let pretended = gateway.url.replace("http://", "https://");
    let (told, code) = check(&pretended, "", &authority);
    assert_eq!(code, Some(1), "{told}");
    let (told, code) = check(&gateway.url, "", &authority);
    assert_eq!(code, Some(1), "{told}");
    for wrong in ["https", "Strict-Transport-Security", "cookie: Secure"] {
        let failed = failures(&told).iter().any(|line| line.contains(wrong));
        assert!(failed, "{wrong}: {told}");
    }
}

//! What is taken from the files, at which time.

use std::fs;

use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use tempfile::TempDir;

use super::*;

/// A certificate and its key in one text.
fn pem(from: i32, until: i32) -> String {
    let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
    params.not_before = date_time_ymd(from, 1, 1);
    params.not_after = date_time_ymd(until, 1, 1);
    let key = KeyPair::generate().unwrap();
    params.self_signed(&key).unwrap().pem() + &key.serialize_pem()
}

fn at(time: &str) -> Timestamp {
    time.parse().unwrap()
}

#[test]
fn a_certificate_whose_time_comes_later_is_taken_then() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("it.pem");
    fs::write(&path, pem(1999, 2098)).unwrap();
    let settings = settings::Server {
        tls_certificate: Some(path.clone()),
        tls_key: Some(path.clone()),
        ..settings::Server::default()
    };
    let certificate = Certificate::of(&settings).unwrap().unwrap();
    let shown = || certificate.status().not_after;
    fs::write(&path, pem(2050, 2099)).unwrap();
    for second in 0..3 {
        certificate.look(at(&format!("2049-12-31T23:59:5{second}Z")));
        let status = certificate.status();
        assert_eq!(status.failed_reloads, 1, "it is told once");
        let error = status.last_error.unwrap();
        assert!(
            error.contains("does not hold before 2050-01-01T00:00:00Z"),
            "{error}"
        );
        assert_eq!(shown(), at("2098-01-01T00:00:00Z"));
    }
    certificate.look(at("2050-01-01T00:00:01Z"));
    assert_eq!(shown(), at("2099-01-01T00:00:00Z"));
    let status = certificate.status();
    assert_eq!((status.failed_reloads, status.last_error), (1, None));
}

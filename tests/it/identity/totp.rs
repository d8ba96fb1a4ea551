//! The second factor over HTTP.

use std::time::{SystemTime, UNIX_EPOCH};

use reqwest::{Method, header::COOKIE};
use serde_json::{Value, json};
use totp_rs::{Algorithm, Secret, TOTP};

use super::{
    PASSWORD,
    sessions::{cookie, log_in_with},
};
use crate::gateway::{Gateway, answer};

fn code(secret: &str, later: u64) -> String {
    let secret = Secret::Encoded(secret.to_owned()).to_bytes().unwrap();
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs();
    TOTP::new_unchecked(Algorithm::SHA1, 6, 0, 30, secret).generate(now + later)
}

async fn status_and_code(gateway: &Gateway, body: &Value) -> (u16, Value) {
    let response = log_in_with(gateway, body).await;
    let status = response.status().as_u16();
    let told: Value = response.json().await.unwrap();
    (status, told["error"]["code"].clone())
}

#[tokio::test]
async fn a_code_is_wanted_once_it_is_set_up_and_is_taken_once() {
    let gateway = Gateway::start().await;
    let cookie = cookie(&gateway, "admin", PASSWORD).await;
    let ask = |method, path, body: Value| {
        let request = gateway.anonymous(method, path).header(COOKIE, &cookie);
        answer(request.json(&body))
    };
    let begin = |body| ask(Method::POST, "/auth/totp", body);
    assert_eq!(begin(json!({})).await.0, 422, "the password is wanted");
    let (status, told) = begin(json!({"password": "wrong horse"})).await;
    assert_eq!(
        (status, &told["error"]["code"]),
        (401, &json!("invalid_credentials"))
    );
    let (status, told) = begin(json!({"password": PASSWORD})).await;
    assert_eq!(status, 200, "{told}");
    let secret = told["secret"].as_str().unwrap();
    assert!(
        told["url"].as_str().unwrap().starts_with("otpauth://totp/"),
        "{told}"
    );
    // The code of the next step is good from now on for a minute, and later than the first.
    let (first, second) = (code(secret, 0), code(secret, 30));
    let confirm = "/auth/totp/confirm";
    let (status, told) = ask(Method::POST, confirm, json!({"code": "nonsense"})).await;
    assert_eq!(
        (status, &told["error"]["code"]),
        (401, &json!("totp_invalid"))
    );
    let (status, told) = ask(Method::POST, confirm, json!({"code": first})).await;
    assert_eq!(status, 204, "{told}");

    let mut body = json!({"username": "admin", "password": PASSWORD});
    assert_eq!(
        status_and_code(&gateway, &body).await,
        (401, json!("totp_required"))
    );
    body["code"] = json!(first);
    assert_eq!(
        status_and_code(&gateway, &body).await,
        (401, json!("totp_invalid"))
    );
    body["code"] = json!(second);
    assert_eq!(status_and_code(&gateway, &body).await.0, 200);
    assert_eq!(
        status_and_code(&gateway, &body).await,
        (401, json!("totp_invalid")),
        "a code that somebody saw is of no use"
    );
    let (status, told) = ask(Method::DELETE, "/auth/totp", json!({"password": PASSWORD})).await;
    assert_eq!(status, 204, "{told}");
    let body = json!({"username": "admin", "password": PASSWORD});
    assert_eq!(status_and_code(&gateway, &body).await.0, 200);
}

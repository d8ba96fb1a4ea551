//! Guessing passwords.

use reqwest::{Method, header::RETRY_AFTER};
use serde_json::{Value, json};

use super::PASSWORD;
use crate::gateway::Gateway;

/// Tries to log in; answers the status, the seconds to wait and the body.
async fn attempt(
    gateway: &Gateway,
    username: &str,
    password: &str,
    forwarded: &str,
) -> (u16, Option<u64>, Value) {
    let body = json!({"username": username, "password": password});
    let request = gateway.anonymous(Method::POST, "/auth/login").json(&body);
    let response = request
        .header("x-forwarded-for", forwarded)
        .send()
        .await
        .unwrap();
    let wait = response.headers().get(RETRY_AFTER);
    let wait = wait.map(|wait| wait.to_str().unwrap().parse().unwrap());
    (
        response.status().as_u16(),
        wait,
        response.json().await.unwrap(),
    )
}

#[tokio::test]
async fn guessing_is_held_back_alike_whether_the_user_exists_or_not() {
    let mut stories = Vec::new();
    for name in ["admin", "nobody"] {
        let gateway = Gateway::start().await;
        let mut told = Vec::new();
        for _ in 0..10 {
            let (status, wait, body) = attempt(&gateway, name, "wrong horse", "").await;
            assert_eq!((status, wait), (401, None), "{body}");
            told.push(body);
        }
        let (status, wait, body) = attempt(&gateway, name, PASSWORD, "").await;
        assert_eq!(status, 429, "{body}");
        assert!((1..=60).contains(&wait.unwrap()), "{wait:?}");
        told.push(body);
        stories.push(told);
    }
    assert_eq!(stories[0], stories[1]);
}

#[tokio::test]
async fn a_made_up_address_or_another_name_gives_no_more_guesses() {
    let gateway = Gateway::start().await;
    let mut answers = Vec::new();
    for at in 0..12 {
        let (name, from) = (format!("user{at}"), format!("203.0.113.{at}"));
        answers.push(attempt(&gateway, &name, "wrong horse", &from).await.0);
    }
    assert_eq!(answers, [vec![401; 10], vec![429; 2]].concat());
    let (status, _) = gateway.get("/admin/keys").await;
    assert_eq!(status, 200, "keys are not held back");
}

//! More connections than there are places.

use futures_util::future::join_all;

use super::raw::{Raw, answers};
use crate::gateway::{Gateway, eventually};

const LIVE: &str = "GET /health/live HTTP/1.1\r\nhost: bkg\r\n\r\n";

fn told_that_there_is_no_place(answer: &str) {
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    let head = answer.to_lowercase();
    assert!(head.contains("\r\nretry-after: "), "{answer}");
    assert!(head.contains("\r\nconnection: close"), "{answer}");
    assert!(answer.contains("too many connections"), "{answer}");
    assert_eq!(answers(answer), 1, "{answer}");
}

/// Fills three places, tries a fourth, and frees them again.
async fn crowds(setting: &str) {
    let gateway = Gateway::start_with(&[("BKG_MODELS_DIR", "no-models"), (setting, "3")]).await;
    let mut seated = join_all((0..3).map(|_| Raw::to(&gateway))).await;
    for client in &mut seated {
        client.send(LIVE).await;
        assert!(client.answer().await.starts_with("HTTP/1.1 200"));
    }
    let mut fourth = Raw::to(&gateway).await;
    fourth.send(LIVE).await;
    told_that_there_is_no_place(&fourth.rest().await);
    for client in &mut seated {
        client.send(LIVE).await;
        assert!(
            client.answer().await.starts_with("HTTP/1.1 200"),
            "everyone else is served"
        );
    }
    let output = gateway.bkg(&["plugins", "list"]);
    assert!(
        output.status.success(),
        "the owner always comes in: {output:?}"
    );
    drop(seated.pop());
    eventually("the place is free again", || async {
        let mut next = Raw::to(&gateway).await;
        next.send(LIVE).await;
        next.answer().await.starts_with("HTTP/1.1 200")
    })
    .await;
}

#[tokio::test]
async fn a_connection_over_the_cap_is_told_so_and_everyone_else_is_served() {
    crowds("BKG_SERVER__MAX_CONNECTIONS").await;
}

#[tokio::test]
async fn a_connection_over_its_addresss_cap_is_told_so_and_everyone_else_is_served() {
    crowds("BKG_SERVER__MAX_CONNECTIONS_PER_ADDRESS").await;
}

#[tokio::test]
async fn a_thousand_connections_over_the_cap_hold_nobody_up() {
    let cap = ("BKG_SERVER__MAX_CONNECTIONS", "2");
    let gateway = Gateway::start_with(&[("BKG_MODELS_DIR", "no-models"), cap]).await;
    let mut seated = Raw::to(&gateway).await;
    seated.send(LIVE).await;
    assert!(seated.answer().await.starts_with("HTTP/1.1 200"));
    let crowd = join_all((0..1000).map(|_| Raw::to(&gateway))).await;
    for _ in 0..10 {
        seated.send(LIVE).await;
        assert!(seated.answer().await.starts_with("HTTP/1.1 200"));
    }
    drop(crowd);
    eventually("the places are free again", || async {
        let mut next = Raw::to(&gateway).await;
        next.send(LIVE).await;
        next.answer().await.starts_with("HTTP/1.1 200")
    })
    .await;
}

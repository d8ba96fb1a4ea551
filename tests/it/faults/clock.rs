//! A clock that jumps by a day, either way.

use reqwest::Method;
use serde_json::{Value, json};

use super::preload::Faults;
use crate::gateway::{Gateway, answer};

const DAY: i64 = 24 * 60 * 60;

async fn status(gateway: &Gateway, key: &str) -> u16 {
    let request = gateway
        .anonymous(Method::GET, "/v1/models")
        .bearer_auth(key);
    answer(request).await.0
}

async fn make(gateway: &Gateway, expires: Option<i64>) -> (String, String) {
    let body = json!({"name": "k", "scopes": ["llm.chat"], "expires_at": expires});
    let (status, made) = gateway.post("/admin/keys", &body).await;
    assert_eq!(status, 201, "{made}");
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    (text(&made["key"]), text(&made["id"]))
}

#[tokio::test]
async fn a_clock_that_jumps_a_day_ends_what_it_should_and_revives_nothing() {
    let faults = Faults::prepare();
    let [(preload, library), (control, path)] = faults.environment();
    let environment = [
        ("BKG_MODELS_DIR", "no-models"),
        (preload.as_str(), library.as_str()),
        (&control, &path),
    ];
    let gateway = Gateway::start_with(&environment).await;
    let now = std::time::SystemTime::UNIX_EPOCH
        .elapsed()
        .unwrap()
        .as_secs() as i64;
    let (lasting, lasting_id) = make(&gateway, None).await;
    let (hour, _) = make(&gateway, Some(now + 3600)).await;
    let (week, _) = make(&gateway, Some(now + 7 * DAY)).await;
    let (revoked, id) = make(&gateway, None).await;
    let path = format!("/admin/keys/{id}");
    assert_eq!(answer(gateway.request(Method::DELETE, &path)).await.0, 204);

    for offset in [DAY, -DAY, 0] {
        faults.move_clock(offset);
        assert_eq!(status(&gateway, &lasting).await, 200, "{offset}");
        assert_eq!(status(&gateway, &week).await, 200, "{offset}");
        assert_eq!(status(&gateway, &revoked).await, 401, "{offset}");
        let ended = if offset == DAY { 401 } else { 200 };
        assert_eq!(status(&gateway, &hour).await, ended, "{offset}");
        // Made and revoked under this clock, at once.
        let (fresh, id) = make(&gateway, None).await;
        assert_eq!(status(&gateway, &fresh).await, 200, "{offset}");
        let path = format!("/admin/keys/{id}");
        assert_eq!(answer(gateway.request(Method::DELETE, &path)).await.0, 204);
        assert_eq!(status(&gateway, &fresh).await, 401, "{offset}");
        let ready = answer(gateway.anonymous(Method::GET, "/health/ready")).await;
        assert_eq!(ready.0, 200, "{offset}: {}", ready.1);
        for plugin in ["apikeys", "brainml", "llmserver"] {
            let state = gateway.plugin(plugin).await;
            assert_eq!(state["generation"], 1, "{offset}: {state}");
        }
    }
    let path = format!("/admin/keys/{lasting_id}");
    assert_eq!(answer(gateway.request(Method::DELETE, &path)).await.0, 204);
    for offset in [DAY, -DAY] {
        faults.move_clock(offset);
        assert_eq!(status(&gateway, &lasting).await, 401, "{offset}");
    }
}

#[tokio::test]
async fn a_session_ends_when_the_clock_says_so_and_not_before() {
    let faults = Faults::prepare();
    let [(preload, library), (control, path)] = faults.environment();
    let environment = [
        ("BKG_MODELS_DIR", "no-models"),
        (preload.as_str(), library.as_str()),
        (&control, &path),
    ];
    let gateway = Gateway::start_with(&environment).await;
    let login = || async {
        let body = json!({"username": "admin", "password": crate::gateway::PASSWORD});
        let request = gateway.anonymous(Method::POST, "/auth/login").json(&body);
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        let cookie = response.headers()["set-cookie"].to_str().unwrap();
        cookie.split(';').next().unwrap().to_owned()
    };
    let open = |cookie: String| {
        let request = gateway.anonymous(Method::GET, "/auth/session");
        async move { answer(request.header("cookie", cookie)).await.0 }
    };
    let session = login().await;
    assert_eq!(open(session.clone()).await, 200);
    faults.move_clock(20 * 60);
    assert_eq!(
        open(session.clone()).await,
        200,
        "it was used 20 minutes ago"
    );
    faults.move_clock(DAY);
    assert_eq!(open(session.clone()).await, 401, "no session lasts a day");
    assert_eq!(open(login().await).await, 200);
    faults.move_clock(-DAY);
    assert_eq!(open(login().await).await, 200);
}

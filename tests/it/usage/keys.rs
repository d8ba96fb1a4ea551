//! Changing keys over HTTP and on the command line: what is taken, and from whom.

use reqwest::{Method, RequestBuilder, header::COOKIE};
use serde_json::{Value, json};

use super::{NO_MODEL, limited};
use crate::gateway::{Gateway, answer};

async fn patch(gateway: &Gateway, id: &str, body: &Value) -> (u16, Value) {
    let path = format!("/admin/keys/{id}");
    answer(gateway.request(Method::PATCH, &path).json(body)).await
}

#[tokio::test]
async fn unknown_and_privileged_fields_of_a_change_are_refused() {
    let gateway = Gateway::start_with(&NO_MODEL).await;
    let (id, _) = limited(&gateway, json!({"requests_per_minute": 9})).await;
    for body in [
        json!({"user": "admin"}),
        json!({"id": "x"}),
        json!({"key": "bkg_x"}),
        json!({"revoked_at": null}),
        json!({"created_at": "2020-01-01T00:00:00Z"}),
        json!({"limits": {"requests_per_hour": 1}}),
        json!({"limits": {"requests_per_minute": -1}}),
        json!({"limits": {"requests_per_minute": 0}}),
        json!({"scopes": ["root"]}),
    ] {
        let (status, told) = patch(&gateway, &id, &body).await;
        assert_eq!(status, 422, "{body}: {told}");
    }
    let path = format!("/admin/keys/{id}/rotate");
    for body in [
        json!({"overlap": 1}),
        json!({"overlap_seconds": -1}),
        json!({"overlap_seconds": u64::MAX}),
    ] {
        let (status, told) = gateway.post(&path, &body).await;
        assert_eq!(status, 422, "{body}: {told}");
    }
    let (status, told) = patch(
        &gateway,
        &id,
        &json!({"name": "new", "limits": {"monthly_tokens": 5}}),
    )
    .await;
    assert_eq!(status, 200, "{told}");
    assert_eq!(
        told["limits"],
        json!({"requests_per_minute": 9, "monthly_tokens": 5})
    );
}

/// Logs in and asks with the session's cookie from then on.
async fn session(gateway: &Gateway, name: &str) -> impl Fn(Method, &str) -> RequestBuilder {
    let body = json!({"username": name, "password": "long enough"});
    let request = gateway.anonymous(Method::POST, "/auth/login").json(&body);
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), 200);
    let cookie = response.headers()["set-cookie"].to_str().unwrap();
    let cookie = cookie.split(';').next().unwrap().to_owned();
    move |method, path| {
        gateway
            .anonymous(method, path)
            .header(COOKIE, cookie.clone())
    }
}

#[tokio::test]
async fn a_person_keeps_his_own_keys_within_his_scopes_and_sees_no_others() {
    let gateway = Gateway::start_with(&NO_MODEL).await;
    let (foreign, _) = limited(&gateway, json!({"monthly_tokens": 5})).await;
    let body = json!({"username": "ann", "password": "long enough", "scopes": ["llm.chat"]});
    let (status, told) = gateway.post("/admin/users", &body).await;
    assert_eq!(status, 201, "{told}");
    let ann = session(&gateway, "ann").await;
    let send = |method: Method, path: String, body: Value| answer(ann(method, &path).json(&body));

    let made = send(
        Method::POST,
        "/admin/keys".into(),
        json!({"name": "hers", "scopes": ["llm.chat"]}),
    )
    .await;
    assert_eq!(made.0, 201, "{}", made.1);
    let (id, key) = (
        made.1["id"].as_str().unwrap(),
        made.1["key"].as_str().unwrap(),
    );
    let beyond = send(
        Method::POST,
        "/admin/keys".into(),
        json!({"name": "k", "scopes": ["admin"]}),
    )
    .await;
    assert_eq!(beyond.0, 403, "{}", beyond.1);
    let (_, listed) = answer(ann(Method::GET, "/admin/keys")).await;
    assert_eq!(listed["keys"].as_array().unwrap().len(), 1, "{listed}");

    let own = format!("/admin/keys/{id}");
    assert_eq!(
        send(Method::PATCH, own.clone(), json!({"name": "new"}))
            .await
            .0,
        200
    );
    let wider = send(Method::PATCH, own.clone(), json!({"scopes": ["*"]})).await;
    assert_eq!(wider.0, 403, "{}", wider.1);
    let rotated = send(
        Method::POST,
        format!("{own}/rotate"),
        json!({"overlap_seconds": 0}),
    )
    .await;
    assert_eq!(rotated.0, 200, "{}", rotated.1);
    let other = format!("/admin/keys/{foreign}");
    assert_eq!(
        send(Method::PATCH, other.clone(), json!({"name": "x"}))
            .await
            .0,
        404
    );
    assert_eq!(
        send(Method::POST, format!("{other}/rotate"), json!({}))
            .await
            .0,
        404
    );
    assert_eq!(answer(ann(Method::DELETE, &other)).await.0, 404);

    let old = gateway
        .anonymous(Method::GET, "/v1/models")
        .bearer_auth(key);
    assert_eq!(answer(old).await.0, 401, "its secret was changed");
    let new = rotated.1["key"].as_str().unwrap();
    let keys = gateway
        .anonymous(Method::GET, "/admin/keys")
        .bearer_auth(new);
    assert_eq!(answer(keys).await.0, 403, "a key needs the scope admin");
    let (status, usage) = answer(ann(Method::GET, "/admin/usage?group_by=user")).await;
    assert_eq!(status, 200, "{usage}");
    let users = usage["usage"].as_array().unwrap();
    assert!(
        users.iter().all(|row| row["user"] == "ann") && users.len() == 1,
        "{usage}"
    );
    assert_eq!(answer(ann(Method::DELETE, &own)).await.0, 204);
}

#[tokio::test]
async fn the_command_line_makes_changes_and_rotates_keys_and_tells_their_use() {
    let gateway = Gateway::start_with(&NO_MODEL).await;
    let bkg = |args: &[&str]| {
        let output = gateway.bkg(args);
        assert!(output.status.success(), "{args:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let made = bkg(&[
        "keys",
        "create",
        "--name",
        "k",
        "--scopes",
        "llm.chat",
        "--json",
        "--requests-per-minute",
        "7",
        "--monthly-tokens",
        "900",
    ]);
    let made: Value = serde_json::from_str(&made).unwrap();
    assert_eq!(
        made["limits"],
        json!({"requests_per_minute": 7, "monthly_tokens": 900})
    );
    let id = made["id"].as_str().unwrap();
    bkg(&[
        "keys",
        "update",
        id,
        "--requests-per-minute",
        "0",
        "--concurrent-requests",
        "2",
    ]);
    let listed = bkg(&["keys", "list"]);
    let line = listed.lines().find(|line| line.starts_with(id)).unwrap();
    assert!(
        line.contains("2 requests at a time, 900 tokens a month"),
        "{line}"
    );
    assert!(line.contains("used never"), "{line}");
    let rotated = bkg(&["keys", "rotate", id, "--overlap", "0"]);
    let ask = |key: &str| {
        let request = gateway
            .anonymous(Method::GET, "/v1/models")
            .bearer_auth(key);
        answer(request)
    };
    assert_eq!(ask(made["key"].as_str().unwrap()).await.0, 401);
    assert_eq!(ask(rotated.trim()).await.0, 200);
    let told = bkg(&["usage", "--by", "key,route", "--key", id]);
    assert!(
        told.contains(&format!("{id} /v1/models")) && told.contains("total"),
        "{told}"
    );
    let told: Value = serde_json::from_str(&bkg(&["usage", "--key", id, "--json"])).unwrap();
    assert_eq!(told["total"]["requests"], 1, "{told}");
}

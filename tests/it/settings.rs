//! The gateway's own settings, as an admin sees them.

use reqwest::Method;
use serde_json::json;

use crate::gateway::{Gateway, PASSWORD, answer};

#[tokio::test]
async fn settings_tell_their_source_and_no_secret() {
    let env = [("BKG_MODELS_DIR", "no-models"), ("BKG_LOG__KEEP", "77")];
    let gateway = Gateway::start_with(&env).await;
    let (status, told) = gateway.get("/admin/settings").await;
    assert_eq!(status, 200, "{told}");
    let settings = told["settings"].as_array().unwrap();
    let one = |key: &str| settings.iter().find(|one| one["key"] == key).unwrap();
    let keep = one("log.keep");
    assert_eq!(
        (
            &keep["value"],
            &keep["default"],
            &keep["source"],
            &keep["environment"]
        ),
        (
            &json!(77),
            &json!(16_384),
            &json!("environment"),
            &json!("BKG_LOG__KEEP")
        )
    );
    assert_eq!(one("log.format")["source"], "default");
    assert_eq!(one("admin_password")["source"], "environment");
    assert!(!told.to_string().contains(PASSWORD), "{told}");
    for setting in settings {
        assert!(
            setting["doc"].is_string() && setting["type"].is_string(),
            "{setting}"
        );
    }
    let key = gateway.new_key("llm.chat");
    let other = gateway
        .anonymous(Method::GET, "/admin/settings")
        .bearer_auth(key);
    assert_eq!(answer(other).await.0, 403);
}

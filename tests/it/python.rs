//! The official `openai` package of Python against the running gateway.

use std::process::Command;

use serde_json::json;

use crate::gateway::{Gateway, has_model, workspace};

#[tokio::test]
async fn the_official_client_works_unmodified() {
    let Some(python) = std::env::var_os("BKG_TEST_PYTHON") else {
        eprintln!(
            "SKIPPED: BKG_TEST_PYTHON names no Python with the package openai; `make test` sets it"
        );
        return;
    };
    let gateway = Gateway::start().await;
    let text = "Überall glänzt Eis. The Aletsch glacier is twenty kilometres long.";
    let documents = json!([{"id": "glacier", "title": "Glaciers", "text": text}]);
    gateway.index("notes", &documents).await;
    let output = Command::new(python)
        .arg(workspace().join("tests/python/openai_client.py"))
        .args(has_model().then_some("--embeddings"))
        .env_clear()
        .env("OPENAI_BASE_URL", format!("{}/v1", gateway.url))
        .env("OPENAI_API_KEY", &gateway.key)
        .output()
        .unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{printed}\n{said}");
    let lines = |prefix: &str| {
        printed
            .lines()
            .filter(|line| line.starts_with(prefix))
            .count()
    };
    assert_eq!((lines("whole: "), lines("streamed: ")), (1, 1), "{printed}");
    assert!(printed.contains("twenty kilometres"), "{printed}");
    assert_eq!(
        lines("cited: glacier "),
        2,
        "once whole, once streamed: {printed}"
    );
    assert_eq!(lines("embedded: "), usize::from(has_model()), "{printed}");
    for (error, count) in [
        ("AuthenticationError", 1),
        ("NotFoundError", 2),
        ("BadRequestError", 2),
    ] {
        assert_eq!(lines(&format!("raised: {error}")), count, "{printed}");
    }
}

//! `bkg keys`, with and without a running gateway.

use serde_json::Value;

use super::status_of;
use crate::gateway::{Gateway, bkg};

/// Runs `bkg keys …` where no gateway runs, or does, as the caller has arranged.
fn keys(gateway: &Gateway, args: &[&str]) -> (bool, String, String) {
    let output = gateway.bkg(&[&["keys"], args].concat());
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.success(),
        text(output.stdout),
        text(output.stderr),
    )
}

#[tokio::test]
async fn the_command_line_makes_lists_and_revokes_keys_with_and_without_a_gateway() {
    let mut gateway = Gateway::start().await;
    for runs in [true, false] {
        if !runs {
            gateway.kill();
        }
        let (done, made, said) = keys(
            &gateway,
            &["create", "--name", "cli", "--scopes", "llm.chat,llm.embed"],
        );
        assert!(done, "{said}");
        let key = made.trim();
        assert_eq!(made, format!("{key}\n"), "scripts read the key alone");
        assert_eq!(key.len(), 40);
        let id = said.split(' ').nth(1).unwrap();
        let (_, listed, _) = keys(&gateway, &["list"]);
        let line = listed.lines().find(|line| line.starts_with(id)).unwrap();
        assert!(
            line.contains("llm.chat,llm.embed") && line.contains("valid"),
            "{line}"
        );
        assert!(!listed.contains("bkg_"), "{listed}");
        let (_, listed, _) = keys(&gateway, &["--json", "list"]);
        let listed: Value = serde_json::from_str(&listed).unwrap();
        let ids = listed["keys"].as_array().unwrap().iter();
        assert!(ids.clone().any(|one| one["id"] == *id), "{listed}");

        let (done, _, said) = keys(&gateway, &["revoke", id]);
        assert!(done, "{said}");
        let (_, listed, _) = keys(&gateway, &["list"]);
        let line = listed.lines().find(|line| line.starts_with(id)).unwrap();
        assert!(line.contains("revoked"), "{line}");
        let (done, _, said) = keys(&gateway, &["revoke", "nobodys"]);
        assert!(!done && said.contains("no key"), "{said}");
        let (done, _, said) = keys(
            &gateway,
            &["create", "--name", "k", "--scopes", "llm.chatt"],
        );
        assert!(!done && said.contains("llm.chatt"), "{said}");
        if !runs {
            gateway.restart();
        }
        assert_eq!(status_of(&gateway, key).await, 401);
    }
}

#[tokio::test]
async fn a_key_made_before_the_first_start_opens_the_gateway() {
    let data = tempfile::tempdir().unwrap();
    let create = ["keys", "create", "--name", "early", "--scopes", "*"];
    let output = bkg(data.path(), &[], &create).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let key = String::from_utf8(output.stdout).unwrap();
    let gateway = Gateway::start_in(data, &[]).await;
    assert_eq!(status_of(&gateway, key.trim()).await, 200);
}

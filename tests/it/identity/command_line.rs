//! `bkg keys`, with and without a running gateway.

use std::{io::Write, process::Stdio};

use serde_json::Value;

use super::{sessions::log_in, status_of};
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

/// Runs `bkg users …` with a password on its standard input.
fn users(gateway: &Gateway, args: &[&str], password: &str) -> (bool, String, String) {
    let mut command = bkg(gateway.data.path(), &[], &[&["users"], args].concat());
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that wants no password may have ended already.
    drop(writeln!(child.stdin.take().unwrap(), "{password}"));
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.success(),
        text(output.stdout),
        text(output.stderr),
    )
}

#[tokio::test]
async fn the_command_line_makes_and_changes_users_and_takes_no_password_as_an_argument() {
    let gateway = Gateway::start().await;
    let logs_in = async |password: &str, wanted: u16| {
        let status = log_in(&gateway, "ada", password).await.status().as_u16();
        assert_eq!(status, wanted, "{password}");
    };
    let create = ["create", "ada", "--scopes", "llm.chat"];
    let (done, _, said) = users(&gateway, &create, "analytical engine");
    assert!(done, "{said}");
    logs_in("analytical engine", 200).await;
    let (done, _, said) = users(&gateway, &["create", "eve"], "long enough");
    assert!(!done && said.contains("scope"), "{said}");
    let argument = ["create", "eve", "--password", "long enough"];
    let (done, _, said) = users(&gateway, &argument, "");
    assert!(!done && said.contains("--password"), "{said}");
    let (done, _, said) = users(&gateway, &["password", "ada"], "difference engine");
    assert!(done, "{said}");
    logs_in("analytical engine", 401).await;
    let (done, _, said) = users(&gateway, &["disable", "ada"], "");
    assert!(done, "{said}");
    logs_in("difference engine", 401).await;
    let (done, _, said) = users(&gateway, &["enable", "ada"], "");
    assert!(done, "{said}");
    logs_in("difference engine", 200).await;
    let (done, _, said) = users(&gateway, &["role", "ada", "admin"], "");
    assert!(done, "{said}");
    let (done, listed, said) = users(&gateway, &["list"], "");
    let line = listed
        .lines()
        .find(|line| line.starts_with("ada "))
        .unwrap();
    assert!(done && line.contains("admin"), "{line} {said}");
    let (done, _, said) = users(&gateway, &["role", "ada", "user"], "");
    assert!(!done && said.contains("scope"), "{said}");
    let (done, _, said) = users(
        &gateway,
        &["role", "admin", "user", "--scopes", "llm.chat"],
        "",
    );
    assert!(done, "there is another one: {said}");
    let (done, _, said) = users(&gateway, &["disable", "ada"], "");
    assert!(!done && said.contains("last admin"), "{said}");
    let (done, _, said) = users(&gateway, &["disable", "nobody"], "");
    assert!(!done && said.contains("nobody"), "{said}");
}

#[tokio::test]
async fn without_a_password_in_the_settings_one_is_made_up_and_printed_once() {
    let data = tempfile::tempdir().unwrap();
    let none = [("BKG_ADMIN_PASSWORD".to_owned(), String::new())];
    let list = || bkg(data.path(), &none, &["keys", "list"]).output().unwrap();
    let said = String::from_utf8(list().stderr).unwrap();
    let (_, rest) = said.split_once("has the password  ").unwrap();
    let password = rest.split_whitespace().next().unwrap().to_owned();
    assert!(password.len() >= 20, "{said}");
    let again = String::from_utf8(list().stderr).unwrap();
    assert!(!again.contains("password"), "{again}");
    let gateway = Gateway::start_in(data, &[("BKG_ADMIN_PASSWORD", "")]).await;
    assert_eq!(log_in(&gateway, "admin", &password).await.status(), 200);
    assert_eq!(log_in(&gateway, "admin", "").await.status(), 401);
    let (_, logs) = gateway
        .get("/admin/plugins/apikeys/logs?level=trace&limit=10000")
        .await;
    assert!(!logs.to_string().contains(&password), "{logs}");
}

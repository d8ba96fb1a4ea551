//! Who may know whom: the edges that the architecture allows, and no others.

use std::{collections::BTreeSet, path::Path, process::Command};

use serde_json::Value;

use crate::gateway::workspace;

/// The workspace's own crates, with the ones of ours that each may use.
const ALLOWED: [(&str, &[&str]); 8] = [
    ("messages", &[]),
    ("supervisor", &["messages"]),
    ("logbroker", &["messages"]),
    ("store", &["messages"]),
    ("apikeys", &["messages", "store"]),
    ("llmserver", &["messages", "store"]),
    ("brainml", &["messages", "store"]),
    (
        "bkg",
        &[
            "messages",
            "supervisor",
            "logbroker",
            "store",
            "apikeys",
            "llmserver",
            "brainml",
        ],
    ),
];

fn metadata() -> Value {
    let output = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--format-version",
            "1",
            "--no-deps",
            "--offline",
            "--locked",
        ])
        .current_dir(workspace())
        .output()
        .unwrap();
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn crates_use_only_what_the_architecture_allows() {
    let ours: BTreeSet<&str> = ALLOWED.iter().map(|(name, _)| *name).collect();
    let metadata = metadata();
    let mut seen = BTreeSet::new();
    for package in metadata["packages"].as_array().unwrap() {
        let name = package["name"].as_str().unwrap();
        let Some((_, allowed)) = ALLOWED.iter().find(|(known, _)| *known == name) else {
            continue;
        };
        seen.insert(name);
        for dependency in package["dependencies"].as_array().unwrap() {
            let used = dependency["name"].as_str().unwrap();
            if ours.contains(used) && dependency["kind"] != "dev" {
                assert!(allowed.contains(&used), "{name} must not use {used}");
            }
        }
    }
    assert_eq!(seen, ours, "every crate of the workspace is listed here");
}

#[test]
fn only_the_gateway_names_a_plugin() {
    for plugin in ["apikeys", "llmserver", "brainml"] {
        let output = Command::new(env!("CARGO"))
            .args([
                "tree",
                "--workspace",
                "--offline",
                "--locked",
                "--depth",
                "1",
                "--prefix",
                "depth",
            ])
            .args(["-i", plugin])
            .current_dir(workspace())
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let users = text.lines().filter_map(|line| line.strip_prefix('1'));
        let users: BTreeSet<&str> = users.filter_map(|line| line.split(' ').next()).collect();
        assert_eq!(users, BTreeSet::from(["bkg"]), "{text}");
    }
}

#[test]
fn only_the_wiring_names_plugins_and_only_the_sockets_name_actors() {
    let rules: [(&str, &[&str]); 6] = [
        ("apikeys::", &["wiring.rs"]),
        ("llmserver::", &["wiring.rs"]),
        ("brainml::", &["wiring.rs"]),
        ("actix_web_actors::", &["http/ws/"]),
        (
            "logbroker::",
            &["wiring.rs", "telemetry.rs", "http/ws/", "http/ws.rs"],
        ),
        ("store::", &["wiring.rs", "wiring/", "start_error.rs"]),
    ];
    for path in sources(&workspace().join("src")) {
        let relative = path.strip_prefix(workspace().join("src")).unwrap();
        let relative = relative.to_str().unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        for (name, places) in rules {
            let named = text.lines().any(|line| names(line, name));
            let allowed = places.iter().any(|place| relative.starts_with(place));
            assert!(!named || allowed, "{relative} must not name {name}");
        }
    }
}

/// Whether a line imports from the crate: modules of the gateway and of `messages` have the same
/// names, but are imported by longer paths.
fn names(line: &str, name: &str) -> bool {
    let path = line.trim_start_matches("pub(crate) ").strip_prefix("use ");
    path.is_some_and(|path| path.starts_with(name))
}

fn sources(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .flat_map(|path| match path.is_dir() {
            true => sources(&path),
            false => vec![path],
        })
        .collect()
}

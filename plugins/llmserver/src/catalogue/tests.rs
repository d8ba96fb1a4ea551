//! Models that come, go and are not there.

use std::os::unix::fs::symlink;

use messages::fault::FaultKind;

use super::*;
use crate::testing::{host, minilm};

#[tokio::test]
async fn an_empty_directory_has_no_models_and_says_how_to_get_one() {
    let directory = tempfile::tempdir().unwrap();
    let absent = directory.path().join("not made yet");
    assert_eq!(Catalogue::list(&absent), []);
    let catalogue = Catalogue::new(&host(), absent, 100);
    let fault = catalogue.get("all-MiniLM-L6-v2").await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Unknown);
    assert!(
        fault.message.contains("bkg models pull all-MiniLM-L6-v2"),
        "{fault}"
    );
}

#[tokio::test]
async fn names_cannot_leave_the_directory() {
    let directory = tempfile::tempdir().unwrap();
    let outside = directory.path().join("outside");
    fs::create_dir_all(&outside).unwrap();
    for file in NEEDED {
        fs::write(outside.join(file), "{}").unwrap();
    }
    let inside = directory.path().join("models");
    fs::create_dir_all(&inside).unwrap();
    let catalogue = Catalogue::new(&host(), inside, 100);
    for name in ["../outside", "", ".", "..", "/etc", "a/../../outside"] {
        assert!(!catalogue.has(name), "{name}");
    }
}

#[tokio::test]
async fn a_directory_that_is_no_model_is_left_out_of_the_list() {
    let directory = tempfile::tempdir().unwrap();
    let broken = directory.path().join("broken");
    fs::create_dir_all(&broken).unwrap();
    for file in NEEDED {
        fs::write(broken.join(file), "{}").unwrap();
    }
    fs::create_dir_all(directory.path().join("half")).unwrap();
    assert_eq!(Catalogue::list(directory.path()), []);
    let catalogue = Catalogue::new(&host(), directory.path().to_owned(), 100);
    let fault = catalogue.get("broken").await.unwrap_err();
    assert!(fault.message.contains("config.json"), "{fault}");
}

#[tokio::test]
async fn weights_changed_after_the_pull_are_refused_under_a_known_name() {
    let directory = tempfile::tempdir().unwrap();
    let changed = directory.path().join("all-MiniLM-L6-v2");
    fs::create_dir_all(&changed).unwrap();
    for file in NEEDED {
        fs::write(changed.join(file), "{}").unwrap();
    }
    let catalogue = Catalogue::new(&host(), directory.path().to_owned(), 100);
    let fault = catalogue.get("all-MiniLM-L6-v2").await.unwrap_err();
    for word in ["model.safetensors", "SHA-256", "bkg models pull"] {
        assert!(fault.message.contains(word), "{fault}");
    }
}

#[tokio::test]
async fn a_model_that_appears_is_listed_and_loaded_without_a_restart() {
    let Some(model) = minilm() else { return };
    let directory = tempfile::tempdir().unwrap();
    let catalogue = Catalogue::new(&host(), directory.path().to_owned(), 100);
    assert!(catalogue.get("m").await.is_err());
    symlink(&model, directory.path().join("m")).unwrap();
    assert!(catalogue.in_memory("m").is_none());
    let (one, two) = tokio::join!(catalogue.get("m"), catalogue.get("m"));
    assert!(
        Arc::ptr_eq(&one.unwrap().encoder, &two.unwrap().encoder),
        "loaded once"
    );
    assert!(catalogue.in_memory("m").is_some());
    let listed = Catalogue::list(directory.path());
    assert_eq!(listed.len(), 1);
    assert_eq!(
        (listed[0].dimensions, listed[0].context),
        (Some(384), Some(256))
    );
}

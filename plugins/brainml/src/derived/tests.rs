//! Files that are whole, and files that are not.

use super::*;
use crate::{
    fixture::{analyzed, index, question, with_metadata},
    search::search,
};

fn sample() -> Index {
    let mut index = index(&[
        ("a", "the lift of a wing"),
        ("b", "gone"),
        ("c", "heat in slabs"),
    ]);
    index.remove(2);
    index.put(with_metadata(
        analyzed(4, "d", "Title", "wing"),
        serde_json::json!({"k": [1, "x"]}),
    ));
    index.adopt(Some(Model {
        name: "m".into(),
        hash: "h".into(),
    }));
    index.put_vector(1000, &[0.6, 0.8, 0.0, 0.0]);
    index.revision = 7;
    index
}

fn names(directory: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(directory).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

#[test]
fn what_was_persisted_is_loaded() {
    let directory = tempfile::tempdir().unwrap();
    assert!(load(directory.path()).unwrap().is_none());
    let before = sample();
    persist(directory.path(), &before).unwrap();
    let after = load(directory.path()).unwrap().unwrap();
    assert_eq!((after.revision, &after.model), (7, &before.model));
    assert_eq!(after.lacking, before.lacking);
    let metadata = |index: &Index| index.catalog.documents().last().unwrap().1.metadata.clone();
    assert_eq!(metadata(&after), metadata(&before));
    for query in ["wing", "heat lift", "title"] {
        let question = question(query);
        let found = |index: &Index| search(&[index], &question).unwrap();
        assert!(!found(&after).is_empty());
        assert_eq!(found(&after), found(&before), "{query}");
    }
}

#[test]
fn an_older_generation_is_swept() {
    let directory = tempfile::tempdir().unwrap();
    let mut index = sample();
    persist(directory.path(), &index).unwrap();
    index.put(analyzed(9, "z", "", "more"));
    persist(directory.path(), &index).unwrap();
    assert_eq!(
        names(directory.path()).len(),
        3,
        "{:?}",
        names(directory.path())
    );
    assert_eq!(
        load(directory.path())
            .unwrap()
            .unwrap()
            .catalog
            .live_documents(),
        4
    );
}

#[test]
fn a_flipped_bit_anywhere_is_found_and_the_files_are_set_aside() {
    let root = tempfile::tempdir().unwrap();
    let directory = root.path().join("1");
    persist(&directory, &sample()).unwrap();
    for name in names(&directory)
        .into_iter()
        .filter(|name| name != MANIFEST)
    {
        let path = directory.join(&name);
        let whole = fs::read(&path).unwrap();
        for at in [0, whole.len() / 2, whole.len() - 1] {
            let mut flipped = whole.clone();
            flipped[at] ^= 1;
            fs::write(&path, &flipped).unwrap();
            assert!(
                matches!(load(&directory), Err(DerivedError::Hash { .. })),
                "{name} at {at}"
            );
        }
        fs::write(&path, &whole).unwrap();
    }
    let path = directory.join(MANIFEST);
    let whole = fs::read(&path).unwrap();
    for at in 0..whole.len() {
        let mut flipped = whole.clone();
        flipped[at] ^= 1;
        fs::write(&path, &flipped).unwrap();
        assert!(load(&directory).is_err(), "manifest at {at}");
    }
    fs::write(&path, "{").unwrap();
    assert!(matches!(load(&directory), Err(DerivedError::Manifest(_))));
    let aside = quarantine(&directory).unwrap();
    assert!(aside.join(MANIFEST).exists());
    assert!(load(&directory).unwrap().is_none());
}

#[test]
fn a_missing_file_is_found() {
    let directory = tempfile::tempdir().unwrap();
    persist(directory.path(), &sample()).unwrap();
    let words = names(directory.path())
        .into_iter()
        .find(|name| name.starts_with("words"));
    fs::remove_file(directory.path().join(words.unwrap())).unwrap();
    assert!(matches!(
        load(directory.path()),
        Err(DerivedError::Io { .. })
    ));
}

#[test]
fn directories_of_collections_that_are_gone_are_swept() {
    let root = tempfile::tempdir().unwrap();
    for name in ["1", "2", "2.quarantine", "notes"] {
        fs::create_dir(root.path().join(name)).unwrap();
    }
    sweep_orphans(root.path(), &BTreeSet::from([1]));
    let kept = BTreeSet::from(["1".to_owned(), "notes".to_owned()]);
    assert_eq!(names(root.path()), kept);
}

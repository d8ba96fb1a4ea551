//! The plugin as its callers see it, over a real database.

mod room;

use std::{fs, path::Path, time::Duration};

use messages::{
    brainml::{
        CreateCollection, DeleteCollection, DeleteDocument, Document, GetDocument, IndexDocuments,
        ListCollections, Query, ReadStats,
    },
    fault::FaultKind,
};
use room::{Room, asking, document, leave, open};
use serde_json::json;
use tokio::time::timeout;

use crate::GuideDocument;

fn documents() -> Vec<Document> {
    let titled = Document {
        title: Some("On flutter".into()),
        metadata: json!({"year": 1960}).as_object().unwrap().clone(),
        ..document("b", "A wing may vibrate. Ä sharp stop follows.")
    };
    vec![
        document("a", "The lift of a wing."),
        titled,
        document("empty", ""),
        document("c", "Heat."),
    ]
}

async fn filled(room: &mut Room) {
    room.call(CreateCollection { name: "c".into() })
        .await
        .unwrap();
    room.index(documents()).await;
}

#[actix::test]
async fn documents_are_found_as_soon_as_they_are_confirmed() {
    let data = tempfile::tempdir().unwrap();
    let mut room = Room::start(&open(data.path()), Some("m"));
    room.call(CreateCollection { name: "c".into() })
        .await
        .unwrap();
    let indexed = room.index(documents()).await;
    assert_eq!(indexed.indexed, 4);
    let results = room.query("flutter").await;
    assert_eq!(results.revision, indexed.revision);
    assert!(!results.degraded);
    let hit = &results.results[0];
    assert_eq!(
        (hit.document_id.as_str(), hit.chunk_id.as_str()),
        ("b", "b#0")
    );
    assert_eq!(hit.title.as_deref(), Some("On flutter"));
    let text = &documents()[1].text;
    let range = usize::try_from(hit.start).unwrap()..usize::try_from(hit.end).unwrap();
    assert_eq!(text.get(range), Some(hit.text.as_str()));
    let stats = room.stats().await;
    assert_eq!((stats.documents, stats.chunks, stats.vectors), (4, 3, 3));
    assert_eq!(stats.model.as_deref(), Some("m"));
}

#[actix::test]
async fn unchanged_documents_cost_no_revision_and_no_embedding() {
    let data = tempfile::tempdir().unwrap();
    let mut room = Room::start(&open(data.path()), Some("m"));
    filled(&mut room).await;
    let (before, embedded) = (room.stats().await, room.embedder.texts());
    let again = room.index(documents()).await;
    assert_eq!((again.indexed, again.revision), (4, before.revision));
    let mut tagged = documents();
    tagged[0].metadata.insert("new".into(), json!(true));
    let tagged = room.index(tagged).await;
    assert_eq!(tagged.revision, before.revision + 1);
    assert_eq!(room.embedder.texts(), embedded);
    room.index(vec![document("a", "Another text.")]).await;
    assert_eq!(room.embedder.texts().len(), embedded.len() + 1);
    assert_eq!(room.stats().await.chunks, before.chunks);
    let lexical = Query {
        mode: messages::brainml::Mode::Lexical,
        ..asking("lift")
    };
    assert!(room.call(lexical).await.unwrap().results.is_empty());
}

#[actix::test]
async fn a_crash_loses_nothing_and_a_restart_replays_what_the_files_lack() {
    let data = tempfile::tempdir().unwrap();
    let store = open(data.path());
    let mut room = Room::start(&store, Some("m"));
    filled(&mut room).await;
    room.stop();
    assert!(data.path().join("indexes/1/manifest.json").exists());
    let mut room = Room::start(&store, Some("m"));
    room.index(vec![
        document("a", "Changed to a propeller."),
        document("d", "A new wing."),
    ])
    .await;
    room.call(DeleteDocument {
        collection: "c".into(),
        id: "c".into(),
    })
    .await
    .unwrap();
    let expected = (room.query("wing").await, room.query("heat propeller").await);
    let embedded = room.stats().await.vectors;
    assert_eq!(embedded, room.stats().await.chunks);
    room.crash();
    let mut room = Room::start(&store, Some("m"));
    let replayed = (room.query("wing").await, room.query("heat propeller").await);
    assert_eq!(replayed, expected);
    assert_eq!(room.stats().await.vectors, embedded);
    assert!(!room.ids("heat").await.contains(&"c".to_owned()));
}

#[actix::test]
async fn damaged_files_are_set_aside_and_made_anew() {
    let data = tempfile::tempdir().unwrap();
    let store = open(data.path());
    let mut room = Room::start(&store, Some("m"));
    filled(&mut room).await;
    let expected = room.query("wing").await;
    room.stop();
    flip(&data.path().join("indexes/1"), "vectors");
    let mut room = Room::start(&store, Some("m"));
    let stats = room.until(|stats| !stats.degraded).await;
    assert_eq!(stats.vectors, 3);
    assert_eq!(room.query("wing").await, expected);
    assert!(
        data.path()
            .join("indexes/1.quarantine/manifest.json")
            .exists()
    );
}

fn flip(directory: &Path, role: &str) {
    let mut paths = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let named = |path: &std::path::PathBuf| {
        path.file_name()
            .unwrap()
            .to_str()
            .unwrap()
            .starts_with(role)
    };
    let path = paths.find(named).unwrap();
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 4;
    fs::write(path, bytes).unwrap();
}

#[actix::test]
async fn without_an_embedder_words_do_until_it_is_back() {
    let data = tempfile::tempdir().unwrap();
    let mut room = Room::start(&open(data.path()), None);
    filled(&mut room).await;
    let results = room.query("lift").await;
    assert!(results.degraded);
    assert_eq!(results.results[0].document_id, "a");
    let lexical = Query {
        mode: messages::brainml::Mode::Lexical,
        ..asking("lift")
    };
    assert!(!room.call(lexical).await.unwrap().degraded);
    room.embedder.load(Some("m"));
    assert_eq!(room.until(|stats| !stats.degraded).await.vectors, 3);
    assert!(!room.query("lift").await.degraded);
}

#[actix::test]
async fn another_model_takes_over_and_the_former_one_can_come_back_for_free() {
    let data = tempfile::tempdir().unwrap();
    let mut room = Room::start(&open(data.path()), Some("m"));
    filled(&mut room).await;
    room.embedder.load(Some("n"));
    let turned = |model: &'static str| {
        move |stats: &messages::brainml::Stats| {
            stats.model.as_deref() == Some(model) && !stats.degraded
        }
    };
    room.until(turned("n")).await;
    room.embedder.load(Some("m"));
    let before = room.embedder.texts().len();
    let stats = room.until(turned("m")).await;
    assert_eq!(stats.vectors, 3);
    let mut embedded = room.embedder.texts().split_off(before);
    embedded.retain(|text| text != "anything");
    assert!(embedded.is_empty(), "{embedded:?}");
}

#[actix::test]
async fn what_is_deleted_is_gone() {
    let data = tempfile::tempdir().unwrap();
    let mut room = Room::start(&open(data.path()), Some("m"));
    filled(&mut room).await;
    let get = || GetDocument {
        collection: "c".into(),
        id: "b".into(),
    };
    assert_eq!(room.call(get()).await.unwrap(), documents()[1]);
    room.call(DeleteDocument {
        collection: "c".into(),
        id: "b".into(),
    })
    .await
    .unwrap();
    assert_eq!(room.call(get()).await.unwrap_err().kind, FaultKind::Unknown);
    assert!(!room.ids("flutter wing").await.contains(&"b".to_owned()));
    let stats = room.stats().await;
    assert_eq!((stats.documents, stats.vectors), (3, stats.chunks));
    room.call(DeleteCollection { name: "c".into() })
        .await
        .unwrap();
    let gone = room
        .call(ReadStats {
            collection: "c".into(),
        })
        .await
        .unwrap_err();
    assert_eq!(
        (gone.kind, gone.code.as_deref()),
        (FaultKind::Unknown, Some("collection_not_found"))
    );
    room.call(CreateCollection { name: "c".into() })
        .await
        .unwrap();
    assert_eq!(room.stats().await.documents, 0);
}

#[actix::test]
async fn callers_who_leave_leave_nothing_half_done() {
    let data = tempfile::tempdir().unwrap();
    let mut room = Room::start(&open(data.path()), Some("m"));
    filled(&mut room).await;
    room.leave(DeleteCollection { name: "c".into() });
    listed(&mut room, &[]).await;
    room.leave(CreateCollection { name: "d".into() });
    listed(&mut room, &["d"]).await;
}

/// Waits until these are the collections beside the guide.
async fn listed(room: &mut Room, names: &[&str]) {
    for _ in 0..500 {
        let list = room.call(ListCollections).await.unwrap();
        let listed = list.iter().map(|stats| stats.name.as_str());
        if listed
            .filter(|name| *name != "bkg")
            .eq(names.iter().copied())
        {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the collections never came to be {names:?}");
}

#[actix::test]
async fn a_collection_that_was_deleted_leaves_no_files() {
    let data = tempfile::tempdir().unwrap();
    let store = open(data.path());
    let mut room = Room::start(&store, Some("m"));
    filled(&mut room).await;
    room.stop();
    let orphan = data.path().join("indexes/77");
    fs::create_dir(&orphan).unwrap();
    let mut room = Room::start(&store, Some("m"));
    let collection = room.collection("c").await;
    room.call(DeleteCollection { name: "c".into() })
        .await
        .unwrap();
    assert_eq!(collection.persist(), None);
    assert_eq!(
        fs::read_dir(data.path().join("indexes")).unwrap().count(),
        0
    );
}

#[actix::test]
async fn a_catch_up_that_nobody_waits_for_is_finished() {
    let data = tempfile::tempdir().unwrap();
    let store = open(data.path());
    let mut room = Room::start(&store, None);
    filled(&mut room).await;
    let collection = room.collection("c").await;
    let id = collection.id;
    let delete = move |conn: &mut _| Ok(crate::rows::delete_document(conn, id, "a")?);
    let revision = store.write(delete).await.unwrap().unwrap();
    let host = room.host().clone();
    leave(collection.catch_up(&host, &store));
    let indexed = async {
        while collection.index().revision < revision {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(20), indexed).await.unwrap();
}

#[actix::test]
async fn a_text_that_no_model_takes_costs_no_other_chunk_its_vector() {
    let data = tempfile::tempdir().unwrap();
    let mut room = Room::start(&open(data.path()), None);
    room.call(CreateCollection { name: "c".into() })
        .await
        .unwrap();
    let texts = (0..70).map(|at| {
        let text = if at == 0 { "unspeakable" } else { "a wing" };
        document(&format!("{at:02}"), text)
    });
    room.index(texts.collect()).await;
    room.embedder.load(Some("m"));
    let stats = room.until(|stats| !stats.degraded).await;
    assert_eq!((stats.chunks, stats.vectors), (70, 69));
    assert_eq!(room.ids("unspeakable").await.first().unwrap(), "00");
    assert!(!room.query("wing").await.degraded);
}

#[actix::test]
async fn an_embedder_that_hangs_does_not_hold_up_the_answer() {
    let data = tempfile::tempdir().unwrap();
    let mut room = Room::start(&open(data.path()), Some("one that hangs"));
    room.call(CreateCollection { name: "c".into() })
        .await
        .unwrap();
    let request = IndexDocuments {
        collection: "c".into(),
        documents: documents(),
    };
    let indexed = room.call_within(Duration::from_secs(4), request).await;
    assert_eq!(indexed.unwrap().indexed, 4);
    assert!(room.stats().await.degraded);
    let lexical = Query {
        mode: messages::brainml::Mode::Lexical,
        ..asking("flutter")
    };
    assert_eq!(room.call(lexical).await.unwrap().results.len(), 1);
}

#[actix::test]
async fn other_chunk_sizes_apply_to_documents_that_are_indexed_again() {
    let data = tempfile::tempdir().unwrap();
    let store = open(data.path());
    let mut room = Room::start(&store, Some("m"));
    room.call(CreateCollection { name: "c".into() })
        .await
        .unwrap();
    let long = || vec![document("a", &"A wing lifts well. ".repeat(20))];
    room.index(long()).await;
    assert_eq!(room.stats().await.chunks, 1);
    room.stop();
    let settings = json!({"chunk_words": 20, "chunk_overlap": 0});
    let mut room = Room::with(&store, Some("m"), Vec::new(), settings);
    room.index(long()).await;
    let stats = room.stats().await;
    assert!(stats.chunks > 4, "{stats:?}");
    assert_eq!(room.index(long()).await.revision, stats.revision);
    let untitled = room.index(long()).await.revision;
    let titled = Document {
        title: Some(String::new()),
        ..long().remove(0)
    };
    assert!(room.index(vec![titled]).await.revision > untitled);
}

#[actix::test]
async fn results_whose_rows_have_just_gone_are_missed_aloud() {
    let data = tempfile::tempdir().unwrap();
    let store = open(data.path());
    let mut room = Room::start(&store, Some("m"));
    filled(&mut room).await;
    let id = room.collection("c").await.id;
    let delete = move |conn: &mut _| Ok(crate::rows::delete_document(conn, id, "a")?);
    store.write(delete).await.unwrap();
    let lexical = Query {
        mode: messages::brainml::Mode::Lexical,
        ..asking("lift")
    };
    let results = room.call(lexical).await.unwrap();
    assert!(results.results.is_empty() && results.degraded);
}

#[actix::test]
async fn several_collections_answer_as_one() {
    let data = tempfile::tempdir().unwrap();
    let mut room = Room::start(&open(data.path()), Some("m"));
    filled(&mut room).await;
    room.call(CreateCollection {
        name: "other".into(),
    })
    .await
    .unwrap();
    let more = vec![document("z", "The lift of a wing.")];
    room.call(IndexDocuments {
        collection: "other".into(),
        documents: more,
    })
    .await
    .unwrap();
    let results = room.call(asking("lift of a wing")).await.unwrap();
    let first: Vec<_> = results
        .results
        .iter()
        .take(2)
        .map(|hit| hit.document_id.as_str())
        .collect();
    assert_eq!(first, ["a", "z"]);
    let unknown = Query {
        collections: vec!["c".into(), "nope".into()],
        ..asking("wing")
    };
    assert_eq!(
        room.call(unknown).await.unwrap_err().kind,
        FaultKind::Unknown
    );
}

fn guide(text: &str) -> Vec<GuideDocument> {
    vec![GuideDocument {
        id: "start".into(),
        title: "Start".into(),
        text: text.into(),
    }]
}

#[actix::test]
async fn the_guide_is_made_once_kept_up_to_date_and_not_forced_on_anyone() {
    let data = tempfile::tempdir().unwrap();
    let store = open(data.path());
    let mut room = Room::with_guide(&store, None, guide("Type bkg serve."));
    wait_for_guide(&mut room, "serve").await;
    let own = IndexDocuments {
        collection: "bkg".into(),
        documents: vec![document("own", "mine")],
    };
    room.call(own).await.unwrap();
    room.stop();
    let mut room = Room::with_guide(&store, None, guide("Type make run."));
    wait_for_guide(&mut room, "make").await;
    assert!(room.call(asking("serve")).await.unwrap().results.is_empty());
    assert_eq!(room.call(asking("mine")).await.unwrap().results.len(), 1);
    room.call(DeleteCollection { name: "bkg".into() })
        .await
        .unwrap();
    room.stop();
    let mut room = Room::with_guide(&store, None, guide("Type anything."));
    room.call(CreateCollection { name: "c".into() })
        .await
        .unwrap();
    room.until(|_| true).await;
    assert_eq!(room.call(ListCollections).await.unwrap().len(), 1);
}

async fn wait_for_guide(room: &mut Room, word: &str) {
    for _ in 0..500 {
        if !room.call(asking(word)).await.unwrap().results.is_empty() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("the guide never came");
}

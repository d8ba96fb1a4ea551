//! What the tests of this crate share: a host, contexts of calls, and the real model where it is.

use std::{path::PathBuf, sync::Arc, time::Duration};

use messages::{
    call::{Cx, Origin},
    gate::{Card, Gate},
    host::Host,
    line::Directory,
    plugin::Status,
};
use serde_json::Value;
use store::Store;
use tempfile::TempDir;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::Reach;

/// A host that stands alone.
pub(crate) fn host() -> Host {
    host_in(&Directory::default(), Value::Object(serde_json::Map::new()))
}

/// A host with settings, whose ports look into `directory`.
pub(crate) fn host_in(directory: &Directory, settings: Value) -> Host {
    let gate = Arc::new(Gate::new(
        "llmserver",
        Status::Running,
        Card::default(),
        directory.changes(),
    ));
    let life = CancellationToken::new();
    Host::new(Arc::new(settings), directory.clone(), gate, life)
}

/// A store, which lasts as long as its directory.
pub(crate) fn store() -> (TempDir, Store) {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    (directory, store)
}

/// Upstreams may be on this machine.
pub(crate) fn near() -> Reach {
    Reach::new(&[], &["127.0.0.1".to_owned()], None).unwrap()
}

/// The context of a call with a minute left.
pub(crate) fn cx() -> Cx {
    cx_of(&CancellationToken::new())
}

/// The same, ended by `cancel`.
pub(crate) fn cx_of(cancel: &CancellationToken) -> Cx {
    let origin = Origin {
        cancel: cancel.clone(),
        ..Origin::internal("test")
    };
    Cx::new(origin, Instant::now() + Duration::from_secs(60), None)
}

/// The directory of models for tests.
pub(crate) fn models() -> PathBuf {
    std::env::var_os("BKG_TEST_MODELS").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/models")),
        PathBuf::from,
    )
}

/// The real model's directory, or nothing, said loudly, where it was not fetched.
pub(crate) fn minilm() -> Option<PathBuf> {
    let directory = models().join("all-MiniLM-L6-v2");
    if directory.join("model.safetensors").is_file() {
        return Some(directory);
    }
    eprintln!(
        "SKIPPED: no model in {}: `bkg models pull all-MiniLM-L6-v2`, or set BKG_TEST_MODELS",
        directory.display()
    );
    None
}

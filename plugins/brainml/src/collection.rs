//! One open collection: its index under a lock, and how that follows the rows.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicI64, Ordering::SeqCst},
    },
};

use messages::{fault::Fault, host::Host};
use rayon::prelude::*;
use store::Store;
use tokio::sync::{self, watch};

use crate::{
    analyzer::Analyzer,
    changes::{self, Changed, Since},
    derived,
    finish::to_the_end,
    index::{Index, Model},
    rows::CollectionRow,
};

/// Vectors added before readers get their turn: adding one takes up to a millisecond.
const VECTORS_A_TURN: usize = 16;

/// A collection and its index. Rows are written first; the index then [catches
/// up](Self::catch_up) with them, at start, after each write, and after a broken-off attempt alike.
#[derive(Debug)]
pub(crate) struct Collection {
    /// Its row.
    pub(crate) id: i64,
    /// Its name.
    pub(crate) name: String,
    directory: PathBuf,
    index: RwLock<Index>,
    /// Held by whoever changes the index; true once the persisted files have been looked at.
    turn: sync::Mutex<bool>,
    /// Held while chunks of this collection are being embedded, so that none is embedded twice.
    pub(crate) embedding: sync::Mutex<()>,
    /// Held by whoever writes or deletes the files; true once the collection has been deleted.
    persisting: Mutex<bool>,
    written: AtomicI64,
    ready: watch::Sender<bool>,
}

impl Collection {
    /// The collection of a row, its index still empty; derived files lie under `root`.
    pub(crate) fn new(row: &CollectionRow, root: &Path) -> Self {
        Self {
            id: row.id,
            name: row.name.clone(),
            directory: root.join(row.id.to_string()),
            index: RwLock::default(),
            turn: sync::Mutex::new(false),
            embedding: sync::Mutex::new(()),
            persisting: Mutex::new(false),
            written: AtomicI64::new(row.revision),
            // One that has just been made has nothing to catch up with.
            ready: watch::Sender::new(row.revision == 0),
        }
    }

    /// The index, to be searched. After a panic in a writer it lacks revisions until the next
    /// catch-up, and says so by its revision.
    pub(crate) fn index(&self) -> RwLockReadGuard<'_, Index> {
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn index_mut(&self) -> RwLockWriteGuard<'_, Index> {
        self.index.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that the rows have reached a revision.
    pub(crate) fn note_written(&self, revision: i64) {
        self.written.fetch_max(revision, SeqCst);
    }

    /// Whether a leg of the search is behind the rows. Chunks without a vector count only where
    /// vectors are asked for.
    pub(crate) fn is_behind(&self, index: &Index, vectors: bool) -> bool {
        let behind = index.revision < self.written() || self.index.is_poisoned();
        behind || !*self.ready.borrow() || (vectors && !index.lacking.is_empty())
    }

    /// Looks something up in the index, on a thread that may wait for its writer.
    ///
    /// # Errors
    /// Crashed when `look` panicked.
    pub(crate) async fn look<T: Send + 'static>(
        self: &Arc<Self>,
        host: &Host,
        look: impl FnOnce(&Self, &Index) -> T + Send + 'static,
    ) -> Result<T, Fault> {
        let collection = self.clone();
        host.run(move || look(&collection, &collection.index()))
            .await
    }

    /// The revision that the rows have reached, as far as is known.
    pub(crate) fn written(&self) -> i64 {
        self.written.load(SeqCst)
    }

    /// Waits until the index has caught up once since it was opened.
    pub(crate) async fn ready(&self) {
        // The sender lives as long as the collection, so this cannot fail.
        let _ = self.ready.subscribe().wait_for(|ready| *ready).await;
    }

    /// Brings the index to the collection's present revision. Goes on when the caller leaves: the
    /// work on other threads cannot be stopped, and must not meet that of the next one in turn.
    ///
    /// # Errors
    /// Unknown when the collection is gone; otherwise what the store says.
    pub(crate) async fn catch_up(
        self: &Arc<Self>,
        host: &Host,
        store: &Store,
    ) -> Result<(), Fault> {
        let (collection, own, store) = (self.clone(), host.clone(), store.clone());
        let work = async move { collection.catch_up_now(&own, &store).await };
        to_the_end(host, work).await
    }

    async fn catch_up_now(self: &Arc<Self>, host: &Host, store: &Store) -> Result<(), Fault> {
        let mut loaded = self.turn.lock().await;
        if !*loaded {
            let collection = self.clone();
            host.run(move || collection.load()).await?;
            *loaded = true;
        }
        let reached = self.look(host, |_, index| index.revision).await?;
        let id = self.id;
        let head = store
            .read(move |conn| Ok(changes::head(conn, id, reached)?))
            .await?;
        let (row, deleted) = head.ok_or_else(|| unknown(&self.name))?;
        self.note_written(row.revision);
        self.follow(host, store, row, deleted).await?;
        self.ready.send_replace(true);
        Ok(())
    }

    /// Takes the persisted index if it can be trusted.
    fn load(&self) {
        match derived::load(&self.directory) {
            Ok(None) => (),
            Ok(Some(index)) => *self.index_mut() = index,
            Err(error) => {
                log::error!(
                    "the index of collection {} is damaged and is made anew: {error}",
                    self.name
                );
                match derived::quarantine(&self.directory) {
                    Ok(aside) => log::warn!("the damaged index lies in {}", aside.display()),
                    Err(error) => log::error!("the damaged index could not be moved away: {error}"),
                }
            }
        }
    }

    async fn follow(
        self: &Arc<Self>,
        host: &Host,
        store: &Store,
        row: CollectionRow,
        deleted: Vec<i64>,
    ) -> Result<(), Fault> {
        let (revision, model, model_hash) = (row.revision, row.model(), row.model_hash);
        let collection = self.clone();
        let begin = move || collection.begin(revision, model, deleted);
        let reached = host.run(begin).await?;
        if reached < revision {
            let since = Since {
                collection: self.id,
                revision: reached,
                model_hash,
            };
            self.follow_documents(host, store, &since).await?;
            self.follow_vectors(host, store, &since).await?;
            let collection = self.clone();
            host.run(move || collection.index_mut().revision = revision)
                .await?;
        }
        Ok(())
    }

    /// Forgets what is gone; answers the revision from which the rows must be followed.
    fn begin(&self, revision: i64, model: Option<Model>, deleted: Vec<i64>) -> i64 {
        let broken = self.index.is_poisoned();
        let mut index = self.index_mut();
        // A writer that panicked left the index half changed. One that is ahead of its rows belongs
        // to another history, such as before a backup was restored.
        if broken || revision < index.revision {
            log::error!(
                "the index of collection {} does not fit its rows and is made anew",
                self.name
            );
            self.index.clear_poison();
            *index = Index::default();
        }
        index.adopt(model);
        deleted
            .into_iter()
            .for_each(|document| index.remove(document));
        index.revision
    }

    async fn follow_documents(
        self: &Arc<Self>,
        host: &Host,
        store: &Store,
        since: &Since,
    ) -> Result<(), Fault> {
        let mut after = (since.revision, i64::MAX);
        loop {
            let since = since.clone();
            let page = store
                .read(move |conn| Ok(changes::documents(conn, &since, after)?))
                .await?;
            let Some(last) = page.last() else {
                return Ok(());
            };
            after = (last.revision, last.id);
            let collection = self.clone();
            host.run(move || collection.put(page)).await?;
        }
    }

    fn put(&self, page: Vec<Changed>) {
        let analyze = |changed: Changed| changed.analyze(&Analyzer::default());
        let analyzed: Vec<_> = page.into_par_iter().map(analyze).collect();
        analyzed
            .into_iter()
            .for_each(|document| self.index_mut().put(document));
    }

    async fn follow_vectors(
        self: &Arc<Self>,
        host: &Host,
        store: &Store,
        since: &Since,
    ) -> Result<(), Fault> {
        let mut after = (since.revision, i64::MAX);
        loop {
            let since = since.clone();
            let page = store
                .read(move |conn| Ok(changes::vectors(conn, &since, after)?))
                .await?;
            let Some((revision, chunk, _)) = page.last() else {
                return Ok(());
            };
            after = (*revision, *chunk);
            let collection = self.clone();
            host.run(move || collection.put_vectors(&page)).await?;
        }
    }

    fn put_vectors(&self, page: &[(i64, i64, Vec<f32>)]) {
        for turn in page.chunks(VECTORS_A_TURN) {
            let mut index = self.index_mut();
            for (_, chunk, vector) in turn {
                // Most vectors of a longer history came with their documents.
                if index.lacking.contains(chunk) {
                    index.put_vector(*chunk, vector);
                }
            }
        }
    }

    /// Gives up on vectors for chunks, until the collection turns to another model.
    pub(crate) fn refuse(&self, chunks: &[i64]) {
        let mut index = self.index_mut();
        for chunk in chunks {
            index.lacking.remove(chunk);
        }
    }

    /// Writes the index to its files where it has changed; answers the revision that is on disk
    /// now. Readers go on meanwhile. Must be called on a thread that may block.
    pub(crate) fn persist(&self) -> Option<i64> {
        let deleted = self.files();
        if *deleted {
            return None;
        }
        let (revision, changes) = {
            let index = self.index();
            if index.changes == 0 || self.index.is_poisoned() {
                return None;
            }
            if let Err(error) = derived::persist(&self.directory, &index) {
                log::warn!(
                    "the index of collection {} was not persisted: {error}",
                    self.name
                );
                return None;
            }
            (index.revision, index.changes)
        };
        let mut index = self.index_mut();
        index.changes = index.changes.saturating_sub(changes);
        Some(revision)
    }

    /// [`persist`](Self::persist) with the writers kept out, so that none waits for the index and
    /// holds up its readers.
    ///
    /// # Errors
    /// When persisting panicked.
    pub(crate) async fn persist_aside(self: &Arc<Self>, host: &Host) -> Result<Option<i64>, Fault> {
        let _turn = self.turn.lock().await;
        let collection = self.clone();
        host.run(move || collection.persist()).await
    }

    /// Deletes the derived files of a collection that has been deleted; none are written again.
    pub(crate) fn remove_files(&self) {
        let mut deleted = self.files();
        *deleted = true;
        derived::remove(&self.directory);
    }

    fn files(&self) -> MutexGuard<'_, bool> {
        self.persisting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// The fault for a collection that is not there.
pub(crate) fn unknown(name: &str) -> Fault {
    Fault::unknown(format!("there is no collection `{name}`"))
        .with_param("collection")
        .with_code("collection_not_found")
}

//! The open collections, and what the plugin's abilities share.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use messages::{
    brainml::Stats,
    fault::{Fault, FaultKind},
    host::Host,
    llmserver::Embed,
    port::Port,
};
use store::Store;
use tokio::sync::{Notify, OnceCell};

use crate::{
    chunker::ChunkSizes,
    collection::{Collection, unknown},
    derived,
    finish::to_the_end,
    index::{Index, Model},
    limits,
    rows::{self, CollectionRow},
    vectors::Vectors,
};

type Shelf = Mutex<BTreeMap<String, Arc<Collection>>>;

/// Everything that one life of the plugin works with.
#[derive(Debug)]
pub(crate) struct Library {
    /// Places to do work.
    pub(crate) host: Host,
    /// The rows.
    pub(crate) store: Store,
    /// How documents are cut.
    pub(crate) sizes: ChunkSizes,
    /// Who embeds, on the plugin's own account.
    pub(crate) embed: Port<Embed>,
    /// Wakes the keeper: something lacks vectors or is worth persisting.
    pub(crate) wake: Notify,
    /// The model that embedded last.
    pub(crate) model: Mutex<Option<Model>>,
    root: PathBuf,
    shelf: OnceCell<Shelf>,
}

impl Library {
    /// A library whose derived indexes lie under `root`. Nothing is read yet.
    pub(crate) fn new(host: &Host, store: Store, root: PathBuf, sizes: ChunkSizes) -> Self {
        Self {
            embed: host.port(),
            host: host.clone(),
            store,
            sizes,
            wake: Notify::new(),
            model: Mutex::new(None),
            root,
            shelf: OnceCell::new(),
        }
    }

    /// The collection of that name.
    ///
    /// # Errors
    /// Unknown where there is none.
    pub(crate) async fn collection(&self, name: &str) -> Result<Arc<Collection>, Fault> {
        let found = self.shelf().await?.get(name).cloned();
        found.ok_or_else(|| unknown(name))
    }

    /// All collections by name.
    ///
    /// # Errors
    /// What the store says.
    pub(crate) async fn collections(&self) -> Result<Vec<Arc<Collection>>, Fault> {
        Ok(self.shelf().await?.values().cloned().collect())
    }

    /// The collections that are open already, without waiting.
    pub(crate) fn opened(&self) -> Vec<Arc<Collection>> {
        let shelf = self.shelf.get().map(lock);
        shelf
            .map(|shelf| shelf.values().cloned().collect())
            .unwrap_or_default()
    }

    async fn shelf(&self) -> Result<MutexGuard<'_, BTreeMap<String, Arc<Collection>>>, Fault> {
        let open = || async {
            let rows = self.store.read(|conn| Ok(rows::collections(conn)?)).await?;
            let ids = rows.iter().map(|row| row.id).collect();
            let root = self.root.clone();
            self.host
                .run(move || derived::sweep_orphans(&root, &ids))
                .await?;
            let collections = rows.iter().map(|row| (row.name.clone(), self.open(row)));
            Ok::<_, Fault>(Mutex::new(collections.collect()))
        };
        Ok(lock(self.shelf.get_or_try_init(open).await?))
    }

    fn open(&self, row: &CollectionRow) -> Arc<Collection> {
        Arc::new(Collection::new(row, &self.root))
    }

    /// Makes a collection, or finds the one of that name; its index may still be on its way.
    ///
    /// # Errors
    /// Unprocessable for a name that breaks the rules.
    pub(crate) async fn create(self: Arc<Self>, name: String) -> Result<Stats, Fault> {
        limits::check_name(&name)?;
        let library = self.clone();
        let create = async move {
            let row = library
                .store
                .write(move |conn| Ok(rows::create_collection(conn, &name)?))
                .await?;
            let collection = library.shelve(&row).await?;
            library.stats(&collection).await
        };
        to_the_end(&self.host, create).await
    }

    /// Opens a collection whose row has just been made or found.
    ///
    /// # Errors
    /// What the store says.
    pub(crate) async fn shelve(&self, row: &CollectionRow) -> Result<Arc<Collection>, Fault> {
        let mut shelf = self.shelf().await?;
        let known = shelf
            .get(&row.name)
            .filter(|known| known.id == row.id)
            .cloned();
        let collection = known.unwrap_or_else(|| self.open(row));
        shelf.insert(row.name.clone(), collection.clone());
        Ok(collection)
    }

    /// Deletes a collection with everything in it.
    ///
    /// # Errors
    /// Unknown where there is none.
    pub(crate) async fn delete(self: Arc<Self>, name: String) -> Result<(), Fault> {
        let library = self.clone();
        to_the_end(&self.host, async move { library.delete_now(&name).await }).await
    }

    async fn delete_now(&self, name: &str) -> Result<(), Fault> {
        let collection = self.collection(name).await?;
        let id = collection.id;
        self.store
            .write(move |conn| Ok(rows::delete_collection(conn, id)?))
            .await?;
        {
            let mut shelf = self.shelf().await?;
            if shelf.get(name).is_some_and(|known| known.id == id) {
                shelf.remove(name);
            }
        }
        // There is less in memory now.
        self.wake.notify_one();
        self.host.run(move || collection.remove_files()).await
    }

    /// Publishes what the indexes hold in memory.
    pub(crate) async fn tell_memory(&self) {
        let opened = self.opened();
        let sum = move || {
            let each = opened.iter();
            each.map(|one| one.index().memory_bytes()).sum::<usize>()
        };
        if let Ok(bytes) = self.host.run(sum).await {
            self.host
                .tell_memory(u64::try_from(bytes).unwrap_or(u64::MAX));
        }
    }

    /// The sizes and states of all collections.
    ///
    /// # Errors
    /// What the store says.
    pub(crate) async fn list(&self) -> Result<Vec<Stats>, Fault> {
        let mut list = Vec::new();
        for collection in self.collections().await? {
            match self.stats(&collection).await {
                Ok(stats) => list.push(stats),
                // It has just been deleted.
                Err(fault) if fault.kind == FaultKind::Unknown => (),
                Err(fault) => return Err(fault),
            }
        }
        Ok(list)
    }

    /// The size and state of the collection of that name.
    ///
    /// # Errors
    /// Unknown where there is none.
    pub(crate) async fn read_stats(&self, name: &str) -> Result<Stats, Fault> {
        let collection = self.collection(name).await?;
        self.stats(&collection).await
    }

    /// The size and state of a collection.
    ///
    /// # Errors
    /// What the store says.
    pub(crate) async fn stats(&self, collection: &Arc<Collection>) -> Result<Stats, Fault> {
        let id = collection.id;
        let read = move |conn: &mut _| Ok((rows::sizes(conn, id)?, rows::collection(conn, id)?));
        let (sizes, row) = self.store.read(read).await?;
        let row = row.ok_or_else(|| unknown(&collection.name))?;
        collection.note_written(row.revision);
        let look = |collection: &Collection, index: &Index| {
            let vectors = index.vectors.as_ref().map_or(0, Vectors::len);
            (vectors, collection.is_behind(index, true))
        };
        let (vectors, degraded) = collection.look(&self.host, look).await?;
        Ok(Stats {
            name: row.name,
            documents: sizes.documents.cast_unsigned(),
            chunks: sizes.chunks.cast_unsigned(),
            vectors: u64::try_from(vectors).unwrap_or(u64::MAX),
            revision: row.revision.cast_unsigned(),
            bytes: sizes.bytes.cast_unsigned(),
            degraded,
            model: row.model,
        })
    }
}

fn lock(shelf: &Shelf) -> MutexGuard<'_, BTreeMap<String, Arc<Collection>>> {
    shelf.lock().unwrap_or_else(PoisonError::into_inner)
}

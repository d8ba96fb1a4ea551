//! The figures of all indexes, published by `brainml` and read by whoever measures, without a
//! message.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, PoisonError, RwLock, RwLockWriteGuard,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

/// The indexes of all collections. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Indexes(Arc<RwLock<BTreeMap<String, Arc<IndexGauge>>>>);

/// What `brainml` tells of one index.
#[derive(Debug, Default)]
pub struct IndexGauge {
    documents: AtomicU64,
    chunks: AtomicU64,
    without_vector: AtomicU64,
    bytes: AtomicU64,
    written: AtomicU64,
    indexed: AtomicU64,
}

/// One index, as of one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IndexFigures {
    /// The collection's name.
    pub collection: String,
    /// Documents that can be searched.
    pub documents: u64,
    /// Their chunks.
    pub chunks: u64,
    /// Those of them that are searched by their words alone for now.
    pub without_vector: u64,
    /// Bytes of the documents' text.
    pub bytes: u64,
    /// The revision that the rows have reached.
    pub revision: u64,
    /// Revisions that the index has still to follow.
    pub lag: u64,
}

impl Indexes {
    /// The gauge of a collection that is opened.
    pub fn open(&self, collection: &str) -> Arc<IndexGauge> {
        let gauge = Arc::<IndexGauge>::default();
        self.write().insert(collection.to_owned(), gauge.clone());
        gauge
    }

    /// Forgets a collection that has been deleted.
    pub fn close(&self, collection: &str) {
        self.write().remove(collection);
    }

    /// All of them by name, as of now.
    pub fn figures(&self) -> Vec<IndexFigures> {
        let all = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let figures = all.iter().map(|(name, gauge)| gauge.figures(name));
        figures.collect()
    }

    fn write(&self) -> RwLockWriteGuard<'_, BTreeMap<String, Arc<IndexGauge>>> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl IndexGauge {
    /// The rows have reached `revision`.
    pub fn written(&self, revision: u64) {
        self.written.fetch_max(revision, Relaxed);
    }

    /// The index has reached `revision`, and holds so much.
    pub fn indexed(&self, revision: u64, documents: u64, chunks: u64) {
        self.indexed.store(revision, Relaxed);
        self.documents.store(documents, Relaxed);
        self.chunks.store(chunks, Relaxed);
    }

    /// So many chunks lack a vector.
    pub fn without_vector(&self, chunks: u64) {
        self.without_vector.store(chunks, Relaxed);
    }

    /// The documents' text has so many bytes.
    pub fn bytes(&self, bytes: u64) {
        self.bytes.store(bytes, Relaxed);
    }

    fn figures(&self, collection: &str) -> IndexFigures {
        let revision = self.written.load(Relaxed);
        IndexFigures {
            collection: collection.to_owned(),
            documents: self.documents.load(Relaxed),
            chunks: self.chunks.load(Relaxed),
            without_vector: self.without_vector.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
            revision,
            lag: revision.saturating_sub(self.indexed.load(Relaxed)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_lags_until_it_has_followed_and_is_forgotten_when_it_is_closed() {
        let indexes = Indexes::default();
        let gauge = indexes.open("c");
        gauge.written(5);
        gauge.indexed(3, 2, 7);
        gauge.written(4);
        let told = indexes.figures();
        assert_eq!((told[0].revision, told[0].lag), (5, 2));
        gauge.indexed(5, 2, 7);
        assert_eq!(indexes.figures()[0].lag, 0);
        indexes.close("c");
        assert_eq!(indexes.figures(), []);
    }
}

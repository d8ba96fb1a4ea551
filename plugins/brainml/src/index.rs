//! The derived index of one collection: its catalog, words and vectors at one revision.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    analyzer::TermCounts,
    catalog::{Catalog, Slot},
    vectors::{VectorError, Vectors},
    words::Words,
};

/// An index is persisted after this many changes, or a share of its chunks if that is more.
const CHANGES_WORTH_PERSISTING: usize = 2000;
const SHARE_WORTH_PERSISTING: usize = 8;

/// An embedding model: vectors of different models cannot be compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Model {
    /// Its id, for people.
    pub(crate) name: String,
    /// The hash of its weights, which tells it from others.
    pub(crate) hash: String,
}

/// A document taken apart, ready to be indexed.
#[derive(Debug, Clone)]
pub(crate) struct Analyzed {
    /// Its row.
    pub(crate) id: i64,
    /// The id that its owner gave it.
    pub(crate) external_id: String,
    /// What filters look at.
    pub(crate) metadata: Map<String, Value>,
    /// Its chunks in order.
    pub(crate) chunks: Vec<AnalyzedChunk>,
}

/// A chunk of an [`Analyzed`] document.
#[derive(Debug, Clone)]
pub(crate) struct AnalyzedChunk {
    /// Its row.
    pub(crate) id: i64,
    /// Byte offset of its beginning in the text.
    pub(crate) start: u32,
    /// The terms of title and text.
    pub(crate) counts: TermCounts,
    /// Its vector of unit length, where it has been embedded.
    pub(crate) vector: Option<Vec<f32>>,
}

/// What is searched. Everything in it can be made again from the rows of its collection.
#[derive(Debug, Default)]
pub(crate) struct Index {
    /// The collection's revision that it has reached.
    pub(crate) revision: i64,
    /// The model of the vectors.
    pub(crate) model: Option<Model>,
    /// Documents and chunks.
    pub(crate) catalog: Catalog,
    /// The lexical leg.
    pub(crate) words: Words,
    /// The vector leg, once there is a vector.
    pub(crate) vectors: Option<Vectors>,
    /// Chunks without a vector of the model, by row; those whose text it refuses do not count.
    pub(crate) lacking: BTreeSet<i64>,
    /// Chunks added and removed since the index was last persisted.
    pub(crate) changes: usize,
}

impl Index {
    /// Adds a document, or puts it in the place of its former self.
    pub(crate) fn put(&mut self, document: Analyzed) {
        self.remove(document.id);
        let rows = document.chunks.iter().map(|chunk| {
            let terms = chunk.counts.values().sum();
            (chunk.id, chunk.start, terms)
        });
        let first = self
            .catalog
            .add(document.id, &document.external_id, document.metadata, rows);
        self.changes += 1 + document.chunks.len();
        for (slot, chunk) in (first.0..).zip(document.chunks) {
            self.words.add(Slot(slot), &chunk.counts);
            self.lacking.insert(chunk.id);
            if let Some(vector) = chunk.vector {
                self.put_vector(chunk.id, &vector);
            }
        }
    }

    /// Forgets a document, if it is there.
    pub(crate) fn remove(&mut self, document: i64) {
        for chunk in self.catalog.remove(document) {
            self.changes += 1;
            if !self.lacking.remove(&chunk)
                && let Some(vectors) = &mut self.vectors
                && let Err(error) = vectors.remove(chunk)
            {
                // Without its chunk in the catalog the vector is never found.
                log::warn!("the vector of chunk {chunk} stays in memory: {error}");
            }
        }
        if self.catalog.is_sparse() {
            let moved = self.catalog.compact();
            self.words.compact(&moved);
        }
    }

    /// Gives a chunk its vector; one that is not here is passed over.
    pub(crate) fn put_vector(&mut self, chunk: i64, vector: &[f32]) {
        if self.catalog.slot(chunk).is_none() {
            return;
        }
        match self
            .vectors_for(vector.len())
            .and_then(|vectors| vectors.put(chunk, vector))
        {
            Ok(()) => {
                self.changes += 1;
                self.lacking.remove(&chunk);
            }
            Err(error) => log::error!("chunk {chunk} stays without its vector: {error}"),
        }
    }

    fn vectors_for(&mut self, dimensions: usize) -> Result<&mut Vectors, VectorError> {
        Ok(match &mut self.vectors {
            Some(vectors) => vectors,
            none => none.insert(Vectors::new(dimensions)?),
        })
    }

    /// Turns to another model: every chunk now lacks its vector.
    pub(crate) fn adopt(&mut self, model: Option<Model>) {
        if self.model != model {
            self.model = model;
            self.vectors = None;
            self.lacking = self
                .catalog
                .chunks()
                .iter()
                .filter(|c| c.live)
                .map(|c| c.id)
                .collect();
        }
    }

    /// About how many bytes this takes in memory.
    pub(crate) fn memory_bytes(&self) -> usize {
        let vectors = self.vectors.as_ref().map_or(0, Vectors::memory_bytes);
        let lacking = self.lacking.len() * size_of::<i64>();
        self.catalog.memory_bytes() + self.words.memory_bytes() + vectors + lacking
    }

    /// Whether so much has changed that the files are worth writing again.
    pub(crate) fn is_worth_persisting(&self) -> bool {
        let share = self.catalog.live_chunks() / SHARE_WORTH_PERSISTING;
        self.changes >= share.max(CHANGES_WORTH_PERSISTING)
    }

    /// Counts the chunks that lack a vector anew, after loading.
    pub(crate) fn recount_lacking(&mut self) {
        let live = self.catalog.chunks().iter().filter(|chunk| chunk.live);
        let without = |id: &i64| {
            self.vectors
                .as_ref()
                .is_none_or(|vectors| !vectors.contains(*id))
        };
        self.lacking = live.map(|chunk| chunk.id).filter(without).collect();
    }
}

//! Which documents and chunks an index holds: what ranking needs to know of them, without texts.

use std::{collections::HashMap, ops::Range};

use serde_json::{Map, Value};

/// The number of a chunk inside one index; numbers change when the index is compacted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Slot(pub(crate) u32);

impl Slot {
    /// The slot as a position in arrays.
    pub(crate) fn index(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }

    /// The slot of a position; positions beyond four thousand million chunks end at the last.
    pub(crate) fn at(index: usize) -> Self {
        Self(u32::try_from(index).unwrap_or(u32::MAX))
    }
}

/// A document as ranking sees it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Document {
    /// Its row.
    pub(crate) id: i64,
    /// The id that its owner gave it.
    pub(crate) external_id: String,
    /// What filters look at.
    pub(crate) metadata: Map<String, Value>,
    /// Its chunks' slots.
    pub(crate) slots: Range<usize>,
    live: bool,
}

/// A chunk as ranking sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Chunk {
    /// Its row, and its key in the vector index.
    pub(crate) id: i64,
    /// Position of its document in [`Catalog::documents`].
    pub(crate) document: usize,
    /// Byte offset of its beginning in the document's text.
    pub(crate) start: u32,
    /// How many terms it has, title included.
    pub(crate) terms: u32,
    /// Whether its document is still there.
    pub(crate) live: bool,
}

/// The documents and chunks of one index. What is removed leaves a dead entry until
/// [`compact`](Self::compact).
#[derive(Debug, Default)]
pub(crate) struct Catalog {
    documents: Vec<Document>,
    chunks: Vec<Chunk>,
    by_row: HashMap<i64, usize>,
    by_chunk: HashMap<i64, Slot>,
    terms: u64,
    /// Bytes of ids and metadata.
    texts: usize,
}

impl Catalog {
    /// Adds a document with its chunks, given as row, start and number of terms; answers the slot
    /// of the first chunk.
    pub(crate) fn add(
        &mut self,
        id: i64,
        external_id: &str,
        metadata: Map<String, Value>,
        chunks: impl IntoIterator<Item = (i64, u32, u32)>,
    ) -> Slot {
        let first = self.chunks.len();
        let document = self.documents.len();
        for (id, start, terms) in chunks {
            self.by_chunk.insert(id, Slot::at(self.chunks.len()));
            self.terms += u64::from(terms);
            self.chunks.push(Chunk {
                id,
                document,
                start,
                terms,
                live: true,
            });
        }
        let slots = first..self.chunks.len();
        let external_id = external_id.to_owned();
        self.texts += external_id.len() + fields_bytes(&metadata);
        self.documents.push(Document {
            id,
            external_id,
            metadata,
            slots,
            live: true,
        });
        self.by_row.insert(id, document);
        Slot::at(first)
    }

    /// Forgets a document; answers the rows of its chunks.
    pub(crate) fn remove(&mut self, id: i64) -> Vec<i64> {
        let Some(at) = self.by_row.remove(&id) else {
            return Vec::new();
        };
        let Some(document) = self.documents.get_mut(at) else {
            return Vec::new();
        };
        document.live = false;
        let chunks = self
            .chunks
            .get_mut(document.slots.clone())
            .unwrap_or_default();
        for chunk in chunks.iter_mut() {
            chunk.live = false;
            self.terms -= u64::from(chunk.terms);
            self.by_chunk.remove(&chunk.id);
        }
        chunks.iter().map(|chunk| chunk.id).collect()
    }

    /// Drops the dead entries; answers each old slot's new one.
    pub(crate) fn compact(&mut self) -> Vec<Option<Slot>> {
        let mut moved = vec![None; self.chunks.len()];
        let before = std::mem::take(self);
        for document in before
            .documents
            .into_iter()
            .filter(|document| document.live)
        {
            let old = document.slots.clone();
            let chunks = before.chunks.get(old.clone()).unwrap_or_default();
            let chunks = chunks
                .iter()
                .map(|chunk| (chunk.id, chunk.start, chunk.terms));
            let first = self.add(
                document.id,
                &document.external_id,
                document.metadata,
                chunks,
            );
            let targets = moved.get_mut(old).unwrap_or_default();
            for (offset, target) in targets.iter_mut().enumerate() {
                *target = Some(Slot::at(first.index() + offset));
            }
        }
        moved
    }

    /// Whether so much is dead that compacting pays.
    pub(crate) fn is_sparse(&self) -> bool {
        self.chunks.len() > 64 + 2 * self.live_chunks()
    }

    /// All documents with their positions, dead ones left out, in the order in which they came.
    pub(crate) fn documents(&self) -> impl Iterator<Item = (usize, &Document)> {
        let all = self.documents.iter().enumerate();
        all.filter(|(_, document)| document.live)
    }

    /// How many positions documents have, dead ones included.
    pub(crate) fn positions(&self) -> usize {
        self.documents.len()
    }

    /// A document by its position.
    pub(crate) fn document(&self, position: usize) -> Option<&Document> {
        self.documents.get(position)
    }

    /// All chunks by slot, dead ones included.
    pub(crate) fn chunks(&self) -> &[Chunk] {
        &self.chunks
    }

    /// A chunk by its slot.
    pub(crate) fn chunk(&self, slot: Slot) -> Option<&Chunk> {
        self.chunks.get(slot.index())
    }

    /// The slot of a chunk's row.
    pub(crate) fn slot(&self, chunk: i64) -> Option<Slot> {
        self.by_chunk.get(&chunk).copied()
    }

    /// The rows of a document's chunks.
    pub(crate) fn chunks_of(&self, document: i64) -> impl Iterator<Item = i64> {
        let document = self
            .by_row
            .get(&document)
            .and_then(|at| self.documents.get(*at));
        let slots = document.map_or(0..0, |document| document.slots.clone());
        self.chunks
            .get(slots)
            .unwrap_or_default()
            .iter()
            .map(|chunk| chunk.id)
    }

    /// How many documents there are.
    pub(crate) fn live_documents(&self) -> usize {
        self.by_row.len()
    }

    /// How many chunks there are.
    pub(crate) fn live_chunks(&self) -> usize {
        self.by_chunk.len()
    }

    /// About how many bytes this takes in memory, dead entries included.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.texts
            + self.documents.capacity() * size_of::<Document>()
            + self.chunks.capacity() * size_of::<Chunk>()
            + self.by_row.capacity() * size_of::<(i64, usize)>()
            + self.by_chunk.capacity() * size_of::<(i64, Slot)>()
    }

    /// How many terms all chunks have together.
    pub(crate) fn terms(&self) -> u64 {
        self.terms
    }
}

fn fields_bytes(fields: &Map<String, Value>) -> usize {
    let each = fields.iter();
    each.map(|(name, value)| size_of::<(String, Value)>() + name.len() + value_bytes(value))
        .sum()
}

/// What a value holds beside itself.
fn value_bytes(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len(),
        Value::Array(items) => {
            let each = items.iter();
            each.map(|item| size_of::<Value>() + value_bytes(item))
                .sum()
        }
        Value::Object(fields) => fields_bytes(fields),
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compacting_forgets_the_dead_and_renumbers_the_rest() {
        let mut catalog = Catalog::default();
        catalog.add(1, "a", Map::new(), [(10, 0, 5), (11, 9, 3)]);
        catalog.add(2, "b", Map::new(), [(20, 0, 4)]);
        assert_eq!(catalog.remove(1), [10, 11]);
        assert!(catalog.remove(1).is_empty());
        assert_eq!((catalog.live_chunks(), catalog.terms()), (1, 4));
        assert_eq!(catalog.compact(), [None, None, Some(Slot(0))]);
        assert_eq!(catalog.slot(20), Some(Slot(0)));
        assert_eq!(catalog.chunks().len(), 1);
        assert_eq!(catalog.documents().count(), 1);
    }
}

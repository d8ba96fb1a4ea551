//! What tests build indexes from.

use serde_json::{Map, Value};

use crate::{
    analyzer::Analyzer,
    chunker::{ChunkSizes, chunks},
    index::{Analyzed, AnalyzedChunk, Index},
    search::Question,
};

/// A document as an index takes it, with chunks numbered from a thousand times its row.
pub(crate) fn analyzed(id: i64, external_id: &str, title: &str, text: &str) -> Analyzed {
    let mut ranges = chunks(text, ChunkSizes::default());
    if ranges.is_empty() && !title.is_empty() {
        ranges.push(0..0);
    }
    let chunks = (0..).zip(ranges).map(|(ordinal, range)| AnalyzedChunk {
        id: id * 1000 + ordinal,
        start: range.start.try_into().unwrap(),
        counts: Analyzer::default().count([title, text.get(range).unwrap()]),
        vector: None,
    });
    Analyzed {
        id,
        external_id: external_id.to_owned(),
        metadata: Map::new(),
        chunks: chunks.collect(),
    }
}

/// The same with metadata.
pub(crate) fn with_metadata(mut document: Analyzed, metadata: Value) -> Analyzed {
    document.metadata = metadata.as_object().unwrap().clone();
    document
}

/// An index of one-chunk documents, their rows counted from 1.
pub(crate) fn index(documents: &[(&str, &str)]) -> Index {
    let mut index = Index::default();
    for (id, (external_id, text)) in (1..).zip(documents) {
        index.put(analyzed(id, external_id, "", text));
    }
    index
}

/// A question by words for the ten best chunks.
pub(crate) fn question(text: &str) -> Question {
    Question {
        terms: Analyzer::default().count_query(text),
        says_something: Analyzer::says_something(text),
        vector: None,
        filter: None,
        mode: messages::brainml::Mode::Lexical,
        group: messages::brainml::Group::Chunk,
        top_k: 10,
        explain: false,
    }
}

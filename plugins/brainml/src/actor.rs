//! The plugin's actor: takes calls and hands each to the ability that answers it.

use std::{ops::RangeInclusive, path::PathBuf, sync::Arc};

use messages::{
    brainml::{
        CreateCollection, DeleteCollection, DeleteDocument, GetDocument, IndexDocuments,
        ListChunks, ListCollections, ListDocuments, Query, ReadStats,
    },
    call::Call,
    fault::Fault,
    host::Host,
    plugin::{Answer, Exports, Plugin, Serve},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use store::Store;
use utoipa::ToSchema;

use crate::{
    browse, chunker::ChunkSizes, guide::GuideDocument, ingest, keeper, library::Library, query,
};

/// What [`Settings::chunk_words`] may be. Beyond the most, chunks end by their bytes.
const CHUNK_WORDS: RangeInclusive<usize> = 10..=1000;

/// The plugin's settings.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Words in the longest chunk.
    #[schema(minimum = 10, maximum = 1000)]
    pub chunk_words: usize,
    /// Words that a chunk shares with the one before; at most half of `chunk_words`.
    #[schema(minimum = 0, maximum = 500)]
    pub chunk_overlap: usize,
}

impl Default for Settings {
    fn default() -> Self {
        let ChunkSizes { words, overlap } = ChunkSizes::default();
        Self {
            chunk_words: words,
            chunk_overlap: overlap,
        }
    }
}

impl Settings {
    /// Refuses settings that the plugin could not start with.
    ///
    /// # Errors
    /// Unprocessable, with what is wrong.
    pub fn check(settings: &Value) -> Result<(), Fault> {
        let read = Self::deserialize(settings);
        let read = read.map_err(|error| Fault::unprocessable(format!("brainml: {error}")))?;
        read.sizes().map(drop)
    }

    fn sizes(&self) -> Result<ChunkSizes, Fault> {
        if !CHUNK_WORDS.contains(&self.chunk_words) {
            let (least, most) = CHUNK_WORDS.into_inner();
            let rule = format!("brainml: chunk_words must be {least} to {most}");
            return Err(Fault::unprocessable(rule).with_param("chunk_words"));
        }
        if self.chunk_overlap > self.chunk_words / 2 {
            let rule = "brainml: chunk_overlap must be at most half of chunk_words";
            return Err(Fault::unprocessable(rule).with_param("chunk_overlap"));
        }
        Ok(ChunkSizes {
            words: self.chunk_words,
            overlap: self.chunk_overlap,
        })
    }
}

/// Collections of documents and the search over them.
#[derive(Debug)]
pub struct Brainml {
    pub(crate) library: Arc<Library>,
}

impl Brainml {
    /// One life of the plugin: rows in `store`, derived indexes as files under `indexes`. Opening
    /// them, and indexing the `guide` as collection `bkg` at the first start, goes on in the
    /// background.
    ///
    /// # Errors
    /// Unprocessable for settings that make no sense.
    pub fn new(
        host: &Host,
        store: Store,
        indexes: PathBuf,
        guide: Vec<GuideDocument>,
    ) -> Result<Self, Fault> {
        let sizes = host.settings::<Settings>()?.sizes()?;
        let library = Arc::new(Library::new(host, store, indexes, sizes));
        host.spawn(keeper::keep(library.clone(), guide));
        Ok(Self { library })
    }
}

impl Plugin for Brainml {
    const NAME: &'static str = "brainml";

    fn exports(exports: &mut impl Exports<Self>) {
        exports
            .serve::<CreateCollection>()
            .serve::<DeleteCollection>()
            .serve::<ListCollections>()
            .serve::<ReadStats>()
            .serve::<IndexDocuments>()
            .serve::<DeleteDocument>()
            .serve::<GetDocument>()
            .serve::<ListDocuments>()
            .serve::<ListChunks>()
            .serve::<Query>();
    }

    fn stopping(&mut self) {
        // The thread is about to end: nothing else waits for it.
        for collection in self.library.opened() {
            collection.persist();
        }
    }
}

/// `serve! { Message as |library, body, cx| future, … }`: answers each message by a future.
macro_rules! serve {
    ($($message:ty as |$library:ident, $body:ident, $cx:ident| $work:expr,)*) => {
        $(impl Serve<$message> for Brainml {
            fn serve(&mut self, call: Call<$message>) -> Answer<$message> {
                let $library = self.library.clone();
                let Call { body: $body, cx: $cx } = call;
                Answer::later(async move {
                    // The permit is held until the answer is there.
                    let _permit = &$cx;
                    $work.await
                })
            }
        })*
    };
}

serve! {
    CreateCollection as |library, body, cx| library.create(body.name),
    DeleteCollection as |library, body, cx| library.delete(body.name),
    ListCollections as |library, _body, cx| library.list(),
    ReadStats as |library, body, cx| library.read_stats(&body.collection),
    DeleteDocument as |library, body, cx| ingest::delete_document(library, body),
    GetDocument as |library, body, cx| ingest::get_document(library, body),
    ListDocuments as |library, body, cx| browse::list_documents(library, body),
}

impl Serve<IndexDocuments> for Brainml {
    fn serve(&mut self, call: Call<IndexDocuments>) -> Answer<IndexDocuments> {
        Answer::later(ingest::index_documents(
            self.library.clone(),
            call.body,
            call.cx,
        ))
    }
}

impl Serve<ListChunks> for Brainml {
    fn serve(&mut self, call: Call<ListChunks>) -> Answer<ListChunks> {
        Answer::later(browse::list_chunks(
            self.library.clone(),
            call.body,
            call.cx,
        ))
    }
}

impl Serve<Query> for Brainml {
    fn serve(&mut self, call: Call<Query>) -> Answer<Query> {
        Answer::later(query::query(self.library.clone(), call.body, call.cx))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use utoipa::PartialSchema;

    use super::*;

    #[test]
    fn the_schema_knows_the_bounds() {
        let schema = serde_json::to_value(Settings::schema()).unwrap();
        let bound = |name: &str, bound: &str| schema["properties"][name][bound].as_u64().unwrap();
        let (least, most) = CHUNK_WORDS.into_inner();
        let words = |bound: u64| usize::try_from(bound).unwrap();
        assert_eq!(words(bound("chunk_words", "minimum")), least);
        assert_eq!(words(bound("chunk_words", "maximum")), most);
        assert_eq!(words(bound("chunk_overlap", "maximum")), most / 2);
        assert_eq!(schema["additionalProperties"], false);
    }

    #[test]
    fn settings_that_the_plugin_could_not_start_with_are_refused() {
        let defaults = serde_json::to_value(Settings::default()).unwrap();
        assert_eq!(Settings::check(&defaults), Ok(()));
        assert_eq!(Settings::check(&json!({"chunk_words": 1000})), Ok(()));
        for (bad, param) in [
            (json!({"chunk_words": 5}), Some("chunk_words")),
            (json!({"chunk_words": 1001}), Some("chunk_words")),
            (json!({"chunk_overlap": 101}), Some("chunk_overlap")),
            (json!({"chunk_word": 100}), None),
            (json!({"chunk_words": -1}), None),
        ] {
            let fault = Settings::check(&bad).unwrap_err();
            assert_eq!(fault.kind, messages::fault::FaultKind::Unprocessable);
            assert_eq!(fault.param.as_deref(), param, "{bad}");
        }
    }
}

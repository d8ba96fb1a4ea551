//! The plugin's actor: takes calls and hands each to the ability that answers it.

use std::{path::PathBuf, sync::Arc};

use messages::{
    brainml::{
        CreateCollection, DeleteCollection, DeleteDocument, GetDocument, IndexDocuments,
        ListCollections, Query, ReadStats,
    },
    call::Call,
    fault::Fault,
    host::Host,
    plugin::{Answer, Exports, Plugin, Serve},
};
use serde::{Deserialize, Serialize};
use store::Store;

use crate::{chunker::ChunkSizes, guide::GuideDocument, ingest, keeper, library::Library, query};

/// The plugin's settings.
#[derive(Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Words in the longest chunk.
    pub chunk_words: usize,
    /// Words that a chunk shares with the one before.
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
    fn sizes(&self) -> Result<ChunkSizes, Fault> {
        if self.chunk_words < 10 || self.chunk_overlap > self.chunk_words / 2 {
            let rule = "brainml: chunk_words must be at least 10, chunk_overlap at most half of it";
            return Err(Fault::unprocessable(rule).with_param("chunk_words"));
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
    library: Arc<Library>,
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

impl Serve<Query> for Brainml {
    fn serve(&mut self, call: Call<Query>) -> Answer<Query> {
        Answer::later(query::query(self.library.clone(), call.body, call.cx))
    }
}

//! Answers queries: embeds the question, ranks, and fetches what was found.

use std::{collections::HashMap, sync::Arc, time::Duration};

use messages::{
    brainml::{Hit, Mode, Query, Results},
    call::Cx,
    fault::Fault,
};
use tokio::time::timeout;

use crate::{
    analyzer::Analyzer,
    changes::parse_metadata,
    collection::Collection,
    embedder::Embedder,
    library::Library,
    limits,
    rows::{self, ChunkRow},
    search::{Found, Question, search},
};

/// How long a question's vector is waited for, before its words must do.
const VECTOR_WAIT: Duration = Duration::from_secs(5);
/// How long a query waits for indexes that are still being loaded, before it is answered from what
/// there is.
const LOADING_WAIT: Duration = Duration::from_secs(1);

/// Searches.
///
/// # Errors
/// Unprocessable, naming the parameter; unknown where there is no such collection.
pub(crate) async fn query(library: Arc<Library>, query: Query, cx: Cx) -> Result<Results, Fault> {
    limits::check_query(&query)?;
    let collections = library.asked(&query.collections).await?;
    let loading = async {
        for collection in &collections {
            collection.ready().await;
        }
    };
    // Late indexes are searched as they are; the answer says so.
    let _ = timeout(LOADING_WAIT, loading).await;
    let embedder = Embedder::new(library.embed.within(&cx));
    let vector = match query.mode {
        Mode::Lexical => None,
        _ => library.question_vector(&query.query, &embedder).await,
    };
    let searched = collections.clone();
    let ranking = move || rank(&searched, query, vector);
    let ranking = library.host.run_for(&cx, ranking).await??;
    if ranking.degraded {
        // What is missing may be there to be had by now.
        library.wake.notify_one();
    }
    let found = ranking.found.len();
    let results = library.fetch(&collections, ranking.found).await?;
    // A chunk that is gone may have a successor that the index lacked.
    let degraded = ranking.degraded || results.len() < found;
    Ok(Results {
        results,
        revision: ranking.revision.cast_unsigned(),
        degraded,
        tokens: embedder.tokens(),
    })
}

struct Ranking {
    found: Vec<Found>,
    revision: i64,
    degraded: bool,
}

fn rank(
    collections: &[Arc<Collection>],
    query: Query,
    vector: Option<(String, Vec<f32>)>,
) -> Result<Ranking, Fault> {
    let indexes: Vec<_> = collections
        .iter()
        .map(|collection| collection.index())
        .collect();
    let indexes: Vec<_> = indexes.iter().map(|index| &**index).collect();
    let wants_vectors = query.mode != Mode::Lexical;
    let has_leg = |model: Option<&str>| vector.as_ref().map(|(hash, _)| hash.as_str()) == model;
    let degraded = collections.iter().zip(&indexes).any(|(collection, index)| {
        let model = index.model.as_ref().map(|model| model.hash.as_str());
        let no_leg = wants_vectors && index.catalog.live_chunks() > 0 && !has_leg(model);
        no_leg || collection.is_behind(index, wants_vectors)
    });
    let question = Question {
        terms: Analyzer::default().count_query(&query.query),
        says_something: Analyzer::says_something(&query.query),
        vector,
        filter: query.filter,
        mode: query.mode,
        group: query.group,
        top_k: usize::try_from(query.top_k).unwrap_or(usize::MAX),
        explain: query.explain,
    };
    let found = search(&indexes, &question);
    let found = found.map_err(|error| Fault::internal(format!("the search failed: {error}")))?;
    let revision = indexes.iter().map(|index| index.revision).sum();
    Ok(Ranking {
        found,
        revision,
        degraded,
    })
}

impl Library {
    /// The collections of these names, each once and by name; all where none is named.
    async fn asked(&self, names: &[String]) -> Result<Vec<Arc<Collection>>, Fault> {
        if names.is_empty() {
            return self.collections().await;
        }
        let names: std::collections::BTreeSet<_> = names.iter().collect();
        let mut asked = Vec::with_capacity(names.len());
        for name in names {
            asked.push(self.collection(name).await?);
        }
        Ok(asked)
    }

    /// The question's vector with the hash of its model, unless nobody can make it.
    async fn question_vector(
        &self,
        question: &str,
        embedder: &Embedder,
    ) -> Option<(String, Vec<f32>)> {
        let asked = timeout(
            VECTOR_WAIT,
            self.vectors(vec![question.to_owned()], embedder),
        );
        match asked.await {
            Ok(Ok((model, vectors))) => Some((model.hash, vectors.into_iter().next()?)),
            Ok(Err(fault)) => {
                log::debug!("searching by words alone: {fault}");
                None
            }
            Err(_) => {
                log::warn!("searching by words alone: no vector within {VECTOR_WAIT:?}");
                None
            }
        }
    }

    /// Turns ranked chunks into results; those deleted meanwhile are left out.
    async fn fetch(
        &self,
        collections: &[Arc<Collection>],
        found: Vec<Found>,
    ) -> Result<Vec<Hit>, Fault> {
        let ids: Vec<i64> = found.iter().map(|found| found.chunk).collect();
        let rows = self
            .store
            .read(move |conn| Ok(rows::chunks(conn, &ids)?))
            .await?;
        let mut rows: HashMap<i64, _> = rows.into_iter().map(|row| (row.id, row)).collect();
        let hits = found.into_iter().filter_map(|found| {
            let collection = collections.get(found.source)?;
            let chunk = rows.remove(&found.chunk)?;
            Some(hit(&collection.name, found, chunk))
        });
        Ok(hits.collect())
    }
}

fn hit(collection: &str, found: Found, chunk: ChunkRow) -> Hit {
    Hit {
        collection: collection.to_owned(),
        chunk_id: format!("{}#{}", chunk.external_id, chunk.ordinal),
        score: found.score,
        text: chunk.text(),
        start: chunk.start_byte.cast_unsigned(),
        end: chunk.end_byte.cast_unsigned(),
        document_id: chunk.external_id,
        title: chunk.title,
        metadata: parse_metadata(&chunk.metadata),
        lexical_rank: found.lexical_rank,
        vector_rank: found.vector_rank,
        cosine: found.cosine,
        coverage: found.coverage,
        explanation: found.explanation,
    }
}

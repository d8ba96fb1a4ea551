//! The background task of one life: opens collections, embeds what lacks vectors, persists.

use std::{ops::Bound, sync::Arc, time::Duration};

use messages::fault::Fault;
use tokio::time::{sleep, timeout};

use crate::{
    collection::Collection, embedder::Embedder, guide::GuideDocument, index::Index,
    library::Library, rows,
};

/// The first wait after an embedder that did not answer; it doubles with each further one.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// The longest wait.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// Chunks embedded in one collection before the next one's turn: few enough to persist in time.
const CHUNKS_A_TURN: usize = 512;

/// Works until the life ends. It is woken by writes, and by queries that found the embedder back.
pub(crate) async fn keep(library: Arc<Library>, guide: Vec<GuideDocument>) {
    library.open_all().await;
    library.tell_memory().await;
    if let Err(fault) = library.sync_guide(guide).await {
        log::warn!("the guide could not be indexed: {fault}");
    }
    let mut failures = 0;
    loop {
        let embedded = library.embed_all().await;
        library.tell_memory().await;
        match embedded {
            Ok(()) => {
                failures = 0;
                library.wake.notified().await;
            }
            Err(fault) => {
                if failures == 0 {
                    log::info!("some chunks are searched by their words alone for now: {fault}");
                }
                failures += 1;
                sleep(FIRST_WAIT).await;
                // Woken or not, the next attempt is then due.
                let rest = wait_after(failures).saturating_sub(FIRST_WAIT);
                let _ = timeout(rest, library.wake.notified()).await;
            }
        }
    }
}

fn wait_after(failures: u32) -> Duration {
    let doubled = 2_u32.saturating_pow(failures.saturating_sub(1));
    FIRST_WAIT.saturating_mul(doubled).min(LONGEST_WAIT)
}

impl Library {
    /// Loads all indexes and replays what they missed.
    async fn open_all(&self) {
        let collections = match self.collections().await {
            Ok(collections) => collections,
            Err(fault) => return log::error!("the collections cannot be read: {fault}"),
        };
        for collection in collections {
            match collection.catch_up(&self.host, &self.store).await {
                Ok(()) => log::debug!("collection {} is open", collection.name),
                Err(fault) => {
                    log::error!("collection {} cannot be searched: {fault}", collection.name)
                }
            }
        }
    }

    /// Embeds whatever lacks a vector of the model that embedded last, by turns, and persists what
    /// has become worth it after each.
    async fn embed_all(&self) -> Result<(), Fault> {
        let mut outcome = Ok(());
        let all = self.collections().await?;
        let mut pending: Vec<_> = all.into_iter().map(|collection| (collection, 0)).collect();
        while !pending.is_empty() {
            let mut rest = Vec::new();
            for (collection, after) in pending {
                match self.embed_some(&collection, after).await {
                    Ok(Some(last)) => rest.push((collection, last)),
                    Ok(None) => (),
                    Err(fault) => outcome = Err(fault),
                }
            }
            self.persist_all().await;
            self.tell_memory().await;
            pending = rest;
        }
        outcome
    }

    /// Embeds the next chunks after one; answers the last, or nothing at the end.
    async fn embed_some(
        &self,
        collection: &Arc<Collection>,
        after: i64,
    ) -> Result<Option<i64>, Fault> {
        let look = |collection: &Collection, index: &Index| {
            (
                collection.is_behind(index, false),
                index.catalog.live_chunks() > 0,
            )
        };
        let (behind, holds_chunks) = collection.look(&self.host, look).await?;
        if behind {
            collection.catch_up(&self.host, &self.store).await?;
        }
        if let Some(model) = self.last_model().filter(|_| holds_chunks) {
            self.adopt(collection, &model).await?;
        }
        let lacking = move |_: &Collection, index: &Index| {
            let later = (Bound::Excluded(after), Bound::Unbounded);
            let chunks = index.lacking.range(later).take(CHUNKS_A_TURN);
            chunks.copied().collect()
        };
        let lacking: Vec<i64> = collection.look(&self.host, lacking).await?;
        let last = lacking.last().copied();
        let embedder = Embedder::new(self.embed.clone());
        self.embed(collection, lacking, &embedder).await?;
        Ok(last)
    }

    async fn persist_all(&self) {
        for collection in self.opened() {
            if let Err(fault) = self.persist(&collection).await {
                log::warn!(
                    "the index of collection {} was not persisted: {fault}",
                    collection.name
                );
            }
        }
    }

    async fn persist(&self, collection: &Arc<Collection>) -> Result<(), Fault> {
        if !collection
            .look(&self.host, |_, index| index.is_worth_persisting())
            .await?
        {
            return Ok(());
        }
        let id = collection.id;
        if let Some(reached) = collection.persist_aside(&self.host).await? {
            let prune = move |conn: &mut _| Ok(rows::prune_deletions(conn, id, reached)?);
            self.store.write(prune).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_limit() {
        let waits: Vec<_> = (1..=6)
            .map(|failures| wait_after(failures).as_secs())
            .collect();
        assert_eq!(waits, [1, 2, 4, 8, 10, 10]);
        assert_eq!(wait_after(u32::MAX), LONGEST_WAIT);
    }
}

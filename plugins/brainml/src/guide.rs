//! The product's own guide as a collection, so that the first question gets an answer.

use std::collections::BTreeSet;

use messages::{brainml::Document, fault::Fault};
use serde_json::{Map, Value};

use crate::{
    analyzer::Analyzer,
    changes::parse_metadata,
    library::Library,
    rows,
    upsert::{Prepared, upsert},
};

/// The collection that holds the guide.
const COLLECTION: &str = "bkg";
/// The metadata key that tells the guide's documents from those that people put beside them.
const MARK: &str = "guide";

/// One page of the product's guide.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuideDocument {
    /// Its id in the collection.
    pub id: String,
    /// Its title.
    pub title: String,
    /// Its text, as Markdown.
    pub text: String,
}

impl From<GuideDocument> for Document {
    fn from(page: GuideDocument) -> Self {
        let metadata = Map::from_iter([(MARK.to_owned(), Value::Bool(true))]);
        Self {
            id: page.id,
            title: Some(page.title),
            text: page.text,
            metadata,
        }
    }
}

impl Library {
    /// Makes the guide's collection at the first start, and brings it to this binary's guide at
    /// every later one. A collection that has been deleted stays deleted, and what people put
    /// beside the guide stays there.
    ///
    /// # Errors
    /// What the store says.
    pub(crate) async fn sync_guide(&self, guide: Vec<GuideDocument>) -> Result<(), Fault> {
        let sizes = self.sizes;
        let prepare = move || {
            let pages = guide.into_iter().map(|page| {
                Analyzer::default().count([page.title.as_str(), page.text.as_str()]);
                (page.id.clone(), Prepared::new(page.into(), sizes))
            });
            pages.unzip::<_, _, BTreeSet<_>, Vec<_>>()
        };
        let (ids, pages) = self.host.run(prepare).await?;
        let sync = move |conn: &mut _| {
            let first = rows::claim_guide(conn, COLLECTION)?;
            if !first
                && !rows::collections(conn)?
                    .iter()
                    .any(|row| row.name == COLLECTION)
            {
                return Ok(None);
            }
            let row = rows::create_collection(conn, COLLECTION)?;
            for (id, metadata) in rows::metadata(conn, row.id)? {
                if !ids.contains(&id) && parse_metadata(&metadata).contains_key(MARK) {
                    rows::delete_document(conn, row.id, &id)?;
                }
            }
            upsert(conn, row.id, &pages)?;
            Ok(Some(row))
        };
        if let Some(row) = self.store.write(sync).await? {
            let collection = self.shelve(&row).await?;
            collection.catch_up(&self.host, &self.store).await?;
        }
        Ok(())
    }
}

//! Conversations: each user's own, kept as rows. What belongs to someone else is not there, also
//! for an admin.

mod draft;
mod export;
mod list;
mod rows;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use messages::{
    call::Cx,
    fault::Fault,
    host::Host,
    llmserver::{
        Conversation, ConversationDraft, ConversationExport, ConversationPage, CreateConversation,
        DeleteConversation, ExportConversation, GetConversation, ListConversations,
        UpdateConversation,
    },
};
use store::Store;
use tokio::sync::Semaphore;

use self::draft::Prepared;

/// Searches that read texts at the same time. The store has few readers, and a search may take all
/// the time that a thousand long conversations take.
const SEARCHES: usize = 2;

/// Keeps conversations.
#[derive(Debug, Clone)]
pub(crate) struct Conversations {
    host: Host,
    store: Store,
    searches: Arc<Semaphore>,
}

impl Conversations {
    pub(crate) fn new(host: &Host, store: Store) -> Self {
        Self {
            host: host.clone(),
            store,
            searches: Arc::new(Semaphore::new(SEARCHES)),
        }
    }

    /// Keeps a new conversation.
    ///
    /// # Errors
    /// Unprocessable where it breaks a bound; conflict where the user has too many.
    pub(crate) async fn create(
        self,
        request: CreateConversation,
        cx: Cx,
    ) -> Result<Conversation, Fault> {
        if request.draft.revision.is_some() {
            let rule = "a new conversation has no revision; PUT replaces one that is there";
            return Err(Fault::unprocessable(rule).with_param("revision"));
        }
        let prepared = self.prepare(request.draft, &cx).await?;
        let owner = cx.caller().user.clone();
        let write = move |conn: &mut _| rows::insert(conn, &owner, prepared);
        Ok(self.store.write(write).await?)
    }

    /// Replaces a conversation, where it is still the one that was read.
    ///
    /// # Errors
    /// Unknown where the user has none of this id; conflict where it has changed meanwhile;
    /// unprocessable where it breaks a bound.
    pub(crate) async fn update(
        self,
        request: UpdateConversation,
        cx: Cx,
    ) -> Result<Conversation, Fault> {
        let read = request.draft.revision.ok_or_else(|| {
            let rule = "name the revision that was read and is to be replaced";
            Fault::unprocessable(rule).with_param("revision")
        })?;
        let prepared = self.prepare(request.draft, &cx).await?;
        let (owner, id) = (cx.caller().user.clone(), request.id);
        let write = move |conn: &mut _| rows::replace(conn, &owner, &id, read, prepared);
        Ok(self.store.write(write).await?)
    }

    async fn prepare(&self, draft: ConversationDraft, cx: &Cx) -> Result<Prepared, Fault> {
        self.host.run_for(cx, move || Prepared::new(draft)).await?
    }

    /// Reads a conversation.
    ///
    /// # Errors
    /// Unknown where the user has none of this id.
    pub(crate) async fn get(self, request: GetConversation, cx: Cx) -> Result<Conversation, Fault> {
        self.read(request.id, &cx).await
    }

    async fn read(&self, id: String, cx: &Cx) -> Result<Conversation, Fault> {
        let owner = cx.caller().user.clone();
        let read = move |conn: &mut _| rows::read(conn, &owner, &id);
        Ok(self.store.read(read).await?)
    }

    /// Deletes a conversation.
    ///
    /// # Errors
    /// Unknown where the user has none of this id.
    pub(crate) async fn delete(self, request: DeleteConversation, cx: Cx) -> Result<(), Fault> {
        let owner = cx.caller().user.clone();
        let delete = move |conn: &mut _| rows::delete(conn, &owner, &request.id);
        Ok(self.store.write(delete).await?)
    }

    /// Lists conversations, or those that hold a text.
    ///
    /// # Errors
    /// Unprocessable where the request breaks a bound.
    pub(crate) async fn list(
        self,
        request: ListConversations,
        cx: Cx,
    ) -> Result<ConversationPage, Fault> {
        let wish = list::Wish::new(cx.caller().user.clone(), request)?;
        if !wish.is_search() {
            return Ok(self.store.read(move |conn| wish.load(conn)).await?);
        }
        let turn = self.searches.acquire_owned().await;
        let turn = turn.map_err(|closed| Fault::internal(closed.to_string()))?;
        let search = move |conn: &mut _| {
            // A search cannot be broken off, so it keeps its turn to the end.
            let _turn = turn;
            wish.load(conn)
        };
        Ok(self.store.read(search).await?)
    }

    /// Writes a conversation as a file.
    ///
    /// # Errors
    /// Unknown where the user has none of this id.
    pub(crate) async fn export(
        self,
        request: ExportConversation,
        cx: Cx,
    ) -> Result<ConversationExport, Fault> {
        let conversation = self.read(request.id, &cx).await?;
        let write = move || export::write(&conversation, request.format);
        self.host.run_for(&cx, write).await?
    }
}

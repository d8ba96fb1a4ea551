//! Conversations as rows: written whole, where they are still what was read.

use diesel::{dsl::sql, prelude::*, sql_types::BigInt, sqlite::SqliteConnection};
use jiff::Timestamp;
use messages::{
    fault::Fault,
    llmserver::{Conversation, ConversationMessage},
};
use rand::distr::{Alphanumeric, SampleString};
use serde::de::DeserializeOwned;
use store::StoreError;

use super::draft::{Head, Prepared};
use crate::schema::{llmserver_conversations, llmserver_messages};

/// Conversations of one user.
const MOST: i64 = 10_000;
/// Bytes of all conversations of one user, each counted as JSON: 1 GiB.
const MOST_BYTES: i64 = 1 << 30;
/// Letters and digits of an id: 119 bits.
const ID_LETTERS: usize = 20;

#[derive(Queryable, Selectable)]
#[diesel(table_name = llmserver_conversations)]
struct ConversationRow {
    id: String,
    revision: i64,
    title: String,
    model: Option<String>,
    head: String,
    created_at: i64,
    updated_at: i64,
}

/// What is kept of one message.
#[derive(Queryable, Selectable)]
#[diesel(table_name = llmserver_messages)]
struct MessageRow {
    content: String,
    rest: String,
}

/// Keeps a new conversation of `owner`'s.
pub(super) fn insert(
    conn: &mut SqliteConnection,
    owner: &str,
    prepared: Prepared,
) -> Result<Conversation, StoreError> {
    let kept = Kept::of(conn, owner)?;
    if kept.conversations >= MOST {
        let full = format!("you keep {MOST} conversations already; delete some first");
        return Err(Fault::conflict(full)
            .with_code("too_many_conversations")
            .into());
    }
    kept.check(0, prepared.bytes)?;
    let id = format!(
        "conv_{}",
        Alphanumeric.sample_string(&mut rand::rng(), ID_LETTERS)
    );
    let now = tick(conn, owner)?;
    use llmserver_conversations::dsl;
    diesel::insert_into(dsl::llmserver_conversations)
        .values((
            dsl::id.eq(&id),
            dsl::owner.eq(owner),
            dsl::revision.eq(1),
            dsl::title.eq(&prepared.title),
            dsl::folded_title.eq(&prepared.folded_title),
            dsl::model.eq(&prepared.draft.model),
            dsl::head.eq(&prepared.head),
            dsl::message_count.eq(count(prepared.messages.len())),
            dsl::byte_count.eq(prepared.bytes),
            dsl::created_at.eq(now),
            dsl::updated_at.eq(now),
        ))
        .execute(conn)?;
    insert_messages(conn, &id, &prepared, 0)?;
    told(id, 1, prepared, now, now)
}

/// Replaces a conversation of `owner`'s whose revision is `read`.
pub(super) fn replace(
    conn: &mut SqliteConnection,
    owner: &str,
    id: &str,
    read: u64,
    prepared: Prepared,
) -> Result<Conversation, StoreError> {
    use llmserver_conversations::dsl;
    let found: Option<(i64, i64, i64)> = dsl::llmserver_conversations
        .filter(dsl::id.eq(id).and(dsl::owner.eq(owner)))
        .select((dsl::revision, dsl::byte_count, dsl::created_at))
        .first(conn)
        .optional()?;
    let (revision, before, created) = found.ok_or_else(|| unknown(id))?;
    if revision.cast_unsigned() != read {
        let changed = format!(
            "the conversation has changed meanwhile: its revision is {revision}, not {read}; \
             read it again and make the change there"
        );
        return Err(Fault::conflict(changed)
            .with_param("revision")
            .with_code("revision_conflict")
            .into());
    }
    Kept::of(conn, owner)?.check(before, prepared.bytes)?;
    let (revision, now) = (revision + 1, tick(conn, owner)?);
    diesel::update(dsl::llmserver_conversations.find(id))
        .set((
            dsl::revision.eq(revision),
            dsl::title.eq(&prepared.title),
            dsl::folded_title.eq(&prepared.folded_title),
            dsl::model.eq(&prepared.draft.model),
            dsl::head.eq(&prepared.head),
            dsl::message_count.eq(count(prepared.messages.len())),
            dsl::byte_count.eq(prepared.bytes),
            dsl::updated_at.eq(now),
        ))
        .execute(conn)?;
    replace_messages(conn, id, &prepared)?;
    told(id.to_owned(), revision, prepared, created, now)
}

/// Mostly a conversation grows at its end: what comes before stays as it is.
fn replace_messages(
    conn: &mut SqliteConnection,
    id: &str,
    prepared: &Prepared,
) -> Result<(), StoreError> {
    let before = messages(conn, id)?;
    let drafts = prepared.draft.messages.iter().zip(&prepared.messages);
    let same = before.iter().zip(drafts);
    let same =
        same.take_while(|(old, (draft, new))| old.content == draft.content && old.rest == new.rest);
    let same = same.count();
    use llmserver_messages::dsl;
    let changed = dsl::conversation_id
        .eq(id)
        .and(dsl::ordinal.ge(count(same)));
    diesel::delete(dsl::llmserver_messages.filter(changed)).execute(conn)?;
    insert_messages(conn, id, prepared, same)
}

/// Writes the messages after the first `skip`.
fn insert_messages(
    conn: &mut SqliteConnection,
    id: &str,
    prepared: &Prepared,
    skip: usize,
) -> Result<(), StoreError> {
    use llmserver_messages::dsl;
    let drafts = prepared.draft.messages.iter().zip(&prepared.messages);
    for (ordinal, (draft, message)) in drafts.enumerate().skip(skip) {
        diesel::insert_into(dsl::llmserver_messages)
            .values((
                dsl::conversation_id.eq(id),
                dsl::ordinal.eq(count(ordinal)),
                dsl::role.eq(&message.role),
                dsl::content.eq(&draft.content),
                dsl::folded.eq(&message.folded),
                dsl::rest.eq(&message.rest),
            ))
            .execute(conn)?;
    }
    Ok(())
}

/// The conversation `id` of `owner`'s.
pub(super) fn read(
    conn: &mut SqliteConnection,
    owner: &str,
    id: &str,
) -> Result<Conversation, StoreError> {
    conn.transaction(|conn| {
        use llmserver_conversations::dsl;
        let row: Option<ConversationRow> = dsl::llmserver_conversations
            .filter(dsl::id.eq(id).and(dsl::owner.eq(owner)))
            .select(ConversationRow::as_select())
            .first(conn)
            .optional()?;
        let row = row.ok_or_else(|| unknown(id))?;
        let head: Head = parse(&row.head)?;
        let rows = messages(conn, id)?.into_iter();
        Ok(Conversation {
            id: row.id,
            revision: row.revision.cast_unsigned(),
            title: row.title,
            model: row.model,
            system: head.system,
            settings: head.settings,
            collections: head.collections,
            messages: rows.map(MessageRow::told).collect::<Result<_, _>>()?,
            created_at: moment(row.created_at)?,
            updated_at: moment(row.updated_at)?,
        })
    })
}

/// Deletes the conversation `id` of `owner`'s.
pub(super) fn delete(conn: &mut SqliteConnection, owner: &str, id: &str) -> Result<(), StoreError> {
    use llmserver_conversations::dsl;
    let his = dsl::id.eq(id).and(dsl::owner.eq(owner));
    let gone = diesel::delete(dsl::llmserver_conversations.filter(his)).execute(conn)?;
    match gone {
        0 => Err(unknown(id).into()),
        _ => Ok(()),
    }
}

fn messages(conn: &mut SqliteConnection, id: &str) -> QueryResult<Vec<MessageRow>> {
    use llmserver_messages::dsl;
    dsl::llmserver_messages
        .filter(dsl::conversation_id.eq(id))
        .order(dsl::ordinal)
        .select(MessageRow::as_select())
        .load(conn)
}

impl MessageRow {
    fn told(self) -> Result<ConversationMessage, StoreError> {
        let rest: ConversationMessage = parse(&self.rest)?;
        Ok(ConversationMessage {
            content: self.content,
            ..rest
        })
    }
}

/// What one user keeps.
struct Kept {
    conversations: i64,
    bytes: i64,
}

impl Kept {
    fn of(conn: &mut SqliteConnection, owner: &str) -> QueryResult<Self> {
        use llmserver_conversations::dsl;
        let (conversations, bytes) = dsl::llmserver_conversations
            .filter(dsl::owner.eq(owner))
            .select((
                diesel::dsl::count_star(),
                sql::<BigInt>("CAST(COALESCE(SUM(byte_count), 0) AS BIGINT)"),
            ))
            .first(conn)?;
        Ok(Self {
            conversations,
            bytes,
        })
    }

    /// Whether `new` bytes may take the place of `old` ones. What makes less of it is let through.
    fn check(&self, old: i64, new: i64) -> Result<(), Fault> {
        if new <= old || self.bytes - old + new <= MOST_BYTES {
            return Ok(());
        }
        let full = format!(
            "your conversations would have more than {MOST_BYTES} bytes together; \
             delete some first"
        );
        Err(Fault::conflict(full).with_code("conversations_too_large"))
    }
}

/// Now, and later than every change of `owner`'s so far: his list is in the order of the changes,
/// also of those within a millisecond and after a clock was set back.
fn tick(conn: &mut SqliteConnection, owner: &str) -> QueryResult<i64> {
    use llmserver_conversations::dsl;
    let last: Option<i64> = dsl::llmserver_conversations
        .filter(dsl::owner.eq(owner))
        .select(diesel::dsl::max(dsl::updated_at))
        .first(conn)?;
    let now = Timestamp::now().as_millisecond();
    Ok(last.map_or(now, |last| now.max(last + 1)))
}

fn told(
    id: String,
    revision: i64,
    prepared: Prepared,
    created: i64,
    updated: i64,
) -> Result<Conversation, StoreError> {
    let draft = prepared.draft;
    Ok(Conversation {
        id,
        revision: revision.cast_unsigned(),
        title: prepared.title,
        model: draft.model,
        system: draft.system,
        settings: draft.settings,
        collections: draft.collections,
        messages: draft.messages,
        created_at: moment(created)?,
        updated_at: moment(updated)?,
    })
}

/// The instant of Unix milliseconds.
pub(super) fn moment(millis: i64) -> Result<Timestamp, StoreError> {
    let instant = Timestamp::from_millisecond(millis);
    instant.map_err(|error| damaged(error.to_string()))
}

fn parse<T: DeserializeOwned>(json: &str) -> Result<T, StoreError> {
    serde_json::from_str(json).map_err(|error| damaged(error.to_string()))
}

fn damaged(what: String) -> StoreError {
    Fault::internal(format!("a conversation cannot be read: {what}")).into()
}

fn count(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn unknown(id: &str) -> Fault {
    Fault::unknown(format!("you have no conversation `{id}`"))
        .with_param("id")
        .with_code("conversation_not_found")
}

//! The list of a user's conversations, the last changed first, and the search in it.

use diesel::{
    dsl::exists,
    prelude::*,
    sql_types::{BigInt, Text},
    sqlite::{Sqlite, SqliteConnection},
};
use messages::{
    fault::Fault,
    llmserver::{ConversationEntry, ConversationPage, ListConversations},
};
use store::StoreError;

use super::{
    draft::{fold, one_line},
    rows::moment,
};
use crate::schema::{llmserver_conversations, llmserver_messages};

#[diesel::declare_sql_function]
extern "SQL" {
    /// The place of `part` in `text`, in letters from 1; 0 where it is not there. It is no pattern,
    /// so nothing in it is a wildcard (PostgreSQL: strpos).
    fn instr(text: Text, part: Text) -> BigInt;

    /// So many letters of `text` from a place on.
    fn substr(text: Text, place: BigInt, letters: BigInt) -> Text;
}

/// Conversations of one part of a list.
const MOST_LISTED: u32 = 200;
/// Bytes of what is searched for.
const LONGEST_QUERY: usize = 200;
/// Characters of an excerpt, and how many of them come before what was found.
const EXCERPT: i64 = 160;
const EXCERPT_BEFORE: i64 = 60;

/// What part of whose list is asked for.
#[derive(Debug)]
pub(super) struct Wish {
    owner: String,
    limit: usize,
    /// The place after which the list goes on.
    before: Option<(i64, String)>,
    /// What is searched for, folded.
    needle: Option<String>,
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = llmserver_conversations)]
struct EntryRow {
    id: String,
    title: String,
    model: Option<String>,
    message_count: i64,
    created_at: i64,
    updated_at: i64,
}

impl Wish {
    /// Checks a request.
    ///
    /// # Errors
    /// Unprocessable, naming the parameter.
    pub(super) fn new(owner: String, request: ListConversations) -> Result<Self, Fault> {
        let limit = request.limit;
        let wrong = |param: &str, rule: String| Fault::unprocessable(rule).with_param(param);
        if !(1..=MOST_LISTED).contains(&limit) {
            let rule = format!("limit must be 1 to {MOST_LISTED}, not {limit}");
            return Err(wrong("limit", rule));
        }
        let needle = request.query.map(|query| fold(&query).trim().to_owned());
        let length = needle.as_ref().map_or(0, String::len);
        if length > LONGEST_QUERY {
            let rule = format!("the query has {length} bytes; {LONGEST_QUERY} are allowed");
            return Err(wrong("query", rule));
        }
        let before = request.before.map(|cursor| {
            place(&cursor).ok_or_else(|| {
                let rule = "before must be the `next` of an earlier part of the list";
                wrong("before", rule.to_owned())
            })
        });
        Ok(Self {
            owner,
            limit: usize::try_from(limit).unwrap_or(usize::MAX),
            before: before.transpose()?,
            needle: needle.filter(|needle| !needle.is_empty()),
        })
    }

    /// Whether texts have to be read.
    pub(super) fn is_search(&self) -> bool {
        self.needle.is_some()
    }

    /// Loads this part of the list.
    ///
    /// # Errors
    /// What the store says.
    pub(super) fn load(&self, conn: &mut SqliteConnection) -> Result<ConversationPage, StoreError> {
        conn.transaction(|conn| {
            let mut rows = self.rows(conn)?;
            // One more than was asked for tells whether the list goes on.
            let more = rows.len() > self.limit;
            rows.truncate(self.limit);
            let last = rows.last().map(|row| cursor(row.updated_at, &row.id));
            let entries = rows.into_iter().map(|row| self.entry(conn, row));
            Ok(ConversationPage {
                conversations: entries.collect::<Result<_, StoreError>>()?,
                next: last.filter(|_| more),
            })
        })
    }

    fn rows(&self, conn: &mut SqliteConnection) -> QueryResult<Vec<EntryRow>> {
        use llmserver_conversations::dsl;
        let mut query = dsl::llmserver_conversations
            .filter(dsl::owner.eq(&self.owner))
            .into_boxed::<Sqlite>();
        if let Some((updated, id)) = &self.before {
            let earlier = dsl::updated_at.lt(*updated);
            let beside = dsl::updated_at.eq(*updated).and(dsl::id.lt(id));
            query = query.filter(earlier.or(beside));
        }
        if let Some(needle) = &self.needle {
            let said = llmserver_messages::table
                .filter(llmserver_messages::conversation_id.eq(dsl::id))
                .filter(instr(llmserver_messages::folded, needle).gt(0));
            let titled = instr(dsl::folded_title, needle).gt(0);
            query = query.filter(titled.or(exists(said)));
        }
        query
            .order((dsl::updated_at.desc(), dsl::id.desc()))
            .limit(i64::try_from(self.limit).unwrap_or(i64::MAX - 1) + 1)
            .select(EntryRow::as_select())
            .load(conn)
    }

    fn entry(
        &self,
        conn: &mut SqliteConnection,
        row: EntryRow,
    ) -> Result<ConversationEntry, StoreError> {
        let needle = self.needle.as_deref();
        let excerpt = needle.map(|needle| excerpt(conn, &row.id, needle));
        Ok(ConversationEntry {
            excerpt: excerpt.transpose()?.flatten(),
            id: row.id,
            title: row.title,
            model: row.model,
            messages: row.message_count.cast_unsigned(),
            created_at: moment(row.created_at)?,
            updated_at: moment(row.updated_at)?,
        })
    }
}

/// Where the first message that holds the needle does so.
fn excerpt(
    conn: &mut SqliteConnection,
    id: &str,
    needle: &str,
) -> Result<Option<String>, StoreError> {
    use llmserver_messages::dsl;
    let found: Option<(i64, i64)> = dsl::llmserver_messages
        .filter(dsl::conversation_id.eq(id))
        .filter(instr(dsl::folded, needle).gt(0))
        .order(dsl::ordinal)
        .select((dsl::ordinal, instr(dsl::folded, needle)))
        .first(conn)
        .optional()?;
    let Some((ordinal, place)) = found else {
        return Ok(None);
    };
    // Places count from 1.
    let start = (place - EXCERPT_BEFORE).max(1);
    let part: String = dsl::llmserver_messages
        .find((id, ordinal))
        .select(substr(dsl::content, start, EXCERPT + 1))
        .first(conn)?;
    Ok(Some(shortened(&part, start > 1)))
}

/// The part on one line, with dots where the message goes on.
fn shortened(part: &str, begun: bool) -> String {
    let most = usize::try_from(EXCERPT).unwrap_or(usize::MAX);
    let more = part.chars().count() > most;
    let kept: String = part.chars().take(most).collect();
    let (before, after) = (if begun { "…" } else { "" }, if more { "…" } else { "" });
    format!("{before}{}{after}", one_line(&kept))
}

/// A place in the list, for whoever goes on from there.
fn cursor(updated_at: i64, id: &str) -> String {
    format!("{updated_at}.{id}")
}

fn place(cursor: &str) -> Option<(i64, String)> {
    let (updated_at, id) = cursor.split_once('.')?;
    Some((updated_at.parse().ok()?, id.to_owned()))
}

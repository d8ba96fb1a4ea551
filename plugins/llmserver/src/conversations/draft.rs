//! A conversation on its way in: its bounds, its title, and the rows that it becomes.

use messages::{
    fault::Fault,
    llmserver::{ConversationDraft, ConversationMessage, SampleSettings, Speaker},
};
use serde::{Deserialize, Serialize};

/// Bytes of a conversation as JSON.
const LONGEST: usize = 4 << 20;
/// Messages of a conversation: each is a row.
const MOST_MESSAGES: usize = 10_000;
/// Characters of a title that someone gave.
const LONGEST_TITLE: usize = 200;
/// Characters of a title that is taken from the first message.
const OWN_TITLE: usize = 80;
/// The title of what begins with no word of the user's.
const UNTITLED: &str = "Untitled";

/// A conversation that keeps to the bounds.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) title: String,
    pub(super) folded_title: String,
    pub(super) draft: ConversationDraft,
    /// [`Head`] as JSON.
    pub(super) head: String,
    pub(super) messages: Vec<PreparedMessage>,
    pub(super) bytes: i64,
}

/// A message as it is kept.
#[derive(Debug)]
pub(super) struct PreparedMessage {
    pub(super) role: String,
    pub(super) folded: String,
    /// The rest of the message as JSON, without its content.
    pub(super) rest: String,
}

/// What is kept of a conversation beside its messages and what lists show.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Head {
    pub(super) system: Option<String>,
    pub(super) settings: SampleSettings,
    pub(super) collections: Vec<String>,
}

impl Prepared {
    /// Checks a draft and makes rows of it.
    ///
    /// # Errors
    /// Unprocessable, naming the parameter and the bound.
    pub(super) fn new(draft: ConversationDraft) -> Result<Self, Fault> {
        let bytes = json(&draft)?.len();
        let rule = format!("the conversation has {bytes} bytes as JSON; {LONGEST} are allowed");
        check(bytes <= LONGEST, "messages", rule)?;
        let count = draft.messages.len();
        let rule = format!("the conversation has {count} messages; {MOST_MESSAGES} are allowed");
        check(count <= MOST_MESSAGES, "messages", rule)?;
        let title = title(&draft)?;
        let head = Head {
            system: draft.system.clone(),
            settings: draft.settings,
            collections: draft.collections.clone(),
        };
        let messages = draft.messages.iter().map(PreparedMessage::new);
        Ok(Self {
            folded_title: fold(&title),
            title,
            head: json(&head)?,
            messages: messages.collect::<Result<_, _>>()?,
            bytes: i64::try_from(bytes).unwrap_or(i64::MAX),
            draft,
        })
    }
}

impl PreparedMessage {
    fn new(message: &ConversationMessage) -> Result<Self, Fault> {
        let rest = ConversationMessage {
            content: String::new(),
            ..message.clone()
        };
        Ok(Self {
            role: name(message.role).to_owned(),
            folded: fold(&message.content),
            rest: json(&rest)?,
        })
    }
}

/// The speaker's name in JSON and in rows.
pub(super) fn name(speaker: Speaker) -> &'static str {
    match speaker {
        Speaker::User => "user",
        Speaker::Assistant => "assistant",
        Speaker::System => "system",
    }
}

fn json(value: &impl Serialize) -> Result<String, Fault> {
    let text = serde_json::to_string(value);
    text.map_err(|error| Fault::internal(format!("a conversation cannot be written: {error}")))
}

fn check(holds: bool, param: &str, rule: String) -> Result<(), Fault> {
    match holds {
        true => Ok(()),
        false => Err(Fault::unprocessable(rule).with_param(param)),
    }
}

/// The title that was given, or the beginning of the first thing that the user says.
fn title(draft: &ConversationDraft) -> Result<String, Fault> {
    let given = one_line(draft.title.as_deref().unwrap_or_default());
    let length = given.chars().count();
    let rule = format!("the title has {length} characters; {LONGEST_TITLE} are allowed");
    check(length <= LONGEST_TITLE, "title", rule)?;
    if !given.is_empty() {
        return Ok(given);
    }
    let mut messages = draft.messages.iter();
    let first = messages.find(|message| message.role == Speaker::User);
    // A long message is not read to its end for the sake of its beginning.
    let begin = first.map(|message| message.content.chars().take(8 * OWN_TITLE).collect());
    let begin = one_line(&begin.unwrap_or_else(String::new));
    let own: String = begin.chars().take(OWN_TITLE).collect();
    match own.trim_end() {
        "" => Ok(UNTITLED.to_owned()),
        own => Ok(own.to_owned()),
    }
}

/// The text on one line, without control characters and without white space at its ends.
pub(super) fn one_line(text: &str) -> String {
    let words = text.split(|letter: char| letter.is_whitespace() || letter.is_control());
    let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    words.join(" ")
}

/// The text in lower case, one letter for each, so that places stay the same.
pub(super) fn fold(text: &str) -> String {
    let fold = |letter: char| match letter {
        // SQLite's functions for texts end there.
        '\0' => ' ',
        letter => letter.to_lowercase().next().unwrap_or(letter),
    };
    text.chars().map(fold).collect()
}

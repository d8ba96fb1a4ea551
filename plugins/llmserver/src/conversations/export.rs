//! A conversation as a file, for people or for programs.

use messages::{
    fault::Fault,
    llmserver::{Conversation, ConversationExport, ConversationMessage, ExportFormat, Speaker},
};
use serde_json::Value;

use super::draft::one_line;

/// Characters of a file's name before its ending.
const LONGEST_NAME: usize = 60;

/// Writes a conversation.
///
/// # Errors
/// Internal where it cannot be written as JSON.
pub(super) fn write(
    conversation: &Conversation,
    format: ExportFormat,
) -> Result<ConversationExport, Fault> {
    let (ending, text) = match format {
        ExportFormat::Markdown => ("md", markdown(conversation)),
        ExportFormat::Json => ("json", json(conversation)?),
    };
    Ok(ConversationExport {
        file_name: format!("{}.{ending}", name(&conversation.title)),
        format,
        text,
    })
}

/// The title in letters that mean nothing to any file system or header.
fn name(title: &str) -> String {
    let lower = title.to_lowercase();
    let words = lower.split(|letter: char| !letter.is_ascii_alphanumeric());
    let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    let name: String = words.join("-").chars().take(LONGEST_NAME).collect();
    match name.trim_end_matches('-') {
        "" => "conversation".to_owned(),
        name => name.to_owned(),
    }
}

fn json(conversation: &Conversation) -> Result<String, Fault> {
    let text = serde_json::to_string_pretty(conversation);
    text.map_err(|error| Fault::internal(format!("a conversation cannot be written: {error}")))
}

fn markdown(conversation: &Conversation) -> String {
    let mut parts = vec![format!("# {}", conversation.title)];
    let mut about = Vec::new();
    if let Some(model) = &conversation.model {
        about.push(format!("- Model: {}", code(model)));
    }
    if !conversation.collections.is_empty() {
        let names = conversation.collections.iter().map(|name| code(name));
        about.push(format!(
            "- Collections: {}",
            names.collect::<Vec<_>>().join(", ")
        ));
    }
    about.push(format!("- Begun: {:.0}", conversation.created_at));
    about.push(format!("- Changed: {:.0}", conversation.updated_at));
    parts.push(about.join("\n"));
    if let Some(system) = conversation.system.as_ref().filter(|text| !text.is_empty()) {
        parts.push(format!("## System\n\n{}", system.trim_end()));
    }
    parts.extend(conversation.messages.iter().map(section));
    parts.join("\n\n") + "\n"
}

fn section(message: &ConversationMessage) -> String {
    let speaker = match message.role {
        Speaker::User => "User",
        Speaker::Assistant => "Assistant",
        Speaker::System => "System",
    };
    let model = message.model.as_deref().map(code);
    let model = model.map_or_else(String::new, |model| format!(" ({model})"));
    let content = message.content.trim_end();
    let sources: Vec<String> = message.annotations.iter().filter_map(source).collect();
    match sources.is_empty() {
        true => format!("## {speaker}{model}\n\n{content}"),
        false => format!("## {speaker}{model}\n\n{content}\n\n{}", sources.join("\n")),
    }
}

/// A citation as an item of a list; nothing for annotations of another kind.
fn source(annotation: &Value) -> Option<String> {
    let citation = annotation.get("file_citation")?;
    let text = |field: &str| citation.get(field).and_then(Value::as_str);
    let place = |field: &str| citation.get(field).and_then(Value::as_u64);
    let document = text("document_id").or_else(|| text("file_id"))?;
    let whole = match text("collection") {
        Some(collection) => code(&format!("{collection}/{document}")),
        None => code(document),
    };
    let title = text("title").map(|title| format!(" {}", one_line(title)));
    let bytes = place("start").zip(place("end"));
    let bytes = bytes.map(|(start, end)| format!(", bytes {start} to {end}"));
    Some(format!(
        "- {whole}{}{}",
        title.unwrap_or_default(),
        bytes.unwrap_or_default()
    ))
}

/// A name that no Markdown is read from.
fn code(name: &str) -> String {
    format!("`{}`", one_line(name).replace('`', "'"))
}

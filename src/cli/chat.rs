//! `bkg chat`: asks a model, once or in a conversation; citations follow the answer.

use std::io::{BufRead, IsTerminal};

use clap::Args;
use futures_util::StreamExt;
use serde_json::{Value, json};

use super::{CliError, client::Client, say, write};
use crate::settings::Settings;

#[derive(Debug, Args)]
pub(super) struct Chat {
    /// The question; without one a conversation begins.
    question: Option<String>,
    /// The model to ask.
    #[arg(long, short, default_value = "bkg-extract")]
    model: String,
    /// Collections that the answer may be drawn from; may be given several times.
    #[arg(long, short)]
    collection: Vec<String>,
}

pub(super) async fn run(settings: &Settings, chat: Chat, json: bool) -> Result<(), CliError> {
    let client = Client::connect(settings, &["brainml", "llmserver"]).await?;
    let done = match &chat.question {
        Some(question) => {
            let messages = vec![json!({"role": "user", "content": question})];
            ask(&client, &chat, &messages, json).await.map(drop)
        }
        None => converse(&client, &chat, json).await,
    };
    client.close().await;
    done
}

async fn converse(client: &Client, chat: &Chat, json: bool) -> Result<(), CliError> {
    let mut messages = Vec::new();
    let people = std::io::stdin().is_terminal();
    loop {
        if people {
            write("> ")?;
        }
        let mut line = String::new();
        let read = std::io::stdin().lock().read_line(&mut line);
        let read = read.map_err(|error| CliError::Io {
            what: "reading the question".to_owned(),
            error,
        })?;
        if read == 0 {
            return Ok(());
        }
        if line.trim().is_empty() {
            continue;
        }
        messages.push(json!({"role": "user", "content": line.trim()}));
        let answer = ask(client, chat, &messages, json).await?;
        messages.push(json!({"role": "assistant", "content": answer}));
    }
}

/// Asks and prints the answer as it comes; answers its text.
async fn ask(
    client: &Client,
    chat: &Chat,
    messages: &[Value],
    json: bool,
) -> Result<String, CliError> {
    let mut body = json!({"model": chat.model, "messages": messages, "stream": !json});
    if let (false, Some(body)) = (chat.collection.is_empty(), body.as_object_mut()) {
        body.insert(
            "retrieval".to_owned(),
            json!({"collections": chat.collection}),
        );
    }
    if json {
        let answer: Value = client.post("/v1/chat/completions", &body).await?;
        say(&answer)?;
        let text = answer.pointer("/choices/0/message/content");
        return Ok(text.and_then(Value::as_str).unwrap_or_default().to_owned());
    }
    let mut events = Box::pin(client.events("/v1/chat/completions", &body).await?);
    let (mut text, mut citations) = (String::new(), Vec::new());
    while let Some(chunk) = events.next().await {
        let chunk = chunk?;
        let Some(delta) = chunk.pointer("/choices/0/delta") else {
            continue;
        };
        if let Some(piece) = delta.get("content").and_then(Value::as_str) {
            write(piece)?;
            text.push_str(piece);
        }
        let annotations = delta.get("annotations").and_then(Value::as_array);
        citations.extend(annotations.into_iter().flatten().cloned());
    }
    say("")?;
    for citation in &citations {
        cite(citation)?;
    }
    Ok(text)
}

fn cite(citation: &Value) -> Result<(), CliError> {
    let part = |name: &str| {
        let value = citation.pointer(&format!("/file_citation/{name}"));
        let text = |value: &Value| {
            value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned)
        };
        value
            .filter(|value| !value.is_null())
            .map(text)
            .unwrap_or_default()
    };
    say(format_args!(
        "  [{}/{} {}..{}] {}",
        part("collection"),
        part("document_id"),
        part("start"),
        part("end"),
        part("title")
    ))
}

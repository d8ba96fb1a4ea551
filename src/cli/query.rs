//! `bkg query`: searches a collection.

use clap::Args;
use messages::brainml::{Hit, Results};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    CliError,
    client::{Client, segment},
    say,
};
use crate::settings::Settings;

#[derive(Debug, Args)]
pub(super) struct Query {
    /// What to look for.
    query: String,
    /// The collection to search.
    #[arg(long, short, default_value = "default")]
    collection: String,
    /// How many results.
    #[arg(long, short = 'k', default_value_t = 5)]
    top_k: u32,
    /// hybrid, lexical or vector.
    #[arg(long, default_value = "hybrid")]
    mode: String,
    /// Each document once, by its best chunk.
    #[arg(long)]
    by_document: bool,
    /// Shows how each score came about.
    #[arg(long)]
    explain: bool,
}

pub(super) async fn run(settings: &Settings, query: Query, json: bool) -> Result<(), CliError> {
    let client = Client::connect(settings, &["brainml", "llmserver"]).await?;
    let done = search(&client, &query, json).await;
    client.close().await;
    done
}

async fn search(client: &Client, query: &Query, json: bool) -> Result<(), CliError> {
    let path = format!("/brainml/collections/{}/query", segment(&query.collection));
    let group = if query.by_document {
        "document"
    } else {
        "chunk"
    };
    let body = json!({
        "query": query.query, "top_k": query.top_k, "mode": query.mode, "group": group,
        "explain": query.explain,
    });
    let answer: Value = client.post(&path, &body).await?;
    if json {
        return say(answer);
    }
    let found =
        Results::deserialize(&answer).map_err(|error| CliError::Answer(error.to_string()))?;
    if found.results.is_empty() {
        say("nothing found")?;
    }
    for (rank, hit) in found.results.iter().enumerate() {
        print(rank + 1, hit)?;
    }
    if found.degraded {
        eprintln!("bkg: searched by words alone or behind the latest change (degraded)");
    }
    Ok(())
}

fn print(rank: usize, hit: &Hit) -> Result<(), CliError> {
    let title = hit.title.as_deref().unwrap_or_default();
    let place = format!("{}[{}..{}]", hit.document_id, hit.start, hit.end);
    say(format_args!(
        "{rank:>2}. {:.3}  {place}  {title}",
        hit.score
    ))?;
    let text: String = hit.text.split_whitespace().collect::<Vec<_>>().join(" ");
    let short: String = text.chars().take(200).collect();
    let more = if short.len() < text.len() { "…" } else { "" };
    say(format_args!("    {short}{more}"))?;
    if let Some(explanation) = &hit.explanation {
        let why = serde_json::to_string(explanation).unwrap_or_default();
        say(format_args!("    {why}"))?;
    }
    Ok(())
}

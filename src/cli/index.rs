//! `bkg index`: puts files, folders and JSON lines into a collection, with a progress bar.

use std::path::PathBuf;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use messages::brainml::{Document, Indexed};
use serde_json::{Value, json};

use super::{
    CliError,
    client::{Client, segment},
    documents::{self, Found, Source},
    say,
};
use crate::settings::Settings;

/// How much one request carries: small enough for the bar to move, large enough for the embedder
/// to form full batches.
const DOCUMENTS: usize = 64;
const BYTES: usize = 1 << 20;

#[derive(Debug, Args)]
pub(super) struct Index {
    /// A file or a folder.
    path: PathBuf,
    /// The collection; made if it does not exist.
    #[arg(long, short, default_value = "default")]
    collection: String,
}

/// What was done.
#[derive(Debug, Default)]
struct Tally {
    documents: u64,
    revision: u64,
    /// Files that could not be read, with the reason.
    refused: Vec<String>,
}

pub(super) async fn run(settings: &Settings, index: Index, json: bool) -> Result<(), CliError> {
    let found = documents::find(&index.path)?;
    if found.sources.is_empty() {
        let path = index.path.display();
        return Err(CliError::Input(format!(
            "there is no text, Markdown or JSON lines file under {path}"
        )));
    }
    let client = Client::connect(settings, &["apikeys", "brainml", "llmserver"]).await?;
    let bar = bar(&found);
    let mut sender = Sender::new(&client, &index.collection, &bar);
    let done = sender.send_all(&found).await;
    bar.finish_and_clear();
    let tally = sender.tally;
    client.close().await;
    done?;
    report(&index.collection, &found, &tally, json)
}

fn bar(found: &Found) -> ProgressBar {
    let bar = ProgressBar::new(found.sources.iter().map(|source| source.length).sum());
    let template = "{msg} {wide_bar} {bytes}/{total_bytes} {eta}";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}

fn report(collection: &str, found: &Found, tally: &Tally, json: bool) -> Result<(), CliError> {
    for why in &tally.refused {
        eprintln!("bkg: left out: {why}");
    }
    if json {
        return say(json!({
            "collection": collection, "indexed": tally.documents, "revision": tally.revision,
            "skipped": found.skipped, "refused": tally.refused,
        }));
    }
    let skipped = match found.skipped {
        0 => String::new(),
        files => format!("; {files} files of other kinds skipped"),
    };
    say(format_args!(
        "{} documents are in {collection} (revision {}){skipped}",
        tally.documents, tally.revision
    ))
}

/// Sends documents in batches. What has been answered is durable, so an interrupted run can simply
/// be repeated.
struct Sender<'a> {
    client: &'a Client,
    path: String,
    bar: &'a ProgressBar,
    batch: Vec<Document>,
    bytes: usize,
    tally: Tally,
}

impl<'a> Sender<'a> {
    fn new(client: &'a Client, collection: &str, bar: &'a ProgressBar) -> Self {
        Self {
            client,
            path: format!("/brainml/collections/{}", segment(collection)),
            bar,
            batch: Vec::new(),
            bytes: 0,
            tally: Tally::default(),
        }
    }

    async fn send_all(&mut self, found: &Found) -> Result<(), CliError> {
        let _: Value = self.client.put(&self.path, &json!({})).await?;
        for source in &found.sources {
            self.send(source).await?;
        }
        self.flush().await
    }

    /// A file that cannot be read does not keep the others out.
    async fn send(&mut self, source: &Source) -> Result<(), CliError> {
        let documents = match source.read() {
            Ok(documents) => documents,
            Err(error) => {
                self.tally.refused.push(error.to_string());
                self.bar.inc(source.length);
                return Ok(());
            }
        };
        let mut counted = 0;
        for document in documents {
            match document {
                Ok(document) => {
                    let length = u64::try_from(document.text.len()).unwrap_or_default();
                    self.add(document).await?;
                    counted += length;
                    self.bar.inc(length);
                }
                Err(error) => self.tally.refused.push(error.to_string()),
            }
        }
        // A file holds more than its documents' texts.
        self.bar.inc(source.length.saturating_sub(counted));
        Ok(())
    }

    async fn add(&mut self, document: Document) -> Result<(), CliError> {
        self.bytes += document.text.len();
        self.batch.push(document);
        if self.batch.len() >= DOCUMENTS || self.bytes >= BYTES {
            self.flush().await?;
        }
        Ok(())
    }

    /// Sends what has been gathered. A batch that is refused goes again one by one, so that one bad
    /// document does not keep its neighbours out.
    async fn flush(&mut self) -> Result<(), CliError> {
        let documents = std::mem::take(&mut self.batch);
        self.bytes = 0;
        if documents.is_empty() {
            return Ok(());
        }
        match self.post(&documents).await {
            Err(CliError::Refused { status, .. }) if is_their_fault(status) => (),
            other => return other,
        }
        for document in documents {
            match self.post(std::slice::from_ref(&document)).await {
                Err(CliError::Refused { status, message }) if is_their_fault(status) => {
                    let why = format!("document {}: {message}", document.id);
                    self.tally.refused.push(why);
                }
                other => other?,
            }
        }
        Ok(())
    }

    async fn post(&mut self, documents: &[Document]) -> Result<(), CliError> {
        let path = format!("{}/documents", self.path);
        let body = json!({ "documents": documents });
        let indexed: Indexed = self.client.post(&path, &body).await?;
        self.tally.documents += indexed.indexed;
        self.tally.revision = indexed.revision;
        let message = format!("{} documents", self.tally.documents);
        self.bar.set_message(message);
        Ok(())
    }
}

/// Whether a status says that the documents, and not the gateway, are at fault.
fn is_their_fault(status: u16) -> bool {
    [400, 413, 422].contains(&status)
}

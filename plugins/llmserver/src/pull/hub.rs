//! The model hub as a source: plain files over https.

use std::{env, time::Duration};

use reqwest::{Client, Response};
use tokio::runtime::Handle;

use super::{
    fault::PullFault, package::Package, package::PackageFile, progress::Progress, staging::Staging,
};

/// Long enough for a distant server; a network without a way out says so sooner.
const CONNECT: Duration = Duration::from_secs(5);
/// How long the server may stay silent.
const SILENCE: Duration = Duration::from_secs(30);

/// The hub's own address, in whose place its users' variable `HF_ENDPOINT` puts a mirror.
const HUB: &str = "https://huggingface.co";

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
    let folder = mirrored(package.hub, env::var("HF_ENDPOINT").ok().as_deref());
    progress.stage("connect", &folder, None)?;
    let client = crate::tls::client()
        // A mirror of one's own may do without: every file's hash is pinned.
        .https_only(folder == package.hub)
        .connect_timeout(CONNECT)
        .read_timeout(SILENCE)
        .build()
        .map_err(hub)?;
    for file in package.files {
        fetch_one(runtime, &client, &folder, file, staging, progress)?;
    }
    Ok(())
}

fn fetch_one(
    runtime: &Handle,
    client: &Client,
    folder: &str,
    file: &'static PackageFile,
    staging: &Staging,
    progress: &mut Progress,
) -> Result<(), PullFault> {
    let request = client.get(format!("{folder}{}", file.path)).send();
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

/// `address`, at `mirror` where there is one.
fn mirrored(address: &str, mirror: Option<&str>) -> String {
    let mirror = mirror.map(|mirror| mirror.trim().trim_end_matches('/'));
    match (mirror, address.strip_prefix(HUB)) {
        (Some(mirror), Some(path)) if !mirror.is_empty() => format!("{mirror}{path}"),
        _ => address.to_owned(),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mirror_takes_the_hubs_place() {
        let address = "https://huggingface.co/a/resolve/b/";
        let at = |mirror| mirrored(address, mirror);
        assert_eq!(
            at(Some("http://mirror:8080/hf/")),
            "http://mirror:8080/hf/a/resolve/b/"
        );
        assert_eq!(
            (at(None).as_str(), at(Some("")).as_str()),
            (address, address)
        );
        assert_eq!(
            mirrored("https://localhost:1/", Some("http://m")),
            "https://localhost:1/"
        );
    }
}

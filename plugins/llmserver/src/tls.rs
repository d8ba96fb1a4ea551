//! The one way in which this plugin speaks TLS: rustls with the ring provider.

use reqwest::ClientBuilder;

/// A client that names the gateway and trusts what the system trusts.
pub(crate) fn client() -> ClientBuilder {
    // An error only says that a provider is installed already, by an earlier life of the plugin.
    drop(rustls::crypto::ring::default_provider().install_default());
    reqwest::Client::builder().user_agent(concat!("bkg/", env!("CARGO_PKG_VERSION")))
}

//! Where an upstream may be: the word of who operates the machine, which no admin key overrides.

use std::{net::IpAddr, sync::Arc};

use reqwest::Url;

use super::{
    address::{self, Place},
    entry::{Entry, Host},
};

/// The hosts that upstreams may be at.
#[derive(Debug, Clone, Default)]
pub struct Reach {
    hosts: Arc<[Entry]>,
    private: Arc<[Entry]>,
    proxy: Option<Url>,
}

/// An entry of an operator's list that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ReachError {
    /// It names nothing.
    #[error(
        "{setting}: `{entry}` is no host (`api.example.com`, `*.example.com`), address or network \
         (`10.0.0.0/8`); a host or address may have a `:port`"
    )]
    Entry {
        /// The list.
        setting: &'static str,
        /// The entry.
        entry: String,
    },
    /// The proxy's address is of no use. It may hold a password and is not repeated.
    #[error("proxy: it is not the address of an HTTP proxy, such as `http://proxy:3128`")]
    Proxy,
    /// A proxy looks names up itself, and would be asked for any.
    #[error(
        "proxy: it looks names up itself, so what they lead to cannot be checked; name the hosts \
         that upstreams may be at in allow_hosts"
    )]
    Anywhere,
}

impl Reach {
    /// Upstreams at `allow_hosts` (where empty: at every public host) and at `allow_private`, whose
    /// addresses alone may be private ones. `proxy` takes the connections to all but the latter.
    ///
    /// # Errors
    /// Names the list and the entry that is no host, address or network; also when there is a proxy
    /// and `allow_hosts` is empty.
    pub fn new(
        allow_hosts: &[String],
        allow_private: &[String],
        proxy: Option<&str>,
    ) -> Result<Self, ReachError> {
        let proxy = proxy.map(|text| {
            let url = Url::parse(text).ok();
            url.filter(|url| matches!(url.scheme(), "http" | "https"))
                .ok_or(ReachError::Proxy)
        });
        let proxy = proxy.transpose()?;
        if proxy.is_some() && allow_hosts.is_empty() {
            return Err(ReachError::Anywhere);
        }
        Ok(Self {
            hosts: entries("allow_hosts", allow_hosts)?,
            private: entries("allow_private", allow_private)?,
            proxy,
        })
    }

    /// Where an upstream with the root `base_url` is.
    ///
    /// # Errors
    /// Why it may not be there, and what would allow it.
    pub(crate) fn check(&self, base_url: &str) -> Result<Target, String> {
        let url = Url::parse(base_url)
            .map_err(|error| format!("`base_url` is not an address: {error}"))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err("`base_url` must be http or https".to_owned());
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("`base_url` must be without user and password".to_owned());
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err("`base_url` must be without query and fragment".to_owned());
        }
        let place = Host::of(&url).zip(url.port_or_known_default());
        let (host, port) = place.ok_or("`base_url` has no host")?;
        let target = Target {
            reach: self.clone(),
            named: self.private.iter().any(|entry| entry.names(&host, port)),
            url,
            port,
            host,
        };
        target.check().map(|()| target)
    }
}

fn entries(setting: &'static str, list: &[String]) -> Result<Arc<[Entry]>, ReachError> {
    let entry = |text: &String| {
        Entry::parse(text).ok_or_else(|| ReachError::Entry {
            setting,
            entry: text.clone(),
        })
    };
    list.iter().map(entry).collect()
}

/// An upstream's place, with what is allowed of it.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    reach: Reach,
    url: Url,
    host: Host,
    port: u16,
    /// Whether `allow_private` names it.
    named: bool,
}

impl Target {
    fn check(&self) -> Result<(), String> {
        let loopback = self.host.is_localhost() && self.allows_loopback();
        if !(self.named || loopback || self.is_listed()) {
            return Err(format!(
                "{} is not among the hosts that the gateway's setting upstreams.allow_hosts names",
                self.shown()
            ));
        }
        let refused = match &self.host {
            Host::Address(address) => !self.admits(*address),
            Host::Name(_) => self.host.is_localhost() && !self.named && !loopback,
        };
        match refused {
            true => Err(format!(
                "{} is not a public address; who operates the machine can allow it with the \
                 gateway's setting upstreams.allow_private (BKG_UPSTREAMS__ALLOW_PRIVATE)",
                self.shown()
            )),
            false => Ok(()),
        }
    }

    fn is_listed(&self) -> bool {
        let hosts = &self.reach.hosts;
        hosts.is_empty() || hosts.iter().any(|entry| entry.names(&self.host, self.port))
    }

    fn allows_loopback(&self) -> bool {
        let ours = [
            IpAddr::from([127, 0, 0, 1]),
            IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1]),
        ];
        ours.into_iter().any(|address| self.admits(address))
    }

    fn shown(&self) -> &str {
        self.url.host_str().unwrap_or_default()
    }

    /// Whether a connection to this upstream may go to `address`. Naming a host allows it the
    /// addresses of a private network, but not those where a cloud hands out its credentials:
    /// they must be named themselves.
    pub(super) fn admits(&self, address: IpAddr) -> bool {
        let at = Host::Address(address::plain(address));
        let mut private = self.reach.private.iter();
        match address::place(address) {
            Place::Public => true,
            Place::Private => self.named || private.any(|entry| entry.names(&at, self.port)),
            Place::Special => private.any(|entry| entry.names(&at, self.port)),
        }
    }

    /// Its API's root.
    pub(super) fn url(&self) -> &Url {
        &self.url
    }

    /// The proxy that takes its connections, unless it is in a network of our own.
    pub(super) fn proxy(&self) -> Option<&Url> {
        let own = match &self.host {
            Host::Address(address) => address::place(*address) != Place::Public,
            Host::Name(_) => self.host.is_localhost(),
        };
        self.reach.proxy.as_ref().filter(|_| !self.named && !own)
    }
}

#[cfg(test)]
mod tests;

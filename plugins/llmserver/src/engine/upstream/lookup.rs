//! Names become addresses here, and only such addresses as the upstream may have. The connection
//! goes to one of them: no second look-up could give another.

use std::{io, net::SocketAddr, pin::Pin, sync::Arc};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::reach::Target;

/// All addresses of a host.
type Found = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>>;

/// Looks a name up.
pub(super) type Lookup = Arc<dyn Fn(String) -> Found + Send + Sync>;

/// A name led to no address that this upstream may have.
#[derive(Debug, thiserror::Error)]
#[error("its name leads to no address that an upstream may have")]
pub(super) struct Astray;

/// The look-ups of one upstream.
pub(super) struct Resolver {
    name: String,
    target: Target,
    lookup: Lookup,
}

impl Resolver {
    /// Look-ups for the upstream `name` at `target`.
    pub(super) fn new(name: &str, target: &Target, lookup: Lookup) -> Self {
        Self {
            name: name.to_owned(),
            target: target.clone(),
            lookup,
        }
    }
}

/// The system's own look-up.
pub(super) fn of_system() -> Lookup {
    Arc::new(|host| {
        Box::pin(async move {
            let found = tokio::net::lookup_host((host, 0)).await?;
            Ok(found.collect())
        })
    })
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (upstream, target) = (self.name.clone(), self.target.clone());
        let host = name.as_str().to_owned();
        let found = (self.lookup)(host.clone());
        Box::pin(async move {
            let all = found.await?;
            // The proxy is the operator's own word, wherever it is.
            if target.proxy().and_then(|proxy| proxy.host_str()) == Some(host.as_str()) {
                return Ok::<Addrs, _>(Box::new(all.into_iter()));
            }
            let admitted = |address: &SocketAddr| target.admits(address.ip());
            let (good, bad): (Vec<_>, Vec<_>) = all.into_iter().partition(admitted);
            if good.is_empty() {
                log::warn!(
                    "upstream {upstream} is not connected to: {host} leads to {bad:?}, which the \
                     gateway's setting upstreams.allow_private does not name"
                );
                return Err(Astray.into());
            }
            Ok(Box::new(good.into_iter()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::upstream::reach::Reach;

    fn found(addresses: &[&str]) -> Lookup {
        let at = |ip: &&str| SocketAddr::new(ip.parse().unwrap(), 0);
        let all: Vec<SocketAddr> = addresses.iter().map(at).collect();
        Arc::new(move |_| {
            let all = all.clone();
            Box::pin(async move { Ok(all) })
        })
    }

    async fn ask(private: &[&str], addresses: &[&str]) -> Option<Vec<String>> {
        let private: Vec<String> = private.iter().map(|&one| one.to_owned()).collect();
        let reach = Reach::new(&[], &private, None).unwrap();
        let target = reach.check("http://rebound.example/v1").unwrap();
        let resolver = Resolver::new("far", &target, found(addresses));
        let answer = resolver.resolve("rebound.example".parse().unwrap()).await;
        let shown = |address: SocketAddr| address.ip().to_string();
        answer.ok().map(|good| good.map(shown).collect())
    }

    #[tokio::test]
    async fn a_name_that_turns_to_a_private_address_leads_nowhere() {
        for inside in [
            "127.0.0.1",
            "10.0.0.1",
            "169.254.169.254",
            "::1",
            "::ffff:127.0.0.1",
        ] {
            assert_eq!(ask(&[], &[inside]).await, None, "{inside}");
            let public = ask(&[], &[inside, "1.1.1.1"]).await;
            assert_eq!(public, Some(vec!["1.1.1.1".to_owned()]));
        }
        let allowed = ask(&["10.0.0.0/8"], &["10.0.0.1", "192.168.0.1"]).await;
        assert_eq!(allowed, Some(vec!["10.0.0.1".to_owned()]));
        assert_eq!(ask(&[], &[]).await, None);
    }
}

//! How many connections there may be at once: of everyone together, and from one address.

use std::{
    collections::{HashMap, hash_map::Entry},
    net::{IpAddr, Ipv6Addr},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use procfs::process::{LimitValue, Process};

use crate::{http::address::Proxies, settings};

/// The places for connections. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct Places(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    all: usize,
    per_address: usize,
    proxies: Proxies,
    taken: Mutex<Taken>,
    refused: AtomicU64,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by_network: HashMap<IpAddr, usize>,
}

/// The place of one connection. Dropping it gives it back.
#[derive(Debug)]
pub(super) struct Place {
    places: Places,
    network: IpAddr,
}

impl Places {
    /// As many places as the settings say, and as the process may have open files for.
    pub(crate) fn of(settings: &settings::Server) -> Self {
        let places = Self::within(settings, open_files());
        if places.0.all < settings.max_connections {
            log::info!(
                "at most {} connections at once, because of the limit of open files",
                places.0.all
            );
        }
        places
    }

    /// Where the listener finds no more file, it stops accepting from everyone, and the database
    /// and the upstreams find none either: a quarter is kept for them.
    fn within(settings: &settings::Server, files: usize) -> Self {
        let per_address = match settings.max_connections_per_address {
            0 => usize::MAX,
            number => number,
        };
        let all = match settings.max_connections {
            0 => usize::MAX,
            number => number.min(files - files / 4),
        };
        Self(Arc::new(Shared {
            all,
            per_address,
            proxies: Proxies::new(settings),
            taken: Mutex::default(),
            refused: AtomicU64::new(0),
        }))
    }

    /// A place for a connection from `address`, unless too many are taken. A trusted proxy comes
    /// for very many.
    pub(super) fn take(&self, address: IpAddr) -> Option<Place> {
        let network = network(address);
        let mut taken = self.taken();
        let here = taken.by_network.get(&network).copied().unwrap_or_default();
        let too_many = here >= self.0.per_address && !self.0.proxies.trusts(address.to_canonical());
        if taken.all >= self.0.all || too_many {
            self.0.refused.fetch_add(1, Relaxed);
            return None;
        }
        taken.all += 1;
        taken.by_network.insert(network, here + 1);
        drop(taken);
        let places = self.clone();
        Some(Place { places, network })
    }

    /// How many connections there are.
    pub(crate) fn in_use(&self) -> usize {
        self.taken().all
    }

    /// How many connections were turned away since the start.
    pub(crate) fn refused(&self) -> u64 {
        self.0.refused.load(Relaxed)
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.0.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken();
        taken.all = taken.all.saturating_sub(1);
        if let Entry::Occupied(mut here) = taken.by_network.entry(self.network) {
            match here.get().checked_sub(1) {
                None | Some(0) => drop(here.remove()),
                Some(left) => *here.get_mut() = left,
            }
        }
    }
}

/// How many files the process may have open.
fn open_files() -> usize {
    let limits = Process::myself().and_then(|process| process.limits());
    match limits.map(|limits| limits.max_open_files.soft_limit) {
        Ok(LimitValue::Value(files)) => usize::try_from(files).unwrap_or(usize::MAX),
        Ok(LimitValue::Unlimited) | Err(_) => usize::MAX,
    }
}

/// Whom an address belongs to: with IPv6 whoever has one has the 2^64 of its network.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from(u128::from(address) & (u128::MAX << 64)).into(),
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(all: usize, per_address: usize) -> Places {
        within(all, per_address, usize::MAX)
    }

    fn within(all: usize, per_address: usize, files: usize) -> Places {
        let settings = settings::Server {
            max_connections: all,
            max_connections_per_address: per_address,
            ..settings::Server::default()
        };
        Places::within(&settings, files)
    }

    #[test]
    fn a_quarter_of_the_open_files_is_kept_unless_there_is_no_limit() {
        assert_eq!(within(1000, 0, 1024).0.all, 768);
        assert_eq!(within(1000, 0, 1 << 20).0.all, 1000);
        assert_eq!(within(0, 0, 1024).0.all, usize::MAX);
    }

    fn take(places: &Places, address: &str) -> Option<Place> {
        places.take(address.parse().unwrap())
    }

    #[test]
    fn one_address_cannot_take_the_places_of_others() {
        let places = places(3, 2);
        let first = take(&places, "10.0.0.1").unwrap();
        let _second = take(&places, "10.0.0.1").unwrap();
        assert!(take(&places, "10.0.0.1").is_none());
        let _other = take(&places, "10.0.0.2").unwrap();
        assert!(take(&places, "10.0.0.3").is_none(), "all are taken");
        assert_eq!(places.refused(), 2);
        drop(first);
        assert_eq!(places.in_use(), 2);
        assert!(take(&places, "10.0.0.1").is_some());
    }

    #[test]
    fn the_addresses_of_one_ipv6_network_count_as_one() {
        let places = places(0, 1);
        let _first = take(&places, "2001:db8::1").unwrap();
        assert!(take(&places, "2001:db8::ffff:1").is_none());
        assert!(take(&places, "2001:db8:0:1::1").is_some());
    }

    #[test]
    fn an_address_is_the_same_in_either_family() {
        let places = places(0, 1);
        let _first = take(&places, "10.0.0.1").unwrap();
        assert!(take(&places, "::ffff:10.0.0.1").is_none());
    }

    #[test]
    fn nothing_is_kept_of_an_address_that_has_left() {
        let places = places(0, 0);
        let all: Vec<_> = (0..9).map(|_| take(&places, "10.0.0.1")).collect();
        drop(all);
        assert_eq!(places.in_use(), 0);
        assert!(places.taken().by_network.is_empty());
    }
}

//! Log-in attempts: a burst, then one a minute, for each address and for each account.
//!
//! An attempt is paid for before a password is looked at, so that many at the same time cannot all
//! pass. One that was right gets back what it paid itself and nothing else: whoever guesses at an
//! account gains nothing from logging in to one of his own meanwhile, or from its owner doing so.
//! An attempt that is refused here pays nothing, or whoever has used up his address's attempts
//! could go on to use up an account's. Accounts are counted by the name that was given, whether
//! there is such a user or not.

use std::{
    collections::HashMap,
    hash::Hash,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use messages::{
    apikeys::{Digest, secret::digest},
    fault::Fault,
};

/// Attempts in a row.
const BURST: i64 = 10;

/// Milliseconds until one more is given.
const EVERY: i64 = 60_000;

/// Addresses, and accounts, that are counted at the same time: a few megabytes.
const MOST: usize = 65_536;

/// Who has tried how often; clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Throttle(Arc<Mutex<Counts>>);

#[derive(Debug, Default)]
struct Counts {
    addresses: Table<IpAddr>,
    accounts: Table<Digest>,
}

/// An attempt that has been paid for.
#[derive(Debug)]
pub(crate) struct Paid {
    throttle: Throttle,
    address: Option<IpAddr>,
    account: Digest,
}

impl Throttle {
    /// Pays for an attempt at `now` (Unix milliseconds).
    ///
    /// # Errors
    /// [`LimitReached`](messages::fault::FaultKind::LimitReached), with the time until the next
    /// attempt.
    pub(crate) fn pay(
        &self,
        now: i64,
        address: Option<IpAddr>,
        username: &str,
    ) -> Result<Paid, Fault> {
        let (address, account) = (address.map(network), digest(username));
        let mut counts = self.counts();
        let by_address = address.map_or(0, |address| counts.addresses.wait(now, &address));
        let wait = by_address.max(counts.accounts.wait(now, &account));
        if wait > 0 {
            return Err(refusal(wait));
        }
        if let Some(address) = address {
            counts.addresses.pay(now, address);
        }
        counts.accounts.pay(now, account);
        Ok(Paid {
            throttle: self.clone(),
            address,
            account,
        })
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Paid {
    /// Takes back what this attempt cost: it was right.
    pub(crate) fn take_back(self) {
        let mut counts = self.throttle.counts();
        if let Some(address) = &self.address {
            counts.addresses.take_back(address);
        }
        counts.accounts.take_back(&self.account);
    }
}

/// Everybody has a whole IPv6 network of 64 bits to choose addresses from.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        v4 => v4,
    }
}

fn refusal(wait: i64) -> Fault {
    let wait = Duration::from_millis(u64::try_from(wait).unwrap_or_default());
    Fault::limit_reached("too many attempts to log in; wait before the next one")
        .with_code("too_many_attempts")
        .with_retry_after(wait)
}

/// For each key, what it has paid. Who has all of his attempts is not in it.
#[derive(Debug)]
struct Table<K> {
    paid: HashMap<K, Debt>,
    swept_at: i64,
}

/// What is missing, in Unix milliseconds.
#[derive(Debug, Clone, Copy)]
struct Debt {
    /// When all attempts will have come back.
    whole_at: i64,
    /// When that was last looked at: a clock that was set back since then changes both, and not
    /// what is missing.
    seen_at: i64,
}

impl<K> Default for Table<K> {
    fn default() -> Self {
        Self {
            paid: HashMap::new(),
            swept_at: i64::MIN,
        }
    }
}

impl<K: Copy + Eq + Hash> Table<K> {
    fn whole_at(&mut self, now: i64, key: &K) -> i64 {
        let Some(debt) = self.paid.get_mut(key) else {
            return now;
        };
        let set_back = debt.seen_at.saturating_sub(now).max(0);
        debt.whole_at = debt.whole_at.saturating_sub(set_back);
        debt.seen_at = now;
        debt.whole_at.max(now)
    }

    /// Milliseconds until the next attempt.
    fn wait(&mut self, now: i64, key: &K) -> i64 {
        let after = self.whole_at(now, key).saturating_add(EVERY);
        after.saturating_sub(now).saturating_sub(BURST * EVERY)
    }

    fn pay(&mut self, now: i64, key: K) {
        let whole_at = self.whole_at(now, &key).saturating_add(EVERY);
        self.sweep(now);
        let seen_at = now;
        self.paid.insert(key, Debt { whole_at, seen_at });
    }

    fn take_back(&mut self, key: &K) {
        if let Some(debt) = self.paid.get_mut(key) {
            debt.whole_at = debt.whole_at.saturating_sub(EVERY);
        }
    }

    /// Forgets those who have all their attempts again. Where so many try that there is no room,
    /// whoever has tried least is forgotten: that gives away the least.
    fn sweep(&mut self, now: i64) {
        let full = self.paid.len() >= MOST;
        if full || now.abs_diff(self.swept_at) >= EVERY.unsigned_abs() {
            self.paid.retain(|_, debt| debt.whole_at > now);
            self.swept_at = now;
        }
        if self.paid.len() >= MOST {
            let least = self.paid.iter().min_by_key(|(_, debt)| debt.whole_at);
            if let Some(key) = least.map(|(key, _)| *key) {
                self.paid.remove(&key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use messages::fault::FaultKind;

    use super::*;

    const NOW: i64 = 1_800_000_000_000;

    fn address(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    /// How many of `tries` attempts pass.
    fn passed(
        throttle: &Throttle,
        tries: usize,
        mut attempt: impl FnMut(usize) -> (i64, Option<IpAddr>, String),
    ) -> usize {
        let passes = |at: &usize| {
            let (now, address, name) = attempt(*at);
            throttle.pay(now, address, &name).is_ok()
        };
        (0..tries).filter(passes).count()
    }

    #[test]
    fn a_burst_passes_and_then_one_a_minute() {
        let throttle = Throttle::default();
        let from = address("192.0.2.1");
        assert_eq!(passed(&throttle, 50, |_| (NOW, from, "ann".to_owned())), 10);
        let fault = throttle.pay(NOW, from, "ann").unwrap_err();
        assert_eq!(fault.kind, FaultKind::LimitReached);
        assert_eq!(fault.retry_after, Some(Duration::from_secs(60)));
        let hour = passed(&throttle, 3600, |second| {
            let now = NOW + i64::try_from(second).unwrap() * 1000;
            (now, from, "ann".to_owned())
        });
        assert_eq!(hour, 59);
    }

    #[test]
    fn many_accounts_from_one_address_and_many_addresses_at_one_account_are_counted() {
        let throttle = Throttle::default();
        let one = address("192.0.2.1");
        let spray = |at: usize| (NOW, one, format!("user{at}"));
        assert_eq!(passed(&throttle, 50, spray), 10);
        let swarm = |at: usize| {
            (
                NOW,
                address(&format!("198.51.100.{at}")),
                "admin".to_owned(),
            )
        };
        assert_eq!(passed(&throttle, 50, swarm), 10);
        assert!(throttle.pay(NOW, address("203.0.113.7"), "bob").is_ok());
    }

    #[test]
    fn a_network_of_ipv6_is_one_address_and_a_mapped_one_is_ipv4() {
        let throttle = Throttle::default();
        let roam = |at: usize| {
            (
                NOW,
                address(&format!("2001:db8:1:2::{at:x}")),
                format!("u{at}"),
            )
        };
        assert_eq!(passed(&throttle, 50, roam), 10);
        assert!(throttle.pay(NOW, address("2001:db8:1:3::1"), "ann").is_ok());
        let mapped = |at: usize| (NOW, address("::ffff:192.0.2.9"), format!("m{at}"));
        assert_eq!(passed(&throttle, 50, mapped), 10);
        assert!(throttle.pay(NOW, address("192.0.2.9"), "bob").is_err());
    }

    #[test]
    fn a_right_attempt_gives_back_its_own_price_alone() {
        let throttle = Throttle::default();
        let attacker = address("192.0.2.1");
        for _ in 0..9 {
            throttle.pay(NOW, attacker, "victim").unwrap();
        }
        for _ in 0..100 {
            throttle.pay(NOW, attacker, "own").unwrap().take_back();
        }
        // The victim logs in from elsewhere.
        let home = address("198.51.100.1");
        throttle.pay(NOW, home, "victim").unwrap().take_back();
        throttle.pay(NOW, attacker, "victim").unwrap();
        assert!(throttle.pay(NOW, attacker, "victim").is_err());
        assert!(throttle.pay(NOW, home, "victim").is_err(), "by account too");
    }

    #[test]
    fn who_is_refused_by_address_does_not_use_up_an_account() {
        let throttle = Throttle::default();
        let attacker = address("192.0.2.1");
        passed(&throttle, 10, |at| (NOW, attacker, format!("user{at}")));
        assert_eq!(
            passed(&throttle, 100, |_| (NOW, attacker, "ann".to_owned())),
            0
        );
        let home = address("198.51.100.1");
        assert_eq!(passed(&throttle, 50, |_| (NOW, home, "ann".to_owned())), 10);
    }

    #[test]
    fn a_clock_that_is_set_back_a_day_locks_nobody_out() {
        let throttle = Throttle::default();
        let from = address("192.0.2.1");
        passed(&throttle, 10, |_| (NOW, from, "ann".to_owned()));
        let earlier = NOW - 24 * 60 * EVERY;
        let fault = throttle.pay(earlier, from, "ann").unwrap_err();
        assert_eq!(fault.retry_after, Some(Duration::from_secs(60)));
        assert!(throttle.pay(earlier + EVERY, from, "ann").is_ok());
    }

    #[test]
    fn a_clock_that_is_set_back_does_not_charge_who_was_right() {
        let throttle = Throttle::default();
        let from = address("192.0.2.1");
        throttle.pay(NOW, from, "ann").unwrap().take_back();
        let earlier = NOW - 24 * 60 * EVERY;
        assert_eq!(
            passed(&throttle, 50, |_| (earlier, from, "ann".to_owned())),
            10
        );
    }

    #[test]
    fn what_is_remembered_is_bounded_and_whoever_tried_most_stays() {
        let mut table = Table::<usize>::default();
        for _ in 0..10 {
            table.pay(NOW, 0);
        }
        for key in 1..MOST + 100 {
            table.pay(NOW, key);
        }
        assert_eq!(table.paid.len(), MOST);
        assert!(
            table.wait(NOW, &0) > 0,
            "the one to be held back is still known"
        );
        table.pay(NOW + 20 * EVERY, 1);
        assert_eq!(
            table.paid.len(),
            1,
            "the others have all their attempts again"
        );
    }
}

//! Addresses and networks in CIDR notation, as settings name them.

use std::{fmt, net::IpAddr, str::FromStr};

/// One address, or a network such as `10.0.0.0/8`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    first: IpAddr,
    prefix: u32,
}

/// Why a text is no network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    /// It is not of the right form.
    #[error("`{0}` is no address and no network such as 10.0.0.0/8")]
    Form(String),
    /// It has bits that its own prefix leaves out: a typing error in one or the other.
    #[error("`{0}` is an address inside a network; the network is {1}")]
    Inside(String, Network),
}

impl Network {
    /// Whether `address` lies in it. IPv4 inside IPv6 counts as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.first.is_ipv4()
            && bits(masked(address, self.prefix)) == bits(self.first)
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let form = || NetworkError::Form(text.to_owned());
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| form())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            Some(prefix) => prefix.parse().map_err(|_| form())?,
            None => most,
        };
        if prefix > most || address != address.to_canonical() {
            return Err(form());
        }
        let first = masked(address, prefix);
        let network = Self { first, prefix };
        match first == address {
            true => Ok(network),
            false => Err(NetworkError::Inside(text.to_owned(), network)),
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/{}", self.first, self.prefix)
    }
}

fn masked(address: IpAddr, prefix: u32) -> IpAddr {
    match address {
        IpAddr::V4(four) => {
            let mask = u32::MAX.checked_shl(32 - prefix.min(32)).unwrap_or(0);
            IpAddr::V4((four.to_bits() & mask).into())
        }
        IpAddr::V6(six) => {
            let mask = u128::MAX.checked_shl(128 - prefix.min(128)).unwrap_or(0);
            IpAddr::V6((six.to_bits() & mask).into())
        }
    }
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(four) => four.to_bits().into(),
        IpAddr::V6(six) => six.to_bits(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(text: &str) -> Network {
        text.parse().unwrap()
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_network_holds_its_addresses_and_no_others() {
        let ten = network("10.0.0.0/8");
        assert!(ten.contains(address("10.255.0.1")));
        assert!(ten.contains(address("::ffff:10.1.2.3")));
        assert!(!ten.contains(address("11.0.0.1")));
        assert!(!ten.contains(address("a00::1")));
        let one = network("192.0.2.7");
        assert!(one.contains(address("192.0.2.7")) && !one.contains(address("192.0.2.6")));
        let six = network("2001:db8::/33");
        assert!(six.contains(address("2001:db8:7fff::1")));
        assert!(!six.contains(address("2001:db8:8000::1")));
        assert!(network("0.0.0.0/0").contains(address("203.0.113.9")));
        assert!(!network("0.0.0.0/0").contains(address("2001:db8::1")));
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for text in [
            "",
            "10",
            "10.0.0.0/",
            "10.0.0.0/33",
            "::/129",
            "10.0.0.0/-1",
            "10.0.0.0/+8x",
            "example.org",
            "*",
            "10.0.0.0/8/8",
            "::ffff:10.0.0.1",
        ] {
            let refused = text.parse::<Network>().unwrap_err();
            assert_eq!(refused, NetworkError::Form(text.to_owned()));
        }
        let inside = "10.1.0.0/8".parse::<Network>().unwrap_err().to_string();
        assert!(inside.contains("10.0.0.0/8"), "{inside}");
    }
}

//! One entry of an operator's list of hosts, addresses and networks.

use std::net::IpAddr;

use reqwest::Url;

use super::address::plain;

/// Where an address points: a name that has to be looked up, or an IP address itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Host {
    /// In lower case and without the root's dot.
    Name(String),
    /// IPv4 written as IPv6 is IPv4.
    Address(IpAddr),
}

impl Host {
    /// The host of `url`, as the parser that connects understands it: it reads `0x7f.1` and
    /// `2130706433` as 127.0.0.1.
    pub(super) fn of(url: &Url) -> Option<Self> {
        let text = url.host_str()?;
        let bare = text.trim_start_matches('[').trim_end_matches(']');
        Some(match bare.parse() {
            Ok(address) => Self::Address(plain(address)),
            Err(_) => Self::Name(text.trim_end_matches('.').to_owned()),
        })
    }

    /// Whether every system takes it for this machine (RFC 6761).
    pub(super) fn is_localhost(&self) -> bool {
        matches!(self, Self::Name(name) if name == "localhost" || name.ends_with(".localhost"))
    }
}

/// An entry, with a port where it holds for that one alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    what: What,
    port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum What {
    /// `api.example.com`.
    Name(String),
    /// `*.example.com`, kept as `.example.com`.
    Below(String),
    /// `10.0.0.0/8`, or one address with all its bits.
    Network(IpAddr, u8),
}

impl Entry {
    /// Reads `host`, `*.host`, an address, each with or without `:port`, or `address/bits`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if let Some((address, bits)) = text.split_once('/') {
            return network(address.parse().ok()?, bits.parse().ok()?);
        }
        if let Ok(address) = text.parse::<IpAddr>() {
            return Some(Self::at(address, None));
        }
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) => (host, Some(port.parse().ok()?)),
            None => (text, None),
        };
        if let Some(domain) = host.strip_prefix("*.") {
            let Host::Name(domain) = host_alone(domain)? else {
                return None;
            };
            let what = What::Below(format!(".{domain}"));
            return Some(Self { what, port });
        }
        Some(match host_alone(host)? {
            Host::Address(address) => Self::at(address, port),
            Host::Name(name) => Self {
                what: What::Name(name),
                port,
            },
        })
    }

    fn at(address: IpAddr, port: Option<u16>) -> Self {
        let address = plain(address);
        let bits = if address.is_ipv4() { 32 } else { 128 };
        let what = What::Network(address, bits);
        Self { what, port }
    }

    /// Whether it names `host` at `port`. An address is named by its network.
    pub(super) fn names(&self, host: &Host, port: u16) -> bool {
        if self.port.is_some_and(|own| own != port) {
            return false;
        }
        match (&self.what, host) {
            (What::Name(own), Host::Name(name)) => own == name,
            (What::Below(domain), Host::Name(name)) => name.ends_with(domain),
            (What::Network(network, bits), Host::Address(address)) => {
                within(*network, *bits, *address)
            }
            _ => false,
        }
    }
}

/// The host of `text`, which must be nothing else.
fn host_alone(text: &str) -> Option<Host> {
    let url = Url::parse(&format!("http://{text}/")).ok()?;
    let alone = url.username().is_empty()
        && url.password().is_none()
        && url.port().is_none()
        && url.path() == "/"
        && url.query().is_none()
        && url.fragment().is_none()
        && !text.contains(['*', '/', '\\']);
    Host::of(&url).filter(|_| alone)
}

fn network(address: IpAddr, bits: u8) -> Option<Entry> {
    let most = if address.is_ipv4() { 32 } else { 128 };
    // No address of a host is IPv4 inside IPv6 any more: such a network would match nothing.
    (bits <= most && address == plain(address)).then_some(Entry {
        what: What::Network(address, bits),
        port: None,
    })
}

fn within(network: IpAddr, bits: u8, address: IpAddr) -> bool {
    let bits = u32::from(bits);
    match (network, address) {
        (IpAddr::V4(network), IpAddr::V4(address)) => {
            let differ = network.to_bits() ^ address.to_bits();
            differ.leading_zeros() >= bits
        }
        (IpAddr::V6(network), IpAddr::V6(address)) => {
            let differ = network.to_bits() ^ address.to_bits();
            differ.leading_zeros() >= bits
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(entry: &str, url: &str) -> bool {
        let url = Url::parse(url).unwrap();
        let port = url.port_or_known_default().unwrap();
        let entry = Entry::parse(entry).unwrap();
        entry.names(&Host::of(&url).unwrap(), port)
    }

    #[test]
    fn an_entry_names_what_it_says_and_nothing_else() {
        for (entry, url) in [
            ("api.example.com", "https://API.example.com./v1"),
            ("*.example.com", "https://a.b.example.com/v1"),
            ("example.com:8443", "https://example.com:8443"),
            ("127.0.0.1", "http://0x7f.1:9/"),
            ("127.0.0.1:9", "http://2130706433:9/"),
            ("10.0.0.0/8", "http://10.255.0.1/"),
            ("0.0.0.0/0", "http://1.2.3.4/"),
            ("::1", "http://[0:0::1]/"),
            ("[::1]:80", "http://[::1]/"),
            ("fd00::/8", "http://[fd00:1::1]/"),
            ("::ffff:10.0.0.1", "http://10.0.0.1/"),
            ("bücher.example", "http://xn--bcher-kva.example/"),
        ] {
            assert!(names(entry, url), "{entry} {url}");
        }
        for (entry, url) in [
            ("example.com", "https://api.example.com/"),
            ("*.example.com", "https://example.com/"),
            ("*.example.com", "https://badexample.com/"),
            ("example.com:8443", "https://example.com/"),
            ("10.0.0.0/8", "http://11.0.0.1/"),
            ("127.0.0.1", "http://localhost/"),
            ("0.0.0.0/0", "http://[::1]/"),
            ("::/0", "http://1.2.3.4/"),
        ] {
            assert!(!names(entry, url), "{entry} {url}");
        }
    }

    #[test]
    fn what_is_no_host_is_no_entry() {
        for text in [
            "",
            "*",
            "*.",
            "a.*.b",
            "http://a",
            "a/b",
            "10.0.0.0/33",
            "::ffff:10.0.0.0/104",
            "10.0.0/8",
            "a:70000",
            "u@h",
            "a b",
            "[::1",
            "*.10.0.0.1",
        ] {
            assert_eq!(Entry::parse(text), None, "{text}");
        }
    }
}

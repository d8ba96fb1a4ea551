//! Which IP addresses anybody may connect to, and which belong to somebody's own network.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Where an address is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// In the internet.
    Public,
    /// In this machine or a network of somebody's own: loopback, RFC 1918, RFC 6598 (shared), ULA.
    Private,
    /// Where no server for everyone can be, and where clouds hand out their credentials: link-local,
    /// multicast, unspecified, documentation, reserved.
    Special,
}

/// The address that a connection to `address` goes to: IPv4 written as IPv6 is IPv4.
pub(super) fn plain(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(six) => six.to_ipv4_mapped().map_or(IpAddr::V6(six), IpAddr::V4),
        four => four,
    }
}

/// Where `address` is, by the registries of IANA for special-purpose addresses.
pub(super) fn place(address: IpAddr) -> Place {
    match plain(address) {
        IpAddr::V4(four) => place_of_four(four),
        IpAddr::V6(six) => place_of_six(six),
    }
}

fn place_of_four(address: Ipv4Addr) -> Place {
    match address.octets() {
        [10 | 127, ..] | [172, 16..=31, ..] | [192, 168, ..] | [100, 64..=127, ..] => {
            Place::Private
        }
        [0 | 224..=255, ..]
        | [169, 254, ..]
        | [192, 0, 0 | 2, _]
        | [192, 88, 99, _]
        | [198, 18..=19, ..]
        | [198, 51, 100, _]
        | [203, 0, 113, _] => Place::Special,
        _ => Place::Public,
    }
}

fn place_of_six(address: Ipv6Addr) -> Place {
    if address.is_loopback() {
        return Place::Private;
    }
    match address.segments() {
        [0xfc00..=0xfdff, ..] => Place::Private,
        // NAT64 and 6to4 carry an IPv4 address, which is where the connection ends.
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => beyond(high, low),
        [0x2002, high, low, ..] => beyond(high, low),
        // Protocol assignments (Teredo, ORCHID, benchmarks) and documentation.
        [0x2001, 0..=0x1ff, ..] | [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => Place::Special,
        [0x2000..=0x3fff, ..] => Place::Public,
        _ => Place::Special,
    }
}

/// Behind a translator even a private address is none of ours.
fn beyond(high: u16, low: u16) -> Place {
    let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
    match place_of_four(Ipv4Addr::new(a, b, c, d)) {
        Place::Public => Place::Public,
        Place::Private | Place::Special => Place::Special,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Place {
        place(text.parse().unwrap())
    }

    #[test]
    fn servers_in_the_internet_are_public() {
        for address in [
            "1.1.1.1",
            "172.15.0.1",
            "172.32.0.1",
            "100.63.255.255",
            "100.128.0.1",
            "192.167.1.1",
            "192.0.1.1",
            "198.20.0.1",
            "223.255.255.255",
            "2606:4700::1111",
            "2a00:1450:4001::1",
            "64:ff9b::101:101",
            "2002:101:101::1",
            "::ffff:1.1.1.1",
        ] {
            assert_eq!(of(address), Place::Public, "{address}");
        }
    }

    #[test]
    fn somebodys_own_networks_are_private_however_they_are_written() {
        for address in [
            "127.0.0.1",
            "127.255.0.9",
            "10.0.0.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "100.64.0.1",
            "::1",
            "fc00::1",
            "fd12:3456::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
        ] {
            assert_eq!(of(address), Place::Private, "{address}");
        }
    }

    #[test]
    fn addresses_that_no_server_for_everyone_has_are_special() {
        for address in [
            "0.0.0.0",
            "0.1.2.3",
            "169.254.169.254",
            "192.0.0.1",
            "192.0.2.1",
            "198.18.0.1",
            "198.51.100.7",
            "203.0.113.9",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::127.0.0.1",
            "::1.1.1.1",
            "::ffff:169.254.169.254",
            "::ffff:0:7f00:1",
            "64:ff9b::7f00:1",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::1",
            "2002:7f00:1::",
            "2002:a9fe:a9fe::1",
            "2001::1",
            "2001:db8::1",
            "3fff::1",
            "100::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ] {
            assert_eq!(of(address), Place::Special, "{address}");
        }
    }
}

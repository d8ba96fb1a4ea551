//! Where a request comes from: the peer of its connection, or whom a trusted proxy names.

use std::net::{IpAddr, SocketAddr};

use actix_web::{
    HttpRequest,
    http::header::{FORWARDED, HeaderMap, HeaderName, X_FORWARDED_FOR},
};

use super::caller::edge;
use crate::settings::{self, ForwardedBy, Network};

/// The proxies whose word on where a request comes from is taken, and how they say it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Proxies {
    trusted: Vec<Network>,
    by: ForwardedBy,
}

impl Proxies {
    /// Those that the settings name.
    pub(crate) fn new(settings: &settings::Server) -> Self {
        Self {
            trusted: settings.trusted_proxies.to_vec(),
            by: settings.forwarded_by,
        }
    }

    /// Where a request with `headers` comes from, whose connection comes from `peer`. Each proxy
    /// adds its own peer at the right, so everything left of the first stranger, read from the
    /// right, is what that stranger claims.
    fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut nearest = peer.to_canonical();
        if !self.trusts(nearest) {
            return nearest;
        }
        let lines: Vec<&str> = self.lines(headers).collect();
        let hops = lines.iter().rev().flat_map(|line| line.rsplit(','));
        for hop in hops {
            // What cannot be read ends the chain: whoever wrote it is the last that is known.
            let Some(address) = self.read(hop) else { break };
            nearest = address.to_canonical();
            if !self.trusts(nearest) {
                break;
            }
        }
        nearest
    }

    /// Whether `address` is one of them.
    pub(crate) fn trusts(&self, address: IpAddr) -> bool {
        self.trusted.iter().any(|network| network.contains(address))
    }

    fn lines<'a>(&self, headers: &'a HeaderMap) -> impl Iterator<Item = &'a str> {
        let name: HeaderName = match self.by {
            ForwardedBy::XForwardedFor => X_FORWARDED_FOR,
            ForwardedBy::Forwarded => FORWARDED,
        };
        // A line that is no text says nothing, and nothing left of it counts.
        headers
            .get_all(name)
            .map(|line| line.to_str().unwrap_or(""))
    }

    fn read(&self, hop: &str) -> Option<IpAddr> {
        match self.by {
            ForwardedBy::XForwardedFor => node(hop.trim()),
            ForwardedBy::Forwarded => hop.split(';').find_map(|pair| {
                let (name, value) = pair.trim().split_once('=')?;
                let named = name.eq_ignore_ascii_case("for");
                named.then(|| node(value.trim_matches('"'))).flatten()
            }),
        }
    }
}

/// An address with or without a port: `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`,
/// `[2001:db8::1]`, `[2001:db8::1]:80`.
fn node(text: &str) -> Option<IpAddr> {
    let bare = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    let with_port = || Some(text.parse::<SocketAddr>().ok()?.ip());
    bare.unwrap_or(text).parse().ok().or_else(with_port)
}

/// The client's address: the peer of the connection, or the client that a trusted proxy names; from
/// anyone else that word is ignored. Nothing over the owner's socket.
pub(crate) fn of(request: &HttpRequest) -> Option<IpAddr> {
    let peer = request.peer_addr()?.ip();
    match edge(request) {
        Ok(edge) => Some(edge.proxies.client(peer, request.headers())),
        Err(_) => Some(peer.to_canonical()),
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;
    use crate::settings::List;

    fn proxies(by: ForwardedBy) -> Proxies {
        let trusted = ["10.0.0.0/8", "2001:db8:1::/48"].map(|text| text.parse().unwrap());
        Proxies::new(&settings::Server {
            trusted_proxies: List(trusted.to_vec()),
            forwarded_by: by,
            ..settings::Server::default()
        })
    }

    fn client(by: ForwardedBy, peer: &str, lines: &[&str]) -> String {
        let name = match by {
            ForwardedBy::XForwardedFor => "x-forwarded-for",
            ForwardedBy::Forwarded => "forwarded",
        };
        let request = lines.iter().fold(TestRequest::default(), |request, line| {
            request.append_header((name, *line))
        });
        let request = request.to_http_request();
        let client = proxies(by).client(peer.parse().unwrap(), request.headers());
        client.to_string()
    }

    fn x(peer: &str, lines: &[&str]) -> String {
        client(ForwardedBy::XForwardedFor, peer, lines)
    }

    #[test]
    fn a_stranger_who_says_where_it_comes_from_is_not_believed() {
        assert_eq!(x("192.0.2.1", &["198.51.100.7"]), "192.0.2.1");
        assert_eq!(x("192.0.2.1", &["127.0.0.1", "10.0.0.1"]), "192.0.2.1");
    }

    #[test]
    fn an_address_forged_before_a_trusted_proxy_is_passed_over() {
        assert_eq!(x("10.0.0.1", &["127.0.0.1, 198.51.100.7"]), "198.51.100.7");
        assert_eq!(
            x("10.0.0.1", &["127.0.0.1", "198.51.100.7, 10.0.0.2"]),
            "198.51.100.7"
        );
        assert_eq!(
            x("10.0.0.1", &["10.9.9.9, 198.51.100.7 , 10.0.0.2"]),
            "198.51.100.7"
        );
    }

    #[test]
    fn what_a_proxy_cannot_tell_ends_the_chain() {
        assert_eq!(x("10.0.0.1", &[]), "10.0.0.1");
        assert_eq!(x("10.0.0.1", &["198.51.100.7, unknown"]), "10.0.0.1");
        assert_eq!(x("10.0.0.1", &["198.51.100.7, , 10.0.0.2"]), "10.0.0.2");
        assert_eq!(x("10.0.0.1", &["10.0.0.3, 10.0.0.2"]), "10.0.0.3");
        assert_eq!(x("10.0.0.1", &["198.51.100.7,"]), "10.0.0.1");
    }

    #[test]
    fn addresses_are_read_in_all_their_forms() {
        assert_eq!(x("::ffff:10.0.0.1", &["198.51.100.7:443"]), "198.51.100.7");
        assert_eq!(x("10.0.0.1", &["::ffff:198.51.100.7"]), "198.51.100.7");
        assert_eq!(x("2001:db8:1::1", &["[2001:db8::7]:80"]), "2001:db8::7");
        assert_eq!(x("10.0.0.1", &["2001:db8::7"]), "2001:db8::7");
        assert_eq!(x("10.0.0.1", &["[2001:db8::7]"]), "2001:db8::7");
    }

    #[test]
    fn the_standard_header_is_read_where_the_settings_say_so() {
        let forwarded = |lines: &[&str]| client(ForwardedBy::Forwarded, "10.0.0.1", lines);
        assert_eq!(
            forwarded(&["for=127.0.0.1, For=\"[2001:db8::7]:4711\";proto=https;by=10.0.0.1"]),
            "2001:db8::7"
        );
        assert_eq!(
            forwarded(&["by=10.0.0.1; for=198.51.100.7"]),
            "198.51.100.7"
        );
        assert_eq!(forwarded(&["for=_hidden"]), "10.0.0.1");
        assert_eq!(forwarded(&["198.51.100.7"]), "10.0.0.1");
    }
}

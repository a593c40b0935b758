//! Where a peer is, as the file writes it: `http://host:port` or `https://host`, and nothing more.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// One entry of `peers:`, read from `http://host:port` or `https://host`. A name stands for every address that it
/// resolves to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PeerOptions {
    host: String,
    port: u16,
    tls: bool,
    /// Share of the requests, relative to the other peers. 0 sends none, while the health is still watched.
    pub weight: u16,
}

/// Why a text is not the address of a peer. It does not repeat the text, which may hold a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAPeer(&'static str);

impl PeerOptions {
    /// A lower-case name, or an address (of IPv6 without its brackets).
    pub fn host(&self) -> &str {
        &self.host
    }

    /// 1 to 65535.
    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn tls(&self) -> bool {
        self.tls
    }

    /// The address, when the host is one and nothing has to be resolved.
    pub fn literal(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }

    /// What stands in `Host`: the port is left out when it is the scheme's own (RFC 9110, 4.2.1 and 7.2).
    pub fn authority(&self) -> String {
        let brackets = self.host.contains(':');
        let host = if brackets { format!("[{}]", self.host) } else { self.host.clone() };
        if self.port == default_port(self.tls) { host } else { format!("{host}:{}", self.port) }
    }
}

impl FromStr for PeerOptions {
    type Err = NotAPeer;

    /// Reads `http://host:port` or `https://host`, with weight 1.
    fn from_str(text: &str) -> Result<Self, NotAPeer> {
        let (scheme, rest) =
            text.split_once("://").ok_or(NotAPeer("a peer is written http://host:port or https://host:port"))?;
        let tls = match scheme {
            "http" => false,
            "https" => true,
            _ => return Err(NotAPeer("the scheme of a peer is http or https")),
        };
        // An empty path and `/` are the same (RFC 3986, 6.2.3), and environment variables often end in one.
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        if authority.contains('@') {
            return Err(NotAPeer("a peer has no user name or password"));
        }
        if authority.contains(['?', '#']) {
            return Err(NotAPeer("a peer has no query and no fragment"));
        }
        if authority.contains('/') {
            return Err(NotAPeer("a peer has no path; the path is set where a route forwards to it"));
        }
        let (host, port) = split_port(authority)?;
        let port = match port {
            None => default_port(tls),
            Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => match digits.parse() {
                Ok(port @ 1..) => port,
                _ => return Err(NotAPeer("the port of a peer is a number from 1 to 65535")),
            },
            Some(_) => return Err(NotAPeer("the port of a peer is a number from 1 to 65535")),
        };
        Ok(PeerOptions { host: host_of(host)?, port, tls, weight: 1 })
    }
}

impl fmt::Display for PeerOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", if self.tls { "https" } else { "http" }, self.authority())
    }
}

impl fmt::Display for NotAPeer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for NotAPeer {}

fn default_port(tls: bool) -> u16 {
    if tls { 443 } else { 80 }
}

/// Host (with brackets) and the text of the port.
fn split_port(authority: &str) -> Result<(&str, Option<&str>), NotAPeer> {
    let Some(end) = authority.starts_with('[').then(|| authority.find(']')) else {
        return Ok(match authority.split_once(':') {
            None => (authority, None),
            Some((_, port)) if port.contains(':') => return Err(NotAPeer("an IPv6 address stands in brackets")),
            Some((host, port)) => (host, Some(port)),
        });
    };
    let end = end.ok_or(NotAPeer("the bracket of an IPv6 address is not closed"))? + 1;
    match authority[end..].strip_prefix(':') {
        Some(port) => Ok((&authority[..end], Some(port))),
        None if end == authority.len() => Ok((authority, None)),
        None => Err(NotAPeer("only a port may follow an IPv6 address")),
    }
}

fn host_of(host: &str) -> Result<String, NotAPeer> {
    if let Some(address) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        let address: Ipv6Addr = address.parse().map_err(|_| NotAPeer("what stands in brackets is no IPv6 address"))?;
        return Ok(address.to_string());
    }
    if host.is_empty() {
        return Err(NotAPeer("the host of a peer is missing"));
    }
    let well_formed = |label: &str| {
        let inner = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        !label.is_empty() && label.len() <= 63 && label.bytes().all(inner)
    };
    if host.len() > 253 || !host.split('.').all(well_formed) {
        return Err(NotAPeer("the host of a peer is a name (in its xn-- form) or an address"));
    }
    // Resolvers read `127.1` and `0x7f.1` as addresses, each in its own way: a name does not end in a number.
    let last = host.rsplit('.').next().unwrap_or(host);
    let numeric = last.bytes().all(|b| b.is_ascii_digit()) || last.starts_with("0x") || last.starts_with("0X");
    if numeric && host.parse::<Ipv4Addr>().is_err() {
        return Err(NotAPeer("an IPv4 address has four numbers from 0 to 255"));
    }
    Ok(host.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The authority and scheme that come out, or a part of the complaint.
    fn check(text: &str, expected: Result<&str, &str>) {
        match (text.parse::<PeerOptions>(), expected) {
            (Ok(peer), Ok(expected)) => assert_eq!(peer.to_string(), expected, "{text}"),
            (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{text}: {error}"),
            (found, _) => panic!("{text}: {found:?}, expected {expected:?}"),
        }
    }

    #[test]
    fn a_peer_is_scheme_host_and_port() {
        check("http://127.0.0.1:8004", Ok("http://127.0.0.1:8004"));
        check("http://Patients_1.example:80/", Ok("http://patients_1.example"));
        check("https://api.example", Ok("https://api.example"));
        check("https://api.example:80", Ok("https://api.example:80"));
        check("http://[::1]:8004", Ok("http://[::1]:8004"));
        check("https://[2001:DB8::0:1]", Ok("https://[2001:db8::1]"));
    }

    #[test]
    fn what_is_no_peer_is_refused_with_the_reason() {
        check("127.0.0.1:8004", Err("http://host:port"));
        check("ftp://a", Err("http or https"));
        check("HTTP://a", Err("http or https"));
        check("http://", Err("host of a peer is missing"));
        check("http://:80", Err("host of a peer is missing"));
        check("http://user:secret@a", Err("no user name or password"));
        check("http://a/api", Err("no path"));
        check("http://a//", Err("no path"));
        check("http://a?x=1", Err("no query"));
        check("http://a#x", Err("no query and no fragment"));
        check("http://a:", Err("1 to 65535"));
        check("http://a:0", Err("1 to 65535"));
        check("http://a:65536", Err("1 to 65535"));
        check("http://a:+80", Err("1 to 65535"));
        check("http://::1", Err("in brackets"));
        check("http://[::1", Err("not closed"));
        check("http://[::1]8004", Err("only a port"));
        check("http://[1.2.3.4]", Err("no IPv6 address"));
        check("http://1.2.3", Err("four numbers"));
        check("http://300.1.1.1", Err("four numbers"));
        check("http://0x7f000001", Err("four numbers"));
        check("http://a..b", Err("name (in its xn-- form)"));
        check("http://ñ.example", Err("name (in its xn-- form)"));
        check("http://a b", Err("name (in its xn-- form)"));
        check("http://a\r\nX", Err("name (in its xn-- form)"));
    }

    #[test]
    fn a_complaint_never_repeats_the_text() {
        for text in ["http://user:secret@a", "secret", "http://secret:x", "secret://a", "http://a/secret"] {
            let error = text.parse::<PeerOptions>().expect_err(text).to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }
}

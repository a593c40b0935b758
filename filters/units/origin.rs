//! A web origin, as a browser writes it.

use std::fmt;
use std::str::FromStr;

use http::HeaderValue;

use super::written_as_text;

/// An exact origin, `scheme://host[:port]`, in the one spelling that a browser sends (RFC 6454, 6.2): lower case,
/// without the scheme's own port. So requests are compared byte by byte. `null` and `*` are no origins.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Origin(Box<str>);

const ORIGIN: &str = r#"an origin such as "https://portal.example.org" or "http://localhost:3000""#;

written_as_text!(Origin, "origin", ORIGIN, { "pattern": "^[A-Za-z][A-Za-z0-9+.-]*://[^/?#@ ]+$" });

impl Origin {
    /// The origin as a browser writes it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The origin as a header value.
    pub fn header_value(&self) -> HeaderValue {
        HeaderValue::from_str(&self.0).expect("an origin is visible ASCII (RFC 9110, 5.5)")
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Origin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refused = |why: &str| format!("expected {ORIGIN}, got {text:?}{why}");
        let lower = text.to_ascii_lowercase();
        let Some((scheme, authority)) = lower.split_once("://") else { return Err(refused("")) };
        if authority.contains(['/', '?', '#']) {
            return Err(refused(": an origin has no path, not even a final `/`"));
        }
        if authority.contains('@') {
            return Err(refused(": an origin has no user name"));
        }
        if !authority.is_ascii() {
            return Err(refused(r#": a browser sends such a host in its "xn--" form"#));
        }
        let (host, port) = split_port(authority);
        let good_port = port.is_none_or(|port| port.parse::<u16>().is_ok_and(|number| number.to_string() == port));
        if !is_scheme(scheme) || !is_host(host) || !good_port {
            return Err(refused(""));
        }
        let port = port.filter(|port| !matches!((scheme, *port), ("http", "80") | ("https", "443")));
        Ok(Origin(match port {
            Some(port) => format!("{scheme}://{host}:{port}").into(),
            None => format!("{scheme}://{host}").into(),
        }))
    }
}

/// The port of an authority; the colons of an IPv6 address stand in brackets (RFC 3986, 3.2.2).
fn split_port(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    }
}

/// RFC 3986, 3.1.
fn is_scheme(scheme: &str) -> bool {
    scheme.starts_with(|c: char| c.is_ascii_lowercase())
        && scheme.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"+-.".contains(&b))
}

fn is_host(host: &str) -> bool {
    if let Some(address) = host.strip_prefix('[') {
        return address.strip_suffix(']').is_some_and(|it| it.parse::<std::net::Ipv6Addr>().is_ok());
    }
    !host.is_empty() && host.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-._".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::super::parsed;
    use super::*;

    fn check(text: &str, expected: Result<&str, &str>) {
        match (parsed::<Origin>(text), expected) {
            (Ok(origin), Ok(expected)) => assert_eq!(origin.as_str(), expected, "{text}"),
            (Err(error), Err(expected)) => assert!(error.ends_with(expected), "{text}: {error}"),
            (found, _) => panic!("{text}: {found:?}, expected {expected:?}"),
        }
    }

    #[test]
    fn an_origin_is_kept_as_a_browser_writes_it() {
        check("https://portal.example.org", Ok("https://portal.example.org"));
        check("HTTPS://Portal.Example.org:443", Ok("https://portal.example.org"));
        check("http://localhost:3000", Ok("http://localhost:3000"));
        check("http://localhost:443", Ok("http://localhost:443"));
        check("http://[::1]:8080", Ok("http://[::1]:8080"));
        check("http://[::1]", Ok("http://[::1]"));
        check("capacitor://localhost", Ok("capacitor://localhost"));
    }

    #[test]
    fn what_no_browser_sends_as_an_origin_is_refused() {
        check("https://a.example/", Err("not even a final `/`"));
        check("https://a.example/x", Err("not even a final `/`"));
        check("https://me@a.example", Err("no user name"));
        check("https://clínica.example", Err(r#""xn--" form"#));
        for text in
            ["null", "*", "", "a.example", "https://", "https://*.a.example", "https://a b", "1x://a", "http://[::1"]
        {
            check(text, Err(&format!("got {text:?}")));
        }
        for port in ["", "x", "99999", "080", "+80"] {
            check(&format!("http://a:{port}"), Err(&format!("got \"http://a:{port}\"")));
        }
    }
}

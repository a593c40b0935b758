//! Hosts: `api.example.org`, or `*.example.org` for every name below it; compared in lower case, without the port.

use std::fmt;
use std::str::FromStr;

/// The host of a rule, as `match: { host }` has it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Host {
    /// Exactly this name or address.
    Is(String),
    /// Every name that ends in this, the dot included.
    Below(String),
}

impl Host {
    /// Whether a request for this host is meant. `host` comes from [`name_of`].
    pub fn fits(&self, host: &str) -> bool {
        match self {
            Host::Is(name) => host.eq_ignore_ascii_case(name),
            // Compared as bytes: the host of a request may hold anything, and a cut inside a character would panic.
            Host::Below(suffix) => {
                let (host, suffix) = (host.as_bytes(), suffix.as_bytes());
                host.len() > suffix.len() && host[host.len() - suffix.len()..].eq_ignore_ascii_case(suffix)
            }
        }
    }

    /// How specific it is: an exact name before a longer suffix before a shorter one.
    pub fn rank(&self) -> usize {
        match self {
            Host::Is(_) => usize::MAX,
            Host::Below(suffix) => suffix.len(),
        }
    }
}

impl FromStr for Host {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let lower = text.to_ascii_lowercase();
        let (name, make): (&str, fn(String) -> Host) = match lower.strip_prefix("*.") {
            Some(name) => (name, |name| Host::Below(format!(".{name}"))),
            None => (&lower, Host::Is),
        };
        let good = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.:[]_".contains(&b));
        if !good || (name.contains(':') && !name.starts_with('[')) {
            return Err(format!(
                "expected a host such as `api.example.org` or `*.example.org`, without a port, found `{text}`"
            ));
        }
        Ok(make(name.to_owned()))
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::Is(name) => f.write_str(name),
            Host::Below(suffix) => write!(f, "*{suffix}"),
        }
    }
}

/// The name in an authority: without the port and a final dot.
pub fn name_of(authority: &str) -> &str {
    let name = match authority.rfind(':') {
        Some(at) if !authority[at..].contains(']') => &authority[..at],
        _ => authority,
    };
    name.strip_suffix('.').unwrap_or(name)
}

/// Whether an authority is one that a client can have meant: a name or address, and a port (RFC 9110, 7.2).
pub fn is_authority(authority: &str) -> bool {
    let (name, port) = match authority.rfind(':') {
        Some(at) if !authority[at..].contains(']') => (&authority[..at], Some(&authority[at + 1..])),
        _ => (authority, None),
    };
    let good_name = match name.strip_prefix('[') {
        Some(v6) => v6.strip_suffix(']').is_some_and(|v6| v6.parse::<std::net::Ipv6Addr>().is_ok()),
        None => !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b)),
    };
    good_name
        && port.is_none_or(|port| {
            !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok()
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_fit_without_case_port_and_final_dot() {
        let cases = [
            ("api.example.org", "api.example.org", true),
            ("api.example.org", "API.example.ORG:443", true),
            ("api.example.org", "api.example.org.", true),
            ("api.example.org", "xapi.example.org", false),
            ("*.example.org", "a.b.example.org", true),
            ("*.example.org", "example.org", false),
            ("*.example.org", "badexample.org", false),
            ("*.example.org", ".example.org", false),
            ("[::1]", "[::1]:80", true),
            ("[::1]", "[::1]", true),
        ];
        for (host, authority, fits) in cases {
            assert_eq!(host.parse::<Host>().unwrap().fits(name_of(authority)), fits, "{host} {authority}");
        }
    }

    #[test]
    fn a_host_is_shown_as_it_is_compared() {
        for (written, shown) in [("API.example.org", "api.example.org"), ("*.Example.org", "*.example.org")] {
            assert_eq!(written.parse::<Host>().unwrap().to_string(), shown);
        }
    }

    #[test]
    fn an_authority_is_a_name_or_address_and_a_port() {
        for good in ["a", "a.b:80", "127.0.0.1:5000", "[::1]", "[::1]:80", "a_b.c", "a."] {
            assert!(is_authority(good), "{good}");
        }
        for bad in ["", "a b", "a/x", "u@a", "a:99999", "a:", "a:80:80", "[::1", "[x]", "a,b", "ñ", ":80", "a:8o"] {
            assert!(!is_authority(bad), "{bad}");
        }
    }

    #[test]
    fn a_host_that_no_request_can_have_is_refused() {
        for bad in ["", "*", "*.", "a/b", "http://a", "a b", "a:80"] {
            assert!(bad.parse::<Host>().is_err(), "{bad}");
        }
    }
}

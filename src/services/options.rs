//! What the file says about a service, as values. Equal options mean the same service: a pool is found by them.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use super::address::PeerOptions;
use super::conduct::EjectOptions;
use super::gate::LimitOptions;
use super::retry::RetryOptions;

/// A named group of peers and how they are used.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ServiceOptions {
    /// The name in the file; it is a metric label.
    pub name: Arc<str>,
    /// Where its peers are. A peer that is listed twice counts with both weights.
    pub peers: Vec<PeerOptions>,
    pub balance: Balance,
    /// `None`: peers are not checked and always count as up.
    pub health: Option<HealthOptions>,
    /// `None`: however a peer behaves, requests are sent to it.
    pub eject: Option<EjectOptions>,
    pub retry: RetryOptions,
    pub limits: LimitOptions,
    pub timeouts: Timeouts,
    /// How often names are looked up again; addresses that the file gives are not. [`ServiceOptions::RESOLVE_EVERY`]
    /// is the usual value.
    pub resolve_every: Duration,
}

/// Who takes the next request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Balance {
    /// By turns, in proportion to the weights and evenly spread.
    #[default]
    RoundRobin,
    /// Of two peers the one that has fewer requests in flight for its weight.
    LeastRequests,
    /// By the key that [`Pool::pick`](super::Pool::pick) gets, so that equal keys meet the same peer; by turns when
    /// there is no key.
    Hash,
}

/// How peers are checked.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HealthOptions {
    /// Asked with GET, and any status from 200 to 299 passes. `None`: being able to connect passes.
    pub path: Option<HealthPath>,
    /// The pause between two checks of one peer.
    pub every: Duration,
    /// What one check may take in all.
    pub timeout: Duration,
    /// So many failed checks in a row take a peer down; at least 1.
    pub down_after: u32,
    /// So many passed checks in a row bring it up again; at least 1.
    pub up_after: u32,
}

/// How long a peer may take.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Timeouts {
    /// To connect, TLS included.
    pub connect: Duration,
    /// Between two reads (or writes) of an exchange, so also until the answer begins.
    pub response: Duration,
    /// An unused connection is kept so long. Keep it below what the service itself keeps.
    pub idle: Duration,
}

/// A path that can be asked of a service as it stands: it begins with `/` and holds visible ASCII only, no `#`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HealthPath(Box<str>);

/// Why a text is not a path for health checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAPath(&'static str);

impl ServiceOptions {
    /// How often names are looked up when nobody says otherwise.
    pub const RESOLVE_EVERY: Duration = Duration::from_secs(10);
}

impl Default for HealthOptions {
    fn default() -> Self {
        HealthOptions {
            path: Some(HealthPath("/health".into())),
            every: Duration::from_secs(5),
            timeout: Duration::from_secs(1),
            down_after: 3,
            up_after: 2,
        }
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Timeouts { connect: Duration::from_secs(1), response: Duration::from_secs(10), idle: Duration::from_secs(50) }
    }
}

impl FromStr for HealthPath {
    type Err = NotAPath;

    fn from_str(text: &str) -> Result<Self, NotAPath> {
        if !text.starts_with('/') {
            return Err(NotAPath("the path of a health check begins with /"));
        }
        if !text.bytes().all(|b| b.is_ascii_graphic() && b != b'#') {
            return Err(NotAPath("the path of a health check holds visible ASCII only, and no #"));
        }
        Ok(HealthPath(text.into()))
    }
}

impl HealthPath {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for NotAPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for NotAPath {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_health_path_can_be_asked_as_it_stands() {
        for good in ["/", "/health", "/health?deep=1&x=%20"] {
            assert_eq!(good.parse::<HealthPath>().expect(good).as_str(), good);
        }
        for bad in ["", "health", "http://a/health", "/a b", "/a#b", "/a\r\nX: y", "/ñ"] {
            assert!(bad.parse::<HealthPath>().is_err(), "{bad:?}");
        }
    }
}

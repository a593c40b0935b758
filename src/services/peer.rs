//! One address of a service: how to connect to it, whether it is up, what it has in flight.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use http::HeaderValue;
use pingora_core::upstreams::peer::HttpPeer;

use super::address::PeerOptions;
use super::balance::hash_key;
use super::conduct::{Cause, Conduct};
use super::fault::Outcome;
use super::metrics::{Metrics, TrafficSeries};
use super::options::ServiceOptions;

/// A peer as one pool uses it. Its health and its series are shared with other pools that have the same peer.
pub struct Peer {
    options: PeerOptions,
    address: SocketAddr,
    label: Arc<str>,
    authority: HeaderValue,
    template: HttpPeer,
    vital: Arc<Vital>,
    conduct: Arc<Conduct>,
    traffic: TrafficSeries,
}

/// A peer that was chosen for a request. It counts as in flight until this is dropped, also when the request is
/// cancelled.
pub struct Picked {
    pub peer: Arc<Peer>,
    /// How the request ends decides whether others are sent there.
    pub(super) is_probe: bool,
}

/// Whether a peer is up, as its checks have found. Only the task that checks the peer writes.
#[derive(Debug)]
pub(super) struct Vital {
    up: AtomicBool,
    /// Checks in a row that spoke against `up`.
    against: AtomicU32,
    /// It joined others and has not passed a check yet.
    is_new: AtomicBool,
}

impl Peer {
    pub(super) fn new(
        service: &ServiceOptions,
        options: &PeerOptions,
        address: SocketAddr,
        (vital, conduct): (Arc<Vital>, Arc<Conduct>),
        metrics: &Arc<Metrics>,
    ) -> Peer {
        let label = Arc::from(address.to_string());
        let authority = options.authority();
        Peer {
            template: template(service, options, address),
            authority: HeaderValue::from_str(&authority).expect("the host of PeerOptions is visible ASCII"),
            traffic: metrics.traffic(&service.name, &label),
            options: options.clone(),
            address,
            label,
            vital,
            conduct,
        }
    }

    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The address as text, as metrics and logs show it.
    pub fn label(&self) -> &Arc<str> {
        &self.label
    }

    /// The `Host` to send: what the file says, not what it resolved to.
    pub fn authority(&self) -> &HeaderValue {
        &self.authority
    }

    /// False while its health checks fail.
    pub fn is_up(&self) -> bool {
        self.vital.is_up()
    }

    /// Requests that are under way, from all pools of the service.
    pub fn in_flight(&self) -> u64 {
        self.traffic.in_flight.get().max(0).unsigned_abs()
    }

    /// What Pingora needs to connect: every timeout set, certificates checked against the host of the file.
    pub fn http_peer(&self) -> HttpPeer {
        self.template.clone()
    }

    /// How long it may be silent.
    pub fn patience(&self) -> Option<Duration> {
        self.template.options.read_timeout
    }

    pub(super) fn template(&self) -> &HttpPeer {
        &self.template
    }

    pub(super) fn vital(&self) -> &Vital {
        &self.vital
    }

    pub(super) fn conduct(&self) -> &Conduct {
        &self.conduct
    }

    pub(super) fn count(&self, outcome: Outcome) {
        self.traffic.count(outcome);
    }

    pub(super) fn count_ejection(&self, cause: Cause) {
        self.traffic.ejected(cause);
    }

    /// Whether this is what an entry of the file stands for at this address. The weight does not matter.
    pub(super) fn stands_for(&self, options: &PeerOptions, address: SocketAddr) -> bool {
        self.address == address && self.options.host() == options.host() && self.options.tls() == options.tls()
    }
}

impl Picked {
    pub(super) fn new(peer: Arc<Peer>, is_probe: bool) -> Picked {
        peer.traffic.in_flight.inc();
        Picked { peer, is_probe }
    }
}

impl Drop for Picked {
    fn drop(&mut self) {
        self.peer.traffic.in_flight.dec();
        if self.is_probe {
            // Nobody was told how it ended: the next one shows it.
            self.peer.conduct.probed(Instant::now(), None, Duration::ZERO);
        }
    }
}

impl Default for Vital {
    /// A peer that nobody has checked yet is up: the first requests after a start find one.
    fn default() -> Self {
        Vital { up: AtomicBool::new(true), against: AtomicU32::new(0), is_new: AtomicBool::new(false) }
    }
}

impl Vital {
    pub(super) fn is_up(&self) -> bool {
        self.up.load(Ordering::Relaxed)
    }

    /// It joined others and has not passed a check yet.
    pub(super) fn is_new(&self) -> bool {
        self.is_new.load(Ordering::Relaxed)
    }

    /// Others are there already, so that it can wait for its first good check.
    pub(super) fn joins(&self) {
        self.is_new.store(true, Ordering::Relaxed);
    }

    /// Takes in the result of a check. When this makes `threshold` in a row that say otherwise, or is the first good one of a peer
    /// that joined, the state changes, and the answer is true.
    pub(super) fn note(&self, passed: bool, threshold: usize) -> bool {
        let is_first = passed && self.is_new.swap(false, Ordering::Relaxed);
        if passed == self.is_up() {
            self.against.store(0, Ordering::Relaxed);
            return is_first;
        }
        let against = self.against.load(Ordering::Relaxed) + 1;
        let changes = against as usize >= threshold;
        self.against.store(if changes { 0 } else { against }, Ordering::Relaxed);
        if changes {
            self.up.store(passed, Ordering::Relaxed);
        }
        changes
    }
}

fn template(service: &ServiceOptions, options: &PeerOptions, address: SocketAddr) -> HttpPeer {
    // An empty SNI would switch certificate checks off; a host is never empty.
    let sni = if options.tls() { options.host().to_owned() } else { String::new() };
    let mut peer = HttpPeer::new(address, options.tls(), sni);
    // Services do not share connections, because they may keep them for different times.
    peer.group_key = hash_key(service.name.as_bytes());
    let timeouts = &service.timeouts;
    // What Pingora leaves unset has no limit at all. The first two bound TCP and TLS one by one and together.
    peer.options.connection_timeout = Some(timeouts.connect);
    peer.options.total_connection_timeout = Some(timeouts.connect);
    peer.options.read_timeout = Some(timeouts.response);
    peer.options.write_timeout = Some(timeouts.response);
    peer.options.idle_timeout = Some(timeouts.idle);
    peer
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::services::tests::scripted::service;
    use pingora_core::upstreams::peer::Peer as _;
    use std::time::Duration;

    /// `+` a passed and `-` a failed check → the state after each, with the thresholds 3 down and 2 up.
    fn check(results: &str, expected: &str) {
        let vital = Vital::default();
        let states: String = results
            .chars()
            .map(|result| {
                let (passed, before) = (result == '+', vital.is_up());
                let changed = vital.note(passed, if passed { 2 } else { 3 });
                assert_eq!(changed, before != vital.is_up(), "{results}");
                if vital.is_up() { 'U' } else { 'd' }
            })
            .collect();
        assert_eq!(states, expected, "{results}");
    }

    #[test]
    fn health_changes_after_so_many_checks_in_a_row() {
        check("+++", "UUU");
        check("--+--", "UUUUU");
        check("---", "UUd");
        check("---+-++", "UUddddU");
        check("---++---", "UUddUUUd");
    }

    #[test]
    fn a_peer_for_pingora_has_every_timeout_and_checks_the_certificate() {
        let registry = prometheus::Registry::new();
        let metrics = Metrics::new(&registry).expect("a fresh registry");
        let service = service("patients", &["https://api.example"]);
        let address = SocketAddr::from(([127, 0, 0, 1], 443));
        let peer = Peer::new(&service, &service.peers[0], address, Default::default(), &metrics);
        assert_eq!(peer.authority(), "api.example");
        let http = peer.http_peer();
        assert!(http.is_tls() && http.verify_cert() && http.verify_hostname());
        assert_eq!(http.sni(), "api.example");
        assert_eq!(http.options.connection_timeout, Some(Duration::from_secs(1)));
        assert_eq!(http.options.total_connection_timeout, Some(Duration::from_secs(1)));
        assert_eq!(http.options.read_timeout, Some(Duration::from_secs(10)));
        assert_eq!(http.options.write_timeout, Some(Duration::from_secs(10)));
        assert_eq!(http.options.idle_timeout, Some(Duration::from_secs(50)));
        let other = Peer::new(
            &ServiceOptions { name: "doctors".into(), ..service.clone() },
            &service.peers[0],
            address,
            Default::default(),
            &metrics,
        );
        assert_ne!(http.reuse_hash(), other.http_peer().reuse_hash(), "connections belong to one service");
    }
}

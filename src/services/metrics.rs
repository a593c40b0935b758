//! What is counted about services. A series exists as long as somebody holds it: the last holder takes the labels of
//! a peer that is gone out of the registry.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};

use super::fault::Outcome;
use super::lock;

/// From a quick service on the same machine to the longest time a request may take.
const SECONDS: [f64; 14] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// The families, registered once per fleet.
pub(super) struct Metrics {
    up: IntGaugeVec,
    in_flight: IntGaugeVec,
    requests: IntCounterVec,
    seconds: HistogramVec,
    /// How many hold each set of labels. Children are made and removed under this lock, so that one holder's end
    /// cannot take away what another one has just begun to use.
    holders: Mutex<HashMap<Labels, u32>>,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct Labels {
    family: Family,
    service: Arc<str>,
    peer: Arc<str>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Family {
    Up,
    Traffic,
    Seconds,
}

/// `hilum_peer_up` of a peer that is being watched.
pub(super) struct UpSeries {
    gauge: IntGauge,
    _lease: Lease,
}

/// What requests change: the gauge of those in flight, which is also what the balancer reads, and the counters.
pub(super) struct TrafficSeries {
    pub(super) in_flight: IntGauge,
    requests: [IntCounter; Outcome::LABELS.len()],
    _lease: Lease,
}

/// `hilum_service_seconds` of a service.
pub(super) struct SecondsSeries {
    histogram: Histogram,
    _lease: Lease,
}

struct Lease {
    labels: Labels,
    metrics: Arc<Metrics>,
}

impl Metrics {
    pub(super) fn new(registry: &Registry) -> anyhow::Result<Arc<Metrics>> {
        let peer = ["service", "peer"];
        let up = Opts::new("hilum_peer_up", "1 while requests are sent to the peer, 0 while its health checks fail");
        let in_flight = Opts::new("hilum_peer_in_flight", "requests that the peer has not finished");
        let requests = Opts::new("hilum_service_requests_total", "exchanges with a peer by how they ended");
        let seconds = HistogramOpts::new("hilum_service_seconds", "how long exchanges with a service took");
        let metrics = Metrics {
            up: IntGaugeVec::new(up, &peer)?,
            in_flight: IntGaugeVec::new(in_flight, &peer)?,
            requests: IntCounterVec::new(requests, &["service", "peer", "outcome"])?,
            seconds: HistogramVec::new(seconds.buckets(SECONDS.to_vec()), &["service"])?,
            holders: Mutex::default(),
        };
        registry.register(Box::new(metrics.up.clone()))?;
        registry.register(Box::new(metrics.in_flight.clone()))?;
        registry.register(Box::new(metrics.requests.clone()))?;
        registry.register(Box::new(metrics.seconds.clone()))?;
        Ok(Arc::new(metrics))
    }

    pub(super) fn up(self: &Arc<Self>, service: &Arc<str>, peer: &Arc<str>) -> UpSeries {
        let (gauge, _lease) =
            self.hold(Family::Up, service, peer, || self.up.with_label_values(&[&**service, &**peer]));
        UpSeries { gauge, _lease }
    }

    pub(super) fn traffic(self: &Arc<Self>, service: &Arc<str>, peer: &Arc<str>) -> TrafficSeries {
        let ((in_flight, requests), _lease) = self.hold(Family::Traffic, service, peer, || {
            let counter = |outcome| self.requests.with_label_values(&[&**service, &**peer, outcome]);
            (self.in_flight.with_label_values(&[&**service, &**peer]), Outcome::LABELS.map(counter))
        });
        TrafficSeries { in_flight, requests, _lease }
    }

    pub(super) fn seconds(self: &Arc<Self>, service: &Arc<str>) -> SecondsSeries {
        let nobody = Arc::from("");
        let (histogram, _lease) =
            self.hold(Family::Seconds, service, &nobody, || self.seconds.with_label_values(&[&**service]));
        SecondsSeries { histogram, _lease }
    }

    fn hold<T>(
        self: &Arc<Self>,
        family: Family,
        service: &Arc<str>,
        peer: &Arc<str>,
        children: impl FnOnce() -> T,
    ) -> (T, Lease) {
        let labels = Labels { family, service: service.clone(), peer: peer.clone() };
        let mut holders = lock(&self.holders);
        *holders.entry(labels.clone()).or_default() += 1;
        let children = children();
        drop(holders);
        (children, Lease { labels, metrics: self.clone() })
    }

    /// A label set that is absent already is as good as removed.
    fn remove(&self, labels: &Labels) {
        let (service, peer) = (&*labels.service, &*labels.peer);
        match labels.family {
            Family::Up => _ = self.up.remove_label_values(&[service, peer]),
            Family::Seconds => _ = self.seconds.remove_label_values(&[service]),
            Family::Traffic => {
                _ = self.in_flight.remove_label_values(&[service, peer]);
                for outcome in Outcome::LABELS {
                    _ = self.requests.remove_label_values(&[service, peer, outcome]);
                }
            }
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut holders = lock(&self.metrics.holders);
        let left = holders.get_mut(&self.labels).map_or(0, |count| {
            *count -= 1;
            *count
        });
        if left == 0 {
            holders.remove(&self.labels);
            self.metrics.remove(&self.labels);
        }
    }
}

impl UpSeries {
    pub(super) fn set(&self, up: bool) {
        self.gauge.set(i64::from(up));
    }
}

impl TrafficSeries {
    pub(super) fn count(&self, outcome: Outcome) {
        self.requests[outcome.index()].inc();
    }
}

impl SecondsSeries {
    pub(super) fn observe(&self, seconds: f64) {
        self.histogram.observe(seconds);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::services::tests::scripted::exposed;

    #[test]
    fn the_last_holder_takes_the_labels_along() {
        let registry = Registry::new();
        let metrics = Metrics::new(&registry).expect("a fresh registry");
        let (service, peer) = (Arc::from("patients"), Arc::from("127.0.0.1:8004"));
        let first = metrics.traffic(&service, &peer);
        first.in_flight.inc();
        let second = metrics.traffic(&service, &peer);
        second.in_flight.inc();
        assert!(exposed(&registry).contains(r#"hilum_peer_in_flight{peer="127.0.0.1:8004",service="patients"} 2"#));
        drop(first);
        assert_eq!(second.in_flight.get(), 2, "what is in flight is the peer's, not the holder's");
        assert!(exposed(&registry).contains("127.0.0.1:8004"));
        drop(second);
        assert!(!exposed(&registry).contains("127.0.0.1:8004"), "{}", exposed(&registry));
    }
}

//! What is counted about services. A series exists as long as somebody holds it: the last holder takes the labels of
//! a peer that is gone out of the registry.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};

use super::attempts::Retried;
use super::conduct::Cause;
use super::fault::Outcome;
use super::gate::Priority;
use super::lock;

/// From a quick service on the same machine to the longest time a request may take.
const SECONDS: [f64; 14] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// The families, registered once per fleet.
pub(super) struct Metrics {
    up: IntGaugeVec,
    in_flight: IntGaugeVec,
    requests: IntCounterVec,
    ejections: IntCounterVec,
    seconds: HistogramVec,
    retries: IntCounterVec,
    shed: IntCounterVec,
    waiting: IntGaugeVec,
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
    Service,
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
    ejections: [IntCounter; Cause::LABELS.len()],
    _lease: Lease,
}

/// What is counted of a service as a whole.
pub(super) struct ServiceSeries {
    seconds: Histogram,
    retries: [IntCounter; Retried::LABELS.len()],
    /// Refused because there was no place, by priority.
    pub(super) shed: [IntCounter; Priority::LABELS.len()],
    pub(super) waiting: IntGauge,
    _lease: Lease,
}

struct Lease {
    labels: Labels,
    metrics: Arc<Metrics>,
}

impl Metrics {
    pub(super) fn new(registry: &Registry) -> anyhow::Result<Arc<Metrics>> {
        let peer = ["service", "peer"];
        let up = Opts::new(
            "hilum_peer_up",
            "1 while requests are sent to the peer; 0 while its checks fail, or it is ejected, drained or new",
        );
        let in_flight = Opts::new("hilum_peer_in_flight", "requests that the peer has not finished");
        let requests = Opts::new("hilum_service_requests_total", "exchanges with a peer by how they ended");
        let ejections = Opts::new("hilum_ejections_total", "how often a peer was ejected, by what it did in a row");
        let seconds = HistogramOpts::new("hilum_service_seconds", "how long exchanges with a service took");
        let retries = Opts::new("hilum_retries_total", "further attempts of requests, by what they led to");
        let waiting = Opts::new("hilum_service_waiting", "requests that wait for a place at the service");
        let shed = Opts::new("hilum_shed_total", "requests refused because the service had enough to do, by priority");
        let metrics = Metrics {
            up: IntGaugeVec::new(up, &peer)?,
            in_flight: IntGaugeVec::new(in_flight, &peer)?,
            requests: IntCounterVec::new(requests, &["service", "peer", "outcome"])?,
            ejections: IntCounterVec::new(ejections, &["service", "peer", "cause"])?,
            seconds: HistogramVec::new(seconds.buckets(SECONDS.to_vec()), &["service"])?,
            retries: IntCounterVec::new(retries, &["service", "result"])?,
            shed: IntCounterVec::new(shed, &["service", "priority"])?,
            waiting: IntGaugeVec::new(waiting, &["service"])?,
            holders: Mutex::default(),
        };
        registry.register(Box::new(metrics.up.clone()))?;
        registry.register(Box::new(metrics.in_flight.clone()))?;
        registry.register(Box::new(metrics.requests.clone()))?;
        registry.register(Box::new(metrics.ejections.clone()))?;
        registry.register(Box::new(metrics.seconds.clone()))?;
        registry.register(Box::new(metrics.retries.clone()))?;
        registry.register(Box::new(metrics.shed.clone()))?;
        registry.register(Box::new(metrics.waiting.clone()))?;
        Ok(Arc::new(metrics))
    }

    pub(super) fn up(self: &Arc<Self>, service: &Arc<str>, peer: &Arc<str>) -> UpSeries {
        let (gauge, _lease) =
            self.hold(Family::Up, service, peer, || self.up.with_label_values(&[&**service, &**peer]));
        UpSeries { gauge, _lease }
    }

    pub(super) fn traffic(self: &Arc<Self>, service: &Arc<str>, peer: &Arc<str>) -> TrafficSeries {
        let ((in_flight, requests, ejections), _lease) = self.hold(Family::Traffic, service, peer, || {
            let counter = |outcome| self.requests.with_label_values(&[&**service, &**peer, outcome]);
            let ejection = |cause| self.ejections.with_label_values(&[&**service, &**peer, cause]);
            let in_flight = self.in_flight.with_label_values(&[&**service, &**peer]);
            (in_flight, Outcome::LABELS.map(counter), Cause::LABELS.map(ejection))
        });
        TrafficSeries { in_flight, requests, ejections, _lease }
    }

    pub(super) fn service(self: &Arc<Self>, service: &Arc<str>) -> ServiceSeries {
        let nobody = Arc::from("");
        let ((seconds, retries, shed, waiting), _lease) = self.hold(Family::Service, service, &nobody, || {
            let retried = |result| self.retries.with_label_values(&[&**service, result]);
            let shed = |priority| self.shed.with_label_values(&[&**service, priority]);
            let seconds = self.seconds.with_label_values(&[&**service]);
            let waiting = self.waiting.with_label_values(&[&**service]);
            (seconds, Retried::LABELS.map(retried), Priority::LABELS.map(shed), waiting)
        });
        ServiceSeries { seconds, retries, shed, waiting, _lease }
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
            Family::Service => {
                _ = self.seconds.remove_label_values(&[service]);
                _ = self.waiting.remove_label_values(&[service]);
                for result in Retried::LABELS {
                    _ = self.retries.remove_label_values(&[service, result]);
                }
                for priority in Priority::LABELS {
                    _ = self.shed.remove_label_values(&[service, priority]);
                }
            }
            Family::Traffic => {
                _ = self.in_flight.remove_label_values(&[service, peer]);
                for outcome in Outcome::LABELS {
                    _ = self.requests.remove_label_values(&[service, peer, outcome]);
                }
                for cause in Cause::LABELS {
                    _ = self.ejections.remove_label_values(&[service, peer, cause]);
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

    pub(super) fn ejected(&self, cause: Cause) {
        self.ejections[cause as usize].inc();
    }
}

impl ServiceSeries {
    pub(super) fn observe(&self, seconds: f64) {
        self.seconds.observe(seconds);
    }

    pub(super) fn retried(&self, result: Retried) {
        self.retries[result as usize].inc();
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

//! The metrics of one route: handles, not labels.

use std::sync::OnceLock;
use std::time::Duration;

use http::Method;
use prometheus::{Histogram, HistogramVec, IntCounter, IntCounterVec};

/// What one route counts.
pub struct RouteMetrics {
    name: Box<str>,
    requests: IntCounterVec,
    all_seconds: HistogramVec,
    /// Made at the first request, so that a file that is refused leaves no series behind.
    seconds: OnceLock<Histogram>,
    /// Method and status → counter, filled as they come: an entry is written once and then only read. A route sees few pairs;
    /// when the places are used up, the others are looked up by label.
    places: [OnceLock<(u32, IntCounter)>; 12],
}

impl std::fmt::Debug for RouteMetrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RouteMetrics({})", self.name)
    }
}

const METHODS: [&str; 8] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "other"];

/// The method's place in the list; a client can make up as many methods as it likes, and all of those are one.
fn place(method: &Method) -> usize {
    METHODS.iter().position(|m| *m == method.as_str()).unwrap_or(METHODS.len() - 1)
}

/// The method as metrics and logs show it.
pub fn shown(method: &Method) -> &'static str {
    METHODS[place(method)]
}

impl RouteMetrics {
    pub(super) fn new(requests: &IntCounterVec, seconds: &HistogramVec, name: &str) -> Self {
        RouteMetrics {
            name: name.into(),
            requests: requests.clone(),
            all_seconds: seconds.clone(),
            seconds: OnceLock::new(),
            places: [const { OnceLock::new() }; 12],
        }
    }

    /// Counts an exchange that is over. Status 0: there was none.
    pub fn observe(&self, method: &Method, status: u16, took: Duration) {
        self.seconds.get_or_init(|| self.all_seconds.with_label_values(&[&*self.name])).observe(took.as_secs_f64());
        self.count(method, status);
    }

    /// Counts one whose time says nothing.
    pub fn count(&self, method: &Method, status: u16) {
        let method = place(method);
        let key = (u32::try_from(method).unwrap_or_default() << 16) | u32::from(status);
        for place in &self.places {
            match place.get() {
                Some((k, counter)) if *k == key => return counter.inc(),
                Some(_) => {}
                None => {
                    // Another thread may take the place first; then it holds another pair, and the next place is tried.
                    let (k, counter) = place.get_or_init(|| (key, self.counter(method, status)));
                    if *k == key {
                        return counter.inc();
                    }
                }
            }
        }
        self.counter(method, status).inc();
    }

    fn counter(&self, method: usize, status: u16) -> IntCounter {
        self.requests.with_label_values(&[&self.name, METHODS[method], &status.to_string()])
    }

    pub(super) fn forget(requests: &IntCounterVec, seconds: &HistogramVec, name: &str) {
        // Nothing to remove is nothing to say.
        let _ = seconds.remove_label_values(&[name]);
        let statuses: Vec<(String, String)> = prometheus::core::Collector::collect(requests)
            .iter()
            .flat_map(|family| family.get_metric())
            .filter(|metric| metric.get_label().iter().any(|l| l.name() == "route" && l.value() == name))
            .map(|metric| {
                let label = |name: &str| {
                    metric
                        .get_label()
                        .iter()
                        .find(|l| l.name() == name)
                        .map(|l| l.value().to_owned())
                        .unwrap_or_default()
                };
                (label("method"), label("status"))
            })
            .collect();
        for (method, status) in statuses {
            let _ = requests.remove_label_values(&[name, &method, &status]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::Metrics;

    #[test]
    fn each_pair_of_method_and_status_is_counted_beyond_the_places_too() {
        let metrics = Metrics::new().unwrap();
        let route = metrics.route("r");
        for status in 200..220 {
            route.observe(&Method::GET, status, Duration::from_millis(1));
            route.observe(&Method::GET, status, Duration::from_millis(1));
        }
        route.observe(&Method::from_bytes(b"BREW").unwrap(), 405, Duration::ZERO);
        let text = metrics.text();
        for status in 200..220 {
            assert!(
                text.contains(&format!(r#"hilum_requests_total{{method="GET",route="r",status="{status}"}} 2"#)),
                "{text}"
            );
        }
        assert!(text.contains(r#"method="other",route="r",status="405"} 1"#), "{text}");
        metrics.forget_routes(["r"].into_iter());
        assert!(!metrics.text().contains(r#"route="r""#));
    }
}

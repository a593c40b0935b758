//! The metrics of one route: handles, not labels.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::Method;
use parking_lot::Mutex;
use prometheus::{Histogram, HistogramVec, IntCounter, IntCounterVec};

/// What one route counts: shared by the tables whose files have it one after the other.
pub struct RouteMetrics {
    name: Box<str>,
    requests: IntCounterVec,
    all_seconds: HistogramVec,
    /// Made at the first request, so that a file that is refused leaves no series behind.
    seconds: OnceLock<Histogram>,
    /// Method and status → counter, filled as they come: an entry is written once and then only read. A route sees few pairs;
    /// when the places are used up, the others are looked up by label.
    places: [OnceLock<(Pair, IntCounter)>; 12],
    /// The pairs that have a series; `None` once the file has the route no longer. Whoever makes a series holds this lock.
    series: Mutex<Option<Vec<Pair>>>,
    is_gone: AtomicBool,
    /// Counts what ends after that: nothing is lost, and nobody keeps the series of a route that no file has.
    unmatched: Option<Arc<RouteMetrics>>,
}

/// The place of a method and a status.
type Pair = (u16, u16);

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
    /// `unmatched`: what counts for this route when it is gone; `None` for the one that is never gone.
    pub(super) fn new(
        (requests, seconds): (&IntCounterVec, &HistogramVec),
        name: &str,
        unmatched: Option<&Arc<RouteMetrics>>,
    ) -> Self {
        RouteMetrics {
            name: name.into(),
            requests: requests.clone(),
            all_seconds: seconds.clone(),
            seconds: OnceLock::new(),
            places: [const { OnceLock::new() }; 12],
            series: Mutex::new(Some(Vec::new())),
            is_gone: AtomicBool::new(false),
            unmatched: unmatched.cloned(),
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Counts an exchange that is over. Status 0: there was none.
    pub fn observe(&self, method: &Method, status: u16, took: Duration) {
        let route = self.counting();
        if let Some(seconds) = route.seconds.get().or_else(|| route.make_seconds()) {
            seconds.observe(took.as_secs_f64());
        }
        route.count(method, status);
    }

    /// Counts one whose time says nothing.
    pub fn count(&self, method: &Method, status: u16) {
        let route = self.counting();
        let pair = (u16::try_from(place(method)).unwrap_or_default(), status);
        for place in &route.places {
            match place.get() {
                Some((p, counter)) if *p == pair => return counter.inc(),
                Some(_) => {}
                None => {
                    let Some(counter) = route.make_counter(pair) else { break };
                    // Another thread may take the place first; then it holds another pair, and the next place is tried.
                    let (p, counter) = place.get_or_init(|| (pair, counter));
                    if *p == pair {
                        return counter.inc();
                    }
                }
            }
        }
        match route.make_counter(pair) {
            Some(counter) => counter.inc(),
            // It has gone just now.
            None => route.counting().count(method, status),
        }
    }

    /// Itself, or who counts for it.
    fn counting(&self) -> &RouteMetrics {
        match &self.unmatched {
            Some(unmatched) if self.is_gone.load(Ordering::Relaxed) => unmatched,
            _ => self,
        }
    }

    fn make_seconds(&self) -> Option<&Histogram> {
        let series = self.series.lock();
        series.as_ref()?;
        Some(self.seconds.get_or_init(|| self.all_seconds.with_label_values(&[&*self.name])))
    }

    fn make_counter(&self, pair: Pair) -> Option<IntCounter> {
        let mut series = self.series.lock();
        let pairs = series.as_mut()?;
        if !pairs.contains(&pair) {
            pairs.push(pair);
        }
        Some(self.requests.with_label_values(&labels(&self.name, pair, &pair.1.to_string())))
    }

    /// The file has the route no longer: its series go, and none comes after.
    pub(super) fn forget(&self) {
        let mut series = self.series.lock();
        let Some(pairs) = series.take() else { return };
        self.is_gone.store(true, Ordering::Relaxed);
        // What was never made is nothing to remove.
        let _ = self.all_seconds.remove_label_values(&[&*self.name]);
        for pair in pairs {
            let _ = self.requests.remove_label_values(&labels(&self.name, pair, &pair.1.to_string()));
        }
    }
}

fn labels<'l>(name: &'l str, (method, _): Pair, status: &'l str) -> [&'l str; 3] {
    [name, METHODS[usize::from(method)], status]
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
    }

    /// The routes of a file, as a table has them.
    fn routes(metrics: &Metrics, names: &[&str]) -> Vec<Arc<RouteMetrics>> {
        names.iter().map(|name| metrics.route(name)).collect()
    }

    fn count(route: &RouteMetrics, times: u16) {
        (0..times).for_each(|_| route.observe(&Method::GET, 200, Duration::ZERO));
    }

    #[track_caller]
    fn check(metrics: &Metrics, route: &str, requests: u64) {
        let (text, line) =
            (metrics.text(), format!(r#"hilum_requests_total{{method="GET",route="{route}",status="200"}} "#));
        let found = text.lines().find_map(|it| it.strip_prefix(&line)).map(|number| number.parse().unwrap());
        assert_eq!(found.unwrap_or(0_u64), requests, "{route}: {text}");
        let seconds = format!(r#"hilum_request_seconds_count{{route="{route}"}} {requests}"#);
        assert_eq!(text.contains(&seconds), requests > 0, "{route}: {text}");
    }

    #[test]
    fn the_series_of_a_route_live_as_long_as_the_running_file_has_it() {
        let metrics = Metrics::new().unwrap();
        let first = routes(&metrics, &["stays", "goes", "unused"]);
        metrics.running("1", &first);
        count(&first[0], 2);
        count(&first[1], 3);
        // Another status each, beyond the places that a route has.
        (300..320).for_each(|status| first[1].count(&Method::PUT, status));
        let second = routes(&metrics, &["stays", "comes"]);
        metrics.running("2", &second);
        count(&second[0], 1);
        count(&second[1], 1);
        check(&metrics, "stays", 3);
        check(&metrics, "comes", 1);
        check(&metrics, "goes", 0);
        assert!(!metrics.text().contains("goes"), "{}", metrics.text());

        // Exchanges of the first file end when they end, and are counted.
        count(&first[0], 1);
        count(&first[1], 4);
        count(&first[2], 1);
        first[1].count(&Method::DELETE, 503);
        check(&metrics, "stays", 4);
        check(&metrics, "", 5);
        let text = metrics.text();
        assert!(text.contains(r#"method="DELETE",route="",status="503"} 1"#), "{text}");
        assert!(!text.contains("goes") && !text.contains("unused"), "{text}");

        // One that comes back begins anew, whoever still holds the one before.
        let third = routes(&metrics, &["goes"]);
        metrics.running("3", &third);
        count(&third[0], 1);
        count(&first[1], 1);
        check(&metrics, "goes", 1);
        check(&metrics, "stays", 0);
    }

    #[test]
    fn a_file_that_is_refused_leaves_no_series_and_no_route_behind() {
        let metrics = Metrics::new().unwrap();
        metrics.running("1", &routes(&metrics, &["a"]));
        let before = metrics.text();
        drop(routes(&metrics, &["a", "b"]));
        assert_eq!(metrics.text().lines().count(), before.lines().count());
        assert!(Arc::strong_count(&metrics.route("a")) == 2, "the running one, and this");
        assert!(Arc::strong_count(&metrics.route("b")) == 1, "nobody knows it");
    }

    #[test]
    fn a_route_that_goes_while_it_is_counted_leaves_no_series() {
        let metrics = Metrics::new().unwrap();
        for round in 0..50 {
            let (route, started) = (routes(&metrics, &["r"]), std::sync::Barrier::new(3));
            metrics.running("1", &route);
            std::thread::scope(|scope| {
                for method in [Method::GET, Method::PUT] {
                    let (route, started) = (&route[0], &started);
                    scope.spawn(move || {
                        started.wait();
                        (200..260).for_each(|status| route.observe(&method, status, Duration::ZERO));
                    });
                }
                started.wait();
                metrics.running("2", &[]);
            });
            let text = metrics.text();
            assert!(!text.contains(r#"route="r""#), "round {round}: {text}");
        }
    }
}

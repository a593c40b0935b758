//! The metrics of the engine itself. Services and sessions register their own on the same registry.

use std::collections::HashMap;
use std::sync::Arc;

use anyhow::Context;
use parking_lot::Mutex;
use prometheus::{
    HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder,
};

use super::RouteMetrics;
use crate::refusal::Reason;

/// Handles of the engine's metrics.
pub struct Metrics {
    pub registry: Registry,
    requests: IntCounterVec,
    seconds: HistogramVec,
    rejections: IntCounterVec,
    by_reason: Vec<IntCounter>,
    reloads: IntCounterVec,
    table_info: IntGaugeVec,
    pub connections: IntGauge,
    pub in_flight: IntGauge,
    pub panics: IntCounter,
    pub operators_refused: IntCounter,
    pub access_log_dropped: IntCounter,
    pub log_left_out: IntCounter,
    unmatched: Arc<RouteMetrics>,
    running: Mutex<Running>,
}

/// What the running file has.
#[derive(Default)]
struct Running {
    hash: String,
    routes: HashMap<Box<str>, Arc<RouteMetrics>>,
}

/// From a cache hit to the longest wait that a default deadline allows.
const SECONDS: &[f64] = &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

impl Metrics {
    /// # Errors
    /// Two metrics of one name, which is a defect of ours.
    pub fn new() -> anyhow::Result<Metrics> {
        let registry = Registry::new();
        let counters = |name: &str, help: &str, labels: &[&str]| {
            let counters = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(counters.clone()))?;
            Ok::<_, prometheus::Error>(counters)
        };
        let counter = |name: &str, help: &str| {
            let counter = IntCounter::new(name, help)?;
            registry.register(Box::new(counter.clone()))?;
            Ok::<_, prometheus::Error>(counter)
        };
        let gauge = |name: &str, help: &str| {
            let gauge = IntGauge::new(name, help)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok::<_, prometheus::Error>(gauge)
        };
        let requests = counters(
            "hilum_requests_total",
            "Requests, by route, method and status; status 0: the client left before an answer. No route: none was found, or the file has it no longer.",
            &["route", "method", "status"],
        )
        .context("metrics")?;
        let seconds = HistogramVec::new(
            HistogramOpts::new("hilum_request_seconds", "From the head of a request to the end of its answer.")
                .buckets(SECONDS.to_vec()),
            &["route"],
        )?;
        registry.register(Box::new(seconds.clone()))?;
        let rejections = counters(
            "hilum_rejections_total",
            "Answers that Hilum made itself because it could or would not do what was asked, by reason.",
            &["reason"],
        )?;
        let reloads = counters("hilum_reloads_total", "Reloads of routes.yaml, by result.", &["result"])?;
        let table_info = IntGaugeVec::new(
            Opts::new("hilum_table_info", "1 for the file that is running; the hash is of its unexpanded text."),
            &["hash"],
        )?;
        registry.register(Box::new(table_info.clone()))?;
        registry.register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))?;
        let metrics = Metrics {
            by_reason: Reason::all().map(|reason| rejections.with_label_values(&[reason.name()])).collect(),
            unmatched: Arc::new(RouteMetrics::new((&requests, &seconds), "", None)),
            running: Mutex::default(),
            connections: gauge("hilum_connections", "Connections of clients that are open.")?,
            in_flight: gauge("hilum_requests_in_flight", "Requests that are not answered to the end yet.")?,
            operators_refused: counter(
                "hilum_admin_refused_total",
                "Questions to the admin listener without its token, or from a web page.",
            )?,
            panics: counter("hilum_panics_total", "Panics; each ended one request or connection, and is a defect.")?,
            access_log_dropped: counter(
                "hilum_access_log_dropped_total",
                "Access-log lines that were dropped because the writer could not keep up.",
            )?,
            log_left_out: counter(
                "hilum_log_left_out_total",
                "Lines of diagnostics that were left out because there had been a hundred of the same kind within a second.",
            )?,
            requests,
            seconds,
            rejections,
            reloads,
            table_info,
            registry,
        };
        for result in ["loaded", "refused"] {
            metrics.reloads.with_label_values(&[result]);
        }
        Ok(metrics)
    }

    /// Handles for a route, so that no request looks a label up: those of the running file, if it has the route already.
    pub fn route(&self, name: &str) -> Arc<RouteMetrics> {
        let new = || Arc::new(RouteMetrics::new((&self.requests, &self.seconds), name, Some(&self.unmatched)));
        self.running.lock().routes.get(name).cloned().unwrap_or_else(new)
    }

    /// For requests that found no route.
    pub fn unmatched(&self) -> &Arc<RouteMetrics> {
        &self.unmatched
    }

    pub fn rejected(&self, reason: &str) {
        // Our own reasons first; a filter's are rare enough to be looked up.
        match Reason::all().position(|r| r.name() == reason) {
            Some(at) => self.by_reason[at].inc(),
            None => self.rejections.with_label_values(&[reason]).inc(),
        }
    }

    /// An edited file was taken.
    pub fn loaded<'r>(&self, hash: &str, routes: impl IntoIterator<Item = &'r Arc<RouteMetrics>>) {
        self.reloads.with_label_values(&["loaded"]).inc();
        self.running(hash, routes);
    }

    /// Which file runs, and its routes: those that it no longer has are forgotten.
    pub fn running<'r>(&self, hash: &str, routes: impl IntoIterator<Item = &'r Arc<RouteMetrics>>) {
        let routes = routes.into_iter().map(|route| (route.name().into(), route.clone())).collect();
        let new = Running { hash: hash.to_owned(), routes };
        let mut running = self.running.lock();
        let old = std::mem::replace(&mut *running, new);
        self.table_info.with_label_values(&[hash]).set(1);
        if old.hash != hash {
            // There is none before the first.
            let _ = self.table_info.remove_label_values(&[&old.hash]);
        }
        for (_, route) in old.routes.iter().filter(|(name, _)| !running.routes.contains_key(*name)) {
            route.forget();
        }
    }

    /// A file was refused.
    pub fn refused(&self) {
        self.reloads.with_label_values(&["refused"]).inc();
    }

    /// All of them in Prometheus' text format.
    pub fn text(&self) -> String {
        TextEncoder::new().encode_to_string(&self.registry.gather()).unwrap_or_else(|e| format!("# {e}\n"))
    }
}

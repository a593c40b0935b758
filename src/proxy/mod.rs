//! The only place that knows Pingora's session and implements its `ProxyHttp`. Each hook is a few lines of translation.
//!
//! `request_filter` does what the map in the crate's documentation says: front door, [`decide`](crate::table::decide), filters,
//! action. Only a streamed `forward` lets Pingora go on; everything else is answered there.

mod act;
mod again;
mod ask;
mod audit;
mod body;
mod combine;
mod ctx;
mod entrance;
mod failure;
mod forward;
mod framing;
mod front_door;
pub mod guard;
mod hooks;
mod rates;
mod respond;
#[cfg(any(test, feature = "fuzzing"))]
pub mod seams;
mod tunnel;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering::Relaxed};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use http::Method;
use ipnet::IpNet;

pub use ctx::Ctx;
pub use entrance::Entrance;

use crate::refusal::Reason;
use crate::services::Fleet;
use crate::table::Table;
use crate::telemetry::audit::Audit;
use crate::telemetry::{AccessLog, Line, Metrics, Millis, Time};

/// What the access log says of a client that did not wait for its answer. No rejection: nobody was refused.
const CLIENT_GONE: &str = "client_gone";

/// The gateway: the running table and what outlives it. A handle; clones share everything.
#[derive(Clone)]
pub struct Gateway(Arc<Shared>);

struct Shared {
    table: ArcSwap<Table>,
    fleet: Arc<Fleet>,
    metrics: Arc<Metrics>,
    access_log: Arc<AccessLog>,
    audit: Option<Arc<Audit>>,
    trusted_proxies: Vec<IpNet>,
    draining: AtomicBool,
    /// Connections whose first request has not come yet.
    fresh: Arc<AtomicI64>,
    /// Wakes every open exchange to its end.
    cut: tokio::sync::watch::Sender<bool>,
}

impl Gateway {
    pub fn new(
        table: Table,
        fleet: Arc<Fleet>,
        metrics: Arc<Metrics>,
        (access_log, audit): (Arc<AccessLog>, Option<Arc<Audit>>),
        trusted_proxies: Vec<IpNet>,
    ) -> Self {
        Gateway(Arc::new(Shared {
            table: ArcSwap::from_pointee(table),
            fleet,
            metrics,
            access_log,
            audit,
            trusted_proxies,
            draining: AtomicBool::new(false),
            fresh: Arc::default(),
            cut: tokio::sync::watch::channel(false).0,
        }))
    }

    /// The table that runs now. A request takes it once and keeps it.
    pub fn table(&self) -> Arc<Table> {
        self.0.table.load_full()
    }

    /// Puts another table in place; requests in flight end with theirs.
    pub fn swap(&self, table: Arc<Table>) -> Arc<Table> {
        self.0.table.swap(table)
    }

    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.0.metrics
    }

    pub fn fleet(&self) -> &Arc<Fleet> {
        &self.0.fleet
    }

    pub fn access_log(&self) -> &Arc<AccessLog> {
        &self.0.access_log
    }

    /// The audit log, if there is one.
    pub fn audit(&self) -> Option<&Arc<Audit>> {
        self.0.audit.as_ref()
    }

    /// Writes what both logs still hold, at the end of the process.
    pub fn finish_logs(&self) {
        self.access_log().finish();
        if let Some(audit) = self.audit() {
            audit.finish();
        }
    }

    /// From now on connections are closed after their answer, and readiness says no.
    pub fn drain(&self) {
        self.0.draining.store(true, Relaxed);
    }

    pub fn is_draining(&self) -> bool {
        self.0.draining.load(Relaxed)
    }

    /// How many connections are open and have not sent their first request.
    pub fn fresh(&self) -> &Arc<AtomicI64> {
        &self.0.fresh
    }

    /// Ends every exchange that is still open. Each of them still writes its log line.
    pub fn cut(&self) {
        self.0.cut.send_replace(true);
    }

    /// Comes when [`Gateway::cut`] was called.
    async fn until_cut(&self) {
        // The sender lives as long as the gateway.
        let _ = self.0.cut.subscribe().wait_for(|cut| *cut).await;
    }

    /// Whether an address may speak for its clients. One that is not known is no proxy's, whatever the networks are.
    pub fn trusts(&self, address: IpAddr) -> bool {
        !address.is_unspecified() && self.0.trusted_proxies.iter().any(|net| net.contains(&address))
    }

    /// Counts and logs a request that reached no hook of ours. `client`: who is at the other end of its connection.
    fn log_unseen(&self, client: Option<IpAddr>, status: u16, reason: Reason) {
        let metrics = self.metrics();
        metrics.rejected(reason.name());
        metrics.unmatched().count(&Method::default(), status);
        self.0.access_log.write(&Line {
            time: Time(SystemTime::now()),
            request_id: "",
            client,
            method: "",
            route: None,
            path: None,
            status,
            reason: Some(reason.name()),
            service: None,
            peer: None,
            attempts: None,
            bytes: 0,
            ms: Millis(Duration::ZERO),
        });
    }
}

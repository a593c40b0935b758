//! What outlives a table: the pools, what is known about their peers, and the tasks that watch them.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, Weak};

use anyhow::{Context, bail};
use pingora_core::connectors::{ConnectorOptions, TransportConnector};
use prometheus::Registry;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use super::address::PeerOptions;
use super::metrics::Metrics;
use super::names::{Names, Resolve, system};
use super::options::{HealthOptions, ServiceOptions};
use super::peer::Vital;
use super::pool::Pool;
use super::service::Service;
use super::{health, lock};

/// Unused connections to all services together, for requests of our own.
const KEPT_CONNECTIONS: usize = 1024;

/// All services of the gateway. One for the life of the process.
pub struct Fleet {
    shared: Arc<Shared>,
    pools: Mutex<HashMap<ServiceOptions, Weak<Pool>>>,
    running: Mutex<Vec<Running>>,
}

/// What the pools of a fleet have in common.
pub(super) struct Shared {
    /// For requests of our own and health checks. There is one, because making one reads all root certificates.
    pub(super) connector: TransportConnector,
    pub(super) names: Names,
    pub(super) metrics: Arc<Metrics>,
    vitals: Mutex<HashMap<VitalKey, Weak<Vital>>>,
    services: Mutex<HashMap<Arc<str>, Weak<Service>>>,
}

/// A peer whose health means the same: checked in the same way, at the same place, for the same service.
#[derive(PartialEq, Eq, Hash)]
struct VitalKey {
    service: Arc<str>,
    host: String,
    tls: bool,
    address: SocketAddr,
    health: Option<HealthOptions>,
}

struct Running {
    pool: Arc<Pool>,
    task: AbortHandle,
}

impl Fleet {
    /// `ca_file`: a PEM file with the certificates to trust instead of the system's. An error names what cannot be
    /// read, or a metric that the registry has already.
    pub fn new(registry: &Registry, ca_file: Option<String>) -> anyhow::Result<Arc<Fleet>> {
        Fleet::with_resolver(registry, ca_file, system())
    }

    /// With another way to look names up than asking the system.
    pub fn with_resolver(registry: &Registry, ca_file: Option<String>, resolve: Resolve) -> anyhow::Result<Arc<Fleet>> {
        let shared = Shared {
            connector: connector(ca_file)?,
            names: Names::new(resolve),
            metrics: Metrics::new(registry).context("registering the metrics of services")?,
            vitals: Mutex::default(),
            services: Mutex::default(),
        };
        Ok(Arc::new(Fleet { shared: Arc::new(shared), pools: Mutex::default(), running: Mutex::default() }))
    }

    /// The pool for these options: the one that exists already when the content is the same. A new one takes over
    /// what is known: in-flight counts of its peers, their health (if they are checked in the same way), addresses of
    /// its names.
    pub fn pool(&self, options: &ServiceOptions) -> Arc<Pool> {
        let mut pools = lock(&self.pools);
        if let Some(pool) = pools.get(options).and_then(Weak::upgrade) {
            return pool;
        }
        pools.retain(|_, pool| pool.strong_count() > 0);
        let pool = Arc::new(Pool::new(options.clone(), self.shared.clone()));
        pools.insert(options.clone(), Arc::downgrade(&pool));
        pool
    }

    /// Watches exactly these pools from now on: looks their names up and checks their peers. A pool that is watched
    /// already goes on undisturbed, one that is not listed is no longer watched. Call it at start and after each
    /// reload.
    pub fn run(&self, pools: &[Arc<Pool>], runtime: &Handle) {
        let mut running = lock(&self.running);
        running.retain(|it| {
            let stays = !it.task.is_finished() && pools.iter().any(|pool| Arc::ptr_eq(pool, &it.pool));
            if !stays {
                it.task.abort();
            }
            stays
        });
        for pool in pools {
            if !running.iter().any(|it| Arc::ptr_eq(pool, &it.pool)) {
                let task = runtime.spawn(health::watch(pool.clone())).abort_handle();
                running.push(Running { pool: pool.clone(), task });
            }
        }
        self.shared.names.keep(pools.iter().flat_map(|pool| &pool.options().peers));
    }

    /// Watches nothing any more. Pools can still be used, as they are.
    pub fn stop(&self) {
        for it in lock(&self.running).drain(..) {
            it.task.abort();
        }
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Shared {
    /// What belongs to the service of this name in every pool.
    pub(super) fn service(&self, name: &Arc<str>) -> Arc<Service> {
        let mut services = lock(&self.services);
        if let Some(service) = services.get(name).and_then(Weak::upgrade) {
            return service;
        }
        services.retain(|_, service| service.strong_count() > 0);
        let service = Arc::new(Service::new(name, &self.metrics));
        services.insert(name.clone(), Arc::downgrade(&service));
        service
    }

    /// The health of a peer, shared with every other pool in which it means the same.
    pub(super) fn vital(&self, service: &ServiceOptions, peer: &PeerOptions, address: SocketAddr) -> Arc<Vital> {
        let key = VitalKey {
            service: service.name.clone(),
            host: peer.host().to_owned(),
            tls: peer.tls(),
            address,
            health: service.health.clone(),
        };
        let mut vitals = lock(&self.vitals);
        if let Some(vital) = vitals.get(&key).and_then(Weak::upgrade) {
            return vital;
        }
        vitals.retain(|_, vital| vital.strong_count() > 0);
        let vital = Arc::new(Vital::default());
        vitals.insert(key, Arc::downgrade(&vital));
        vital
    }
}

fn connector(ca_file: Option<String>) -> anyhow::Result<TransportConnector> {
    if let Some(path) = &ca_file {
        let pem = std::fs::read(path).with_context(|| format!("reading the CA file {path}"))?;
        if !pem.windows(27).any(|window| window == b"-----BEGIN CERTIFICATE-----") {
            bail!("the CA file {path} holds no certificate in PEM form");
        }
    }
    // Pingora unwraps what goes wrong with certificates, the system's included. This runs once, at start, and nothing
    // is shared with what a panic may leave behind.
    std::panic::catch_unwind(move || {
        let mut options = ConnectorOptions::new(KEPT_CONNECTIONS);
        options.ca_file = ca_file;
        TransportConnector::new(Some(options))
    })
    .map_err(|_| anyhow::anyhow!("the certificates to trust cannot be loaded"))
}

//! The process: listeners, background work, signals, and the way out.

mod accept;
mod bind;
mod control;
mod descriptors;
mod drain;
mod http2;
mod loader;
mod opening;
mod operators;
pub mod pages;
mod places;
mod proxy_protocol;
mod refused;
mod systemd;
mod tls;
pub mod upgrade;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Context, bail};
use parking_lot::Mutex;
use pingora_core::server::configuration::ServerConf;
use pingora_core::server::{RunArgs, Server};
use pingora_core::services::background::background_service;
use pingora_proxy::http_proxy;
use tokio::sync::watch;

use opening::{Gate, Opening};
use systemd::Systemd;
use tls::{Certificates, Security, TlsMetrics};
use upgrade::{Inherited, Listening, Predecessor, Successor, Upgrade};

pub use loader::{Load, Loader};
pub use tls::Tls;

use crate::admin::Admin;
use crate::admin::reload::Reload;
use crate::admin::status::{Process, Reloads, Sessions};
use crate::admin::token::Token;
use crate::config::admin::AdminToken;
use crate::proxy::guard::Deadlines;
use crate::proxy::guard::app::GuardedConnections;
use crate::proxy::{Entrance, Gateway};
use crate::services::MOST_ATTEMPTS;
use crate::telemetry::Metrics;

/// What `conf/hilum.yaml` decides about the process.
#[derive(Clone, Debug)]
pub struct Settings {
    pub listeners: Vec<ClientListener>,
    pub admin: SocketAddr,
    pub admin_token: Option<AdminToken>,
    pub threads: usize,
    /// Connections that may be open: in all, and of one client.
    pub total: u32,
    pub per_client: u32,
    /// On one connection.
    pub requests: u32,
    pub deadlines: Deadlines,
    pub drain: Duration,
    /// Whether sessions are kept in a Redis.
    pub shared_sessions: bool,
    /// How a successor takes over. `None`: there are no upgrades.
    pub upgrade: Option<Upgrade>,
}

/// Where clients come in.
#[derive(Clone, Debug)]
pub struct ClientListener {
    pub address: SocketAddr,
    /// Connections begin with a header of the PROXY protocol.
    pub proxy_protocol: bool,
    pub tls: Option<Arc<Tls>>,
    pub entrance: Entrance,
}

/// Serves until a signal says stop or a successor serves, then drains.
///
/// # Errors
/// An address that can't be listened on; a running process that does not give way. Everything is bound before anything is served.
pub fn run(settings: &Settings, gateway: &Gateway, loader: Loader, loaded: String) -> anyhow::Result<()> {
    descriptors::raise(settings.total);
    let (successor, inherited) = match &settings.upgrade {
        Some(upgrade) => meet(upgrade)?,
        None => (None, Inherited::default()),
    };
    let bound = bind::Bound::new(settings, inherited)?;
    let gate = if successor.is_some() { Gate::closed() } else { Gate::open() };
    let (predecessor, name) = match &settings.upgrade {
        Some(upgrade) => {
            let listening = Listening::new(&upgrade.socket)?;
            let held = bound.copies(settings).context("the listening sockets can't be kept for a successor")?;
            let (predecessor, name) = Predecessor::new(listening, held, upgrade.clone(), gate.clone());
            (Some(predecessor), Some(name))
        }
        None => (None, None),
    };
    let (listeners, admin_address) = (bound.listeners()?, bound.admin_address()?);
    let shown = listeners.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let ready = format!("ready listeners=[{shown}] admin={admin_address}");
    let conf = ServerConf {
        threads: settings.threads,
        // Shared by all services; each peer keeps its connections for its own idle time.
        upstream_keepalive_pool_size: 1024,
        // Each service says how many attempts there are; each of them may meet a kept connection that is closed.
        max_retries: 2 * MOST_ATTEMPTS as usize,
        grace_period_seconds: Some(settings.drain.as_secs() + 5),
        graceful_shutdown_timeout_seconds: Some(1),
        ..ServerConf::default()
    };
    let mut server = Server::new_with_opt_and_conf(None, conf);
    server.bootstrap();
    let mut proxy = http_proxy(&server.configuration, gateway.clone());
    proxy.h2_options = Some(http2::options());
    let mut options = http2::server_options(settings.deadlines.idle);
    // It counts how often a connection is used again; the guard counts for HTTP/2, for which Pingora has no such number.
    options.keepalive_request_limit = Some(settings.requests - 1);
    proxy.server_options = Some(options);
    let (reload, requests) = Reload::channel();
    let app = GuardedConnections::new(proxy, gateway.clone(), settings.deadlines, settings.requests);
    let door = Arc::new(accept::Door {
        gateway: gateway.clone(),
        places: places::Places::new(settings.total, settings.per_client),
        refused: refused::Refused::new(&gateway.metrics().registry)?,
        header: settings.deadlines.header,
    });
    let tls = settings.listeners.iter().filter_map(|listener| listener.tls.clone()).collect();
    let certificates = Arc::new(Certificates::new(tls, TlsMetrics::register(&gateway.metrics().registry)?));
    let ways = bound.clients.into_iter().zip(&settings.listeners).map(|(socket, listener)| {
        let (tls, within) = (listener.tls.clone(), settings.deadlines.header);
        let way = accept::Way {
            door: door.clone(),
            proxy_protocol: listener.proxy_protocol,
            security: Security { tls, within, certificates: certificates.clone() },
            app: app.at(listener.entrance.clone()),
        };
        (socket, way)
    });
    server.add_service(accept::Clients::new(ways.collect(), app, settings.threads, gate.clone()));
    let token = settings.admin_token.as_ref().map(|token| Token::new(token.text()));
    let process = Process {
        started: SystemTime::now(),
        listeners,
        admin: admin_address,
        sessions: if settings.shared_sessions { Sessions::Redis } else { Sessions::Memory },
        filters: loader.filters.iter().flat_map(|list| list.iter()).map(|filter| filter.name).collect(),
    };
    let (told, reloads) = Reloads::channel(process.started);
    let (succeeded, has_successor) = watch::channel(false);
    let admin = Admin::new(gateway.clone(), reload.clone(), process, reloads, has_successor.clone(), token);
    server.add_service(operators::Operators::new(admin, bound.admin, gate.clone(), has_successor));
    let (hears, heard) = watch::channel(false);
    let systemd = Arc::new(Systemd::of(&loader.environment));
    let opening = Opening::new(gate.clone(), heard, successor, name, systemd.clone(), ready);
    let loader = (loader, certificates);
    let control = control::Control::new(gateway.clone(), loader, requests, told, loaded, opening);
    server.add_service(background_service("control", control));
    let signals = drain::Signals {
        gateway: gateway.clone(),
        reload,
        drain: settings.drain,
        hears,
        predecessor: Mutex::new(predecessor),
        succeeded,
        gate: gate.clone(),
        systemd,
        forgets_sessions: !settings.shared_sessions,
    };
    server.run(RunArgs { shutdown_signal: Box::new(signals) });
    if let Some(why) = gate.why_barred() {
        bail!(why);
    }
    gateway.finish_logs();
    Ok(())
}

/// Whom this process takes over from, if it does, and what it is given.
fn meet(upgrade: &Upgrade) -> anyhow::Result<(Option<Successor>, Inherited)> {
    upgrade::own_folder(&upgrade.socket)?;
    if upgrade.takes_over {
        let (successor, inherited) = Successor::meet(&upgrade.socket, upgrade.within)?;
        return Ok((Some(successor), inherited));
    }
    if upgrade::is_taken(&upgrade.socket) {
        bail!("a gateway runs at {} already; `hilum run --upgrade` takes over from it", upgrade.socket.display());
    }
    Ok((None, Inherited::default()))
}

/// Panics end one exchange; each is counted. The default hook would print what the panic says, which may quote a request.
pub fn count_panics(metrics: &Arc<Metrics>) {
    let panics = metrics.panics.clone();
    std::panic::set_hook(Box::new(move |info| {
        panics.inc();
        log::error!("a defect: panic at {}", place(info));
    }));
}

/// The same before there is a log: what a panic says may quote a variable.
pub fn hide_panics() {
    std::panic::set_hook(Box::new(|info| eprintln!("hilum: a defect: panic at {}", place(info))));
}

fn place(info: &std::panic::PanicHookInfo<'_>) -> String {
    info.location().map_or_else(|| "an unknown place".to_owned(), ToString::to_string)
}

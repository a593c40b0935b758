//! The process: listeners, background work, signals, and the way out.

mod accept;
mod bind;
mod control;
mod drain;
mod http2;
mod loader;
mod tls;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use pingora_core::server::configuration::ServerConf;
use pingora_core::server::{RunArgs, Server};
use pingora_core::services::background::background_service;
use pingora_proxy::http_proxy;

use accept::ClientSocket;
use tls::{Certificates, Security, TlsMetrics};

pub use loader::{Load, Loader};
pub use tls::Tls;

use crate::admin::Admin;
use crate::admin::reload::Reload;
use crate::admin::token::Token;
use crate::config::admin::AdminToken;
use crate::proxy::guard::Deadlines;
use crate::proxy::guard::app::GuardedConnections;
use crate::proxy::{Entrance, Gateway};
use crate::telemetry::Metrics;

/// What `conf/hilum.yaml` decides about the process.
#[derive(Clone, Debug)]
pub struct Settings {
    pub listeners: Vec<ClientListener>,
    pub admin: SocketAddr,
    pub admin_token: Option<AdminToken>,
    pub threads: usize,
    pub header: Duration,
    pub idle: Duration,
    pub drain: Duration,
}

/// Where clients come in.
#[derive(Clone, Debug)]
pub struct ClientListener {
    pub address: SocketAddr,
    pub tls: Option<Arc<Tls>>,
    pub entrance: Entrance,
}

/// Serves until a signal says stop, then drains.
///
/// # Errors
/// An address that can't be listened on. Everything is bound before anything is served.
pub fn run(settings: &Settings, gateway: &Gateway, loader: Loader, loaded: String) -> anyhow::Result<()> {
    let bound = bind::Bound::new(settings)?;
    let admin_address = bound.admin_address()?;
    let ready = format!("ready listeners={} admin={admin_address}", bound.shown()?);
    let conf = ServerConf {
        threads: settings.threads,
        // Shared by all services; each peer keeps its connections for its own idle time.
        upstream_keepalive_pool_size: 1024,
        // One try, and one more when a kept connection turns out to be closed. Other retries need a budget.
        max_retries: 2,
        grace_period_seconds: Some(settings.drain.as_secs() + 5),
        graceful_shutdown_timeout_seconds: Some(1),
        ..ServerConf::default()
    };
    let mut server = Server::new_with_opt_and_conf(None, conf);
    server.bootstrap();
    let mut proxy = http_proxy(&server.configuration, gateway.clone());
    (proxy.h2_options, proxy.server_options) = (Some(http2::options()), Some(http2::server_options(settings.idle)));
    let deadlines = Deadlines { header: settings.header, idle: settings.idle };
    let (reload, requests) = Reload::channel();
    let app = GuardedConnections::new(proxy, gateway.clone(), deadlines);
    let tls = settings.listeners.iter().filter_map(|listener| listener.tls.clone()).collect();
    let certificates = Arc::new(Certificates::new(tls, TlsMetrics::register(&gateway.metrics().registry)?));
    let sockets = bound.clients.into_iter().zip(&settings.listeners).map(|(socket, listener)| ClientSocket {
        socket,
        security: Security { tls: listener.tls.clone(), within: settings.header, certificates: certificates.clone() },
        entrance: listener.entrance.clone(),
    });
    server.add_service(accept::Clients::new(sockets.collect(), app, settings.threads));
    let token = settings.admin_token.as_ref().map(|token| Token::new(token.text()));
    let admin = Admin::new(gateway.clone(), reload.clone(), admin_address, token);
    server.add_service(bind::Operators::new(admin, bound.admin, admin_address));
    let (hears, heard) = tokio::sync::watch::channel(false);
    let control = control::Control::new(gateway.clone(), (loader, certificates), requests, loaded, (ready, heard));
    server.add_service(background_service("control", control));
    let signals = drain::Signals::new(gateway.clone(), reload, settings.drain, hears);
    server.run(RunArgs { shutdown_signal: Box::new(signals) });
    gateway.access_log().finish();
    Ok(())
}

/// Panics end one exchange; each is counted. The default hook would print what the panic says, which may quote a request.
pub fn count_panics(metrics: &Arc<Metrics>) {
    let panics = metrics.panics.clone();
    std::panic::set_hook(Box::new(move |info| {
        panics.inc();
        let place = info.location().map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
        log::error!("a defect: panic at {place}");
    }));
}

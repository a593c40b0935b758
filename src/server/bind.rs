//! Listening sockets. They are bound here, before anything runs: so that a port in use ends the start with a clear line, port 0 can
//! be asked what it became, and connections wait in the kernel until the first thread accepts.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::IntoRawFd;
use std::sync::Arc;

use anyhow::Context;
use async_trait::async_trait;
use parking_lot::Mutex;
use pingora_core::apps::http_app::HttpServer;
use pingora_core::listeners::ListenerConfig;
use pingora_core::server::{Fds, ListenFds, ShutdownWatch};
use pingora_core::services::Service as PingoraService;
use pingora_core::services::listening::Service;

use super::Settings;
use crate::admin::Admin;

/// Everything that is listened on.
pub(super) struct Bound {
    pub(super) clients: Vec<TcpListener>,
    pub(super) admin: TcpListener,
}

impl Bound {
    /// Binds all addresses, or none is served.
    pub(super) fn new(settings: &Settings) -> anyhow::Result<Bound> {
        let clients = settings
            .listeners
            .iter()
            .map(|listener| bind(listener.address, "clients"))
            .collect::<anyhow::Result<_>>()?;
        Ok(Bound { clients, admin: bind(settings.admin, "the admin listener")? })
    }

    /// `[127.0.0.1:5000, …]`
    pub(super) fn shown(&self) -> anyhow::Result<String> {
        let addresses = self.clients.iter().map(|socket| Ok(address(socket)?.to_string()));
        Ok(format!("[{}]", addresses.collect::<anyhow::Result<Vec<_>>>()?.join(", ")))
    }

    pub(super) fn admin_address(&self) -> anyhow::Result<SocketAddr> {
        address(&self.admin)
    }
}

fn address(socket: &TcpListener) -> anyhow::Result<SocketAddr> {
    socket.local_addr().context("a listener has no address")
}

fn bind(address: SocketAddr, whose: &str) -> anyhow::Result<TcpListener> {
    let socket = TcpListener::bind(address).with_context(|| format!("{address} for {whose} can't be listened on"))?;
    socket.set_nonblocking(true).context("a listener can't be made non-blocking")?;
    Ok(socket)
}

/// The admin listener as a service of Pingora's, which takes its socket from us. On a runtime of its own, so that it answers while
/// the other is flooded.
pub(super) struct Operators {
    service: Service<HttpServer<Admin>>,
    fds: ListenFds,
}

impl Operators {
    pub(super) fn new(app: Admin, socket: TcpListener, address: SocketAddr) -> Operators {
        let mut service = Service::new("admin".to_owned(), HttpServer::new_app(app));
        service.threads = Some(1);
        service.add_listener(ListenerConfig::tcp(address.to_string()));
        let mut fds = Fds::new();
        fds.add(address.to_string(), socket.into_raw_fd());
        Operators { service, fds: Arc::new(Mutex::new(fds)) }
    }
}

#[async_trait]
impl PingoraService for Operators {
    async fn start_service(&mut self, _: Option<ListenFds>, shutdown: ShutdownWatch, listeners_per_fd: usize) {
        PingoraService::start_service(&mut self.service, Some(self.fds.clone()), shutdown, listeners_per_fd).await;
    }

    fn name(&self) -> &str {
        PingoraService::name(&self.service)
    }

    fn threads(&self) -> Option<usize> {
        self.service.threads
    }
}

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
use socket2::{Domain, Protocol, Socket, Type};

use super::Settings;
use crate::admin::Admin;

/// How many may wait to be accepted; the system has a limit of its own. Whoever finds the queue full tries again a second later.
const QUEUE: i32 = 4096;

/// Everything that is listened on.
pub(super) struct Bound {
    pub(super) clients: Vec<TcpListener>,
    pub(super) admin: TcpListener,
}

impl Bound {
    /// Binds all addresses, or none is served.
    pub(super) fn new(settings: &Settings) -> anyhow::Result<Bound> {
        let clients = settings.listeners.iter().map(|listener| bind(listener.address, "clients"));
        let clients = clients.collect::<anyhow::Result<_>>()?;
        Ok(Bound { clients, admin: bind(settings.admin, "the admin listener")? })
    }

    /// Where clients come in.
    pub(super) fn listeners(&self) -> anyhow::Result<Vec<SocketAddr>> {
        self.clients.iter().map(address).collect()
    }

    pub(super) fn admin_address(&self) -> anyhow::Result<SocketAddr> {
        address(&self.admin)
    }
}

fn address(socket: &TcpListener) -> anyhow::Result<SocketAddr> {
    socket.local_addr().context("a listener has no address")
}

fn bind(address: SocketAddr, whose: &str) -> anyhow::Result<TcpListener> {
    listen(address).with_context(|| format!("{address} for {whose} can't be listened on"))
}

/// As the standard library does it, but for the queue.
fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A restart does not wait for the old connections to be forgotten.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(QUEUE)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
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

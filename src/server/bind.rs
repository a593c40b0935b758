//! Listeners. They are bound here, before anything runs, and handed to Pingora: so that a port in use ends the start with a
//! clear line, port 0 can be asked what it became, and connections wait in the kernel until the first thread accepts.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::IntoRawFd;
use std::sync::Arc;

use anyhow::Context;
use async_trait::async_trait;
use parking_lot::Mutex;
use pingora_core::apps::ServerApp;
use pingora_core::apps::http_app::HttpServer;
use pingora_core::listeners::{L4BufferSettings, ListenerConfig};
use pingora_core::server::{Fds, ListenFds, ShutdownWatch};
use pingora_core::services::Service as PingoraService;
use pingora_core::services::listening::Service;

use super::Settings;
use crate::admin::Admin;
use crate::proxy::guard::app::GuardedConnections;

/// Everything that is listened on.
pub(super) struct Bound {
    fds: ListenFds,
    pub(super) listeners: Vec<SocketAddr>,
    /// Each client listener once more, for what Pingora leaves in its queue at the end.
    sockets: Vec<TcpListener>,
    pub(super) admin_address: SocketAddr,
}

impl Bound {
    /// Binds all addresses, or none is served.
    pub(super) fn new(settings: &Settings) -> anyhow::Result<Bound> {
        let sockets =
            settings.listeners.iter().map(|address| bind(*address, "clients")).collect::<anyhow::Result<Vec<_>>>()?;
        let admin = bind(settings.admin, "the admin listener")?;
        let copies = sockets.iter().map(TcpListener::try_clone).collect::<std::io::Result<_>>();
        let copies = copies.context("a listener can't be copied")?;
        let mut fds = Fds::new();
        let mut keep = |socket: TcpListener| -> anyhow::Result<SocketAddr> {
            let address = socket.local_addr().context("a listener has no address")?;
            socket.set_nonblocking(true).context("a listener can't be made non-blocking")?;
            fds.add(address.to_string(), socket.into_raw_fd());
            Ok(address)
        };
        let listeners = sockets.into_iter().map(&mut keep).collect::<anyhow::Result<_>>()?;
        let admin_address = keep(admin)?;
        Ok(Bound { fds: Arc::new(Mutex::new(fds)), listeners, sockets: copies, admin_address })
    }

    /// `[127.0.0.1:5000, …]`
    pub(super) fn shown(&self) -> String {
        format!("[{}]", self.listeners.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
    }

    /// The copies of the client listeners, once.
    pub(super) fn take_sockets(&mut self) -> Vec<TcpListener> {
        std::mem::take(&mut self.sockets)
    }

    pub(super) fn clients(&self, app: GuardedConnections, threads: usize) -> Listening<GuardedConnections> {
        let mut service = Service::new("clients".to_owned(), app);
        service.threads = Some(threads);
        for address in &self.listeners {
            // The default reads into 64 KiB that each idle connection holds; 8 KiB costs no more system calls (measured).
            service.add_listener(
                ListenerConfig::tcp(address.to_string()).l4_buffer(L4BufferSettings::new(8 * 1024, 8 * 1024)),
            );
        }
        Listening { service, fds: self.fds.clone() }
    }

    /// On a runtime of its own, so that it answers while the other is flooded.
    pub(super) fn admin(&self, app: Admin) -> Listening<HttpServer<Admin>> {
        let mut service = Service::new("admin".to_owned(), HttpServer::new_app(app));
        service.threads = Some(1);
        service.add_listener(ListenerConfig::tcp(self.admin_address.to_string()));
        Listening { service, fds: self.fds.clone() }
    }
}

fn bind(address: SocketAddr, whose: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).with_context(|| format!("{address} for {whose} can't be listened on"))
}

/// A service of Pingora's that takes its sockets from us.
pub(super) struct Listening<A> {
    service: Service<A>,
    fds: ListenFds,
}

#[async_trait]
impl<A: ServerApp + Send + Sync + 'static> PingoraService for Listening<A> {
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

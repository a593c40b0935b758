//! Clients are accepted here and not by Pingora, which would keep time over a handshake in its own way, reset those who wait in the
//! kernel when it stops, and tell us of a connection only after its handshake.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsRawFd;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;
use pingora_core::protocols::l4::stream::Stream;
use pingora_core::protocols::{GetSocketDigest, SocketDigest};
use pingora_core::server::{ListenFds, ShutdownWatch};
use pingora_core::services::Service;
use tokio::net::TcpStream;

use super::tls::Security;
use crate::proxy::Entrance;
use crate::proxy::guard::app::GuardedConnections;

/// Without a free descriptor `accept` fails at once, again and again; others need a moment to give theirs back.
const EXHAUSTED: Duration = Duration::from_millis(100);

/// The listeners for clients, as a service of Pingora's with its own threads.
pub(super) struct Clients {
    sockets: Vec<ClientSocket>,
    app: GuardedConnections,
    threads: usize,
}

/// A socket that clients connect to, and how they are met there.
pub(super) struct ClientSocket {
    pub(super) socket: TcpListener,
    pub(super) security: Security,
    pub(super) entrance: Entrance,
}

impl Clients {
    pub(super) fn new(sockets: Vec<ClientSocket>, app: GuardedConnections, threads: usize) -> Clients {
        Clients { sockets, app, threads }
    }
}

#[async_trait]
impl Service for Clients {
    async fn start_service(&mut self, _: Option<ListenFds>, shutdown: ShutdownWatch, _: usize) {
        let sockets = std::mem::take(&mut self.sockets).into_iter();
        join_all(sockets.map(|socket| tokio::spawn(accept(socket, self.app.clone(), shutdown.clone())))).await;
        self.app.end().await;
    }

    fn name(&self) -> &str {
        "clients"
    }

    fn threads(&self) -> Option<usize> {
        Some(self.threads)
    }
}

/// Accepts until the process stops, and then whoever the kernel has accepted for us already: closing the socket would reset them.
async fn accept(listener: ClientSocket, app: GuardedConnections, mut shutdown: ShutdownWatch) {
    let ClientSocket { socket, security, entrance } = listener;
    let app = app.at(entrance);
    let socket = match tokio::net::TcpListener::from_std(socket) {
        Ok(socket) => socket,
        Err(e) => return log::error!("a listener can't be used: {e}"),
    };
    loop {
        let accepted = tokio::select! {
            accepted = socket.accept() => accepted,
            _ = shutdown.wait_for(|is_over| *is_over) => break,
        };
        match accepted {
            Ok((stream, address)) => serve(stream, address, &security, &app, &shutdown),
            Err(e) => {
                log::warn!("a client could not be accepted: {e}");
                tokio::time::sleep(EXHAUSTED).await;
            }
        }
    }
    // Asked of the system itself: tokio would answer from what it heard last, and between that and the end somebody may come.
    let Ok(socket) = socket.into_std() else { return };
    while let Ok((stream, address)) = socket.accept() {
        let stream = stream.set_nonblocking(true).and_then(|()| TcpStream::from_std(stream));
        if let Ok(stream) = stream {
            serve(stream, address, &security, &app, &shutdown);
        }
    }
}

fn serve(
    stream: TcpStream,
    address: SocketAddr,
    security: &Security,
    app: &GuardedConnections,
    shutdown: &ShutdownWatch,
) {
    // It is gone already, and reading will say so.
    let _ = stream.set_nodelay(true);
    let digest = SocketDigest::from_raw_fd(stream.as_raw_fd());
    let _ = digest.peer_addr.set(Some(address.into()));
    let mut stream = Stream::from(stream);
    stream.set_socket_digest(digest);
    let (security, app, shutdown) = (security.clone(), app.clone(), shutdown.clone());
    tokio::spawn(async move {
        if let Some(stream) = security.handshake(stream).await {
            app.serve(stream, &shutdown).await;
        }
    });
}

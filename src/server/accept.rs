//! Clients are accepted here and not by Pingora, which would keep time over a handshake in its own way, reset those who wait in the
//! kernel when it stops, and tell us of a connection only after its handshake. A place is taken before anything is read.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures_util::future::join_all;
use nix::errno::Errno;
use pingora_core::protocols::l4::stream::Stream;
use pingora_core::protocols::{GetSocketDigest, SocketDigest};
use pingora_core::server::{ListenFds, ShutdownWatch};
use pingora_core::services::Service;
use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::opening::Gate;
use super::places::{Place, Places};
use super::proxy_protocol::{self, Announced, NoHeader};
use super::refused::{Cause, Refused};
use super::tls::Security;
use crate::proxy::Gateway;
use crate::proxy::guard::app::{GuardedConnections, Open};
use crate::telemetry::Seldom;

/// Without a free descriptor `accept` fails at once, again and again; others need a moment to give theirs back.
const EXHAUSTED: Duration = Duration::from_millis(100);

/// So much of an answer the system holds that it can't send yet. Without a bound it is megabytes for each client that does not read,
/// and we learn late that it does not. What is on its way does not count, so nobody becomes slower.
const UNSENT: u32 = 128 * 1024;

/// A client that its proxy can't name. No proxy is trusted by this address, and all of them share the places of one client.
const NOBODY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

/// The listeners for clients, as a service of Pingora's with its own threads.
pub(super) struct Clients {
    sockets: Vec<(TcpListener, Arc<Way>)>,
    app: GuardedConnections,
    threads: usize,
    gate: Gate,
}

/// What every connection of one listener passes before it is served.
pub(super) struct Way {
    pub(super) door: Arc<Door>,
    /// Connections begin with a header of the PROXY protocol.
    pub(super) proxy_protocol: bool,
    pub(super) security: Security,
    pub(super) app: GuardedConnections,
}

/// What connections of all listeners share.
pub(super) struct Door {
    pub(super) gateway: Gateway,
    pub(super) places: Places,
    pub(super) refused: Refused,
    /// How long the header of the PROXY protocol may take.
    pub(super) header: Duration,
}

impl Clients {
    pub(super) fn new(
        sockets: Vec<(TcpListener, Way)>,
        app: GuardedConnections,
        threads: usize,
        gate: Gate,
    ) -> Clients {
        let sockets = sockets.into_iter().map(|(socket, way)| (socket, Arc::new(way))).collect();
        Clients { sockets, app, threads, gate }
    }
}

#[async_trait]
impl Service for Clients {
    async fn start_service(&mut self, _: Option<ListenFds>, shutdown: ShutdownWatch, _: usize) {
        let sockets = std::mem::take(&mut self.sockets).into_iter();
        // Whoever waits in the kernel is the predecessor's as long as it is closed.
        if !self.gate.opens(&shutdown).await {
            return;
        }
        join_all(sockets.map(|(socket, way)| tokio::spawn(accept(socket, way, shutdown.clone())))).await;
        self.app.end().await;
    }

    fn name(&self) -> &str {
        "clients"
    }

    fn threads(&self) -> Option<usize> {
        Some(self.threads)
    }
}

/// Gives each connection that comes until the process stops, and then the socket. `None`: it can't be used.
pub(super) async fn each(
    socket: TcpListener,
    shutdown: &ShutdownWatch,
    open: impl Fn(TcpStream, SocketAddr),
) -> Option<tokio::net::TcpListener> {
    let socket = match tokio::net::TcpListener::from_std(socket) {
        Ok(socket) => socket,
        Err(e) => {
            log::error!("a listener can't be used: {e}");
            return None;
        }
    };
    let (failures, mut over) = (Seldom::default(), shutdown.clone());
    loop {
        let accepted = tokio::select! {
            accepted = socket.accept() => accepted,
            _ = over.wait_for(|is_over| *is_over) => return Some(socket),
        };
        match accepted {
            Ok((stream, address)) => open(stream, address),
            Err(e) => {
                if let Some(times) = failures.is_due(Instant::now()) {
                    log::warn!("a client could not be accepted: {e}; {times} since this was told last");
                }
                if is_exhausted(&e) {
                    tokio::time::sleep(EXHAUSTED).await;
                }
            }
        }
    }
}

/// A connection as Pingora knows it.
pub(super) fn stream(stream: TcpStream, address: SocketAddr) -> Stream {
    let digest = SocketDigest::from_raw_fd(stream.as_raw_fd());
    let _ = digest.peer_addr.set(Some(address.into()));
    let mut stream = Stream::from(stream);
    stream.set_socket_digest(digest);
    stream
}

/// Accepts until the process stops, and then whoever the kernel has accepted for us already: closing the socket would reset them.
async fn accept(socket: TcpListener, way: Arc<Way>, shutdown: ShutdownWatch) {
    let accepted = each(socket, &shutdown, |stream, address| way.open(stream, address, &shutdown)).await;
    // Asked of the system itself: tokio would answer from what it heard last, and between that and the end somebody may come.
    let Some(Ok(socket)) = accepted.map(tokio::net::TcpListener::into_std) else { return };
    loop {
        let (stream, address) = match socket.accept() {
            Ok(accepted) => accepted,
            Err(e) if is_of_one_client(&e) => continue,
            Err(_) => break,
        };
        let stream = stream.set_nonblocking(true).and_then(|()| TcpStream::from_std(stream));
        if let Ok(stream) = stream {
            way.open(stream, address, &shutdown);
        }
    }
}

/// It will be so for the next one as well, until something is given back. All else is about one client, which is gone.
fn is_exhausted(error: &std::io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw);
    matches!(errno, Some(Errno::EMFILE | Errno::ENFILE | Errno::ENOBUFS | Errno::ENOMEM))
}

/// It was gone before it was accepted; behind it others wait.
fn is_of_one_client(error: &std::io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw);
    matches!(errno, Some(Errno::ECONNABORTED | Errno::EPROTO | Errno::EINTR))
}

impl Way {
    /// Lets a connection in, if there is a place for it.
    fn open(self: &Arc<Self>, stream: TcpStream, address: SocketAddr, shutdown: &ShutdownWatch) {
        let door = &self.door;
        let Some(mut place) = door.places.take() else { return door.refuse(&stream, Cause::Total, address) };
        if self.proxy_protocol && !door.trusts(address) {
            return door.refuse(&stream, Cause::ProxyProtocol, address);
        }
        let mut open = self.app.open();
        if !door.has_place(address, &mut place, &mut open) {
            return door.refuse(&stream, Cause::Client, address);
        }
        // When one of these fails the client is gone already, and reading will say so.
        let _ = stream.set_nodelay(true);
        let _ = SockRef::from(&stream).set_tcp_notsent_lowat(UNSENT);
        let (way, shutdown) = (self.clone(), shutdown.clone());
        tokio::spawn(async move {
            match way.proxy_protocol {
                true => way.ask_for_client(stream, address, &mut place, open, &shutdown).await,
                false => way.serve(stream, address, open, &shutdown).await,
            }
            // Not before the connection has ended.
            drop(place);
        });
    }

    /// Who the client is stands in the first bytes.
    async fn ask_for_client(
        &self,
        mut stream: TcpStream,
        proxy: SocketAddr,
        place: &mut Place,
        mut open: Open,
        shutdown: &ShutdownWatch,
    ) {
        let door = &self.door;
        let address = match timeout(door.header, proxy_protocol::read(&mut stream)).await {
            Ok(Ok(Announced::Client(client))) => client,
            Ok(Ok(Announced::Proxy)) => proxy,
            Ok(Ok(Announced::Unknown)) => NOBODY,
            Ok(Err(NoHeader::Nothing)) => return,
            Ok(Err(NoHeader::Malformed)) | Err(_) => return door.refuse(&stream, Cause::ProxyProtocol, proxy),
        };
        if !door.has_place(address, place, &mut open) {
            return door.refuse(&stream, Cause::Client, address);
        }
        self.serve(stream, address, open, shutdown).await;
    }

    async fn serve(&self, stream: TcpStream, address: SocketAddr, open: Open, shutdown: &ShutdownWatch) {
        if let Some(stream) = self.security.handshake(self::stream(stream, address)).await {
            self.app.serve(stream, open, shutdown).await;
        }
    }
}

impl Door {
    fn trusts(&self, address: SocketAddr) -> bool {
        self.gateway.trusts(address.ip().to_canonical())
    }

    /// Whether the client may have this place. Behind a trusted proxy are many, so it is not counted as one.
    fn has_place(&self, address: SocketAddr, place: &mut Place, open: &mut Open) -> bool {
        if self.trusts(address) {
            return true;
        }
        open.share = place.give_to(address.ip());
        open.share.is_some()
    }

    /// Closes with a reset, so that the system keeps nothing of it either.
    fn refuse(&self, stream: &TcpStream, cause: Cause, address: SocketAddr) {
        // Without it the end is a plain one.
        let _ = stream.set_zero_linger();
        self.refused.tell(cause, address.ip());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_next_client_would_meet_too_is_waited_for() {
        for (errno, waits) in [
            (Errno::EMFILE, true),
            (Errno::ENFILE, true),
            (Errno::ENOBUFS, true),
            (Errno::ENOMEM, true),
            (Errno::ECONNABORTED, false),
            (Errno::EPERM, false),
            (Errno::EPROTO, false),
            (Errno::ENETDOWN, false),
        ] {
            assert_eq!(is_exhausted(&errno.into()), waits, "{errno}");
        }
        assert!(!is_exhausted(&std::io::ErrorKind::Other.into()));
    }

    #[test]
    fn a_client_that_left_the_queue_is_not_the_end_of_it() {
        for (errno, goes_on) in [
            (Errno::ECONNABORTED, true),
            (Errno::EPROTO, true),
            (Errno::EINTR, true),
            (Errno::EAGAIN, false),
            (Errno::EMFILE, false),
            (Errno::EINVAL, false),
        ] {
            assert_eq!(is_of_one_client(&errno.into()), goes_on, "{errno}");
        }
    }
}

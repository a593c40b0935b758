//! Listening sockets. They are bound here, before anything runs: so that a port in use ends the start with a clear line, port 0 can
//! be asked what it became, and connections wait in the kernel until the first thread accepts.

use std::net::{SocketAddr, TcpListener};

use anyhow::Context;
use socket2::{Domain, Protocol, Socket, Type};

use super::Settings;

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

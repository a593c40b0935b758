//! Listening sockets. They are bound here, before anything runs: so that a port in use ends the start with a clear line, port 0 can
//! be asked what it became, and connections wait in the kernel until the first thread accepts. What a predecessor has given is used.

use std::net::{SocketAddr, TcpListener};

use anyhow::Context;
use socket2::{Domain, Protocol, Socket, Type};

use super::Settings;
use super::upgrade::{Entry, Held, Inherited, Role};

/// How many may wait to be accepted; the system has a limit of its own. Whoever finds the queue full tries again a second later.
const QUEUE: i32 = 4096;

/// Everything that is listened on.
pub(super) struct Bound {
    pub(super) clients: Vec<TcpListener>,
    pub(super) admin: TcpListener,
}

impl Bound {
    /// Binds all addresses that were not inherited, or none is served.
    pub(super) fn new(settings: &Settings, mut inherited: Inherited) -> anyhow::Result<Bound> {
        let mut listen = |entry: Entry| match inherited.take(entry) {
            Some(socket) => {
                log::info!("taken over: {entry}");
                Ok(socket)
            }
            None => bind(entry),
        };
        let clients = clients(settings).map(&mut listen).collect::<anyhow::Result<_>>()?;
        let bound = Bound { clients, admin: listen(admin(settings))? };
        inherited.left().for_each(|entry| log::info!("not taken over, since the settings do not name it: {entry}"));
        Ok(bound)
    }

    /// Copies for a successor. A socket listens until all of its copies are closed.
    pub(super) fn copies(&self, settings: &Settings) -> anyhow::Result<Vec<Held>> {
        let entries = clients(settings).chain([admin(settings)]);
        let sockets = self.clients.iter().chain([&self.admin]);
        entries.zip(sockets).map(|(entry, socket)| Ok(Held { entry, socket: socket.try_clone()? })).collect()
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

fn clients(settings: &Settings) -> impl Iterator<Item = Entry> {
    settings.listeners.iter().map(|listener| Entry { role: Role::Clients, address: listener.address })
}

fn admin(settings: &Settings) -> Entry {
    Entry { role: Role::Admin, address: settings.admin }
}

fn bind(entry: Entry) -> anyhow::Result<TcpListener> {
    let whose = match entry.role {
        Role::Clients => "clients",
        Role::Admin => "the admin listener",
    };
    listen(entry.address).with_context(|| format!("{} for {whose} can't be listened on", entry.address))
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

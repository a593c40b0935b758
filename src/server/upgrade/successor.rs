//! The side of the process that takes over.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as BlockingStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use rustix::net::sockopt;
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;

use super::inventory::{self, Entry};
use super::{READY, SERVING, YOURS, socket, wire};

/// A process that takes over, and its connection to the one that runs.
pub(in crate::server) struct Successor(BlockingStream);

/// Its predecessor has said `yours`.
pub(in crate::server) struct Heir(UnixStream);

/// The listening sockets of the predecessor that were not asked for yet.
#[derive(Default)]
pub(in crate::server) struct Inherited(Vec<(Entry, TcpListener)>);

impl Successor {
    /// Receives what the running process listens on. `within`: how long it is waited for.
    pub(in crate::server) fn meet(path: &Path, within: Duration) -> anyhow::Result<(Successor, Inherited)> {
        let stream = socket::connect(path)?;
        let inherited = || {
            wire::peer(&stream).map_err(anyhow::Error::msg)?;
            stream.set_read_timeout(Some(within))?;
            let (text, sockets) = wire::receive(&stream)?;
            Inherited::new(&text, sockets)
        };
        let inherited = inherited()
            .with_context(|| format!("the running gateway at {} can't be taken over from", path.display()))?;
        Ok((Successor(stream), inherited))
    }

    /// Says that everything is ready and waits for the predecessor to agree. However long that takes: it may have agreed already, and
    /// then nobody would serve.
    pub(in crate::server) async fn ask(self) -> Result<Heir, String> {
        let stream = self.0.set_nonblocking(true).and_then(|()| UnixStream::from_std(self.0));
        let mut stream = stream.map_err(|e| e.to_string())?;
        stream.write_all(READY).await.map_err(|e| e.to_string())?;
        wire::expect(&mut stream, YOURS).await?;
        Ok(Heir(stream))
    }
}

impl Heir {
    /// Lets the predecessor go.
    pub(in crate::server) async fn serves(mut self) -> std::io::Result<()> {
        self.0.write_all(SERVING).await
    }
}

impl Inherited {
    fn new(text: &str, sockets: Vec<OwnedFd>) -> anyhow::Result<Inherited> {
        let entries = inventory::parse(text).map_err(anyhow::Error::msg)?;
        ensure!(entries.len() == sockets.len(), "it names {} sockets and sends {}", entries.len(), sockets.len());
        let listener = |(entry, socket): (Entry, OwnedFd)| {
            let address = listens(&socket).with_context(|| format!("what it calls `{entry}` does not listen"))?;
            let (is, said) = (address, entry.address);
            if is.ip() != said.ip() || (said.port() != 0 && is.port() != said.port()) {
                bail!("what it calls `{entry}` listens on {is}");
            }
            Ok((entry, TcpListener::from(socket)))
        };
        Ok(Inherited(entries.into_iter().zip(sockets).map(listener).collect::<anyhow::Result<_>>()?))
    }

    /// The first one that is called so; the second time the second one.
    pub(in crate::server) fn take(&mut self, entry: Entry) -> Option<TcpListener> {
        let at = self.0.iter().position(|(other, _)| *other == entry)?;
        Some(self.0.remove(at).1)
    }

    /// What nobody asked for.
    pub(in crate::server) fn left(&self) -> impl Iterator<Item = &Entry> {
        self.0.iter().map(|(entry, _)| entry)
    }
}

/// Where a TCP socket listens.
fn listens(socket: &OwnedFd) -> anyhow::Result<SocketAddr> {
    ensure!(sockopt::socket_acceptconn(socket)?, "nobody can connect to it");
    Ok(TcpListener::from(socket.try_clone()?).local_addr()?)
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::inventory::{END, GREETING, Role};
    use super::*;

    fn entry(role: Role, address: &str) -> Entry {
        Entry { role, address: address.parse().unwrap() }
    }

    #[test]
    fn sockets_are_found_by_what_they_are_for_and_in_their_order() {
        let sockets: Vec<TcpListener> = (0..3).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let ports: Vec<u16> = sockets.iter().map(|socket| socket.local_addr().unwrap().port()).collect();
        let text = format!("{GREETING}clients 127.0.0.1:0\nadmin 127.0.0.1:0\nclients 127.0.0.1:0\n{END}");
        let mut inherited = Inherited::new(&text, sockets.into_iter().map(OwnedFd::from).collect()).unwrap();
        let mut take = |role, address| Some(inherited.take(entry(role, address))?.local_addr().unwrap().port());
        assert_eq!(take(Role::Clients, "127.0.0.1:1"), None);
        assert_eq!(take(Role::Clients, "127.0.0.1:0"), Some(ports[0]));
        assert_eq!(take(Role::Clients, "127.0.0.1:0"), Some(ports[2]));
        assert_eq!(take(Role::Clients, "127.0.0.1:0"), None);
        assert_eq!(inherited.left().map(ToString::to_string).collect::<Vec<_>>(), ["admin 127.0.0.1:0"]);
    }

    #[test]
    fn a_list_that_is_not_true_is_not_believed() {
        let listener = || OwnedFd::from(TcpListener::bind("127.0.0.1:0").unwrap());
        let at = TcpListener::bind("127.0.0.1:0").unwrap();
        let connected = || OwnedFd::from(TcpStream::connect(at.local_addr().unwrap()).unwrap());
        let unix = || OwnedFd::from(BlockingStream::pair().unwrap().0);
        for (address, socket, expected) in [
            ("127.0.0.2:0", Some(listener()), "what it calls `clients 127.0.0.2:0` listens on 127.0.0.1:"),
            ("127.0.0.1:1", Some(listener()), "what it calls `clients 127.0.0.1:1` listens on 127.0.0.1:"),
            ("127.0.0.1:0", Some(connected()), "does not listen: nobody can connect to it"),
            ("127.0.0.1:0", Some(unix()), "does not listen"),
            ("127.0.0.1:0", None, "it names 1 sockets and sends 0"),
        ] {
            let text = format!("{GREETING}clients {address}\n{END}");
            let told = format!("{:#}", Inherited::new(&text, socket.into_iter().collect()).err().expect(expected));
            assert!(told.contains(expected), "{told}");
        }
    }
}

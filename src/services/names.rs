//! Names of peers to addresses, off the hot path. The last good answer is kept, also over a reload.

use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::address::PeerOptions;
use super::lock;

/// A look-up under way.
pub type Lookup = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>>;

/// How a name and a port become addresses.
pub type Resolve = Arc<dyn Fn(&str, u16) -> Lookup + Send + Sync>;

/// The system's resolver tries several servers, seconds each; a look-up that takes longer than this has failed.
const PATIENCE: Duration = Duration::from_secs(5);

/// What names stood for when they were last resolved.
pub(super) struct Names {
    resolve: Resolve,
    known: Mutex<HashMap<Name, Arc<[SocketAddr]>>>,
}

/// A host and a port.
type Name = (String, u16);

/// Asks the system, on tokio's blocking threads.
pub(super) fn system() -> Resolve {
    Arc::new(|host, port| {
        let host = host.to_owned();
        Box::pin(async move { Ok(tokio::net::lookup_host((host, port)).await?.collect()) })
    })
}

impl Names {
    pub(super) fn new(resolve: Resolve) -> Self {
        Names { resolve, known: Mutex::default() }
    }

    /// The addresses of a peer, as far as they are known without asking anyone.
    pub(super) fn known(&self, peer: &PeerOptions) -> Option<Arc<[SocketAddr]>> {
        match peer.literal() {
            Some(address) => Some(Arc::new([SocketAddr::new(address, peer.port())])),
            None => lock(&self.known).get(&name(peer)).cloned(),
        }
    }

    /// Asks again. An answer without addresses is a failure, and a failure changes nothing that is known.
    pub(super) async fn look_up(&self, peer: &PeerOptions) -> Result<Arc<[SocketAddr]>, String> {
        let found = match tokio::time::timeout(PATIENCE, (self.resolve)(peer.host(), peer.port())).await {
            Err(_) => return Err("no answer in time".to_owned()),
            Ok(Err(error)) => return Err(error.to_string()),
            Ok(Ok(found)) => usable(found),
        };
        if found.is_empty() {
            return Err("it has no address".to_owned());
        }
        lock(&self.known).insert(name(peer), found.clone());
        Ok(found)
    }

    /// Forgets the names that belong to none of these peers.
    pub(super) fn keep<'a>(&self, peers: impl IntoIterator<Item = &'a PeerOptions>) {
        let used: HashSet<Name> = peers.into_iter().map(name).collect();
        lock(&self.known).retain(|name, _| used.contains(name));
    }
}

fn name(peer: &PeerOptions) -> Name {
    (peer.host().to_owned(), peer.port())
}

/// In a fixed order, each once. A name with addresses of both families is, as with `localhost`, nearly always one
/// machine that is reached in two ways and often listens on the older one only: then IPv4 is used.
fn usable(mut found: Vec<SocketAddr>) -> Arc<[SocketAddr]> {
    if found.iter().any(SocketAddr::is_ipv4) {
        found.retain(SocketAddr::is_ipv4);
    }
    found.sort_unstable();
    found.dedup();
    found.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_sorted_single_and_of_one_family() {
        for (found, expected) in [
            ("[::1]:80 127.0.0.1:80", "127.0.0.1:80"),
            ("10.0.0.2:80 10.0.0.1:80 10.0.0.2:80", "10.0.0.1:80 10.0.0.2:80"),
            ("[::2]:80 [::1]:80", "[::1]:80 [::2]:80"),
            ("", ""),
        ] {
            let parsed = found.split_whitespace().map(|text| text.parse().expect("an address")).collect();
            let texts: Vec<String> = usable(parsed).iter().map(SocketAddr::to_string).collect();
            assert_eq!(texts.join(" "), expected, "{found}");
        }
    }

    #[tokio::test]
    async fn the_system_knows_localhost() {
        let names = Names::new(system());
        let peer: PeerOptions = "http://localhost:8004".parse().expect("a peer");
        assert!(names.known(&peer).is_none());
        let found = names.look_up(&peer).await.expect("localhost resolves");
        assert!(found.iter().all(|address| address.ip().is_loopback() && address.port() == 8004), "{found:?}");
        assert_eq!(names.known(&peer), Some(found));
        names.keep(&[]);
        assert!(names.known(&peer).is_none());
    }
}

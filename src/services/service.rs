//! What belongs to a service whatever the file says of it at the moment: how its peers behave, its places, its budget. It outlives every
//! pool, so that a reload changes none of it.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, Weak};

use tokio::sync::watch;

use super::address::PeerOptions;
use super::budget::Budget;
use super::conduct::Conduct;
use super::gate::Gate;
use super::lock;
use super::metrics::{Metrics, ServiceSeries};

/// One for each name, as long as somebody uses it.
pub(super) struct Service {
    pub(super) budget: Budget,
    pub(super) gate: Arc<Gate>,
    pub(super) series: ServiceSeries,
    peers: Mutex<HashMap<PeerKey, Weak<Conduct>>>,
    /// Tells all pools of the service that the conduct of a peer is another one.
    pub(super) news: watch::Sender<()>,
}

/// The same peer, however it is checked, weighed or timed.
#[derive(PartialEq, Eq, Hash)]
struct PeerKey {
    host: String,
    tls: bool,
    address: SocketAddr,
}

impl Service {
    pub(super) fn new(name: &Arc<str>, metrics: &Arc<Metrics>) -> Service {
        let series = metrics.service(name);
        Service {
            budget: Budget::default(),
            gate: Gate::new(series.shed.clone(), series.waiting.clone()),
            series,
            peers: Mutex::default(),
            news: watch::Sender::new(()),
        }
    }

    /// Whether any peer of the service is in use. One that comes then joins others.
    pub(super) fn is_in_use(&self) -> bool {
        lock(&self.peers).values().any(|conduct| conduct.strong_count() > 0)
    }

    /// The conduct of a peer, and whether nothing was known of it.
    pub(super) fn conduct(&self, peer: &PeerOptions, address: SocketAddr) -> (Arc<Conduct>, bool) {
        let key = PeerKey { host: peer.host().to_owned(), tls: peer.tls(), address };
        let mut peers = lock(&self.peers);
        if let Some(conduct) = peers.get(&key).and_then(Weak::upgrade) {
            return (conduct, false);
        }
        peers.retain(|_, conduct| conduct.strong_count() > 0);
        let conduct = Arc::new(Conduct::default());
        peers.insert(key, Arc::downgrade(&conduct));
        (conduct, true)
    }
}

//! The peers of one service, and which of them takes the next request.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use pingora_core::connectors::TransportConnector;
use tokio::sync::watch;

use super::address::PeerOptions;
use super::balance::Rota;
use super::fault::Outcome;
use super::fleet::Shared;
use super::lock;
use super::metrics::{SecondsSeries, UpSeries};
use super::options::ServiceOptions;
use super::peer::{Peer, Picked};

/// What serves one service. Made by [`Fleet::pool`](super::Fleet::pool), shared by everyone with the same options.
pub struct Pool {
    options: ServiceOptions,
    shared: Arc<Shared>,
    lineup: ArcSwap<Lineup>,
    /// The number of the next request; it starts anywhere, so that not every gateway begins with the same peer.
    numbers: AtomicU64,
    /// Where each entry of `options.peers` is. Whoever arranges a new line-up holds this lock.
    places: Mutex<Vec<Place>>,
    news: watch::Sender<()>,
    seconds: SecondsSeries,
}

/// How many peers there are that may get requests, and how many of them are up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Health {
    pub up: usize,
    pub total: usize,
}

/// What a request sees: swapped whole when an address comes or goes or a peer's health changes.
struct Lineup {
    all: Box<[Member]>,
    /// Those that are up and have a weight, in the order of `rota`.
    up: Box<[Arc<Peer>]>,
    rota: Rota,
}

struct Member {
    peer: Arc<Peer>,
    weight: u32,
}

#[derive(Clone)]
struct Place {
    addresses: Arc<[SocketAddr]>,
    /// Whether its addresses are settled: given by the file, known from before, or looked up once, with whatever
    /// result.
    settled: bool,
}

/// Its name: the peers change while it is looked at.
impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Pool({})", self.name())
    }
}

impl Pool {
    pub(super) fn new(options: ServiceOptions, shared: Arc<Shared>) -> Pool {
        let place = |peer: &PeerOptions| match shared.names.known(peer) {
            Some(addresses) => Place { addresses, settled: true },
            None => Place { addresses: Arc::new([]), settled: false },
        };
        let pool = Pool {
            places: Mutex::new(options.peers.iter().map(place).collect()),
            lineup: ArcSwap::from_pointee(Lineup {
                all: [].into(),
                up: [].into(),
                rota: Rota::new(options.balance, &[]),
            }),
            numbers: AtomicU64::new(u64::from(rand::random::<u32>())),
            news: watch::Sender::new(()),
            seconds: shared.metrics.seconds(&options.name),
            options,
            shared,
        };
        pool.arrange();
        pool
    }

    pub fn name(&self) -> &Arc<str> {
        &self.options.name
    }

    pub fn options(&self) -> &ServiceOptions {
        &self.options
    }

    /// The peer for the next request, counted as in flight until it is dropped. `None` at once when no peer is up.
    /// `key` decides with [`Balance::Hash`](super::Balance::Hash) and is ignored otherwise.
    pub fn pick(&self, key: Option<u64>) -> Option<Picked> {
        let lineup = self.lineup.load();
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let at = lineup.rota.choose(number, key, |place| lineup.up[place].in_flight())?;
        Some(Picked::new(lineup.up[at].clone()))
    }

    pub fn health(&self) -> Health {
        let lineup = self.lineup.load();
        Health { up: lineup.up.len(), total: lineup.all.iter().filter(|member| member.weight > 0).count() }
    }

    /// Every peer, up or not, with its weight.
    pub fn peers(&self) -> Vec<(Arc<Peer>, u32)> {
        self.lineup.load().all.iter().map(|member| (member.peer.clone(), member.weight)).collect()
    }

    /// Counts an exchange that has ended. `took` is from the choice of the peer to the end of the answer; a request
    /// that was abandoned says nothing about the service's speed, so its time is left out.
    pub fn observe(&self, peer: &Peer, outcome: Outcome, took: Duration) {
        peer.count(outcome);
        if outcome != Outcome::Abandoned {
            self.seconds.observe(took.as_secs_f64());
        }
    }

    /// Waits until every name was looked up once, with whatever result. It takes [`Fleet::run`](super::Fleet::run) to
    /// get there; bound it, so that a slow name server does not keep the gateway from starting.
    pub async fn resolved(&self) {
        self.until(|pool| lock(&pool.places).iter().all(|place| place.settled)).await;
    }

    /// Waits until `condition` holds; it is asked again whenever peers come, go or change their health.
    pub async fn until(&self, condition: impl Fn(&Pool) -> bool) {
        let mut news = self.news.subscribe();
        while !condition(self) {
            if news.changed().await.is_err() {
                return;
            }
        }
    }

    pub(super) fn connector(&self) -> &TransportConnector {
        &self.shared.connector
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    pub(super) fn up_series(&self, peer: &Peer) -> UpSeries {
        let series = self.shared.metrics.up(&self.options.name, peer.label());
        series.set(peer.is_up());
        series
    }

    /// Takes in what a look-up of entry `index` has found. `None`: it failed, and what was known stays.
    pub(super) fn learn(&self, index: usize, found: Option<Arc<[SocketAddr]>>) {
        let mut places = lock(&self.places);
        let before = &places[index];
        let addresses = found.unwrap_or_else(|| before.addresses.clone());
        if before.settled && before.addresses == addresses {
            return;
        }
        places[index] = Place { addresses, settled: true };
        self.publish(&places);
    }

    /// How many addresses entry `index` has now.
    pub(super) fn addresses(&self, index: usize) -> usize {
        lock(&self.places)[index].addresses.len()
    }

    /// Makes the line-up anew, after the health of a peer has changed.
    pub(super) fn arrange(&self) {
        let places = lock(&self.places);
        self.publish(&places);
    }

    /// Under the lock of `places`, so that the last one to publish has seen everything.
    fn publish(&self, places: &[Place]) {
        let before = self.lineup.load();
        let mut all: Vec<Member> = Vec::new();
        for (options, place) in self.options.peers.iter().zip(places) {
            for &address in place.addresses.iter() {
                let weight = u32::from(options.weight);
                if let Some(twice) = all.iter_mut().find(|member| member.peer.stands_for(options, address)) {
                    twice.weight += weight;
                    continue;
                }
                let kept = before.all.iter().find(|member| member.peer.stands_for(options, address));
                let peer = kept.map_or_else(|| Arc::new(self.peer(options, address)), |member| member.peer.clone());
                all.push(Member { peer, weight });
            }
        }
        let up: Vec<&Member> = all.iter().filter(|member| member.weight > 0 && member.peer.is_up()).collect();
        let rota: Vec<(u32, &str)> = up.iter().map(|member| (member.weight, &**member.peer.label())).collect();
        let rota = Rota::new(self.options.balance, &rota);
        let up = up.into_iter().map(|member| member.peer.clone()).collect();
        self.lineup.store(Arc::new(Lineup { all: all.into(), up, rota }));
        self.news.send_replace(());
    }

    fn peer(&self, options: &PeerOptions, address: SocketAddr) -> Peer {
        let vital = self.shared.vital(&self.options, options, address);
        Peer::new(&self.options, options, address, vital, &self.shared.metrics)
    }
}

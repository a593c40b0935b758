//! The peers of one service, and which of them takes the next request.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use log::{info, warn};
use pingora_core::connectors::TransportConnector;
use tokio::sync::watch;

use super::address::PeerOptions;
use super::conduct::{Cause, EjectOptions, Standing};
use super::fault::Outcome;
use super::fleet::Shared;
use super::lineup::{Lineup, Member, PeerState, Wish};
use super::lock;
use super::metrics::UpSeries;
use super::options::ServiceOptions;
use super::peer::{Peer, Picked};
use super::service::Service;

/// What serves one service. Made by [`Fleet::pool`](super::Fleet::pool), shared by everyone with the same options.
pub struct Pool {
    options: ServiceOptions,
    shared: Arc<Shared>,
    service: Arc<Service>,
    lineup: ArcSwap<Lineup>,
    /// The number of the next request; it starts anywhere, so that not every gateway begins with the same peer.
    numbers: AtomicU64,
    /// Where each entry of `options.peers` is. Whoever arranges a new line-up holds this lock.
    places: Mutex<Vec<Place>>,
    /// `hilum_peer_up` of the peers that are watched.
    shown: Mutex<Vec<(Arc<Peer>, UpSeries)>>,
    /// It was made while another pool of the service was in use, as on a reload: who is unknown then joins others.
    is_successor: bool,
    news: watch::Sender<()>,
}

/// How many peers there are that may get requests, and how many of them do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Health {
    pub up: usize,
    pub total: usize,
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
        let service = shared.service(&options.name);
        let pool = Pool {
            is_successor: service.is_in_use(),
            places: Mutex::new(options.peers.iter().map(place).collect()),
            lineup: ArcSwap::from_pointee(Lineup::new([].into(), &options, Instant::now())),
            numbers: AtomicU64::new(u64::from(rand::random::<u32>())),
            shown: Mutex::default(),
            news: watch::Sender::new(()),
            service,
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

    /// The peer for the next request, counted as in flight until it is dropped. `None` at once when there is none.
    pub fn pick(&self, wish: &Wish<'_>) -> Option<Picked> {
        // A further attempt takes nobody's turn: with two peers, the next request would come to the one that failed again and again.
        let number = match wish.not {
            [] => self.numbers.fetch_add(1, Ordering::Relaxed),
            _ => rand::random(),
        };
        self.lineup.load().pick(number, wish, &self.options)
    }

    pub fn health(&self) -> Health {
        let lineup = self.lineup.load();
        Health { up: lineup.up.len(), total: lineup.all.iter().filter(|member| member.weight > 0).count() }
    }

    /// Whether there is anybody to send a request to.
    pub(super) fn has_peer(&self) -> bool {
        let lineup = self.lineup.load();
        !lineup.up.is_empty()
    }

    /// The same, besides these.
    pub(super) fn has_peer_but(&self, these: &[SocketAddr]) -> bool {
        self.lineup.load().up.iter().any(|peer| !these.contains(&peer.address()))
    }

    /// Every peer, up or not, with its weight.
    pub fn peers(&self) -> Vec<(Arc<Peer>, u32)> {
        self.lineup.load().all.iter().map(|member| (member.peer.clone(), member.weight)).collect()
    }

    /// Counts an exchange that has ended, and ejects its peer or takes it back. `took` is from the choice of the peer to the end of
    /// the answer; a request that was abandoned says nothing about the service's speed, so its time is left out.
    pub(super) fn observe(&self, picked: &mut Picked, outcome: Outcome, took: Duration) {
        let peer = &picked.peer;
        peer.count(outcome);
        if outcome != Outcome::Abandoned {
            self.service.series.observe(took.as_secs_f64());
        }
        let Some(eject) = &self.options.eject else { return };
        if std::mem::take(&mut picked.is_probe) {
            if peer.conduct().probed(Instant::now(), Some(outcome), eject.span) {
                match peer.conduct().standing() {
                    Standing::Trusted => info!("service={} peer={} is trusted again", self.name(), peer.label()),
                    _ => info!("service={} peer={} stays ejected for {:?}", self.name(), peer.label(), eject.span),
                }
                self.conduct_changed();
            }
        } else if let Some(cause) = peer.conduct().note(outcome, eject.after) {
            self.eject(peer, eject, cause);
        }
    }

    /// If not too many are ejected already.
    fn eject(&self, peer: &Peer, eject: &EjectOptions, cause: Cause) {
        let places = lock(&self.places);
        let lineup = self.lineup.load();
        let up = lineup.all.iter().filter(|member| member.weight > 0 && member.peer.is_up());
        let (total, ejected) = up.fold((0, 0), |(total, ejected), member| {
            (total + 1, ejected + usize::from(member.peer.conduct().standing() != Standing::Trusted))
        });
        let most = eject.share.floor(total).max(usize::from(total > 1));
        if ejected >= most || peer.conduct().standing() != Standing::Trusted {
            return;
        }
        peer.conduct().eject(Instant::now(), eject.span);
        peer.count_ejection(cause);
        let what = ["failures", "server errors"][cause as usize];
        warn!(
            "service={} peer={} ejected for {:?} after {} {what} in a row",
            self.name(),
            peer.label(),
            eject.span,
            eject.after
        );
        self.publish(&places, true);
        drop(places);
        self.service.news.send_replace(());
    }

    /// Makes the line-up anew, here and in every other pool of the service.
    fn conduct_changed(&self) {
        self.arrange();
        self.service.news.send_replace(());
    }

    /// Sends no new requests to a peer, or does again; what it works on goes on. Whether there is such a peer.
    pub fn drain(&self, address: &str, is_drained: bool) -> bool {
        let peer = self.peers().into_iter().find(|(peer, _)| **peer.label() == *address);
        let Some((peer, _)) = peer else { return false };
        if peer.conduct().drain(is_drained) {
            let what = if is_drained { "drained" } else { "no longer drained" };
            info!("service={} peer={address} is {what}", self.name());
            self.conduct_changed();
        }
        true
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

    /// Tells when the line-up is another one.
    pub(super) fn news(&self) -> watch::Receiver<()> {
        self.news.subscribe()
    }

    pub(super) fn connector(&self) -> &TransportConnector {
        &self.shared.connector
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    pub(super) fn service(&self) -> &Arc<Service> {
        &self.service
    }

    /// Shows from now on whether requests are sent to these peers, and to no others.
    pub(super) fn show(&self, peers: &[Arc<Peer>]) {
        let mut shown = lock(&self.shown);
        shown.retain(|(peer, _)| peers.iter().any(|other| Arc::ptr_eq(peer, other)));
        for peer in peers {
            if !shown.iter().any(|(other, _)| Arc::ptr_eq(peer, other)) {
                let series = self.shared.metrics.up(&self.options.name, peer.label());
                shown.push((peer.clone(), series));
            }
        }
        let lineup = self.lineup.load();
        shown.iter().for_each(|(peer, series)| series.set(lineup.serves(peer)));
    }

    /// What becomes of requests for a peer at the moment.
    pub fn state(&self, peer: &Arc<Peer>) -> PeerState {
        let lineup = self.lineup.load();
        lineup.state(peer)
    }

    /// When the line-up changes next by itself: somebody's ejection or slow start is over.
    pub(super) fn next_change(&self, now: Instant) -> Option<Instant> {
        self.lineup.load().next_change(&self.options, now)
    }

    /// Takes in what a look-up of entry `index` has found. `None`: it failed, and what was known stays.
    pub(super) fn learn(&self, index: usize, found: Option<Arc<[SocketAddr]>>) {
        let mut places = lock(&self.places);
        let before = &places[index];
        let addresses = found.unwrap_or_else(|| before.addresses.clone());
        if before.settled && before.addresses == addresses {
            return;
        }
        // At the start the addresses of one name come after those of another, and nobody joins anybody.
        let is_begun = places.iter().all(|place| place.settled);
        places[index] = Place { addresses, settled: true };
        self.publish(&places, is_begun);
    }

    /// How many addresses entry `index` has now.
    pub(super) fn addresses(&self, index: usize) -> usize {
        lock(&self.places)[index].addresses.len()
    }

    /// Makes the line-up anew, after something about a peer has changed.
    pub(super) fn arrange(&self) {
        let places = lock(&self.places);
        self.publish(&places, true);
    }

    /// Under the lock of `places`, so that the last one to publish has seen everything.
    fn publish(&self, places: &[Place], is_begun: bool) {
        let (before, now) = (self.lineup.load(), Instant::now());
        let others_are_there = (is_begun || self.is_successor) && self.service.is_in_use();
        let mut all: Vec<Member> = Vec::new();
        for (options, place) in self.options.peers.iter().zip(places) {
            for &address in place.addresses.iter() {
                let weight = u32::from(options.weight);
                if let Some(twice) = all.iter_mut().find(|member| member.peer.stands_for(options, address)) {
                    twice.weight += weight;
                    continue;
                }
                let kept = before.all.iter().find(|member| member.peer.stands_for(options, address));
                let new = || Arc::new(self.peer(options, address, others_are_there, now));
                all.push(Member { peer: kept.map_or_else(new, |member| member.peer.clone()), weight });
            }
        }
        let lineup = Arc::new(Lineup::new(all.into(), &self.options, now));
        self.lineup.store(lineup.clone());
        lock(&self.shown).iter().for_each(|(peer, series)| series.set(lineup.serves(peer)));
        self.news.send_replace(());
    }

    fn peer(&self, options: &PeerOptions, address: SocketAddr, others_are_there: bool, now: Instant) -> Peer {
        let vital = self.shared.vital(&self.options, options, address);
        let (conduct, is_unknown) = self.service.conduct(options, address);
        if is_unknown && others_are_there {
            match self.options.health {
                // It begins with its first good check.
                Some(_) => vital.joins(),
                None => conduct.join(now),
            }
        }
        Peer::new(&self.options, options, address, (vital, conduct), &self.shared.metrics)
    }
}

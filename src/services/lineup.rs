//! Who of a service's peers gets requests, and which of them gets the next one.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use super::balance::{Rota, chance};
use super::conduct::{Standing, warmth};
use super::options::ServiceOptions;
use super::peer::{Peer, Picked};

/// Which peer a request would like.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wish<'w> {
    /// Decides with [`Balance::Hash`](super::Balance::Hash) and is ignored otherwise.
    pub key: Option<u64>,
    /// None of these, which it has met already.
    pub not: &'w [SocketAddr],
    /// It can be sent to another peer if this one fails.
    pub is_repeatable: bool,
}

/// What a request sees: swapped whole when an address comes or goes or whether requests are sent to a peer changes.
pub(super) struct Lineup {
    pub(super) all: Box<[Member]>,
    /// Those that requests are sent to, in the order of `rota`.
    pub(super) up: Box<[Arc<Peer>]>,
    rota: Rota,
    /// What each of them may have in flight while others have room.
    most: Box<[u64]>,
    /// Ejected ones whose time is over.
    half_open: Box<[Arc<Peer>]>,
    /// Some of those that are up have not been for long.
    is_warming: bool,
}

pub(super) struct Member {
    pub(super) peer: Arc<Peer>,
    pub(super) weight: u32,
}

/// What becomes of requests for a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerState {
    /// They are sent to it.
    Up,
    /// Its checks fail.
    Down,
    /// It joined others and has not passed a check yet.
    New,
    /// It failed too many of them.
    Ejected,
    /// One at a time shows how it is.
    HalfOpen,
    /// An operator wants no new ones to be sent to it.
    Drained,
}

impl PeerState {
    /// As `/status` tells it.
    pub fn name(self) -> &'static str {
        match self {
            PeerState::Up => "up",
            PeerState::Down => "down",
            PeerState::New => "new",
            PeerState::Ejected => "ejected",
            PeerState::HalfOpen => "half_open",
            PeerState::Drained => "drained",
        }
    }
}

impl Lineup {
    /// Who of all gets requests.
    pub(super) fn new(all: Box<[Member]>, options: &ServiceOptions, now: Instant) -> Lineup {
        let is_in = |member: &&Member| member.weight > 0 && member.peer.is_up() && !member.peer.conduct().is_drained();
        let is_known = |member: &&Member| !member.peer.vital().is_new();
        let mut up: Vec<&Member> = all.iter().filter(is_in).collect();
        if up.iter().any(is_known) {
            up.retain(|member| is_known(member));
        }
        let mut half_open = Vec::new();
        if let Some(eject) = &options.eject {
            // Those that are down as well, or their time would be over at every look.
            all.iter().for_each(|member| member.peer.conduct().tick(now));
            let is_trusted = |member: &&Member| member.peer.conduct().standing() == Standing::Trusted;
            let (trusted, others): (Vec<&Member>, Vec<&Member>) = up.iter().partition(|member| is_trusted(member));
            let total = all.iter().filter(|member| member.weight > 0).count();
            // Otherwise everybody goes on, since there is nobody left to be better.
            if !others.is_empty() && !trusted.is_empty() && !eject.panic.is_more_than(trusted.len(), total) {
                let is_over = |member: &&&Member| matches!(member.peer.conduct().standing(), Standing::HalfOpen { .. });
                half_open = others.iter().filter(is_over).map(|member| member.peer.clone()).collect();
                up = trusted;
            }
        }
        let slow_start = options.limits.slow_start;
        let is_warming = |member: &&Member| member.peer.conduct().joined().is_some_and(|at| at + slow_start > now);
        let is_warming = up.iter().any(is_warming) && !up.iter().all(is_warming);
        let rota: Vec<(u32, &str)> = up.iter().map(|member| (member.weight, &**member.peer.label())).collect();
        let rota = Rota::new(options.balance, &rota);
        let total: u64 = up.iter().map(|member| u64::from(member.weight)).sum();
        let most = up.iter().map(|member| most(options, member.weight, total)).collect();
        let up = up.into_iter().map(|member| member.peer.clone()).collect();
        Lineup { up, rota, most, half_open: half_open.into(), is_warming, all }
    }

    /// The peer for the next request, counted as in flight until it is dropped. `None` at once when there is none.
    pub(super) fn pick(&self, number: u64, wish: &Wish<'_>, options: &ServiceOptions) -> Option<Picked> {
        // What has failed once already goes to somebody who is trusted.
        let may_probe = !self.half_open.is_empty() && wish.not.is_empty();
        if let Some(eject) = options.eject.as_ref().filter(|_| may_probe) {
            let now = Instant::now();
            let probes = |peer: &&Arc<Peer>| peer.conduct().probe(now, wish.is_repeatable, eject.span);
            if let Some(peer) = self.half_open.iter().find(probes) {
                return Some(Picked::new(peer.clone(), true));
            }
        }
        let load = |place: usize| self.up[place].in_flight();
        let is_met = |place: usize| !wish.not.is_empty() && wish.not.contains(&self.up[place].address());
        let mut at = self.rota.choose(number, wish.key, load, is_met)?;
        let is_full = |place: usize| load(place) >= self.most[place];
        if is_full(at) || self.is_warming && !has_its_turn(&self.up[at], number, options) {
            let is_out = |place: usize| place == at || is_met(place) || is_full(place);
            at = self.rota.choose(number, wish.key, load, is_out).unwrap_or(at);
        }
        Some(Picked::new(self.up[at].clone(), false))
    }

    /// When the line-up changes next by itself: somebody's ejection or slow start is over.
    pub(super) fn next_change(&self, options: &ServiceOptions, now: Instant) -> Option<Instant> {
        let conducts = self.all.iter().map(|member| member.peer.conduct());
        conducts
            .flat_map(|conduct| {
                let warm = conduct.joined().map(|at| at + options.limits.slow_start).filter(|at| *at > now);
                let until = match conduct.standing() {
                    Standing::Ejected { until } if options.eject.is_some() => Some(until),
                    _ => None,
                };
                [warm, until]
            })
            .flatten()
            .min()
    }

    pub(super) fn serves(&self, peer: &Arc<Peer>) -> bool {
        self.up.iter().any(|other| Arc::ptr_eq(other, peer))
    }

    pub(super) fn state(&self, peer: &Arc<Peer>) -> PeerState {
        match peer.conduct().standing() {
            _ if peer.conduct().is_drained() => PeerState::Drained,
            _ if !peer.is_up() => PeerState::Down,
            _ if self.serves(peer) => PeerState::Up,
            Standing::Ejected { .. } => PeerState::Ejected,
            Standing::HalfOpen { .. } => PeerState::HalfOpen,
            Standing::Trusted => PeerState::New,
        }
    }
}

/// One and a half times its share of the service's places: a peer that answers nobody keeps what it is given, and must not keep all.
fn most(options: &ServiceOptions, weight: u32, total: u64) -> u64 {
    (u64::from(options.limits.in_flight) * u64::from(weight) * 3).div_ceil(total * 2)
}

/// A peer that joined others not long ago gives some of its turns to them: its caches are cold, and everybody would come at once.
fn has_its_turn(peer: &Peer, number: u64, options: &ServiceOptions) -> bool {
    peer.conduct().joined().is_none_or(|at| chance(number) < warmth(at.elapsed(), options.limits.slow_start))
}

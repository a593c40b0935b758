//! Which session follows which, in the store in memory: one [`Record`] for every session that can be refreshed.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::refresh::{Claim, Origin};

type Digest = [u8; 32];

/// The records by the digests of their sessions' keys. Whoever changes sessions that have records holds its lock.
#[derive(Default)]
pub(super) struct Lineage(HashMap<Digest, Record>);

struct Record {
    token: Box<str>,
    origin: Origin,
    previous: Option<Digest>,
    next: Option<Digest>,
    claimed_until: Option<Instant>,
}

impl Lineage {
    /// A session that a sign-in has opened.
    pub(super) fn insert(&mut self, digest: Digest, token: &str, origin: &Origin) {
        self.add(digest, token, origin, None);
    }

    pub(super) fn knows(&self, digest: &Digest) -> bool {
        self.0.contains_key(digest)
    }

    pub(super) fn claim(&mut self, digest: &Digest, lease: Duration, now: Instant) -> Claim {
        let Some(record) = self.0.get(digest) else { return Claim::Never };
        if let Some(next) = record.next {
            return self.0.get(&next).map_or(Claim::Never, |next| Claim::Refreshed(next.token.clone()));
        }
        let record = self.0.get_mut(digest).expect("it was there a line ago");
        if record.claimed_until.is_some_and(|until| now < until) {
            return Claim::Elsewhere;
        }
        record.claimed_until = Some(now + lease);
        Claim::Ours(record.origin.clone())
    }

    /// `new` follows `old`.
    pub(super) fn succeed(&mut self, old: &Digest, new: Digest, token: &str, origin: &Origin) {
        if let Some(record) = self.0.get_mut(old) {
            record.next = Some(new);
        }
        self.add(new, token, origin, Some(*old));
    }

    /// The session is over by itself.
    pub(super) fn forget(&mut self, digest: &Digest) {
        self.0.remove(digest);
    }

    /// A sign-out: all sessions of this one's line, itself included, whose records are gone with this.
    pub(super) fn end(&mut self, digest: &Digest) -> Vec<Digest> {
        let mut line = vec![*digest];
        let Some(first) = self.0.remove(digest) else { return line };
        let (mut next, mut previous) = (first.next, first.previous);
        while let Some((at, record)) = next.and_then(|at| Some((at, self.0.remove(&at)?))) {
            line.push(at);
            next = record.next;
        }
        while let Some((at, record)) = previous.and_then(|at| Some((at, self.0.remove(&at)?))) {
            line.push(at);
            previous = record.previous;
        }
        line
    }

    fn add(&mut self, digest: Digest, token: &str, origin: &Origin, previous: Option<Digest>) {
        let record = Record { token: token.into(), origin: origin.clone(), previous, next: None, claimed_until: None };
        self.0.insert(digest, record);
    }
}

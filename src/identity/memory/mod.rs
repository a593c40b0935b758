//! The session store in this process: `sessions: memory`. Every question is answered at once and truly, nobody else
//! sees the sessions, and a restart forgets them.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use parking_lot::Mutex;

use super::key::SessionKey;
use super::lineage::Lineage;
use super::metrics::SessionMetrics;
use super::now::Now;
use super::refresh::Claim;
use super::standing::Standing;
use super::store::{NewSession, Old, PutError, SessionStore, StoreDown};

/// Keys with their ends, in shards so that a logout or a growing table holds up few readers.
pub struct MemoryStore {
    shards: Box<[RwLock<Shard>]>,
    /// Which follows which, of those that can be refreshed. Taken before a shard, never while one is held.
    lineage: Mutex<Lineage>,
    /// How many entries there are, those included that are over and not yet swept.
    count: AtomicUsize,
    max_sessions: usize,
    /// The shard that is swept next.
    next: AtomicUsize,
    metrics: SessionMetrics,
}

#[derive(Default)]
struct Shard {
    ends: HashMap<[u8; 32], Instant>,
    /// No entry ends before this, so a sweep up to then has nothing to look for. `None`: no entry.
    earliest: Option<Instant>,
}

/// A power of two, at most 256: the first byte of a key's digest chooses.
const SHARDS: usize = 256;

/// How often a shard is swept.
const SWEEP: Duration = Duration::from_secs(1);

/// Ends are never further away: a clock can't count to the end of an endless session.
const FAR: Duration = Duration::from_hours(24 * 366 * 100);

impl MemoryStore {
    /// A million sessions take about 120 MB; of those that can be refreshed, their tokens besides.
    pub const DEFAULT_MAX_SESSIONS: usize = 1_000_000;

    /// Holds at most `max_sessions`. When they all live the next login is refused: a living session is never dropped.
    pub fn new(max_sessions: usize, metrics: SessionMetrics) -> Self {
        let shards = (0..SHARDS).map(|_| RwLock::default()).collect();
        let (count, next) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Self { shards, lineage: Mutex::default(), count, max_sessions, next, metrics }
    }

    /// Drops what is over from one shard, the next in turn, and says how much that was. Called at every tick of a
    /// clock; what is over is never answered with before either.
    fn sweep(&self, now: Now) -> usize {
        let index = self.next.fetch_add(1, Relaxed) % SHARDS;
        let mut shard = write(&self.shards[index]);
        if shard.earliest.is_none_or(|earliest| now.instant < earliest) {
            return 0;
        }
        let mut over = Vec::new();
        shard.ends.retain(|digest, end| {
            let lives = now.instant < *end;
            if !lives {
                over.push(*digest);
            }
            lives
        });
        shard.earliest = shard.ends.values().min().copied();
        drop(shard);
        let swept = over.len();
        let mut lineage = self.lineage.lock();
        over.iter().for_each(|digest| lineage.forget(digest));
        drop(lineage);
        self.count.fetch_sub(swept, Relaxed);
        self.metrics.expired.inc_by(swept as u64);
        swept
    }

    fn living(&self, digest: &[u8; 32], now: Now) -> bool {
        read(self.shard(digest)).ends.get(digest).is_some_and(|end| now.instant < *end)
    }

    /// Sweeps until something was freed. A full round over shards in which nothing is over costs microseconds.
    fn make_room(&self, now: Now) -> bool {
        (0..SHARDS).any(|_| self.sweep(now) > 0)
    }

    /// `false`: no place.
    fn insert(&self, key: &SessionKey, end: Instant, now: Now) -> bool {
        let mut shard = write(self.shard(key.digest()));
        match shard.ends.entry(*key.digest()) {
            Entry::Occupied(mut entry) => {
                if *entry.get() <= now.instant {
                    self.metrics.expired.inc();
                }
                entry.insert(end);
            }
            Entry::Vacant(entry) => {
                // The place is taken before it is used, so that many logins at once can't exceed the bound.
                let one_more = |count| (count < self.max_sessions).then_some(count + 1);
                if self.count.fetch_update(Relaxed, Relaxed, one_more).is_err() {
                    return false;
                }
                entry.insert(end);
            }
        }
        shard.earliest = Some(shard.earliest.map_or(end, |earliest| earliest.min(end)));
        true
    }

    fn insert_somewhere(&self, key: &SessionKey, ttl: Duration, now: Now) -> Result<(), PutError> {
        let end = now.instant + ttl.min(FAR);
        while !self.insert(key, end, now) {
            if !self.make_room(now) {
                return Err(PutError::Full);
            }
        }
        Ok(())
    }

    /// Takes an entry out; `false` when there was none that lived.
    fn take(&self, digest: &[u8; 32], now: Now) -> bool {
        let Some(end) = write(self.shard(digest)).ends.remove(digest) else { return false };
        self.count.fetch_sub(1, Relaxed);
        if end <= now.instant {
            self.metrics.expired.inc();
        }
        now.instant < end
    }

    fn shard(&self, digest: &[u8; 32]) -> &RwLock<Shard> {
        &self.shards[usize::from(digest[0]) % SHARDS]
    }
}

#[async_trait]
impl SessionStore for MemoryStore {
    fn contains_now(&self, standing: &Standing, _: Duration, now: Now) -> Option<bool> {
        Some(self.living(standing.digest(), now))
    }

    async fn contains(&self, key: &SessionKey, _: &Standing, now: Now) -> Result<bool, StoreDown> {
        Ok(self.living(key.digest(), now))
    }

    async fn put(&self, key: &SessionKey, session: &NewSession<'_>, now: Now) -> Result<(), PutError> {
        self.insert_somewhere(key, session.ttl, now)?;
        if let Some(origin) = session.origin {
            self.lineage.lock().insert(*key.digest(), session.token, origin);
        }
        Ok(())
    }

    async fn claim_refresh(&self, old: Old<'_>, lease: Duration, now: Now) -> Result<Claim, StoreDown> {
        let (mut lineage, old) = (self.lineage.lock(), old.key.digest());
        Ok(if self.living(old, now) { lineage.claim(old, lease, now.instant) } else { Claim::Never })
    }

    async fn succeed(
        &self,
        old: Old<'_>,
        new: &SessionKey,
        session: &NewSession<'_>,
        now: Now,
    ) -> Result<bool, PutError> {
        // Room is made before, since a sweep needs the lineage itself.
        self.insert_somewhere(new, session.ttl, now)?;
        let (mut lineage, old) = (self.lineage.lock(), old.key.digest());
        if lineage.knows(new.digest()) {
            return Err(PutError::Taken);
        }
        let stays = lineage.knows(old) && self.living(old, now);
        match session.origin {
            Some(origin) if stays => lineage.succeed(old, *new.digest(), session.token, origin),
            _ => drop(self.take(new.digest(), now)),
        }
        Ok(stays)
    }

    async fn remove(&self, key: &SessionKey, now: Now) -> Result<bool, StoreDown> {
        let mut lineage = self.lineage.lock();
        let line = lineage.end(key.digest());
        let mut lived = line.iter().map(|digest| self.take(digest, now)).collect::<Vec<_>>().into_iter();
        Ok(lived.next() == Some(true))
    }

    async fn tend(&self) {
        let mut sweep = tokio::time::interval(SWEEP);
        sweep.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            sweep.tick().await;
            self.sweep(Now::read());
        }
    }
}

// A thread that panicked under the lock left at worst a bound that is too low: every entry is whole.
fn read(shard: &RwLock<Shard>) -> RwLockReadGuard<'_, Shard> {
    shard.read().unwrap_or_else(PoisonError::into_inner)
}

fn write(shard: &RwLock<Shard>) -> RwLockWriteGuard<'_, Shard> {
    shard.write().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;

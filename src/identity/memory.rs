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
use super::store::{NewSession, PutError, SessionStore, StoreDown};

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
    /// A million sessions take about 120 MB.
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

    async fn claim_refresh(&self, key: &SessionKey, lease: Duration, now: Now) -> Result<Claim, StoreDown> {
        let mut lineage = self.lineage.lock();
        Ok(if self.living(key.digest(), now) { lineage.claim(key.digest(), lease, now.instant) } else { Claim::Never })
    }

    async fn succeed(
        &self,
        old: &SessionKey,
        new: &SessionKey,
        session: &NewSession<'_>,
        now: Now,
    ) -> Result<bool, PutError> {
        // Room is made before, since a sweep needs the lineage itself.
        self.insert_somewhere(new, session.ttl, now)?;
        let mut lineage = self.lineage.lock();
        let stays = lineage.knows(old.digest()) && self.living(old.digest(), now);
        match session.origin {
            Some(origin) if stays => lineage.succeed(old.digest(), *new.digest(), session.token, origin),
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
mod tests {
    use super::super::key::KeyTemplate;
    use super::super::testkit::{check_line, metrics, today};
    use super::*;

    fn key(name: &str) -> SessionKey {
        "{token}".parse::<KeyTemplate>().unwrap().key(name)
    }

    /// Runs `steps` against a store of two places: `put NAME TTL`, `has NAME`, `remove NAME`, `wait SECONDS`, `sweep`
    /// (every shard once), `count`, `expired`; and compares what each answered.
    async fn check(steps: &[(&str, &str)]) {
        let store = MemoryStore::new(2, metrics());
        let mut now = today();
        for (step, expect) in steps {
            let words: Vec<_> = step.split(' ').collect();
            let got = match words[..] {
                ["put", name, ttl] => {
                    let ttl = Duration::from_secs(ttl.parse().unwrap());
                    let session = NewSession { value: "", token: name, ttl, origin: None };
                    format!("{:?}", store.put(&key(name), &session, now).await)
                }
                ["has", name] => {
                    let (key, age) = (key(name), Duration::ZERO);
                    let standing = store.standing(&key);
                    let answer = store.contains_now(&standing, age, now).unwrap();
                    assert_eq!(store.contains(&key, &standing, now).await, Ok(answer));
                    answer.to_string()
                }
                ["remove", name] => store.remove(&key(name), now).await.unwrap().to_string(),
                ["wait", seconds] => {
                    now = now.later(Duration::from_secs(seconds.parse().unwrap()));
                    String::new()
                }
                ["sweep"] => (0..SHARDS).map(|_| store.sweep(now)).sum::<usize>().to_string(),
                ["count"] => store.count.load(Relaxed).to_string(),
                ["expired"] => store.metrics.expired.get().to_string(),
                _ => panic!("{step}"),
            };
            assert_eq!(got, *expect, "{step}, of {steps:?}");
        }
    }

    #[tokio::test]
    async fn a_session_is_there_until_its_end() {
        check(&[
            ("has a", "false"),
            ("put a 10", "Ok(())"),
            ("has a", "true"),
            ("has b", "false"),
            ("wait 9", ""),
            ("has a", "true"),
            ("wait 1", ""),
            ("has a", "false"),
            ("remove a", "false"),
            ("expired", "1"),
            ("count", "0"),
        ])
        .await;
        check(&[("put a 0", "Ok(())"), ("has a", "false")]).await;
        check(&[("put a 18446744073709551615", "Ok(())"), ("wait 1000000000", ""), ("has a", "true")]).await;
    }

    #[tokio::test]
    async fn a_removed_session_is_gone_and_can_come_back() {
        check(&[
            ("put a 10", "Ok(())"),
            ("remove a", "true"),
            ("has a", "false"),
            ("remove a", "false"),
            ("put a 10", "Ok(())"),
            ("has a", "true"),
            ("count", "1"),
            ("expired", "0"),
        ])
        .await;
    }

    #[tokio::test]
    async fn putting_it_again_moves_the_end() {
        check(&[
            ("put a 10", "Ok(())"),
            ("wait 5", ""),
            ("put a 10", "Ok(())"),
            ("count", "1"),
            ("wait 9", ""),
            ("has a", "true"),
            ("put a 1", "Ok(())"),
            ("wait 1", ""),
            ("has a", "false"),
            ("put a 5", "Ok(())"),
            ("expired", "1"),
            ("has a", "true"),
            ("sweep", "0"),
        ])
        .await;
    }

    #[tokio::test]
    async fn a_full_store_refuses_and_evicts_nobody() {
        check(&[
            ("put a 10", "Ok(())"),
            ("put b 20", "Ok(())"),
            ("put c 10", "Err(Full)"),
            ("has a", "true"),
            ("has b", "true"),
            ("has c", "false"),
            ("count", "2"),
            ("put a 10", "Ok(())"),
            ("remove b", "true"),
            ("put c 10", "Ok(())"),
            ("put b 10", "Err(Full)"),
        ])
        .await;
    }

    #[tokio::test]
    async fn what_is_over_makes_room_wherever_it_lies() {
        check(&[
            ("put a 10", "Ok(())"),
            ("put b 20", "Ok(())"),
            ("wait 10", ""),
            ("put c 5", "Ok(())"),
            ("expired", "1"),
            ("put d 5", "Err(Full)"),
            ("has b", "true"),
            ("wait 5", ""),
            ("put d 5", "Ok(())"),
            ("has b", "true"),
            ("has d", "true"),
            ("count", "2"),
        ])
        .await;
    }

    #[tokio::test]
    async fn a_sweep_drops_what_is_over_and_nothing_else() {
        check(&[
            ("put a 10", "Ok(())"),
            ("put b 20", "Ok(())"),
            ("sweep", "0"),
            ("wait 10", ""),
            ("count", "2"),
            ("sweep", "1"),
            ("count", "1"),
            ("has b", "true"),
            ("sweep", "0"),
            ("wait 10", ""),
            ("sweep", "1"),
            ("expired", "2"),
            ("count", "0"),
        ])
        .await;
    }

    #[tokio::test]
    async fn sessions_of_one_shard_are_swept_in_the_order_of_their_ends() {
        let mut shared = (0..).map(|name| name.to_string()).filter(|name| key(name).digest()[0] == 7);
        let [a, b, c] = std::array::from_fn(|_| shared.next().unwrap());
        let put = [(a, 20), (b, 10), (c, 30)].map(|(name, ttl)| format!("put {name} {ttl}"));
        let mut steps: Vec<_> = put.iter().map(|step| (step.as_str(), "Ok(())")).take(2).collect();
        // The third has no place before one of the others is over, though nothing asked for a sweep.
        steps.extend([
            (&*put[2], "Err(Full)"),
            ("sweep", "0"),
            ("wait 10", ""),
            (&*put[2], "Ok(())"),
            ("expired", "1"),
        ]);
        steps.extend([
            ("sweep", "0"),
            ("wait 10", ""),
            ("sweep", "1"),
            ("wait 20", ""),
            ("sweep", "1"),
            ("count", "0"),
        ]);
        check(&steps).await;
    }

    #[tokio::test]
    async fn many_logins_at_once_stay_within_the_bound() {
        let store = MemoryStore::new(100, metrics());
        let now = today();
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let store = &store;
                scope.spawn(move || {
                    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                    for i in 0..100 {
                        let key = key(&format!("{thread}-{i}"));
                        let ttl = Duration::from_secs(9);
                        let session = NewSession { value: "", token: "", ttl, origin: None };
                        let _ = runtime.block_on(store.put(&key, &session, now));
                        assert!(store.count.load(Relaxed) <= 100);
                    }
                });
            }
        });
        let held: usize = store.shards.iter().map(|shard| read(shard).ends.len()).sum();
        assert_eq!((held, store.count.load(Relaxed)), (100, 100));
    }

    #[tokio::test]
    async fn sessions_follow_one_another_as_in_any_store() {
        let store = MemoryStore::new(9, metrics());
        check_line(&store, &"{token}".parse().unwrap()).await;
        assert_eq!(store.count.load(Relaxed), 0);
    }
}

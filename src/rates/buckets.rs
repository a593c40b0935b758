//! What is known of the keys of one limit, in bounded memory.
//!
//! A table of sets, as the cache of a processor has it: a key may stand in one set only, and a set has 16 places. When they are all
//! taken, the key that is nearest to being unused again makes room. A key that was asked for once is always nearer than one that
//! used its limit up, so a flood of new keys never frees the latter.

use parking_lot::Mutex;

use super::gcra::Gcra;

/// Which key, hashed with a seed of this process: nobody outside can aim at a set.
pub type Hashed = u64;

/// A key and when it will be unused again; 0 and 0 where nobody stands.
type Place = [u64; 2];

/// Together the most keys of one limit: about a hundred thousand, in 1.6 MB.
const PLACES: usize = 16;
const SETS: usize = 98;
const SHARDS: usize = 64;

#[cfg(test)]
const MOST_KEYS: usize = PLACES * SETS * SHARDS;

/// The keys of one limit.
#[derive(Debug)]
pub struct Buckets {
    gcra: Gcra,
    /// Each gets its memory when its first key comes.
    shards: Box<[Mutex<Vec<Place>>]>,
}

impl Buckets {
    pub fn new(gcra: Gcra) -> Self {
        Buckets { gcra, shards: (0..SHARDS).map(|_| Mutex::default()).collect() }
    }

    pub fn gcra(&self) -> Gcra {
        self.gcra
    }

    /// Counts one for this key, and says when the key would be unused again.
    ///
    /// # Errors
    /// It is one too many, and not counted: in so many nanoseconds one will be allowed.
    pub fn take(&self, key: Hashed, now: u64) -> Result<u64, u64> {
        let mut shard = self.shard(key).lock();
        if shard.is_empty() {
            shard.resize(PLACES * SETS, Place::default());
        }
        let set = set(&mut shard, key);
        if let Some(place) = set.iter_mut().find(|place| place[0] == key) {
            place[1] = self.gcra.take(place[1], now)?;
            return Ok(place[1]);
        }
        let unused_at = self.gcra.take(0, now)?;
        if let Some(place) = set.iter_mut().min_by_key(|place| place[1]) {
            *place = [key, unused_at];
        }
        Ok(unused_at)
    }

    /// One that was taken did not count after all; `mine` is what [`Buckets::take`] said of it.
    pub fn give_back(&self, key: Hashed, mine: u64, now: u64) {
        let mut shard = self.shard(key).lock();
        if shard.is_empty() {
            return;
        }
        if let Some(place) = set(&mut shard, key).iter_mut().find(|place| place[0] == key) {
            place[1] = self.gcra.give_back(place[1], mine, now);
        }
    }

    fn shard(&self, key: Hashed) -> &Mutex<Vec<Place>> {
        &self.shards[(key >> 32) as usize % SHARDS]
    }

    #[cfg(test)]
    fn places(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().len()).sum()
    }
}

fn set(shard: &mut [Place], key: Hashed) -> &mut [Place] {
    let first = (key & 0xffff_ffff) as usize % SETS * PLACES;
    &mut shard[first..first + PLACES]
}

#[cfg(test)]
mod tests {
    use std::hash::{BuildHasher, RandomState};

    use super::*;

    fn buckets(rate: &str) -> Buckets {
        Buckets::new(Gcra::new(rate.parse().expect("a rate")))
    }

    #[test]
    fn each_key_has_its_own_count() {
        let buckets = buckets("2/1s");
        for key in [0, 1, u64::MAX] {
            assert!(buckets.take(key, 5).is_ok() && buckets.take(key, 5).is_ok(), "{key}");
            assert_eq!(buckets.take(key, 5), Err(500_000_000), "{key}");
        }
        buckets.give_back(1, 1_000_000_005, 5);
        assert!(buckets.take(1, 5).is_ok() && buckets.take(1, 5).is_err());
        buckets.give_back(99, 1_000_000_005, 5);
        assert!(buckets.take(0, 5).is_err(), "what nobody took is given back to nobody");
    }

    #[test]
    fn a_flood_of_new_keys_frees_no_account_and_takes_no_more_memory() {
        let (buckets, seeds) = (buckets("10/1m"), RandomState::new());
        let account = seeds.hash_one("account");
        let mut now = 1;
        for _ in 0..10 {
            buckets.take(account, now).expect("one of ten");
        }
        for n in 0..1_000_000_u32 {
            // A million new keys in four seconds; the account is not asked for meanwhile.
            now += 4_000;
            buckets.take(seeds.hash_one(n), now).expect("a new key has all its ten");
        }
        assert!(buckets.take(account, now).is_err(), "still used up");
        assert_eq!(buckets.places(), MOST_KEYS);
    }

    #[test]
    fn nothing_is_lost_between_threads() {
        let buckets = buckets("100/1h");
        let passed = std::sync::atomic::AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..100 {
                        if buckets.take(7, 1).is_ok() {
                            passed.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                        }
                    }
                });
            }
        });
        assert_eq!(passed.into_inner(), 100);
    }
}

//! How often? Limits that requests are counted against: [`gcra`] is the arithmetic, [`key`] what is counted by, [`buckets`] what is
//! known of the keys of one limit.
//!
//! What is known outlives the table: a limit that stands in the new file as in the old one goes on counting where it was. No text
//! of a key is kept, only a hash.

pub mod buckets;
pub mod gcra;
pub mod key;

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use anyhow::Context;
use hilum_filters::units::Rate;
use parking_lot::Mutex;
use prometheus::{IntCounter, IntCounterVec, Opts, Registry};

use self::buckets::{Buckets, Hashed};
use self::gcra::Gcra;
pub use self::key::{Key, Value};

/// What is counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Count {
    /// Every request.
    #[default]
    All,
    /// Those that were refused because of who they said to be: a wrong password, an account of the wrong kind.
    Failures,
}

/// Which limit: it is the same one in another file when all of this is the same.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// The route or group it is written on. The routes of a group share its limits.
    pub of: String,
    /// The how-manieth of its list.
    pub index: usize,
    pub allow: Rate,
    pub key: Key,
    pub count: Count,
}

/// All limits there are. Lives as long as the process.
#[derive(Debug)]
pub struct Rates {
    clock: Clock,
    known: Mutex<HashMap<Place, Weak<Buckets>>>,
    results: Results,
}

/// Time and seeds of one process.
#[derive(Clone, Debug)]
struct Clock {
    start: Instant,
    seeds: RandomState,
}

/// `hilum_rates_total{result}`.
#[derive(Clone, Debug)]
struct Results {
    allowed: IntCounter,
    limited: IntCounter,
}

/// One limit, ready to count.
#[derive(Debug)]
pub struct Limit {
    pub key: Key,
    pub count: Count,
    buckets: Arc<Buckets>,
    clock: Clock,
    results: Results,
}

/// One that was counted, and may turn out not to count. Dropped, it stays counted: unsure means no.
#[derive(Debug)]
pub struct Taken {
    buckets: Arc<Buckets>,
    key: Hashed,
}

impl Rates {
    /// # Errors
    /// The registry has a metric of that name, which is a defect of ours.
    pub fn new(registry: &Registry) -> anyhow::Result<Self> {
        let name = "hilum_rates_total";
        let counters = IntCounterVec::new(Opts::new(name, "Requests held against a `rate`, by result."), &["result"]);
        let counters = counters.with_context(|| format!("making {name}"))?;
        registry.register(Box::new(counters.clone())).with_context(|| format!("registering {name}"))?;
        let [allowed, limited] = ["allowed", "limited"].map(|result| counters.with_label_values(&[result]));
        Ok(Rates {
            clock: Clock { start: Instant::now(), seeds: RandomState::new() },
            known: Mutex::default(),
            results: Results { allowed, limited },
        })
    }

    /// The limit of that place, with what is known of its keys.
    pub fn limit(&self, place: Place) -> Limit {
        let (key, count) = (place.key.clone(), place.count);
        let mut known = self.known.lock();
        known.retain(|_, buckets| buckets.strong_count() > 0);
        let buckets = known.get(&place).and_then(Weak::upgrade).unwrap_or_else(|| {
            let new = Arc::new(Buckets::new(Gcra::new(place.allow)));
            known.insert(place, Arc::downgrade(&new));
            new
        });
        Limit { key, count, buckets, clock: self.clock.clone(), results: self.results.clone() }
    }
}

impl Limit {
    /// Counts one request with this value.
    ///
    /// # Errors
    /// It is one too many; so long the client shall wait.
    pub fn take(&self, value: &Value<'_>, now: Instant) -> Result<Taken, Duration> {
        let key = self.clock.seeds.hash_one(value);
        let now = now.saturating_duration_since(self.clock.start).as_nanos();
        match self.buckets.take(key, u64::try_from(now).unwrap_or(u64::MAX)) {
            Ok(()) => {
                self.results.allowed.inc();
                Ok(Taken { buckets: self.buckets.clone(), key })
            }
            Err(wait) => {
                self.results.limited.inc();
                Err(Duration::from_nanos(wait))
            }
        }
    }
}

impl Taken {
    /// It does not count after all.
    pub fn give_back(self) {
        self.buckets.give_back(self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(of: &str, allow: &str) -> Place {
        Place { of: of.into(), index: 0, allow: allow.parse().expect("a rate"), key: Key::Client, count: Count::All }
    }

    #[test]
    fn a_limit_that_stands_in_the_next_file_too_goes_on_counting() {
        let rates = Rates::new(&Registry::new()).expect("a new registry");
        let (now, client) = (Instant::now(), Value::of_client([192, 0, 2, 1].into()));
        let old = rates.limit(place("route a", "2/1m"));
        assert!(old.take(&client, now).is_ok() && old.take(&client, now).is_ok());
        let wait = old.take(&client, now).expect_err("two were all");
        assert_eq!(wait.as_secs(), 30);
        let (same, other, wider) = (
            rates.limit(place("route a", "2/1m")),
            rates.limit(place("route b", "2/1m")),
            rates.limit(place("route a", "3/1m")),
        );
        drop(old);
        assert!(same.take(&client, now).is_err());
        assert!(other.take(&client, now).is_ok() && wider.take(&client, now).is_ok());
        drop((same, other, wider));
        rates.limit(place("route c", "1/1m"));
        assert_eq!(rates.known.lock().len(), 1, "what no table has is forgotten");
    }

    #[test]
    fn who_leaves_the_value_out_shares_one_count() {
        let rates = Rates::new(&Registry::new()).expect("a new registry");
        let limit = rates.limit(place("route a", "1/1m"));
        let now = Instant::now();
        let taken = limit.take(&Value::Absent, now).expect("the first");
        assert!(limit.take(&Value::Absent, now).is_err());
        taken.give_back();
        assert!(limit.take(&Value::Absent, now).is_ok());
    }
}

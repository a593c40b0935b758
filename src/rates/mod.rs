//! How often? Limits that requests are counted against: [`gcra`] is the arithmetic, [`key`] what is counted by, [`buckets`] what this
//! gateway knows of the keys of one limit, [`shared`] what gateways know together. While they can't be asked, each counts for itself.
//!
//! What is known outlives the table: a limit that stands in the new file as in the old one goes on counting where it was. No text
//! of a key is kept, only a hash.

pub mod buckets;
pub mod gcra;
pub mod key;
pub mod shared;

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use hilum_filters::units::Rate;
use parking_lot::Mutex;
use prometheus::{IntCounter, IntCounterVec, Opts, Registry};

use self::buckets::{Buckets, Hashed};
use self::gcra::Gcra;
pub use self::key::{Key, Value};
use self::shared::{Down, SharedRates};
use crate::kept::Kept;

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
    known: Mutex<Kept<Place, Buckets>>,
    shared: Option<Arc<dyn SharedRates>>,
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
    local: IntCounter,
}

/// One limit, ready to count.
#[derive(Debug)]
pub struct Limit {
    pub allow: Rate,
    pub key: Key,
    pub count: Count,
    buckets: Arc<Buckets>,
    /// Where gateways count together, and what this limit is called there.
    shared: Option<(Arc<dyn SharedRates>, Box<str>)>,
    clock: Clock,
    results: Results,
}

/// One that was counted, and may turn out not to count. Dropped, it stays counted: unsure means no.
#[derive(Debug)]
pub enum Taken {
    Here { buckets: Arc<Buckets>, key: Hashed, mine: u64, start: Instant },
    Shared { shared: Arc<dyn SharedRates>, key: String, rate: Gcra, mine: u64 },
}

impl Rates {
    /// # Errors
    /// The registry has a metric of that name, which is a defect of ours.
    pub fn new(registry: &Registry, shared: Option<Arc<dyn SharedRates>>) -> anyhow::Result<Self> {
        let name = "hilum_rates_total";
        let help = "Requests held against a `rate`, by result; `local` besides: the shared counts could not be asked.";
        let counters = IntCounterVec::new(Opts::new(name, help), &["result"]);
        let counters = counters.with_context(|| format!("making {name}"))?;
        registry.register(Box::new(counters.clone())).with_context(|| format!("registering {name}"))?;
        let [allowed, limited, local] =
            ["allowed", "limited", "local"].map(|result| counters.with_label_values(&[result]));
        Ok(Rates {
            clock: Clock { start: Instant::now(), seeds: RandomState::new() },
            known: Mutex::default(),
            shared,
            results: Results { allowed, limited, local },
        })
    }

    /// The limit of that place, with what is known of its keys.
    pub fn limit(&self, place: Place) -> Limit {
        let (allow, key, count) = (place.allow, place.key.clone(), place.count);
        let shared = self.shared.clone().map(|shared| (shared, format!("{place:?}").into()));
        let buckets = self.known.lock().of(place, |place| Buckets::new(Gcra::new(place.allow)));
        Limit { allow, key, count, buckets, shared, clock: self.clock.clone(), results: self.results.clone() }
    }
}

impl Limit {
    /// Counts one request with this value.
    ///
    /// # Errors
    /// It is one too many; so long the client shall wait.
    pub async fn take(&self, value: &Value<'_>, now: Instant) -> Result<Taken, Duration> {
        let taken = match self.take_shared(value).await {
            Some(Ok(taken)) => taken,
            Some(Err(Down)) => {
                self.results.local.inc();
                self.take_here(value, now)
            }
            None => self.take_here(value, now),
        };
        match &taken {
            Ok(_) => self.results.allowed.inc(),
            Err(_) => self.results.limited.inc(),
        }
        taken
    }

    async fn take_shared(&self, value: &Value<'_>) -> Option<Result<Result<Taken, Duration>, Down>> {
        let (shared, name) = self.shared.as_ref()?;
        let (key, rate) = (value.shared_key(name), self.buckets.gcra());
        Some(match shared.take(&key, rate).await {
            Ok(Ok(mine)) => Ok(Ok(Taken::Shared { shared: shared.clone(), key, rate, mine })),
            Ok(Err(wait)) => Ok(Err(wait)),
            Err(down) => Err(down),
        })
    }

    fn take_here(&self, value: &Value<'_>, now: Instant) -> Result<Taken, Duration> {
        let key = self.clock.seeds.hash_one(value);
        let start = self.clock.start;
        let taken = self.buckets.take(key, nanoseconds(start, now));
        let here = |mine| Taken::Here { buckets: self.buckets.clone(), key, mine, start };
        taken.map(here).map_err(Duration::from_nanos)
    }
}

impl Taken {
    /// It does not count after all.
    pub async fn give_back(self, now: Instant) {
        match self {
            Taken::Here { buckets, key, mine, start } => buckets.give_back(key, mine, nanoseconds(start, now)),
            // Who can't be told goes on counting it, until the limit's own time is over.
            Taken::Shared { shared, key, rate, mine } => drop(shared.give_back(&key, rate, mine).await),
        }
    }
}

fn nanoseconds(start: Instant, now: Instant) -> u64 {
    u64::try_from(now.saturating_duration_since(start).as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(of: &str, allow: &str) -> Place {
        Place { of: of.into(), index: 0, allow: allow.parse().expect("a rate"), key: Key::Client, count: Count::All }
    }

    #[tokio::test]
    async fn a_limit_that_stands_in_the_next_file_too_goes_on_counting() {
        let rates = Rates::new(&Registry::new(), None).expect("a new registry");
        let (now, client) = (Instant::now(), Value::of_client([192, 0, 2, 1].into()));
        let old = rates.limit(place("route a", "2/1m"));
        assert!(old.take(&client, now).await.is_ok() && old.take(&client, now).await.is_ok());
        let wait = old.take(&client, now).await.expect_err("two were all");
        assert_eq!(wait.as_secs(), 30);
        let (same, other, wider) = (
            rates.limit(place("route a", "2/1m")),
            rates.limit(place("route b", "2/1m")),
            rates.limit(place("route a", "3/1m")),
        );
        drop(old);
        assert!(same.take(&client, now).await.is_err());
        assert!(other.take(&client, now).await.is_ok() && wider.take(&client, now).await.is_ok());
        drop(same);
        assert!(
            rates.limit(place("route a", "2/1m")).take(&client, now).await.is_ok(),
            "what no table has is forgotten"
        );
    }

    #[tokio::test]
    async fn who_leaves_the_value_out_shares_one_count() {
        let rates = Rates::new(&Registry::new(), None).expect("a new registry");
        let limit = rates.limit(place("route a", "1/1m"));
        let now = Instant::now();
        let taken = limit.take(&Value::Absent, now).await.expect("the first");
        assert!(limit.take(&Value::Absent, now).await.is_err());
        taken.give_back(now).await;
        assert!(limit.take(&Value::Absent, now).await.is_ok());
    }

    /// Down as long as nobody says otherwise; then it always says how long to wait.
    #[derive(Debug, Default)]
    struct Scripted(std::sync::atomic::AtomicBool);

    #[async_trait::async_trait]
    impl SharedRates for Scripted {
        async fn take(&self, _: &str, _: Gcra) -> Result<Result<u64, Duration>, Down> {
            match self.0.load(std::sync::atomic::Ordering::Relaxed) {
                true => Ok(Err(Duration::from_secs(9))),
                false => Err(Down),
            }
        }

        async fn give_back(&self, _: &str, _: Gcra, _: u64) -> Result<(), Down> {
            Err(Down)
        }
    }

    #[tokio::test]
    async fn while_the_shared_counts_can_not_be_asked_each_gateway_counts_for_itself() {
        let shared = Arc::new(Scripted::default());
        let rates = Rates::new(&Registry::new(), Some(shared.clone())).expect("a new registry");
        let limit = rates.limit(place("route a", "2/1m"));
        let now = Instant::now();
        assert!(limit.take(&Value::Absent, now).await.is_ok() && limit.take(&Value::Absent, now).await.is_ok());
        assert_eq!(limit.take(&Value::Absent, now).await.map(|_| ()), Err(Duration::from_secs(30)));
        let results = &rates.results;
        assert_eq!([results.allowed.get(), results.limited.get(), results.local.get()], [2, 1, 3]);
        shared.0.store(true, std::sync::atomic::Ordering::Relaxed);
        assert_eq!(limit.take(&Value::Absent, now).await.map(|_| ()), Err(Duration::from_secs(9)));
        assert_eq!([results.allowed.get(), results.limited.get(), results.local.get()], [2, 2, 3]);
    }
}

//! The keys of an issuer that publishes them under an address (JWKS, RFC 7517). They are fetched at start, again every
//! `refresh`, and once more when a token names a key that is not among them; the last good ones are kept whatever
//! happens. A key that can't be had is never a refused caller and never a yes: [`Renewed::Failed`] is an outage.

mod published;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use async_trait::async_trait;
use bytes::Bytes;
use jsonwebtoken::Algorithm;
use parking_lot::Mutex;
use prometheus::{IntCounterVec, Opts, Registry};
use tokio::sync::watch;
use tokio::time::Instant;

use super::verify::PublicKey;
use crate::kept::Kept;
use published::Published;

/// What `jwks:` says. Equal options are one set.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct KeySetOptions {
    /// Where it is published, for people: it is fetched by a [`Fetch`].
    pub url: String,
    /// How often it is fetched when nothing else asks for it.
    pub refresh: Duration,
}

/// How the text of a set is had.
#[async_trait]
pub trait Fetch: Send + Sync {
    /// The body of a good answer: bounded in size and in time, from the address itself and not from where that leads.
    /// The error says what went wrong, for the log.
    async fn fetch(&self) -> Result<Bytes, String>;
}

/// All sets of the gateway. One for the life of the process: a table comes and goes, what was fetched stays.
pub struct KeySets {
    sets: Mutex<Kept<KeySetOptions, KeySet>>,
    fetches: IntCounterVec,
}

/// One set, as it was last published.
pub struct KeySet {
    options: KeySetOptions,
    fetch: Box<dyn Fetch>,
    fetches: IntCounterVec,
    known: ArcSwapOption<Known>,
    /// That of `known`; 0 while nothing is.
    generation: AtomicU64,
    fetching: Mutex<Fetching>,
    tended: AtomicBool,
}

struct Known {
    keys: Published,
    generation: u64,
}

#[derive(Default)]
struct Fetching {
    /// When a request last had the set fetched.
    asked: Option<Instant>,
    last: Option<Renewed>,
    /// Holds `None` until the fetch that is under way is over.
    under_way: Option<watch::Receiver<Option<Renewed>>>,
}

/// How a fetch ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renewed {
    /// What is known is what the issuer publishes.
    Good,
    /// The issuer can't be asked, or its answer can't be used.
    Failed,
}

/// However many tokens name unknown keys, their issuer is asked at most so often.
const ASK_AGAIN: Duration = Duration::from_secs(10);
/// The pause after a failed fetch; it doubles up to [`RETRY_MOST`].
const RETRY: Duration = Duration::from_secs(1);
const RETRY_MOST: Duration = Duration::from_secs(30);

impl KeySets {
    /// Registers `hilum_jwks_fetches_total{result}`; an error if it is there already.
    pub fn new(registry: &Registry) -> Result<KeySets, prometheus::Error> {
        let help = "Fetches of published keys by how they ended.";
        let fetches = IntCounterVec::new(Opts::new("hilum_jwks_fetches_total", help), &["result"])?;
        registry.register(Box::new(fetches.clone()))?;
        Ok(KeySets { sets: Mutex::default(), fetches })
    }

    /// The set for these options: the one that is there already, with what it knows, or a new one that knows nothing yet.
    pub fn set(&self, options: &KeySetOptions, fetch: impl FnOnce() -> Box<dyn Fetch>) -> Arc<KeySet> {
        self.sets.lock().of(options.clone(), |options| KeySet {
            options: options.clone(),
            fetch: fetch(),
            fetches: self.fetches.clone(),
            known: ArcSwapOption::empty(),
            generation: AtomicU64::new(0),
            fetching: Mutex::default(),
            tended: AtomicBool::new(false),
        })
    }
}

impl KeySet {
    /// Fetches now and from then on, for as long as somebody holds the set. Any call after the first changes nothing.
    pub fn tend(self: &Arc<Self>) {
        if self.tended.swap(true, Ordering::Relaxed) {
            return;
        }
        let set = Arc::downgrade(self);
        tokio::spawn(async move {
            let mut retry = RETRY;
            while let Some(set) = set.upgrade() {
                let under_way = set.start(&mut set.fetching.lock());
                let pause = match over(under_way).await {
                    Renewed::Good => {
                        retry = RETRY;
                        set.options.refresh
                    }
                    Renewed::Failed => {
                        let pause = retry.min(set.options.refresh);
                        retry = (retry * 2).min(RETRY_MOST);
                        pause
                    }
                };
                drop(set);
                tokio::time::sleep(pause).await;
            }
        });
    }

    /// For a token whose key is not known: has the set fetched, or waits for whoever is fetching it. Asked again within ten
    /// seconds it says how the last fetch ended.
    pub async fn renew(self: &Arc<Self>) -> Renewed {
        let under_way = {
            let mut fetching = self.fetching.lock();
            match &fetching.under_way {
                Some(under_way) => under_way.clone(),
                None if fetching.asked.is_some_and(|asked| asked.elapsed() < ASK_AGAIN) => {
                    return fetching.last.unwrap_or(Renewed::Failed);
                }
                None => {
                    fetching.asked = Some(Instant::now());
                    self.start(&mut fetching)
                }
            }
        };
        over(under_way).await
    }

    /// Rises whenever the published keys change; 0 while none are known.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Whether one of the keys that fit the header makes `verify` say yes: its answer, and the generation of the keys. `Err`:
    /// the answer of the last one that was tried, `None` when none fits.
    pub(super) fn try_each<T, E>(
        &self,
        (algorithm, kid): (Algorithm, Option<&str>),
        mut verify: impl FnMut(&PublicKey) -> Result<T, E>,
    ) -> Result<(T, u64), Option<E>> {
        let known = self.known.load();
        let Some(known) = &*known else { return Err(None) };
        let mut refused = None;
        for key in known.keys.fitting(algorithm, kid) {
            match verify(key) {
                Ok(it) => return Ok((it, known.generation)),
                Err(why) => refused = Some(why),
            }
        }
        Err(refused)
    }

    /// One fetch at a time, in a task of its own: whoever waits for it may go away.
    fn start(self: &Arc<Self>, fetching: &mut Fetching) -> watch::Receiver<Option<Renewed>> {
        if let Some(under_way) = &fetching.under_way {
            return under_way.clone();
        }
        let (done, under_way) = watch::channel(None);
        fetching.under_way = Some(under_way.clone());
        let set = self.clone();
        tokio::spawn(async move {
            let renewed = set.take(set.fetch.fetch().await);
            let mut fetching = set.fetching.lock();
            (fetching.last, fetching.under_way) = (Some(renewed), None);
            let _ = done.send(Some(renewed));
        });
        under_way
    }

    fn take(&self, fetched: Result<Bytes, String>) -> Renewed {
        let before = self.fetching.lock().last;
        // A query may hold what is not for everybody.
        let url = self.options.url.split('?').next().unwrap_or_default();
        let keys = match fetched.and_then(|text| Published::read(&text)) {
            Ok(keys) => keys,
            Err(why) => {
                self.fetches.with_label_values(&["failed"]).inc();
                if before != Some(Renewed::Failed) {
                    let kept = if self.generation() > 0 { "the last ones are kept" } else { "none are known yet" };
                    log::warn!("the keys at {url} can't be had: {why}; {kept}");
                }
                return Renewed::Failed;
            }
        };
        self.fetches.with_label_values(&["ok"]).inc();
        if before == Some(Renewed::Failed) {
            log::info!("the keys at {url} are there again");
        }
        let known = self.known.load();
        if known.as_ref().is_none_or(|known| known.keys != keys) {
            let generation = self.generation() + 1;
            self.known.store(Some(Arc::new(Known { keys, generation })));
            // After the keys: what was verified by the old ones is not taken for new.
            self.generation.store(generation, Ordering::Release);
        }
        Renewed::Good
    }
}

/// A fetch whose task is gone with its runtime has failed.
async fn over(mut under_way: watch::Receiver<Option<Renewed>>) -> Renewed {
    let renewed = under_way.wait_for(Option::is_some).await.ok().and_then(|it| *it);
    renewed.unwrap_or(Renewed::Failed)
}

impl fmt::Debug for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeySet").field("generation", &self.generation()).finish_non_exhaustive()
    }
}

impl PartialEq for KeySet {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
    }
}

impl Eq for KeySet {}

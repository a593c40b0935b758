//! The session store that gateways share: `sessions: redis://…`. A session is one key of Redis with the session's end as its time to
//! live; other programs may read and write the same keys.
//!
//! Redis is asked once per session and gateway. From then on it tells of changes by itself ([`listen`]), so a request that is seen
//! again costs no round trip, and a sign-out anywhere is known everywhere within milliseconds, at the latest after `max_staleness`.

mod line;
pub mod link;
mod listen;
mod place;
mod seal;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use anyhow::Context;
use async_trait::async_trait;
use parking_lot::Mutex;
use prometheus::{IntGauge, Registry};
use redis::pipe;
use tokio::sync::Notify;

pub use place::Place;

use super::key::{KeyTemplate, SessionKey, digest_of};
use super::now::Now;
use super::refresh::Claim;
use super::standing::{Standing, Standings, Stream};
use super::store::{NewSession, Old, PutError, SessionStore, StoreDown};

/// Where Redis is, and how long it is waited for.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisOptions {
    /// `redis://` or `rediss://`, or with Sentinels `redis+sentinel://`, checked by [`RedisOptions::check`]. May hold a password, so it is never shown.
    pub url: Box<str>,
    /// For one question, a new connection included.
    pub timeout: Duration,
}

impl RedisOptions {
    /// Without `timeout:`. With it a request whose session can't be looked up is answered within 250 ms.
    pub const TIMEOUT: Duration = Duration::from_millis(200);

    /// Says what is wrong with a URL, without repeating it.
    pub fn check(url: &str) -> Result<(), String> {
        Place::check(url)
    }
}

impl fmt::Debug for RedisOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisOptions").field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

/// The store. Connects to nobody until it is used or tended.
pub struct RedisStore {
    link: link::Link,
    standings: Standings,
    /// Grows whenever news may have been missed: older answers are asked for again.
    generation: AtomicU64,
    /// Everything that changed before this tick is known here.
    proven: AtomicU64,
    /// The literal beginnings of all keys that were ever expected.
    prefixes: Mutex<Vec<Box<str>>>,
    /// The stream ended, or must begin anew.
    disturbed: Notify,
    /// 1 while Redis tells of changes by itself.
    stream_up: IntGauge,
    told_refused: AtomicBool,
    /// Some sessions follow others.
    has_lines: AtomicBool,
    /// For the one task that tends it.
    this: Weak<RedisStore>,
}

impl RedisStore {
    /// # Errors
    /// A URL that [`RedisOptions::check`] refuses.
    pub fn new(options: &RedisOptions, registry: &Registry) -> anyhow::Result<Arc<Self>> {
        let place = Place::new(&options.url).context("the session store can't be used")?;
        let help =
            "1 while Redis tells of ended sessions by itself; at 0 each session is asked for once per max_staleness.";
        let stream_up = IntGauge::new("hilum_session_stream_up", help).context("making hilum_session_stream_up")?;
        registry.register(Box::new(stream_up.clone())).context("registering hilum_session_stream_up")?;
        Ok(Arc::new_cyclic(|this| RedisStore {
            link: link::Link::new(Arc::new(place), options.timeout, "sessions"),
            standings: Standings::default(),
            generation: AtomicU64::new(0),
            proven: AtomicU64::new(0),
            prefixes: Mutex::default(),
            disturbed: Notify::new(),
            stream_up,
            told_refused: AtomicBool::new(false),
            has_lines: AtomicBool::new(false),
            this: this.clone(),
        }))
    }

    /// Where its Redis is, for whoever keeps something else there.
    pub fn place(&self) -> Arc<Place> {
        self.link.place().clone()
    }

    /// Everything that Redis shall tell of. It refuses prefixes of which one begins with another.
    fn prefixes(&self) -> Vec<Box<str>> {
        let all = self.prefixes.lock();
        let is_covered = |prefix: &str| all.iter().any(|other| prefix != &**other && prefix.starts_with(&**other));
        all.iter().filter(|prefix| !is_covered(prefix)).cloned().collect()
    }

    /// Redis tells that a key was written, removed, or has run out.
    fn changed(&self, key: &[u8]) {
        if let Some(standing) = self.standings.get(&digest_of(key)) {
            standing.end();
        }
    }

    /// News may have been missed: nothing that was asked before counts.
    fn missed(&self) {
        self.generation.fetch_add(1, Ordering::AcqRel);
    }

    /// All news of before `tick` has come in.
    fn prove(&self, tick: u64) {
        self.proven.store(tick, Ordering::Release);
    }
}

#[async_trait]
impl SessionStore for RedisStore {
    fn check(&self, key: &KeyTemplate) -> Result<(), String> {
        match key.prefix().is_empty() {
            true => Err("Redis tells of changes by how keys begin, so a key must begin with a text of its own: \
                 write `access_token:{token}`"
                .to_owned()),
            false => Ok(()),
        }
    }

    fn expect(&self, key: &KeyTemplate, refreshed: bool) {
        self.has_lines.fetch_or(refreshed, Ordering::Relaxed);
        let prefix = key.prefix();
        let mut prefixes = self.prefixes.lock();
        if !prefixes.iter().any(|known| **known == *prefix) {
            prefixes.push(prefix.into());
            self.disturbed.notify_one();
        }
    }

    fn standing(&self, key: &SessionKey) -> Arc<Standing> {
        self.standings.of(key.digest())
    }

    fn stream(&self) -> Stream {
        // Read in this order: a generation that is newer than what was proven only asks once too often.
        let proven = self.proven.load(Ordering::Acquire);
        Stream { generation: self.generation.load(Ordering::Acquire), proven }
    }

    async fn contains(&self, key: &SessionKey, standing: &Standing, now: Now) -> Result<bool, StoreDown> {
        let generation = self.generation.load(Ordering::Acquire);
        let question = standing.ask();
        // Not the value: it is the token, and nobody here needs it again. A value without text is no session, as PredictHealth's
        // gateway has it.
        let mut look = pipe();
        look.cmd("STRLEN").arg(key.text()).cmd("PTTL").arg(key.text());
        match self.link.query::<(u64, i64)>(&look).await {
            // -2: it ran out between the two.
            Ok((length, left)) if length > 0 && left != -2 => {
                let ends =
                    u64::try_from(left).map_or(u64::MAX, |left| now.tick().saturating_add(left.saturating_mul(1000)));
                standing.confirm(question, now.tick(), ends, generation);
                Ok(true)
            }
            Ok(_) | Err(link::Failed::WrongType) => Ok(false),
            Err(link::Failed::Down) => Err(StoreDown),
        }
    }

    async fn put(&self, key: &SessionKey, session: &NewSession<'_>, _: Now) -> Result<(), PutError> {
        if let Some(origin) = session.origin {
            return line::put(&self.link, key, session, origin).await.map_err(|_| PutError::Down);
        }
        let mut set = pipe();
        set.cmd("SET").arg(key.text()).arg(session.value).arg("PX").arg(milliseconds(session.ttl));
        self.link.query::<()>(&set).await.map_err(|_| PutError::Down)
    }

    async fn claim_refresh(&self, old: Old<'_>, lease: Duration, _: Now) -> Result<Claim, StoreDown> {
        line::claim(&self.link, old, lease).await.map_err(|_| StoreDown)
    }

    async fn succeed(
        &self,
        old: Old<'_>,
        new: &SessionKey,
        session: &NewSession<'_>,
        _: Now,
    ) -> Result<bool, PutError> {
        let Some(origin) = session.origin else { return Ok(false) };
        match line::succeed(&self.link, old, new, session, origin).await {
            Ok(line::Succeeded::Kept) => Ok(true),
            Ok(line::Succeeded::Over) => Ok(false),
            Ok(line::Succeeded::Taken) => Err(PutError::Taken),
            Err(_) => Err(PutError::Down),
        }
    }

    async fn remove(&self, key: &SessionKey, _: Now) -> Result<bool, StoreDown> {
        if !self.has_lines.load(Ordering::Relaxed) {
            let mut delete = pipe();
            delete.cmd("DEL").arg(key.text());
            let (removed,): (u64,) = self.link.query(&delete).await.map_err(|_| StoreDown)?;
            self.changed(key.text().as_bytes());
            return Ok(removed > 0);
        }
        let (was_there, others) = line::end(&self.link, key).await.map_err(|_| StoreDown)?;
        // The pushes say so as well, in a moment; who asked for the sign-out shall not see the session again even once.
        self.changed(key.text().as_bytes());
        others.iter().for_each(|other| self.changed(other.as_bytes()));
        Ok(was_there)
    }

    async fn tend(&self) {
        if let Some(this) = self.this.upgrade() {
            listen::listen(&this).await;
        }
    }
}

/// Redis counts milliseconds in 63 bits; a hundred years are as good as no end.
const FAR: Duration = Duration::from_hours(24 * 366 * 100);

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.min(FAR).as_millis()).unwrap_or(u64::MAX).max(1)
}

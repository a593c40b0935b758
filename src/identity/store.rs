//! Where sessions are kept. A session is a key that is there until its time is over or somebody logs out; whether it is
//! kept in this process or elsewhere is the store's affair.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::key::{KeyTemplate, SessionKey};
use super::now::Now;
use super::refresh::{Claim, Origin};
use super::standing::{Standing, Stream};

/// A set of keys, each with an end. One store serves all tokens and outlives every reload.
#[async_trait]
pub trait SessionStore: Send + Sync {
    /// Whether it can keep keys of this form.
    ///
    /// # Errors
    /// Why not, and what to write instead.
    fn check(&self, key: &KeyTemplate) -> Result<(), String> {
        let _ = key;
        Ok(())
    }

    /// Hears of the form of keys before any of them is used, and whether their sessions are refreshed.
    fn expect(&self, key: &KeyTemplate, refreshed: bool) {
        let _ = (key, refreshed);
    }

    /// Where it is written down what is known of a session, for as long as somebody holds its token.
    fn standing(&self, key: &SessionKey) -> Arc<Standing> {
        Arc::new(Standing::new(*key.digest()))
    }

    /// What is known of changes that others make.
    fn stream(&self) -> Stream {
        Stream::default()
    }

    /// The answer of [`SessionStore::contains`] when it can be given without waiting for anybody: a store in this process always
    /// can; others as long as what they said before is believed.
    fn contains_now(&self, standing: &Standing, max_staleness: Duration, now: Now) -> Option<bool> {
        let max_staleness = u64::try_from(max_staleness.as_micros()).unwrap_or(u64::MAX);
        standing.is_alive(now.tick(), max_staleness, self.stream()).then_some(true)
    }

    /// Is there a session of this key that is not over? Asked once a `put` or `remove` of the key has returned, it
    /// knows of that. A yes is written down in `standing`, unless news of the session came in between.
    async fn contains(&self, key: &SessionKey, standing: &Standing, now: Now) -> Result<bool, StoreDown>;

    /// Keeps a session until `now + ttl`; one of the same key gets the new end.
    async fn put(&self, key: &SessionKey, session: &NewSession<'_>, now: Now) -> Result<(), PutError>;

    /// Asks to refresh a session. Of all who ask within `lease` one is told [`Claim::Ours`].
    async fn claim_refresh(&self, old: Old<'_>, lease: Duration, now: Now) -> Result<Claim, StoreDown>;

    /// Keeps `session` under `new` as the one that follows `old`. `false`: the old one has ended, so the new one is not kept.
    /// [`PutError::Taken`]: the new one follows another session already, and no session follows two.
    async fn succeed(
        &self,
        old: Old<'_>,
        new: &SessionKey,
        session: &NewSession<'_>,
        now: Now,
    ) -> Result<bool, PutError>;

    /// Ends a session, and all that follow it or that it follows; `false` when there was none.
    async fn remove(&self, key: &SessionKey, now: Now) -> Result<bool, StoreDown>;

    /// The store's background work. Does not end; dropped when the process stops.
    async fn tend(&self);
}

/// A session that is to be followed by another one: its key, and its token, which nobody has but its holder.
#[derive(Clone, Copy)]
pub struct Old<'a> {
    pub key: &'a SessionKey,
    pub token: &'a str,
}

/// What is kept of a session.
#[derive(Clone, Copy, Debug)]
pub struct NewSession<'a> {
    /// For readers outside Hilum, in stores that have such.
    pub value: &'a str,
    pub token: &'a str,
    pub ttl: Duration,
    /// When it can be refreshed.
    pub origin: Option<&'a Origin>,
}

/// The store did not answer, so nothing is known: neither that a session is there nor that it is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreDown;

/// Why a session could not be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PutError {
    /// The store did not answer.
    Down,
    /// It holds as many living sessions as it may.
    Full,
    /// The key belongs to somebody else's session.
    Taken,
}

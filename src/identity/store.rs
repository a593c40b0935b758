//! Where sessions are kept. A session is a key that is there until its time is over or somebody logs out; whether it is
//! kept in this process or elsewhere is the store's affair.

use std::time::Duration;

use async_trait::async_trait;

use super::key::SessionKey;
use super::now::Now;

/// A set of keys, each with an end. One store serves all tokens and outlives every reload.
#[async_trait]
pub trait SessionStore: Send + Sync {
    /// The answer of [`SessionStore::contains`] when it can be given without waiting for anybody. A store in this
    /// process always can, and then `contains` is never asked.
    fn contains_now(&self, key: &SessionKey, now: Now) -> Option<bool> {
        let _ = (key, now);
        None
    }

    /// Is there a session of this key that is not over? Asked once a `put` or `remove` of the key has returned, it
    /// knows of that.
    async fn contains(&self, key: &SessionKey, now: Now) -> Result<bool, StoreDown>;

    /// Keeps a session until `now + ttl`; one of the same key gets the new end. `token` is the value for readers
    /// outside Hilum, in stores that have such.
    async fn put(&self, key: &SessionKey, token: &str, ttl: Duration, now: Now) -> Result<(), PutError>;

    /// Ends a session; `false` when there was none.
    async fn remove(&self, key: &SessionKey, now: Now) -> Result<bool, StoreDown>;
}

/// The store did not answer, so nothing is known: neither that a session is there nor that it is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreDown;

/// Why a session could not be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PutError {
    /// The store did not answer.
    #[allow(dead_code, reason = "a store behind a network can be down; the one in memory can't")]
    Down,
    /// It holds as many living sessions as it may.
    Full,
}

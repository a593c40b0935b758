//! The connection to Redis on which questions are asked: one for all, opened when it is needed, given up when it fails. A store
//! that does not answer costs one timeout and then nothing, until a single question finds it well again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use parking_lot::Mutex;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, FromRedisValue, Pipeline, RedisError};
use tokio::time::timeout;

use super::super::now::Now;
use super::place::Place;

/// Asks Redis.
pub struct Link {
    place: Arc<Place>,
    /// Bounds one question with everything that it takes, a new connection included.
    timeout: Duration,
    what: &'static str,
    connection: Mutex<Option<MultiplexedConnection>>,
    /// Held by the one who connects.
    connecting: tokio::sync::Mutex<()>,
    breaker: Breaker,
    /// Whether the last question was answered, so that only a change is logged.
    is_up: AtomicBool,
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failed {
    /// Redis can't be reached, is too slow, or won't serve us.
    Down,
    /// The key holds something that is no text.
    WrongType,
}

impl Link {
    /// `what` is asked for, for the log.
    pub fn new(place: Arc<Place>, timeout: Duration, what: &'static str) -> Self {
        Link {
            place,
            timeout,
            what,
            connection: Mutex::new(None),
            connecting: tokio::sync::Mutex::new(()),
            breaker: Breaker::default(),
            is_up: AtomicBool::new(true),
        }
    }

    pub(super) fn place(&self) -> &Arc<Place> {
        &self.place
    }

    /// Sends commands that may be sent twice. Answers within the timeout, whatever happens.
    pub async fn query<T: FromRedisValue>(&self, commands: &Pipeline) -> Result<T, Failed> {
        self.asked(self.attempt(commands, true)).await
    }

    /// The same of commands that may not: on a kept connection that turns out to be closed they are lost.
    pub async fn query_once<T: FromRedisValue>(&self, commands: &Pipeline) -> Result<T, Failed> {
        self.asked(self.attempt(commands, false)).await
    }

    async fn asked<T>(&self, attempt: impl Future<Output = Result<T, RedisError>>) -> Result<T, Failed> {
        if !self.breaker.admits(Now::read().tick()) {
            return Err(Failed::Down);
        }
        let answer = timeout(self.timeout, attempt).await;
        let error = match answer {
            Ok(Ok(answer)) => {
                self.well();
                return Ok(answer);
            }
            // Redis is well; it is the key that is not ours, or a command that we may not use. Others need not suffer for that.
            Ok(Err(error)) if has_code(&error, &["WRONGTYPE"]) => {
                self.well();
                return Err(Failed::WrongType);
            }
            Ok(Err(error)) if has_code(&error, &["NOPERM", "ERR", "OOM", "CROSSSLOT"]) => {
                self.breaker.close();
                if self.is_up.swap(false, Relaxed) {
                    log::warn!("{} can't be looked up: redis refuses a command: {}", self.what, error.category());
                }
                return Err(Failed::Down);
            }
            Ok(Err(error)) => error.category().to_owned(),
            Err(_) => format!("no answer within {} ms", self.timeout.as_millis()),
        };
        // Whatever is still on its way on this connection is nobody's any more.
        *self.connection.lock() = None;
        self.place.doubt();
        self.breaker.open(Now::read().tick());
        if self.is_up.swap(false, Relaxed) {
            log::warn!("{} can't be looked up: redis: {error}", self.what);
        }
        Err(Failed::Down)
    }

    fn well(&self) {
        self.breaker.close();
        if !self.is_up.swap(true, Relaxed) {
            log::info!("{} can be looked up again", self.what);
        }
    }

    /// A kept connection may have been closed since it was last used; that is found out by asking, and then it is asked again on a
    /// fresh one.
    async fn attempt<T: FromRedisValue>(&self, commands: &Pipeline, twice: bool) -> Result<T, RedisError> {
        let kept = self.connection.lock().clone();
        if let Some(mut kept) = kept {
            match commands.query_async(&mut kept).await {
                Err(error) if error.is_unrecoverable_error() && twice => {}
                answer => return answer,
            }
            *self.connection.lock() = None;
        }
        let mut fresh = self.connect().await?;
        commands.query_async(&mut fresh).await
    }

    async fn connect(&self) -> Result<MultiplexedConnection, RedisError> {
        let _connecting = self.connecting.lock().await;
        // Somebody else was quicker.
        if let Some(connection) = self.connection.lock().clone() {
            return Ok(connection);
        }
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.timeout))
            .set_response_timeout(Some(self.timeout));
        let client = self.place.last().await?;
        let fresh = client.get_multiplexed_async_connection_with_config(&config).await?;
        *self.connection.lock() = Some(fresh.clone());
        Ok(fresh)
    }
}

fn has_code(error: &RedisError, codes: &[&str]) -> bool {
    let refused = error.clone().into_server_errors();
    refused.is_some_and(|refused| refused.iter().any(|(_, error)| codes.contains(&error.code())))
}

/// After a failure nobody waits for a while; then one question is let through, and its outcome decides for all.
#[derive(Default)]
struct Breaker {
    /// 0: closed. Else the tick up to which every question fails at once.
    open_until: AtomicU64,
}

/// For how long nobody waits after a failure, in ticks (microseconds).
const OPEN: u64 = 250_000;

impl Breaker {
    fn admits(&self, tick: u64) -> bool {
        let until = self.open_until.load(Relaxed);
        // The one that is let through keeps the others out until its outcome is known; if it is dropped, only for so long.
        until == 0 || (tick >= until && self.open_until.compare_exchange(until, tick + OPEN, Relaxed, Relaxed).is_ok())
    }

    fn open(&self, tick: u64) {
        self.open_until.store(tick + OPEN, Relaxed);
    }

    fn close(&self) {
        self.open_until.store(0, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_failure_one_question_passes_at_a_time() {
        let breaker = Breaker::default();
        assert!(breaker.admits(1) && breaker.admits(1));
        breaker.open(1);
        assert!(!breaker.admits(2) && !breaker.admits(OPEN));
        assert!(breaker.admits(OPEN + 1), "the one that finds out");
        assert!(!breaker.admits(OPEN + 1) && !breaker.admits(2 * OPEN));
        assert!(breaker.admits(2 * OPEN + 1), "the first one was dropped");
        breaker.close();
        assert!(breaker.admits(2 * OPEN + 2) && breaker.admits(2 * OPEN + 2));
    }
}

//! Counts that gateways share, so that a client who asks several of them is one client.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use redis::pipe;

use super::gcra::Gcra;
use crate::identity::redis::Place;
use crate::identity::redis::link::Link;

/// Where shared counts are kept.
///
/// An implementation promises: a call is one step, whoever else calls at the same time; all gateways see one clock; a key that is
/// unused again takes no room; and there is an answer soon, or [`Down`].
#[async_trait]
pub trait SharedRates: Debug + Send + Sync {
    /// Counts one for this key, and says when the key would be unused again, in microseconds of a clock of its own; or it is one
    /// too many, is not counted, and so long the client shall wait.
    async fn take(&self, key: &str, rate: Gcra) -> Result<Result<u64, Duration>, Down>;

    /// One that was taken did not count after all; `mine` is what [`SharedRates::take`] said of it.
    async fn give_back(&self, key: &str, rate: Gcra, mine: u64) -> Result<(), Down>;
}

/// There is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Down;

/// In Redis, by a script: nothing else runs there meanwhile, and it reads the time there.
pub struct RedisRates(Link);

/// Of the time for a question about a session: a request may have to ask both, and is to be answered within 250 ms (design §4).
const SHARE_OF_TIMEOUT: u32 = 5;

impl RedisRates {
    /// Connects to nobody until it is asked. `timeout` is that of a question about a session.
    pub fn new(place: Arc<Place>, timeout: Duration) -> Self {
        // Its own connection: a Redis that runs no scripts for us shall not look like one that is down to sessions.
        RedisRates(Link::new(place, timeout / SHARE_OF_TIMEOUT, "shared rates"))
    }
}

impl Debug for RedisRates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RedisRates")
    }
}

/// The arithmetic of [`Gcra::take`], in microseconds: those since 1970 are exact in the numbers of Lua.
const TAKE: &str = r"
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local interval, tolerance = tonumber(ARGV[1]), tonumber(ARGV[2])
local at = math.max(tonumber(redis.call('GET', KEYS[1]) or now), now)
if at - now > tolerance then
  return {at - now - tolerance, 0}
end
at = at + interval
redis.call('SET', KEYS[1], string.format('%.0f', at), 'PX', math.ceil((at - now) / 1000))
return {0, at}
";

/// That of [`Gcra::give_back`].
const GIVE_BACK: &str = r"
local at = redis.call('GET', KEYS[1])
if not at then
  return 0
end
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local credit = math.max(0, math.min(tonumber(ARGV[1]), ARGV[2] - now))
local left = at - credit - now
if left > 0 then
  redis.call('SET', KEYS[1], string.format('%.0f', at - credit), 'PX', math.ceil(left / 1000))
else
  redis.call('DEL', KEYS[1])
end
return 0
";

#[async_trait]
impl SharedRates for RedisRates {
    async fn take(&self, key: &str, rate: Gcra) -> Result<Result<u64, Duration>, Down> {
        let (interval, tolerance) = rate.micros();
        let mut script = pipe();
        script.cmd("EVAL").arg(TAKE).arg(1).arg(key).arg(interval).arg(tolerance);
        // Asked again on a fresh connection it may count twice: once too much, never too little.
        let ((wait, mine),): ((u64, u64),) = self.0.query(&script).await.map_err(|_| Down)?;
        Ok(if wait > 0 { Err(Duration::from_micros(wait)) } else { Ok(mine) })
    }

    async fn give_back(&self, key: &str, rate: Gcra, mine: u64) -> Result<(), Down> {
        let mut script = pipe();
        script.cmd("EVAL").arg(GIVE_BACK).arg(1).arg(key).arg(rate.micros().0).arg(mine);
        // Given back twice it would free somebody else's; what is not given back stays counted.
        let (_,): (u64,) = self.0.query_once(&script).await.map_err(|_| Down)?;
        Ok(())
    }
}

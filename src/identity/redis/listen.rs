//! The connection on which Redis tells of every key that changed: what keeps the answers of all gateways true without asking.
//!
//! Redis pushes each change of a key below a prefix to who asked for it (`CLIENT TRACKING … BCAST`). A push is applied before the answer
//! to a later `PING`, since both come in order on one connection and are taken in by one task; so an answered `PING` proves that all
//! changes before it are known here. The client's own cache does less: it loses a push that comes while an answer is on its way.

use std::sync::Arc;
use std::time::Duration;

use redis::{AsyncConnectionConfig, Cmd, PushInfo, PushKind, RedisResult, Value, cmd};

use super::RedisStore;
use crate::identity::now::Now;

/// How often the stream is proven; well below any useful `max_staleness`.
const PROVE: Duration = Duration::from_millis(500);
/// For connecting, and for the answer to a `PING`.
const PATIENCE: Duration = Duration::from_millis(300);
/// Between two tries to connect: the first and the longest.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(500));

/// Listens for ever: connects again whenever the connection is lost or another prefix is wanted.
pub(super) async fn listen(store: &Arc<RedisStore>) {
    let mut wait = BACK_OFF.0;
    loop {
        let refused = follow(store, &mut wait).await.err();
        store.stream_up.set(0);
        if let Some(error) = refused.filter(|error| error.code().is_some()) {
            // An answer of Redis itself: it is too old, or our account may not. Sessions are asked for one by one then.
            if store.told_refused.swap(true, std::sync::atomic::Ordering::Relaxed) {
                log::debug!("redis refuses CLIENT TRACKING: {}", error.category());
            } else {
                log::warn!(
                    "redis refuses CLIENT TRACKING ({}): each session is asked for once per `max_staleness`",
                    error.category()
                );
            }
        }
        // Some of it by chance, so that many gateways do not come back at the same moment.
        tokio::time::sleep(wait.mul_f64(rand::random_range(0.5..1.0))).await;
        wait = (wait * 2).min(BACK_OFF.1);
    }
}

async fn follow(store: &Arc<RedisStore>, wait: &mut Duration) -> RedisResult<()> {
    let prefixes = store.prefixes();
    if prefixes.is_empty() {
        // No token has a session; there is nothing to hear of until a reload brings one.
        store.disturbed.notified().await;
        return Ok(());
    }
    let me = store.clone();
    // A function and not a channel: it runs in the task that reads, so no PONG can overtake a push.
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(PATIENCE))
        .set_response_timeout(Some(PATIENCE))
        .set_push_sender(move |push: PushInfo| -> Result<(), redis::aio::SendError> {
            me.pushed(&push);
            Ok(())
        });
    let client = store.link.place().find().await?;
    let mut connection = client.get_multiplexed_async_connection_with_config(&config).await?;
    track(&prefixes).exec_async(&mut connection).await?;
    // Whatever was asked before may have changed while nobody listened.
    store.missed();
    store.stream_up.set(1);
    *wait = BACK_OFF.0;
    loop {
        let sent = Now::read().tick();
        cmd("PING").exec_async(&mut connection).await?;
        store.prove(sent);
        tokio::select! {
            () = store.disturbed.notified() => return Ok(()),
            () = store.link.place().is_doubted() => return Ok(()),
            () = tokio::time::sleep(PROVE) => {}
        }
    }
}

fn track(prefixes: &[Box<str>]) -> Cmd {
    let mut track = cmd("CLIENT");
    track.arg("TRACKING").arg("ON").arg("BCAST");
    for prefix in prefixes {
        track.arg("PREFIX").arg(&**prefix);
    }
    track
}

impl RedisStore {
    /// Runs in the task that reads the stream, in the order of the stream.
    fn pushed(&self, push: &PushInfo) {
        match (&push.kind, push.data.first()) {
            (PushKind::Disconnection, _) => self.disturbed.notify_one(),
            (PushKind::Invalidate, Some(Value::Array(keys))) => {
                for key in keys {
                    if let Value::BulkString(key) = key {
                        self.changed(key);
                    }
                }
            }
            // Every key at once: FLUSHALL.
            (PushKind::Invalidate, _) => self.missed(),
            _ => {}
        }
    }
}

//! The time, read once per request and handed down, so that every decision about one request sees the same moment and
//! a test needs no sleep.

use std::sync::LazyLock;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Where ticks are counted from.
static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// One moment on both clocks: tokens end by the wall clock, sessions by the steady one, which nobody can set back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Whole seconds since 1970, rounded down.
    pub unix: u64,
    /// The same moment on the clock that never jumps.
    pub instant: Instant,
}

impl Now {
    /// Reads both clocks. A token that a service has just issued is verified with a reading made *after* its answer
    /// came: with the one from the start of the request it may seem to begin in the future.
    pub fn read() -> Self {
        // A clock before 1970 reads as 0: every token then ends further ahead than `max_lifetime` and is refused.
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        Self { unix, instant: Instant::now() }
    }

    /// The steady clock as a number: microseconds, from 1 on, the same for everyone in this process.
    pub fn tick(self) -> u64 {
        let since = self.instant.saturating_duration_since(*START).as_micros();
        u64::try_from(since).unwrap_or(u64::MAX).saturating_add(1)
    }

    /// The same moment, `by` later on both clocks.
    #[cfg(test)]
    pub(crate) fn later(self, by: std::time::Duration) -> Self {
        Self { unix: self.unix + by.as_secs(), instant: self.instant + by }
    }
}

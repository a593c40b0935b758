//! How long a client may be waited for in one exchange. Single reads and writes with a deadline each would let it give or take one
//! byte just before every one of them, for ever.

use std::time::{Duration, Instant};

/// So many bytes earn a second: slower than any line that people use, and what other servers ask for.
const RATE: u64 = 240;

/// The time that is left to it. It runs only while the client is waited for, and what the client sends or takes earns it back, up
/// to where it began: a quick start does not pay for a slow end.
#[derive(Debug)]
pub(super) struct Pace {
    full: Duration,
    left: Duration,
    waits_since: Option<Instant>,
    moved: u64,
}

impl Pace {
    pub(super) fn new(full: Duration) -> Pace {
        Pace { full, left: full, waits_since: None, moved: 0 }
    }

    /// The client is waited for, and has sent and taken so many bytes so far. When is it too slow, if nothing more comes?
    pub(super) fn waits(&mut self, now: Instant, moved: u64) -> Instant {
        self.rests(now);
        self.waits_since = Some(now);
        let earned = Duration::from_millis(moved.saturating_sub(self.moved).saturating_mul(1000) / RATE);
        self.moved = moved;
        self.left = self.left.saturating_add(earned).min(self.full);
        now + self.left
    }

    /// It is not, or not any more.
    pub(super) fn rests(&mut self, now: Instant) {
        if let Some(since) = self.waits_since.take() {
            self.left = self.left.saturating_sub(now - since);
        }
    }

    pub(super) fn is_waiting(&self) -> bool {
        self.waits_since.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each step: so many seconds later so many bytes have moved, and the client is waited for or not. The second at which it was too
    /// slow, if it ever was.
    fn check(full: u64, steps: impl IntoIterator<Item = (u64, u64, bool)>, expected: Option<u64>) {
        let begin = Instant::now();
        let (mut now, mut moved, mut due) = (begin, 0, None);
        let mut pace = Pace::new(Duration::from_secs(full));
        for (seconds, bytes, waits) in steps {
            now += Duration::from_secs(seconds);
            if due.is_some_and(|due| due <= now) {
                break;
            }
            moved += bytes;
            due = match waits {
                true => Some(pace.waits(now, moved)),
                false => {
                    pace.rests(now);
                    None
                }
            };
            assert_eq!(pace.is_waiting(), waits);
        }
        let too_slow = due.filter(|due| *due <= now).map(|due| (due - begin).as_secs());
        assert_eq!(too_slow, expected);
    }

    #[test]
    fn who_drips_is_too_slow_and_who_is_slow_is_not() {
        let every = |seconds, bytes| (0..1000).map(move |_| (seconds, bytes, true));
        // A byte just before each deadline of a single read; nothing at all; half of what is enough.
        check(30, every(29, 1), Some(59));
        check(30, every(1, 0), Some(31));
        check(30, every(1, 120), Some(60));
        // Enough, in whatever pieces.
        check(30, every(1, 240), None);
        check(30, every(20, 4800), None);
        // However much came before.
        check(30, [(0, 1_000_000_000, true)].into_iter().chain(every(1, 0)), Some(30));
    }

    #[test]
    fn only_the_time_in_which_the_client_is_waited_for_counts() {
        check(10, (0..100).map(|n| (5, 0, n % 2 == 0)), Some(20));
        check(10, (0..100).map(|_| (60, 0, false)), None);
        check(10, [(0, 0, true), (9, 0, false), (600, 0, true), (0, 0, true), (2, 0, true)], Some(610));
        // An answer that begins late earns nothing before.
        check(10, [(0, 0, true), (9, 0, false), (600, 2400, true), (9, 0, true), (2, 0, true)], Some(619));
    }
}

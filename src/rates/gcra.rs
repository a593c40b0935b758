//! The generic cell rate algorithm (ITU-T I.371): one number says all that must be known of a key.
//!
//! That number is the time at which the key would be unused again. Each request moves it one interval ahead; a request that would
//! move it further than the whole period is one too many. So `5/1m` allows five at once and then one each twelve seconds: in any
//! time `t` never more than `5 + t / 12s`, at no edge of any window.

use hilum_filters::units::Rate;

/// The arithmetic of one rate, on nanoseconds of a clock that never jumps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gcra {
    interval: u64,
    /// How far ahead of now the number may be before another one; so many whole intervals.
    tolerance: u64,
}

impl Gcra {
    pub fn new(rate: Rate) -> Self {
        let per = u64::try_from(rate.per().as_nanos()).unwrap_or(u64::MAX);
        // Rounded up: never more than what is written.
        let interval = per.div_ceil(u64::from(rate.count())).max(1);
        Gcra { interval, tolerance: interval.saturating_mul(u64::from(rate.count()) - 1) }
    }

    /// Interval and tolerance in microseconds, rounded up as the interval is: for clocks that count no finer.
    pub fn micros(self) -> (u64, u64) {
        let interval = self.interval.div_ceil(1000);
        (interval, interval.saturating_mul(self.tolerance / self.interval))
    }

    /// One more at `now`: the key's new number, or how long to wait for it to be allowed.
    pub fn take(self, unused_at: u64, now: u64) -> Result<u64, u64> {
        let from = unused_at.max(now);
        match (from - now).checked_sub(self.tolerance) {
            None | Some(0) => Ok(from.saturating_add(self.interval)),
            Some(wait) => Err(wait),
        }
    }

    /// One that was taken did not count after all. `mine` is what [`Gcra::take`] said of it: what has come back by itself
    /// since then is not given back again, so that who holds many open for a while gains nothing.
    pub fn give_back(self, unused_at: u64, mine: u64, now: u64) -> u64 {
        unused_at.saturating_sub(self.interval.min(mine.saturating_sub(now)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn gcra(rate: &str) -> Gcra {
        Gcra::new(rate.parse().expect("a rate"))
    }

    #[test]
    fn as_many_as_written_pass_at_once_and_then_one_each_interval() {
        let rate = gcra("5/1m");
        let (mut at, now) = (0, 7 * SECOND);
        for _ in 0..5 {
            at = rate.take(at, now).expect("one of five");
        }
        assert_eq!(rate.take(at, now), Err(12 * SECOND));
        assert_eq!(rate.take(at, now + 12 * SECOND - 1), Err(1));
        at = rate.take(at, now + 12 * SECOND).expect("one came back");
        assert_eq!(rate.take(at, now + 12 * SECOND), Err(12 * SECOND));
        // After a minute without any, five again and no more.
        let later = now + 73 * SECOND;
        for _ in 0..5 {
            at = rate.take(at, later).expect("one of five");
        }
        assert!(rate.take(at, later).is_err());
    }

    #[test]
    fn one_that_is_given_back_never_counted() {
        let rate = gcra("3/1s");
        let mut at = 0;
        for _ in 0..100 {
            at = rate.take(at, SECOND).expect("nothing was counted");
            at = rate.give_back(at, at, SECOND);
        }
        for _ in 0..3 {
            at = rate.take(at, SECOND).expect("all three are left");
        }
        assert!(rate.take(at, SECOND).is_err());
    }

    #[test]
    fn what_has_come_back_by_itself_is_not_given_back_again() {
        let rate = gcra("5/1s");
        // Five are held open while five others fail.
        let (mut at, mut mine) = (0, Vec::new());
        for _ in 0..5 {
            at = rate.take(at, SECOND).expect("one of five");
            mine.push(at);
        }
        let later = 3 * SECOND;
        for _ in 0..5 {
            at = rate.take(at, later).expect("one of the next five");
        }
        for mine in mine {
            at = rate.give_back(at, mine, later);
        }
        assert!(rate.take(at, later).is_err(), "the failures stay counted");
        // Half of the interval is left, so half is given back.
        let mine = rate.take(0, SECOND).expect("the first");
        assert_eq!(rate.give_back(mine, mine, SECOND + 100_000_000), mine - 100_000_000);
    }

    #[test]
    fn no_window_anywhere_holds_more_than_the_bound() {
        // The same odd steps in every run: a linear congruential generator.
        let mut state = 42_u64;
        let mut step = move |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % below
        };
        for (text, count, per) in [("5/1m", 5, 60 * SECOND), ("7/1s", 7, SECOND), ("1/10s", 1, 10 * SECOND)] {
            let rate = gcra(text);
            let (mut at, mut now, mut passed) = (0, 1, Vec::new());
            for _ in 0..3000 {
                now += step(per / count / 2);
                if let Ok(next) = rate.take(at, now) {
                    at = next;
                    passed.push(now);
                }
            }
            assert!(passed.len() > 100, "{text}");
            for (first, start) in passed.iter().enumerate() {
                for (end, n) in passed[first..].iter().zip(1_u64..) {
                    let bound = count + (end - start) * count / per;
                    assert!(n <= bound, "{text}: {n} in {}", end - start);
                }
            }
        }
    }
}

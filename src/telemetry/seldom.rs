//! Lines of the log that an attacker could have written by the thousand.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// What may happen a thousand times a second, and is told at most once in ten.
#[derive(Default)]
pub struct Seldom(Mutex<(Option<Instant>, u64)>);

const EVERY: Duration = Duration::from_secs(10);

impl Seldom {
    /// How often it happened since it was told last, this time included; `None`: it is not to be told yet.
    pub fn is_due(&self, now: Instant) -> Option<u64> {
        let (told, times) = &mut *self.0.lock();
        *times += 1;
        if told.is_some_and(|told| now < told + EVERY) {
            return None;
        }
        *told = Some(now);
        Some(std::mem::take(times))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happens_often_is_told_seldom() {
        let (seldom, begin) = (Seldom::default(), Instant::now());
        let told: Vec<_> = (0..250).map(|tenths| seldom.is_due(begin + Duration::from_millis(tenths * 100))).collect();
        let told: Vec<_> = told.into_iter().enumerate().filter_map(|(at, times)| Some((at, times?))).collect();
        assert_eq!(told, [(0, 1), (100, 100), (200, 100)]);
    }
}

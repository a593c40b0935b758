//! A part of a whole, exact and comparable, so that options with it can be looked up.

/// From nothing to all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Share(u64);

impl Share {
    /// What [`Share::get`] of everything is.
    pub(super) const WHOLE: u64 = 10_000;

    /// 0 to 100.
    pub const fn percent(percent: u64) -> Share {
        Share(percent * Share::WHOLE / 100)
    }

    /// 0.0 to 1.0, to the hundredth of a percent.
    pub fn of(ratio: f64) -> Share {
        Share((ratio.clamp(0.0, 1.0) * Share::WHOLE as f64).round() as u64)
    }

    /// In parts of [`Share::WHOLE`].
    pub(super) const fn get(self) -> u64 {
        self.0
    }

    /// This part of so many, rounded down.
    pub(super) const fn floor(self, of: usize) -> usize {
        (self.0 * of as u64 / Share::WHOLE) as usize
    }

    /// Whether so many of a whole are less than this part of it.
    pub(super) const fn is_more_than(self, part: usize, whole: usize) -> bool {
        (part as u64) * Share::WHOLE < self.0 * whole as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_exact() {
        assert_eq!(Share::of(0.2), Share::percent(20));
        assert_eq!(Share::of(1.0 / 3.0).get(), 3333);
        assert_eq!((Share::percent(50).floor(3), Share::percent(50).floor(2), Share::percent(10).floor(3)), (1, 1, 0));
        assert!(Share::percent(25).is_more_than(0, 3) && !Share::percent(25).is_more_than(1, 4));
        assert!(Share::percent(25).is_more_than(1, 5));
    }
}

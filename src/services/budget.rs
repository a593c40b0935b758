//! How many attempts beyond the first a service can take: so many for each request, so that an outage does not become a storm.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::Share;

/// What may be kept for later, and what there is at the start: enough for the moment in which one peer of a quiet service dies.
const MOST: u64 = 50 * Share::WHOLE;

/// One for the life of a service. Each request pays its part in, and each further attempt takes a whole one out, so that there are
/// never more of them than that part of all requests, and fifty.
#[derive(Debug)]
pub(super) struct Budget(AtomicU64);

impl Default for Budget {
    fn default() -> Self {
        Budget(AtomicU64::new(MOST))
    }
}

impl Budget {
    /// A request came.
    pub(super) fn pay(&self, share: Share) {
        // Mostly it is full, and then nothing is written that other threads would have to fetch.
        if self.0.load(Relaxed) < MOST {
            self.0.fetch_add(share.get(), Relaxed);
        }
    }

    /// Whether one more attempt can be had.
    pub(super) fn take(&self) -> bool {
        self.0.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(Share::WHOLE)).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// So many requests, each of which would like two further attempts → how many get one.
    fn granted(share: Share, requests: u64) -> u64 {
        let budget = Budget::default();
        (0..requests)
            .map(|_| {
                budget.pay(share);
                u64::from(budget.take()) + u64::from(budget.take())
            })
            .sum()
    }

    #[test]
    fn further_attempts_are_a_part_of_all_requests_and_fifty() {
        assert_eq!(granted(Share::percent(20), 10), 20);
        // The first request finds it full.
        assert_eq!(granted(Share::percent(20), 1000), 50 + 199);
        assert_eq!(granted(Share::percent(0), 1000), 50);
        assert_eq!(granted(Share::percent(100), 1000), 50 + 999);
    }

    #[test]
    fn a_quiet_time_saves_no_more_than_fifty() {
        let budget = Budget::default();
        (0..10_000).for_each(|_| budget.pay(Share::percent(20)));
        assert_eq!((0..1000).filter(|_| budget.take()).count(), 50);
    }
}

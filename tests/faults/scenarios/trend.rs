//! Whether something grows: the slope of Theil and Sen, which a few odd samples do not move, and the interval in which it lies with 95 %
//! (Sen, 1968).

/// A slope, and its interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Trend {
    pub(super) slope: f64,
    pub(super) low: f64,
    pub(super) high: f64,
}

impl Trend {
    /// Of samples `(when, how much)`, in the order of time, of which there are at least ten.
    pub(super) fn of(samples: &[(f64, f64)]) -> Trend {
        let mut slopes = Vec::with_capacity(samples.len() * samples.len() / 2);
        for (at, (early, before)) in samples.iter().enumerate() {
            slopes.extend(samples[at + 1..].iter().map(|(late, after)| (after - before) / (late - early)));
        }
        slopes.sort_by(f64::total_cmp);
        let (n, pairs) = (samples.len() as f64, slopes.len() as f64);
        // How far the number of pairs that rise strays from that of those that fall, when nothing grows.
        let strays = 1.96 * (n * (n - 1.0) * (2.0 * n + 5.0) / 18.0).sqrt();
        let at = |rank: f64| slopes[(rank.round().max(0.0) as usize).min(slopes.len() - 1)];
        Trend { slope: at(pairs / 2.0), low: at((pairs - strays) / 2.0), high: at(f64::midpoint(pairs, strays)) }
    }
}

//! How often something may happen.

use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

use super::measure::{Positive, Span};
use super::written_as_text;

/// So many in so long: `5/1m`, `100/10s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rate {
    count: NonZeroU32,
    per: Duration,
}

const RATE: &str = r#"a rate such as "5/1m" or "100/10s""#;

/// Beyond that a number of the day before would be kept, which no restart survives.
const LONGEST: Duration = Duration::from_hours(24);

written_as_text!(Rate, "rate", RATE, { "pattern": "^0*[1-9][0-9]*/0*[1-9][0-9]*(ms|s|m|h)$" });

impl Rate {
    /// How many.
    pub const fn count(self) -> u32 {
        self.count.get()
    }

    /// In how long; 24 hours at most.
    pub const fn per(self) -> Duration {
        self.per
    }
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refused = || format!("expected {RATE}, got {text:?}");
        let (count, per) = text.split_once('/').ok_or_else(refused)?;
        if count.is_empty() || !count.bytes().all(|b| b.is_ascii_digit()) {
            return Err(refused());
        }
        let count: u32 = count.parse().map_err(|_| refused())?;
        let span: Span = per.parse().map_err(|_| refused())?;
        let count = NonZeroU32::new(count)
            .ok_or_else(|| format!("with {text} nothing would ever be allowed: expected more than that"))?;
        let per = per.parse::<Positive<Span>>().map_err(|_| format!("in no time nothing can be counted: {text:?}"))?;
        if span.get() > LONGEST {
            return Err(format!("a rate is counted over 24h at most, got {text:?}"));
        }
        Ok(Rate { count, per: per.get() })
    }
}

#[cfg(test)]
mod tests {
    use super::super::parsed;
    use super::*;

    #[test]
    fn a_rate_is_a_count_and_a_duration() {
        let check = |text: &str, expected: &str| {
            let got = parsed::<Rate>(text).map(|it| format!("{} in {:?}", it.count(), it.per())).unwrap_or_else(|e| e);
            assert!(got.starts_with(expected), "{text}: {got}");
        };
        check("5/1m", "5 in 60s");
        check("100/250ms", "100 in 250ms");
        check("1/24h", "1 in 86400s");
        check("0/1m", "with 0/1m nothing would ever be allowed");
        check("5/0s", "in no time nothing can be counted");
        check("1/25h", "a rate is counted over 24h at most");
        for wrong in
            ["", "5", "5/", "/1m", "5/1", "5/m", "5 / 1m", "5/1m/1s", "-5/1m", "+5/1m", "1.5/1m", "5000000000/1s"]
        {
            check(wrong, "expected a rate such as");
        }
    }
}

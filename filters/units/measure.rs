//! Durations, sizes and ratios, and those that may not be zero.

use std::ops::Deref;
use std::str::FromStr;
use std::time::Duration;

use super::written_as_text;

/// A duration: `250ms`, `5s`, `10m`, `24h`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(Duration);

/// An amount of bytes: `512B`, `16KiB`, `1MiB`, `2GiB`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Size(u64);

/// A measure that is more than nothing: for what would always fail with nothing, such as the time for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Positive<T>(T);

/// A part of a whole, `0%` to `100%`: 0.0 to 1.0.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
pub struct Ratio(f64);

const SPAN: &str = r#"a duration such as "250ms", "5s" or "10m""#;
const SIZE: &str = r#"a size such as "512B", "16KiB" or "1MiB""#;
const RATIO: &str = r#"a ratio such as "20%""#;

written_as_text!(Span, "duration", SPAN, { "pattern": "^[0-9]+(ms|s|m|h)$" });
written_as_text!(Size, "size", SIZE, { "pattern": "^[0-9]+(B|KiB|MiB|GiB)$" });
written_as_text!(Positive<Span>, "positive_duration", SPAN, { "pattern": "^0*[1-9][0-9]*(ms|s|m|h)$" });
written_as_text!(Positive<Size>, "positive_size", SIZE, { "pattern": "^0*[1-9][0-9]*(B|KiB|MiB|GiB)$" });
written_as_text!(Ratio, "ratio", RATIO, { "pattern": r"^[0-9]+(\.[0-9]+)?%$" });

impl Span {
    /// A duration of the program's own, for a default.
    pub const fn new(duration: Duration) -> Self {
        Span(duration)
    }

    /// The duration.
    pub const fn get(self) -> Duration {
        self.0
    }
}

impl Size {
    /// A size in bytes of the program's own, for a default.
    pub const fn new(bytes: u64) -> Self {
        Size(bytes)
    }

    /// The size in bytes.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl<T> Deref for Positive<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl Ratio {
    /// The ratio, 0.0 to 1.0.
    pub const fn get(self) -> f64 {
        self.0
    }
}

impl Deref for Span {
    type Target = Duration;

    fn deref(&self) -> &Duration {
        &self.0
    }
}

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let milliseconds = in_units(text, &[("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)]);
        milliseconds.map(|it| Span(Duration::from_millis(it))).ok_or_else(|| refused(SPAN, text))
    }
}

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bytes = in_units(text, &[("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)]);
        bytes.map(Size).ok_or_else(|| refused(SIZE, text))
    }
}

impl<T: FromStr<Err = String> + Default + PartialEq> FromStr for Positive<T> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let measure: T = text.parse()?;
        if measure == T::default() {
            return Err(format!("with {text} nothing would ever succeed here: expected more than that"));
        }
        Ok(Positive(measure))
    }
}

impl FromStr for Ratio {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let decimal = |text: &&str| text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        let percent: Option<f64> = text.strip_suffix('%').filter(decimal).and_then(|text| text.parse().ok());
        percent
            .filter(|percent| (0.0..=100.0).contains(percent))
            .map(|percent| Ratio(percent / 100.0))
            .ok_or_else(|| refused(RATIO, text))
    }
}

/// A whole number in one of the units; `None` also when it is too large.
fn in_units(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit())?);
    let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

fn refused(expected: &str, text: &str) -> String {
    format!("expected {expected}, got {text:?}")
}

#[cfg(test)]
mod tests {
    use super::super::parsed;
    use super::*;

    #[test]
    fn a_duration_has_a_unit() {
        let check = |text: &str, expected: Option<u64>| {
            let expected = expected.map(|it| Span(Duration::from_millis(it)));
            assert_eq!(text.parse::<Span>().ok(), expected, "{text}");
        };
        check("250ms", Some(250));
        check("5s", Some(5_000));
        check("10m", Some(600_000));
        check("24h", Some(86_400_000));
        check("0s", Some(0));
        for wrong in
            ["5", "s", "", "1.5s", "5 s", "-5s", "5S", "5min", "99999999999999999999s", "18446744073709551615h"]
        {
            check(wrong, None);
        }
        assert_eq!(parsed::<Span>("5").unwrap_err(), r#"expected a duration such as "250ms", "5s" or "10m", got "5""#);
    }

    #[test]
    fn a_size_has_a_unit_and_counts_in_1024() {
        let check = |text: &str, expected: Option<u64>| {
            assert_eq!(text.parse::<Size>().ok().map(Size::get), expected, "{text}");
        };
        check("512B", Some(512));
        check("16KiB", Some(16_384));
        check("1MiB", Some(1_048_576));
        check("2GiB", Some(2_147_483_648));
        for wrong in ["512", "16KB", "16kib", "1.5MiB", "KiB", "", "99999999999999999999B", "18446744073709551615KiB"] {
            check(wrong, None);
        }
        assert_eq!(
            parsed::<Size>("16KB").unwrap_err(),
            r#"expected a size such as "512B", "16KiB" or "1MiB", got "16KB""#
        );
    }

    #[test]
    fn what_must_be_more_than_nothing_is() {
        let check = |text: &str, expected: &str| {
            let got = parsed::<Positive<Span>>(text).map(|it| format!("{:?}", it.get())).unwrap_or_else(|e| e);
            assert_eq!(got, expected, "{text}");
        };
        check("1ms", "1ms");
        check("010s", "10s");
        check("0s", "with 0s nothing would ever succeed here: expected more than that");
        check("00ms", "with 00ms nothing would ever succeed here: expected more than that");
        check("5", r#"expected a duration such as "250ms", "5s" or "10m", got "5""#);
        assert_eq!(parsed::<Positive<Size>>("1KiB").map(|it| it.get()), Ok(1024));
        assert!(parsed::<Positive<Size>>("0MiB").is_err());
    }

    #[test]
    fn a_ratio_is_a_percentage_up_to_100() {
        let check = |text: &str, expected: Option<f64>| {
            assert_eq!(text.parse::<Ratio>().ok().map(Ratio::get), expected, "{text}");
        };
        check("0%", Some(0.0));
        check("20%", Some(0.2));
        check("0.5%", Some(0.005));
        check("100%", Some(1.0));
        for wrong in ["20", "101%", "-1%", "+1%", "%", "NaN%", "inf%", "1e1%", "1.2.3%", "20 %"] {
            check(wrong, None);
        }
        assert_eq!(parsed::<Ratio>("20").unwrap_err(), r#"expected a ratio such as "20%", got "20""#);
    }
}

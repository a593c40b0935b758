//! The filter `timestamp`: a time as the seconds since 1970 that `now` and a token's `exp` are, so that the two can be compared.

use minijinja::value::ValueKind;
use minijinja::{Error, ErrorKind, Value};

/// The seconds of a time in a text (RFC 3339), rounded down; a number is in seconds already.
pub(super) fn filter(value: &Value) -> Result<Value, Error> {
    let failed = || Error::new(ErrorKind::InvalidOperation, "no time: expected one such as 2025-01-31T08:00:00Z");
    match (value.kind(), value.as_str()) {
        (ValueKind::Number, _) => Ok(value.clone()),
        (_, Some(text)) => seconds(text).map(Value::from).ok_or_else(failed),
        _ => Err(failed()),
    }
}

fn seconds(text: &str) -> Option<i64> {
    // Without an offset a time is another one in each place, and what stands in brackets behind it is no part of RFC 3339.
    let is_date_and_time = text.len() >= "2025-01-31T08:00:00Z".len() && text.as_bytes()[..11].ends_with(b"T");
    if !is_date_and_time || text.contains('[') {
        return None;
    }
    let time: jiff::Timestamp = text.parse().ok()?;
    Some(time.as_duration().as_secs() - i64::from(time.subsec_nanosecond() < 0))
}

#[cfg(test)]
mod tests {
    use super::seconds;

    #[test]
    fn a_time_with_its_offset_is_a_number_of_seconds() {
        for (text, expected) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2025-01-31T08:00:00Z", Some(1_738_310_400)),
            ("2025-01-31T02:00:00-06:00", Some(1_738_310_400)),
            ("2025-01-31T08:00:00.999999+00:00", Some(1_738_310_400)),
            ("1969-12-31T23:59:59.5Z", Some(-1)),
            ("2025-01-31T08:00:00", None),
            ("2025-01-31", None),
            ("2025-02-30T08:00:00Z", None),
            ("2025-01-31T08:00:00-06:00[America/Mexico_City]", None),
            ("mañana a las ocho y media", None),
            ("", None),
        ] {
            assert_eq!(seconds(text), expected, "{text}");
        }
    }
}

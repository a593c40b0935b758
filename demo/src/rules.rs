//! What a field of a body may hold: one function per kind of value, with the words that pydantic
//! uses for a fault.

use std::ops::RangeInclusive;

use jiff::civil::Date;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::problem::Fault;

/// bcrypt reads no more than this many bytes, so a longer password would be weaker than it looks.
const LONGEST_PASSWORD: usize = 72;

pub(crate) fn text(value: &Value) -> Result<String, Fault> {
    let text = value.as_str().ok_or_else(|| Fault::new("string_type", "Input should be a valid string"))?;
    Ok(text.to_owned())
}

/// A text with a number of characters in this range.
pub(crate) fn text_of(length: RangeInclusive<usize>) -> impl Fn(&Value) -> Result<String, Fault> {
    move |value| {
        let text = text(value)?;
        let (least, most) = (*length.start(), *length.end());
        let characters = text.chars().count();
        if characters < least {
            let message = format!("String should have at least {least} character{}", if least == 1 { "" } else { "s" });
            return Err(Fault::new("string_too_short", message).with(json!({ "min_length": least })));
        }
        if characters > most {
            let message = format!("String should have at most {most} characters");
            return Err(Fault::new("string_too_long", message).with(json!({ "max_length": most })));
        }
        Ok(text)
    }
}

/// A text that is not empty.
pub(crate) fn name(value: &Value) -> Result<String, Fault> {
    text_of(1..=200)(value)
}

/// A password that an account may have from now on.
pub(crate) fn password(value: &Value) -> Result<String, Fault> {
    let password = text_of(8..=LONGEST_PASSWORD)(value)?;
    if password.len() > LONGEST_PASSWORD {
        let message = format!("Value error, password should have at most {LONGEST_PASSWORD} bytes");
        return Err(Fault::new("value_error", message));
    }
    Ok(password)
}

pub(crate) fn email(value: &Value) -> Result<String, Fault> {
    let email = text(value)?;
    let fault = |reason: &str| {
        let message = format!("value is not a valid email address: {reason}");
        Err(Fault::new("value_error", message).with(json!({ "reason": reason })))
    };
    let Some((local, domain)) = email.rsplit_once('@') else {
        return fault("An email address must have an @-sign.");
    };
    let odd = |part: &str, others: &str| {
        let plain = |c: char| c.is_alphanumeric() || others.contains(c);
        part.is_empty()
            || part.starts_with('.')
            || part.ends_with('.')
            || part.contains("..")
            || !part.chars().all(plain)
    };
    if odd(local, ".!#$%&'*+-/=?^_`{|}~") || local.len() > 64 {
        return fault("The part before the @-sign is not valid.");
    }
    if odd(domain, ".-") || !domain.contains('.') || domain.len() > 253 {
        return fault("The part after the @-sign is not valid.");
    }
    // pydantic's EmailStr writes the domain in lower case.
    Ok(format!("{local}@{}", domain.to_lowercase()))
}

/// A phone number as people write it: with spaces, hyphens or brackets, and as many digits as a
/// number can have (ITU-T E.164: at most 15).
pub(crate) fn phone(value: &Value) -> Result<String, Fault> {
    let phone = text(value)?;
    let digits = phone.chars().filter(char::is_ascii_digit).count();
    let plain =
        phone.chars().enumerate().all(|(at, c)| c.is_ascii_digit() || " -()".contains(c) || (c == '+' && at == 0));
    if plain && (7..=15).contains(&digits) && phone.len() <= 30 {
        return Ok(phone);
    }
    Err(Fault::new("value_error", "value is not a valid phone number"))
}

/// A UUID, as its usual text.
pub(crate) fn id(value: &Value) -> Result<String, Fault> {
    let id = value.as_str().and_then(|text| Uuid::try_parse(text).ok());
    id.map(|id| id.to_string()).ok_or_else(|| Fault::new("uuid_parsing", "Input should be a valid UUID"))
}

/// A day of the calendar, as `YYYY-MM-DD`.
pub(crate) fn date(value: &Value) -> Result<String, Fault> {
    // Only the ten characters: jiff would also take longer forms, with a time.
    let text = value.as_str().filter(|text| text.len() == 10);
    let date = text.and_then(|text| text.parse::<Date>().ok());
    date.map(|date| date.to_string())
        .ok_or_else(|| Fault::new("date_from_datetime_parsing", "Input should be a valid date or datetime"))
}

/// A whole number in this range.
pub(crate) fn integer(range: RangeInclusive<i64>) -> impl Fn(&Value) -> Result<i64, Fault> {
    move |value| {
        let number = value.as_i64().ok_or_else(|| Fault::new("int_type", "Input should be a valid integer"))?;
        let (least, most) = (*range.start(), *range.end());
        if number < least {
            let message = format!("Input should be greater than or equal to {least}");
            return Err(Fault::new("greater_than_equal", message).with(json!({ "ge": least })));
        }
        if number > most {
            let message = format!("Input should be less than or equal to {most}");
            return Err(Fault::new("less_than_equal", message).with(json!({ "le": most })));
        }
        Ok(number)
    }
}

pub(crate) fn number(value: &Value) -> Result<f64, Fault> {
    value.as_f64().ok_or_else(|| Fault::new("float_type", "Input should be a valid number"))
}

/// A number greater than zero.
pub(crate) fn positive(value: &Value) -> Result<f64, Fault> {
    let number = number(value)?;
    if number > 0.0 {
        return Ok(number);
    }
    Err(Fault::new("greater_than", "Input should be greater than 0").with(json!({ "gt": 0 })))
}

pub(crate) fn flag(value: &Value) -> Result<bool, Fault> {
    value.as_bool().ok_or_else(|| Fault::new("bool_type", "Input should be a valid boolean"))
}

/// One of these words.
pub(crate) fn one_of(words: &'static [&'static str]) -> impl Fn(&Value) -> Result<String, Fault> {
    move |value| {
        let word = value.as_str().filter(|word| words.contains(word));
        let expected = words.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(", ");
        let fault = || Fault::new("literal_error", format!("Input should be {expected}"));
        word.map(str::to_owned).ok_or_else(|| fault().with(json!({ "expected": expected })))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<T>(rule: impl Fn(&Value) -> Result<T, Fault>, good: &[Value], bad: &[Value]) {
        for value in good {
            assert!(rule(value).is_ok(), "{value} should be taken");
        }
        for value in bad {
            assert!(rule(value).is_err(), "{value} should be refused");
        }
    }

    #[test]
    fn an_email_has_two_plain_parts() {
        check(
            email,
            &[json!("a@b.co"), json!("ana.maria+1@salud.example.org"), json!("josé@clinica.example")],
            &[
                json!("a"),
                json!("@b.co"),
                json!("a@b"),
                json!("a@b..co"),
                json!("a b@c.co"),
                json!("a@b@c.co"),
                json!(7),
            ],
        );
    }

    #[test]
    fn a_phone_number_has_seven_to_fifteen_digits_and_little_else() {
        check(
            phone,
            &[json!("+52 81 5550 1001"), json!("(81) 5550-1001"), json!("5550100")],
            &[
                json!("555010"),
                json!("1234567890123456"),
                json!("81+5550100"),
                json!("llame al 5550100"),
                json!(5550100),
            ],
        );
    }

    #[test]
    fn a_date_is_a_day_of_the_calendar() {
        check(
            date,
            &[json!("2024-02-29")],
            &[json!("2025-02-29"), json!("2025-1-1"), json!("2025-01-01T00:00"), json!(20250101)],
        );
    }

    #[test]
    fn a_password_is_neither_short_nor_longer_than_what_bcrypt_reads() {
        let long = |letter: &str, count| json!(letter.repeat(count));
        check(password, &[long("a", 8), long("a", 72), long("ñ", 36)], &[long("a", 7), long("a", 73), long("ñ", 37)]);
    }
}

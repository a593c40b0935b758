//! The JSON that a client sent, where Hilum reads it itself. What a service could read differently is refused: another type, a
//! coding that it would undo and Hilum does not, or a name that stands twice in one object.

use http::{HeaderMap, header};
use serde_json::Value;

use crate::identity::unique::Unique;
use crate::refusal::Reason;

/// What came.
#[derive(Debug)]
pub enum Sent {
    /// Nothing at all.
    Nothing,
    Json(Value),
    /// No JSON, or JSON that has two meanings.
    Unreadable,
}

impl Sent {
    /// # Errors
    /// `content_type`: there is a body, and it does not say that it is JSON as it stands.
    pub fn read(headers: &HeaderMap, body: &[u8]) -> Result<Sent, Reason> {
        if body.is_empty() {
            return Ok(Sent::Nothing);
        }
        if !says_json(headers) {
            return Err(Reason::ContentType);
        }
        Ok(serde_json::from_slice::<Unique>(body).map_or(Sent::Unreadable, |Unique(value)| Sent::Json(value)))
    }
}

/// Whether the client sent a JSON object, which is what an expression over `request.body` reads.
///
/// # Errors
/// `content_type` or `json_invalid`.
pub fn object(headers: &HeaderMap, body: &[u8]) -> Result<(), Reason> {
    if !says_json(headers) {
        return Err(Reason::ContentType);
    }
    match Sent::read(headers, body)? {
        Sent::Json(Value::Object(_)) => Ok(()),
        _ => Err(Reason::JsonInvalid),
    }
}

/// `application/json`, or a type built on it (RFC 6839), and not encoded: bytes that are JSON may be something else once a service has
/// decoded them.
pub fn says_json(headers: &HeaderMap) -> bool {
    if headers
        .get_all(header::CONTENT_ENCODING)
        .iter()
        .any(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity"))
    {
        return false;
    }
    let mut lines = headers.get_all(header::CONTENT_TYPE).iter();
    let (Some(line), None) = (lines.next(), lines.next()) else { return false };
    let Ok(text) = line.to_str() else { return false };
    let kind = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    kind == "application/json" || (kind.starts_with("application/") && kind.ends_with("+json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(kinds: &[&str], body: &str, expected: Result<(), Reason>) {
        let mut headers = HeaderMap::new();
        for kind in kinds {
            headers.append(header::CONTENT_TYPE, kind.parse().unwrap());
        }
        assert_eq!(object(&headers, body.as_bytes()), expected, "{kinds:?} {body}");
    }

    #[test]
    fn what_is_encoded_says_nothing() {
        for (coding, expected) in [
            ("identity", Ok(())),
            ("Identity", Ok(())),
            ("gzip", Err(Reason::ContentType)),
            ("identity, br", Err(Reason::ContentType)),
            ("", Err(Reason::ContentType)),
        ] {
            let mut headers = HeaderMap::new();
            headers.append(header::CONTENT_TYPE, "application/json".parse().unwrap());
            headers.append(header::CONTENT_ENCODING, coding.parse().unwrap());
            assert_eq!(object(&headers, b"{}"), expected, "{coding}");
        }
    }

    #[test]
    fn an_object_says_that_it_is_json_and_has_one_meaning() {
        let json = "application/json";
        check(&[json], r#"{"a":1}"#, Ok(()));
        check(&["application/JSON; charset=utf-8"], "{}", Ok(()));
        check(&["application/merge-patch+json"], "{}", Ok(()));
        for kinds in
            [&[][..], &["text/plain"], &["application/x-www-form-urlencoded"], &["text/json+json"], &[json, json]]
        {
            check(kinds, "{}", Err(Reason::ContentType));
        }
        for body in
            ["", "[]", "7", "null", "{", "{} {}", r#"{"a":1,"a":2}"#, r#"{"o":{"a":1,"a":1}}"#, "{\"a\":\"\u{1}\"}"]
        {
            check(&[json], body, Err(Reason::JsonInvalid));
        }
    }
}

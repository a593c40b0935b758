//! The verified payload of a token, and the dotted paths by which the configuration names a claim in it.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde_json::{Map, Value};

/// The payload of a token whose signature was good, in the order it was written.
pub type Claims = Map<String, Value>;

/// Names one claim: `user_id`, or `metadata.reference_id` for one inside an object. Made by `parse`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ClaimPath {
    first: Box<str>,
    rest: Box<[Box<str>]>,
}

impl ClaimPath {
    /// The claim's value; `None` when it or an object on the way is absent. A list is never looked into.
    pub fn get<'c>(&self, claims: &'c Claims) -> Option<&'c Value> {
        self.rest.iter().try_fold(claims.get(&*self.first)?, |value, name| value.as_object()?.get(&**name))
    }

    /// The same, to change it.
    pub fn get_mut<'c>(&self, claims: &'c mut Claims) -> Option<&'c mut Value> {
        let first = claims.get_mut(&*self.first)?;
        self.rest.iter().try_fold(first, |value, name| value.as_object_mut()?.get_mut(&**name))
    }
}

impl FromStr for ClaimPath {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.split('.').any(|name| name.is_empty() || name.contains(char::is_whitespace)) {
            return Err(format!("`{text}` names no claim: write its name, or names joined by single dots (`a.b`)"));
        }
        let mut names = text.split('.').map(Box::from);
        Ok(Self { first: names.next().expect("`split` gives at least one piece"), rest: names.collect() })
    }
}

impl fmt::Display for ClaimPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.first)?;
        self.rest.iter().try_for_each(|name| write!(f, ".{name}"))
    }
}

/// One value as text: a string as it is, a number in decimal, a boolean. `None` for everything that has no single
/// unmistakable text.
pub fn scalar_text(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::String(text) => Some(Cow::Borrowed(text)),
        Value::Bool(true) => Some(Cow::Borrowed("true")),
        Value::Bool(false) => Some(Cow::Borrowed("false")),
        // Above 2^53 a float stands for several integers: two people's numbers would have one text (RFC 8259, 6).
        Value::Number(n) if n.is_f64() && n.as_f64().is_none_or(|n| n.abs() >= EXACT) => None,
        Value::Number(number) => Some(Cow::Owned(number.to_string())),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// [`scalar_text`], and a list of scalars joined by `,`. `None` when an item is no scalar or holds a comma itself:
/// `["a,b"]` would read as two items.
pub fn as_text(value: &Value) -> Option<Cow<'_, str>> {
    let Value::Array(items) = value else { return scalar_text(value) };
    let texts = items.iter().map(|item| scalar_text(item).filter(|text| !text.contains(',')));
    Some(Cow::Owned(texts.collect::<Option<Vec<_>>>()?.join(",")))
}

/// 2^53: integers below it are exact in a float.
const EXACT: f64 = 9_007_199_254_740_992.0;

#[cfg(test)]
mod tests {
    use super::*;

    const CLAIMS: &str = r#"{
        "user_id": "7", "n": 7, "neg": -7, "big": 18446744073709551615, "huge": 18446744073709551616, "half": 1.5,
        "yes": true, "no": false, "nil": null, "empty": "", "metadata": {"reference_id": "r-1", "deep": {"er": 2}},
        "roles": ["doctor", "admin"], "mixed": ["a", 1, true], "comma": ["a,b"], "nested": [["a"]], "none": [],
        "list_of_objects": [{"a": 1}], "with_null": ["a", null]
    }"#;

    fn check(path: &str, expect: Option<&str>) {
        let claims: Claims = serde_json::from_str(CLAIMS).unwrap();
        let path: ClaimPath = path.parse().unwrap();
        assert_eq!(path.get(&claims).and_then(as_text).as_deref(), expect, "{path}");
    }

    #[test]
    fn a_claim_is_found_by_its_path_and_read_as_text() {
        for (path, expect) in [
            ("user_id", Some("7")),
            ("n", Some("7")),
            ("neg", Some("-7")),
            ("big", Some("18446744073709551615")),
            ("huge", None),
            ("half", Some("1.5")),
            ("yes", Some("true")),
            ("no", Some("false")),
            ("nil", None),
            ("empty", Some("")),
            ("metadata", None),
            ("metadata.reference_id", Some("r-1")),
            ("metadata.deep.er", Some("2")),
            ("metadata.reference_id.more", None),
            ("metadata.absent", None),
            ("absent", None),
            ("absent.more", None),
            ("roles", Some("doctor,admin")),
            ("roles.0", None),
            ("mixed", Some("a,1,true")),
            ("comma", None),
            ("nested", None),
            ("none", Some("")),
            ("list_of_objects", None),
            ("with_null", None),
        ] {
            check(path, expect);
        }
    }

    #[test]
    fn a_claim_is_changed_in_its_place() {
        for path in ["user_id", "metadata.deep.er", "absent", "absent.more", "user_id.more"] {
            let mut claims: Claims = serde_json::from_str(CLAIMS).unwrap();
            let path: ClaimPath = path.parse().unwrap();
            let is_there = path.get(&claims).is_some();
            assert_eq!(path.get_mut(&mut claims).map(|it| *it = "new".into()).is_some(), is_there, "{path}");
            assert_eq!(path.get(&claims).is_some_and(|it| it == "new"), is_there, "{path}");
        }
    }

    #[test]
    fn a_path_with_an_empty_name_is_refused() {
        for text in ["", ".", "a.", ".a", "a..b", " ", "a b", "a. b"] {
            let error = text.parse::<ClaimPath>().expect_err(text);
            assert!(error.contains(&format!("`{text}`")), "{error}");
        }
    }

    #[test]
    fn a_path_is_shown_as_it_was_written() {
        for text in ["a", "a.b", "metadata.reference_id.x"] {
            assert_eq!(text.parse::<ClaimPath>().unwrap().to_string(), text);
        }
    }
}

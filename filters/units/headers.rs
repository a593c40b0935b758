//! Header names and values, and the edits of a head.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use pingora_error::Result;
use pingora_http::{RequestHeader, ResponseHeader};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::written_as_text;

/// A header name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Name(HeaderName);

/// A header value: visible ASCII, spaces and tabs (RFC 9110, 5.5).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Value(HeaderValue);

/// Changes of a head: first what `remove` names, then `set` (one value, whatever was there), then `add` (one more).
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "edits")]
pub struct Edits {
    /// Header lines that replace those of the same name.
    set: Lines,
    /// Header lines that are added to those of the same name.
    add: Lines,
    /// Names of headers that are taken out.
    remove: Vec<Editable>,
}

/// The heads that can be edited.
pub trait Head {
    /// Replaces all lines of this name. `name` is sent to HTTP/1 peers as it is spelled.
    fn set(&mut self, name: Bytes, value: HeaderValue) -> Result<()>;
    /// Adds a line to those of this name.
    fn add(&mut self, name: Bytes, value: HeaderValue) -> Result<()>;
    /// Takes all lines of this name out.
    fn remove(&mut self, name: &HeaderName);
}

const NAME: &str = r#"a header name such as "X-Request-ID""#;
const VALUE: &str = "a header value of visible ASCII characters";

written_as_text!(Name, "header_name", NAME, { "pattern": "^[A-Za-z0-9!#$%&'*+.^_`|~-]+$" });
written_as_text!(Value, "header_value", VALUE, { "pattern": r"^[\t -~]*$" });
written_as_text!(Editable, "editable_header_name", NAME, { "pattern": "^[A-Za-z0-9!#$%&'*+.^_`|~-]+$" });

impl Name {
    /// The name, in lower case.
    pub fn get(&self) -> &HeaderName {
        &self.0
    }
}

impl Value {
    /// The value.
    pub fn get(&self) -> &HeaderValue {
        &self.0
    }
}

impl Edits {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.set.0.is_empty() && self.add.0.is_empty() && self.remove.is_empty()
    }

    /// Edits a head. An error means that the head has too many lines already.
    pub fn apply<H: Head>(&self, head: &mut H) -> Result<()> {
        self.remove.iter().for_each(|it| head.remove(&it.name));
        for (name, value) in &self.set.0 {
            head.set(name.spelled.clone(), value.clone())?;
        }
        for (name, value) in &self.add.0 {
            head.add(name.spelled.clone(), value.clone())?;
        }
        Ok(())
    }
}

macro_rules! editable_heads {
    ($($head:ty)*) => { $(
        impl Head for $head {
            fn set(&mut self, name: Bytes, value: HeaderValue) -> Result<()> {
                self.insert_header(name, value)
            }
            fn add(&mut self, name: Bytes, value: HeaderValue) -> Result<()> {
                self.append_header(name, value).map(drop)
            }
            fn remove(&mut self, name: &HeaderName) {
                self.remove_header(name);
            }
        }
    )* };
}

editable_heads! { RequestHeader ResponseHeader }

impl FromStr for Name {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.parse().map(Name).map_err(|_| format!("expected {NAME}, got {text:?}"))
    }
}

impl FromStr for Value {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // Whoever reads the header drops spaces around its value (RFC 9110, 5.5), so they would have no effect.
        if text.trim() != text {
            return Err(format!("expected a header value without spaces around it, got {text:?}"));
        }
        // `http` also takes bytes beyond ASCII, which peers read each in their own way (RFC 9110, 5.5).
        let value = HeaderValue::from_str(text).ok().filter(|_| text.is_ascii());
        value.map(Value).ok_or_else(|| format!("expected {VALUE}, got {text:?}"))
    }
}

/// The name of a header that users may change.
#[derive(Clone, Debug)]
struct Editable {
    name: HeaderName,
    /// As the user spelled it. Pingora takes it without a copy, and sends it so to HTTP/1 peers.
    spelled: Bytes,
}

impl FromStr for Editable {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Name(name) = text.parse()?;
        let why = match name.as_str() {
            "host" => "it names the service that is asked",
            "content-length" | "transfer-encoding" => "it frames the message (RFC 9112, 6)",
            "connection"
            | "keep-alive"
            | "proxy-connection"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "te"
            | "trailer"
            | "upgrade" => "it is about one connection only (RFC 9110, 7.6.1)",
            "forwarded" | "x-forwarded-for" | "x-forwarded-host" | "x-forwarded-proto" => {
                "it says who the client is, which only Hilum knows"
            }
            _ => return Ok(Editable { name, spelled: Bytes::copy_from_slice(text.as_bytes()) }),
        };
        Err(format!("`{text}` belongs to Hilum: {why}"))
    }
}

/// Header lines in the order of the file.
#[derive(Clone, Debug, Default)]
struct Lines(Vec<(Editable, HeaderValue)>);

impl<'de> Deserialize<'de> for Lines {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(LinesVisitor)
    }
}

struct LinesVisitor;

impl<'de> Visitor<'de> for LinesVisitor {
    type Value = Lines;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map of header names to values")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Lines, A::Error> {
        let mut lines: Vec<(Editable, HeaderValue)> = Vec::new();
        while let Some((name, value)) = map.next_entry::<Editable, Value>()? {
            // The file's own check for duplicate keys sees two names here, HTTP one.
            if lines.iter().any(|(earlier, _)| earlier.name == name.name) {
                return Err(A::Error::custom(format_args!("the header `{}` is written twice", name.name)));
            }
            lines.push((name, value.0));
        }
        Ok(Lines(lines))
    }
}

impl JsonSchema for Lines {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "header_lines".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "object", "additionalProperties": generator.subschema_for::<Value>() })
    }
}

#[cfg(test)]
mod tests {
    use super::super::parsed;
    use super::*;

    #[test]
    fn a_name_is_a_token() {
        let check = |text: &str, good: bool| assert_eq!(parsed::<Name>(text).is_ok(), good, "{text:?}");
        check("X-Request-ID", true);
        check("x_y!", true);
        check("", false);
        check("X Y", false);
        check("X:", false);
        check("Ñ", false);
        assert_eq!(parsed::<Name>("a b").unwrap_err(), r#"expected a header name such as "X-Request-ID", got "a b""#);
    }

    #[test]
    fn a_value_is_one_line_of_ascii() {
        let check = |text: &str, good: bool| assert_eq!(parsed::<Value>(text).is_ok(), good, "{text:?}");
        check("max-age=60, private", true);
        check("", true);
        check("a\tb", true);
        check("a\r\nSet-Cookie: x", false);
        check("a\0", false);
        check("ñ", false);
        check(" a", false);
        check("a ", false);
    }

    #[test]
    fn names_that_the_engine_writes_are_refused_with_the_reason() {
        let check = |text: &str, expected: &str| {
            assert_eq!(
                parsed::<Editable>(text).map(|it| it.name.to_string()).unwrap_or_else(|e| e),
                expected,
                "{text}"
            );
        };
        check("X-Team", "x-team");
        check("Authorization", "authorization");
        check("Host", "`Host` belongs to Hilum: it names the service that is asked");
        check("content-length", "`content-length` belongs to Hilum: it frames the message (RFC 9112, 6)");
        check("TE", "`TE` belongs to Hilum: it is about one connection only (RFC 9110, 7.6.1)");
        check(
            "X-Forwarded-For",
            "`X-Forwarded-For` belongs to Hilum: it says who the client is, which only Hilum knows",
        );
    }
}

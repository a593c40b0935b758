//! Header names and values, and the edits of a head.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
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
///
/// Which names may be edited depends on the head: what Hilum writes itself would be overwritten silently.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, bound = "")]
#[schemars(rename = "edits", bound = "")]
pub struct Edits<H: Head> {
    /// Header lines that replace those of the same name.
    set: Lines<H>,
    /// Header lines that are added to those of the same name.
    add: Lines<H>,
    /// Names of headers that are taken out.
    remove: Vec<Editable<H>>,
}

/// The heads that can be edited.
pub trait Head: 'static {
    /// Why nobody but Hilum writes a header of this head; `None` when anybody may.
    fn reserved(name: &HeaderName) -> Option<&'static str>;
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

impl<H: Head> Default for Edits<H> {
    fn default() -> Self {
        Edits { set: Lines::default(), add: Lines::default(), remove: Vec::new() }
    }
}

impl<H: Head> Edits<H> {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.set.0.is_empty() && self.add.0.is_empty() && self.remove.is_empty()
    }

    /// The names of all headers that are edited.
    pub fn names(&self) -> impl Iterator<Item = &HeaderName> {
        let lines = self.set.0.iter().chain(&self.add.0).map(|(name, _)| name);
        lines.chain(&self.remove).map(|editable| &editable.name)
    }

    /// Edits a head. An error means that the head has too many lines already.
    pub fn apply(&self, head: &mut H) -> Result<()> {
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
    ($($head:ty: $reserved:ident)*) => { $(
        impl Head for $head {
            fn reserved(name: &HeaderName) -> Option<&'static str> {
                $reserved(name.as_str())
            }

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

editable_heads! { RequestHeader: of_requests ResponseHeader: of_responses }

fn of_requests(name: &str) -> Option<&'static str> {
    match name {
        "authorization" => Some("it is the caller's token, proved"),
        "x-request-id" | "traceparent" => Some("it ties what a service logs to what Hilum logs"),
        name if name == "forwarded" || name.starts_with("x-forwarded") => {
            Some("it says who the client is, which only Hilum knows")
        }
        name => of_messages(name),
    }
}

fn of_responses(name: &str) -> Option<&'static str> {
    match name {
        "x-request-id" => Some("it ties what a client saw to what Hilum logs"),
        "x-hilum-reason" => Some("it says why Hilum refused"),
        name => of_messages(name),
    }
}

/// What no message is edited in, whichever way it goes.
fn of_messages(name: &str) -> Option<&'static str> {
    match name {
        "host" => Some("it names the service that is asked"),
        "content-length" | "transfer-encoding" => Some("it frames the message (RFC 9112, 6)"),
        "connection"
        | "keep-alive"
        | "proxy-connection"
        | "proxy-authenticate"
        | "proxy-authorization"
        | "te"
        | "trailer"
        | "upgrade" => Some("it is about one connection only (RFC 9110, 7.6.1)"),
        _ => None,
    }
}

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

/// The name of a header that users may change in a head of this kind.
#[derive(Clone, Debug)]
struct Editable<H> {
    name: HeaderName,
    /// As the user spelled it. Pingora takes it without a copy, and sends it so to HTTP/1 peers.
    spelled: Bytes,
    head: PhantomData<fn(&mut H)>,
}

impl<H: Head> FromStr for Editable<H> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Name(name) = text.parse()?;
        match H::reserved(&name) {
            Some(why) => Err(format!("`{text}` belongs to Hilum: {why}")),
            None => Ok(Editable { name, spelled: Bytes::copy_from_slice(text.as_bytes()), head: PhantomData }),
        }
    }
}

impl<'de, H: Head> Deserialize<'de> for Editable<H> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        super::from_text(deserializer, NAME)
    }
}

impl<H> JsonSchema for Editable<H> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        Name::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        generator.subschema_for::<Name>()
    }
}

/// Header lines in the order of the file.
#[derive(Clone, Debug)]
struct Lines<H>(Vec<(Editable<H>, HeaderValue)>);

impl<H> Default for Lines<H> {
    fn default() -> Self {
        Lines(Vec::new())
    }
}

impl<'de, H: Head> Deserialize<'de> for Lines<H> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(LinesVisitor(PhantomData))
    }
}

struct LinesVisitor<H>(PhantomData<H>);

impl<'de, H: Head> Visitor<'de> for LinesVisitor<H> {
    type Value = Lines<H>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map of header names to values")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Lines<H>, A::Error> {
        let mut lines: Vec<(Editable<H>, HeaderValue)> = Vec::new();
        while let Some((name, value)) = map.next_entry::<Editable<H>, Value>()? {
            // The file's own check for duplicate keys sees two names here, HTTP one.
            if lines.iter().any(|(earlier, _)| earlier.name == name.name) {
                return Err(A::Error::custom(format_args!("the header `{}` is written twice", name.name)));
            }
            lines.push((name, value.0));
        }
        Ok(Lines(lines))
    }
}

impl<H> JsonSchema for Lines<H> {
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

    fn editable<H: Head>(text: &str) -> String {
        parsed::<Editable<H>>(text).map(|it| it.name.to_string()).unwrap_or_else(|e| e)
    }

    #[test]
    fn names_that_the_engine_writes_are_refused_with_the_reason() {
        let client = "it says who the client is, which only Hilum knows";
        let ids = "it ties what a service logs to what Hilum logs";
        let cases = [
            ("X-Team", "", ""),
            ("Authorization", "it is the caller's token, proved", ""),
            ("X-Request-ID", ids, "it ties what a client saw to what Hilum logs"),
            ("traceparent", ids, ""),
            ("Cookie", "", ""),
            ("X-Forwarded-For", client, ""),
            ("X-Forwarded-User", client, ""),
            ("Forwarded", client, ""),
            ("X-Hilum-Reason", "", "it says why Hilum refused"),
            ("Host", "it names the service that is asked", "it names the service that is asked"),
            ("content-length", "it frames the message (RFC 9112, 6)", "it frames the message (RFC 9112, 6)"),
            (
                "TE",
                "it is about one connection only (RFC 9110, 7.6.1)",
                "it is about one connection only (RFC 9110, 7.6.1)",
            ),
        ];
        for (name, in_requests, in_responses) in cases {
            let expected = |why: &str| match why {
                "" => name.to_lowercase(),
                why => format!("`{name}` belongs to Hilum: {why}"),
            };
            assert_eq!(editable::<RequestHeader>(name), expected(in_requests));
            assert_eq!(editable::<ResponseHeader>(name), expected(in_responses));
        }
    }
}

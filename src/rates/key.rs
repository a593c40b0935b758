//! What requests are counted by.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;

use http::{HeaderMap, HeaderName};

use crate::identity::claims::{ClaimPath, Claims, as_text};
use crate::identity::unique::UniqueObject;

/// Where the value is found that one count belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Key {
    /// The client's address.
    Client,
    Header(HeaderName),
    /// Of the caller's token.
    Claim(ClaimPath),
    /// Of a body that is a JSON object.
    Body(ClaimPath),
}

/// What a request has there. A request without it counts as well, together with all others without: leaving the value out frees
/// nobody.
#[derive(Hash)]
pub enum Value<'r> {
    Absent,
    Is(Cow<'r, [u8]>),
}

impl fmt::Debug for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value of a request, not shown")
    }
}

/// How the keys of shared counts begin, so that whoever looks into the store knows whose they are.
const PREFIX: &str = "hilum:rate:";
const HEX: &[u8; 16] = b"0123456789abcdef";

impl Value<'_> {
    /// An IPv4 address, or the /64 of an IPv6 address: who has one address of it has all of them (RFC 6177).
    pub fn of_client(address: IpAddr) -> Value<'static> {
        let bytes = match address.to_canonical() {
            IpAddr::V4(address) => address.octets().to_vec(),
            IpAddr::V6(address) => address.octets()[..8].to_vec(),
        };
        Value::Is(bytes.into())
    }

    pub fn of_header<'r>(headers: &'r HeaderMap, name: &HeaderName) -> Value<'r> {
        let mut values = headers.get_all(name).iter();
        match (values.next(), values.next()) {
            (Some(only), None) => Value::Is(only.as_bytes().trim_ascii().into()),
            // Several are one value more that a client could vary, so none of them counts.
            _ => Value::Absent,
        }
    }

    pub fn of_claim<'r>(claims: &'r Claims, path: &ClaimPath) -> Value<'r> {
        Value::of_text(path.get(claims).and_then(as_text))
    }

    /// A body in which a key stands twice has no value: its readers may not agree on which one counts (RFC 8259, 4).
    pub fn of_body(body: &[u8], path: &ClaimPath) -> Value<'static> {
        let Ok(UniqueObject(members)) = serde_json::from_slice(body) else { return Value::Absent };
        Value::of_text(path.get(&members).and_then(as_text).map(|text| text.into_owned().into()))
    }

    /// What a limit of this name counts by in a store that other gateways read: the same for all of them, and no text that somebody
    /// sent. Whoever reads the store can still try guesses; the seeded hash of a gateway's own counts is not to be guessed at.
    pub fn shared_key(&self, limit: &str) -> String {
        let mut digest = ring::digest::Context::new(&ring::digest::SHA256);
        digest.update(limit.as_bytes());
        match self {
            Value::Absent => digest.update(&[0, 0]),
            Value::Is(bytes) => {
                digest.update(&[0, 1]);
                digest.update(bytes);
            }
        }
        let mut key = String::with_capacity(PREFIX.len() + 64);
        key.push_str(PREFIX);
        for byte in digest.finish().as_ref() {
            key.extend([byte >> 4, byte & 15].map(|half| char::from(HEX[usize::from(half)])));
        }
        key
    }

    /// Without the differences that most services don't see: they would be new accounts to us and the same one to them.
    fn of_text(text: Option<Cow<'_, str>>) -> Value<'static> {
        text.map_or(Value::Absent, |text| Value::Is(text.trim().to_lowercase().into_bytes().into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same(a: &Value<'_>, b: &Value<'_>) -> bool {
        match (a, b) {
            (Value::Absent, Value::Absent) => true,
            (Value::Is(a), Value::Is(b)) => a == b,
            _ => false,
        }
    }

    #[test]
    fn a_client_is_an_ipv4_address_or_the_64_bits_of_a_network() {
        let of = |text: &str| Value::of_client(text.parse().expect("an address"));
        for (a, b, expect) in [
            ("192.0.2.1", "192.0.2.1", true),
            ("192.0.2.1", "192.0.2.2", false),
            ("::ffff:192.0.2.1", "192.0.2.1", true),
            ("2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff", true),
            ("2001:db8:1:2::1", "2001:db8:1:3::1", false),
        ] {
            assert_eq!(same(&of(a), &of(b)), expect, "{a} {b}");
        }
    }

    #[test]
    fn spellings_of_one_account_are_one_value() {
        let of = |text: &str| Value::of_body(text.as_bytes(), &"user.email".parse().expect("a path"));
        let ana = of(r#"{"user":{"email":"ana@example.org"}}"#);
        for (text, expect) in [
            (r#"{"user":{"email":" ANA@Example.org\t"}}"#, true),
            (r#"{"user":{"email":"an\u0061@example.org"},"more":1}"#, true),
            (r#"{"user":{"email":"ana@example.com"}}"#, false),
            (r#"{"user":{"email":"ana@example.org","email":"bo@example.org"}}"#, false),
        ] {
            assert_eq!(same(&of(text), &ana), expect, "{text}");
        }
        for text in
            ["", "[]", "{}", r#"{"user":1}"#, r#"{"user":{"email":null}}"#, r#"{"user":{"email":"a","email":"b"}}"#]
        {
            assert!(same(&of(text), &Value::Absent), "{text}");
        }
        assert!(same(&of(r#"{"user":{"email":7}}"#), &of(r#"{"user":{"email":"7"}}"#)));
    }

    #[test]
    fn a_shared_key_tells_limits_and_values_apart_and_shows_neither() {
        let ana = || Value::Is(b"ana@example.org".as_slice().into());
        let key = ana().shared_key("login");
        assert_eq!(key, ana().shared_key("login"), "the same on every gateway");
        assert!(key.strip_prefix(PREFIX).is_some_and(|hex| hex.len() == 64 && hex.bytes().all(|b| HEX.contains(&b))));
        let others = [
            ana().shared_key("logi"),
            Value::Absent.shared_key("login"),
            Value::Is(b"".as_slice().into()).shared_key("login"),
        ];
        assert!(!others.contains(&key) && others[1] != others[2]);
    }

    #[test]
    fn a_header_counts_when_it_stands_once() {
        let name = HeaderName::from_static("x-key");
        let of = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(&name, http::HeaderValue::from_static(value));
            }
            let value = Value::of_header(&headers, &name);
            match value {
                Value::Absent => None,
                Value::Is(bytes) => Some(bytes.into_owned()),
            }
        };
        assert_eq!(of(&[" A "]), Some(b"A".to_vec()));
        assert_eq!((of(&[]), of(&["a", "b"])), (None, None));
    }
}

//! The name of one request in every log, and on its way to the service and back to the client.

use std::fmt;

use http::HeaderValue;

/// 1 to 64 visible ASCII characters, kept inline (no heap).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct RequestId {
    // What is beyond `len` is always zero, so the derived comparisons are right.
    bytes: [u8; RequestId::MOST],
    len: u8,
}

impl RequestId {
    /// The longest id, in characters.
    pub const MOST: usize = 64;

    /// An id that came from outside; `None` unless it is 1 to 64 visible ASCII characters.
    pub fn new(text: &str) -> Option<Self> {
        let fits = (1..=Self::MOST).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
        fits.then(|| {
            let mut bytes = [0; Self::MOST];
            bytes[..text.len()].copy_from_slice(text.as_bytes());
            RequestId { bytes, len: text.len() as u8 }
        })
    }

    /// A new id: 128 random bits as 32 lower-case hexadecimal digits.
    pub fn random() -> Self {
        let bits: u128 = rand::random();
        let mut bytes = [0; Self::MOST];
        for (digit, byte) in bytes[..32].iter_mut().enumerate() {
            let nibble = (bits >> (4 * digit)) as usize & 0xf;
            *byte = b"0123456789abcdef"[nibble];
        }
        RequestId { bytes, len: 32 }
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..usize::from(self.len)]).expect("both constructors take ASCII only")
    }

    /// The id as a header value.
    pub fn header_value(&self) -> HeaderValue {
        HeaderValue::from_str(self.as_str()).expect("visible ASCII is a header value (RFC 9110, 5.5)")
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RequestId({})", self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_1_to_64_visible_ascii_characters_are_an_id() {
        let check = |text: &str, good: bool| assert_eq!(RequestId::new(text).is_some(), good, "{text:?}");
        check("a", true);
        check("req-7/é", false);
        check("", false);
        check("a b", false);
        check("a\r\nb", false);
        check(&"x".repeat(64), true);
        check(&"x".repeat(65), false);
    }

    #[test]
    fn an_id_keeps_its_text() {
        let id = RequestId::new("Abc-7").expect("five visible characters");
        assert_eq!(
            (id.as_str(), id.to_string().as_str(), id.header_value().as_bytes()),
            ("Abc-7", "Abc-7", &b"Abc-7"[..])
        );
    }

    #[test]
    fn random_ids_are_32_hexadecimal_digits_and_differ() {
        let (one, other) = (RequestId::random(), RequestId::random());
        assert!(one.as_str().len() == 32 && one.as_str().bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')));
        assert_ne!(one, other);
    }
}

//! The token of operators, compared in constant time.

use http::{HeaderMap, header};
use ring::hmac;

/// What must stand behind `Authorization: Bearer`. Only its tag is kept; two tags are compared without telling where they differ.
pub struct Token {
    key: hmac::Key,
    tag: hmac::Tag,
}

impl Token {
    pub fn new(token: &str) -> Token {
        let key = hmac::Key::new(hmac::HMAC_SHA256, token.as_bytes());
        let tag = hmac::sign(&key, token.as_bytes());
        Token { key, tag }
    }

    /// Whether it is shown, once. The scheme has no case (RFC 9110, 11.1).
    pub fn is_shown(&self, headers: &HeaderMap) -> bool {
        let mut shown = headers.get_all(header::AUTHORIZATION).iter();
        let (Some(value), None) = (shown.next(), shown.next()) else { return false };
        let Some((scheme, token)) = value.as_bytes().split_at_checked("Bearer ".len()) else { return false };
        scheme.eq_ignore_ascii_case(b"Bearer ") && hmac::verify(&self.key, token, self.tag.as_ref()).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_token_is_good() {
        let token = Token::new("0123456789abcdef0123456789abcdef");
        let cases = [
            (&["Bearer 0123456789abcdef0123456789abcdef"][..], true),
            (&["bearer 0123456789abcdef0123456789abcdef"], true),
            (&[], false),
            (&[""], false),
            (&["Bearer "], false),
            (&["Bearer"], false),
            (&["Bearer 0123456789abcdef0123456789abcde"], false),
            (&["Bearer 0123456789abcdef0123456789abcdef0"], false),
            (&["Bearer 0123456789abcdef0123456789abcdeF"], false),
            (&["Basic 0123456789abcdef0123456789abcdef"], false),
            (&["0123456789abcdef0123456789abcdef"], false),
            (&["Bearer 0123456789abcdef0123456789abcdef", "Bearer x"], false),
        ];
        for (lines, good) in cases {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(header::AUTHORIZATION, line.parse().expect("a header"));
            }
            assert_eq!(token.is_shown(&headers), good, "{lines:?}");
        }
    }
}

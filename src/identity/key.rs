//! Under which key a session is stored. Who reads the same store outside Hilum (PredictHealth's services do) decides
//! how it looks: `session.key` in the configuration.

use std::fmt;
use std::str::FromStr;

use ring::digest::{SHA256, digest};

/// A `session.key`: literal text around one `{token}`, or one `{token.sha256}` where no other reader needs the token
/// itself. Made by `parse`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyTemplate {
    before: Box<str>,
    value: Placeholder,
    after: Box<str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Placeholder {
    Token,
    Sha256,
}

/// The key of one session: its full text, for stores that others read, and the SHA-256 of that, so that whoever keeps it holds no
/// token and every key is 32 bytes.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct SessionKey {
    text: Box<str>,
    digest: [u8; 32],
}

impl KeyTemplate {
    /// The key of the session that belongs to a token.
    pub fn key(&self, token: &str) -> SessionKey {
        let text = self.text(token).into_boxed_str();
        SessionKey { digest: digest_of(text.as_bytes()), text }
    }

    /// What every key begins with.
    pub fn prefix(&self) -> &str {
        &self.before
    }

    /// What is stored under the key of a token: the token, as PredictHealth's programs expect it; where the key hides the token,
    /// the value does not tell it either.
    pub fn value<'t>(&self, token: &'t str) -> &'t str {
        match self.value {
            Placeholder::Token => token,
            Placeholder::Sha256 => "1",
        }
    }

    fn text(&self, token: &str) -> String {
        match self.value {
            Placeholder::Token => [&self.before, token, &self.after].concat(),
            Placeholder::Sha256 => [&self.before, hex(&digest_of(token.as_bytes())).as_str(), &self.after].concat(),
        }
    }
}

impl SessionKey {
    /// The digest: evenly spread, and of no use to who reads it.
    pub fn digest(&self) -> &[u8; 32] {
        &self.digest
    }

    /// The digest as text, for names that lie beside the key.
    pub(super) fn hex(&self) -> String {
        hex(&self.digest)
    }

    /// The key itself. Holds the token, so it is for the store alone.
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Enough to tell two apart in a log.
        write!(f, "SessionKey({}…)", hex(&self.digest[..4]))
    }
}

impl FromStr for KeyTemplate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let no_place =
            || format!("`{text}` is the same for every token: write `{{token}}` or `{{token.sha256}}` in it");
        let (before, rest) = text.split_once('{').ok_or_else(no_place)?;
        let (name, after) = rest.split_once('}').ok_or_else(|| format!("`{text}` opens a `{{` and never closes it"))?;
        let value = match name {
            "token" => Placeholder::Token,
            "token.sha256" => Placeholder::Sha256,
            _ => return Err(format!("`{{{name}}}` is unknown here: write `{{token}}` or `{{token.sha256}}`")),
        };
        if before.contains('}') || after.contains(['{', '}']) {
            return Err(format!("`{text}` may hold one placeholder, and no other braces"));
        }
        Ok(Self { before: before.into(), value, after: after.into() })
    }
}

/// SHA-256: of a key's full text, what a store knows it by.
pub(super) fn digest_of(bytes: &[u8]) -> [u8; 32] {
    digest(&SHA256, bytes).as_ref().try_into().expect("SHA-256 has 32 bytes")
}

fn hex(bytes: &[u8]) -> String {
    let symbol = |nibble: u8| char::from(b"0123456789abcdef"[usize::from(nibble)]);
    bytes.iter().flat_map(|byte| [symbol(byte >> 4), symbol(byte & 15)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_the_template_with_the_token_in_it() {
        // The digest of "abc" is the example of FIPS 180-2, B.1.
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        for (template, expect) in [
            ("access_token:{token}", "access_token:abc".to_owned()),
            ("{token}", "abc".to_owned()),
            ("a:{token}:b", "a:abc:b".to_owned()),
            ("{token.sha256}", abc.to_owned()),
            ("s:{token.sha256}", format!("s:{abc}")),
        ] {
            let template: KeyTemplate = template.parse().unwrap();
            assert_eq!(template.text("abc"), expect);
            assert_eq!(template.key("abc").digest(), &digest_of(expect.as_bytes()));
            assert_ne!(template.key("abc"), template.key("abd"));
        }
    }

    #[test]
    fn a_template_without_exactly_one_known_placeholder_is_refused() {
        for (text, why) in [
            ("", "the same for every token"),
            ("access_token", "the same for every token"),
            ("access_token:{token", "never closes"),
            ("access_token:{Token}", "`{Token}` is unknown"),
            ("access_token:{}", "`{}` is unknown"),
            ("access_token:{ token }", "`{ token }` is unknown"),
            ("{token.sha1}", "`{token.sha1}` is unknown"),
            ("{token}{token}", "one placeholder"),
            ("a}{token}", "one placeholder"),
            ("{token}}", "one placeholder"),
            ("{{token}}", "`{{token}` is unknown"),
        ] {
            let error = text.parse::<KeyTemplate>().expect_err(text);
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn a_key_shows_no_more_of_itself_than_needed() {
        let key = "{token}".parse::<KeyTemplate>().unwrap().key("abc");
        assert_eq!(format!("{key:?}"), "SessionKey(ba7816bf…)");
    }
}

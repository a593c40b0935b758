//! The hash chain: every line of a segment carries a MAC over itself and the MAC of the line before it.
//!
//! ```text
//! {"seq":7,"time":"…","event":"access",…,"mac":"<64 hex digits>"}
//!         mac = HMAC-SHA256(key, mac of seq 6 ‖ the line up to `,"mac"`)
//! ```
//!
//! Whoever does not know the key can't change, add, remove or move a line without it being seen.

use std::fmt;
use std::io::Write as _;

use ring::hmac;

use crate::telemetry::json::{Plain, Value};

/// What the chain is keyed with. Not printable.
#[derive(Clone)]
pub struct Key(hmac::Key);

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key")
    }
}

/// A MAC in lower-case hex, as it is written.
pub(super) type Mac = [u8; 64];

/// What comes before the first line of a chain.
pub(super) const NONE: Mac = [b'0'; 64];

const TAG: &[u8] = b",\"mac\":\"";
const END: &[u8] = b"\"}";

impl Key {
    pub fn new(secret: &str) -> Key {
        Key(hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()))
    }

    /// Of two parts, the first of which says what the MAC is for: the MAC before it, or a word that is none.
    fn mac(&self, first: &[u8], second: &[u8]) -> Mac {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(first);
        context.update(second);
        hex(context.sign().as_ref())
    }

    /// Stands for a token in the records: the same for the same token, and of no use to whoever reads it.
    pub fn session(&self, token: &str) -> Session {
        let mut session = [0; 16];
        session.copy_from_slice(&self.mac(b"session:", token.as_bytes())[..16]);
        Session(session)
    }

    /// Appends one line; answers its MAC. `body` is what stands between the braces, after `seq`.
    pub(super) fn line(&self, prev: &Mac, seq: u64, body: &[u8], out: &mut Vec<u8>) -> Mac {
        let from = out.len();
        // Writing to memory never fails.
        let _ = write!(out, "{{\"seq\":{seq},");
        out.extend_from_slice(body);
        let mac = self.mac(prev, &out[from..]);
        seal(&mac, out);
        out.push(b'\n');
        mac
    }

    /// The MAC that a line must have after `prev`.
    pub(super) fn of_line(&self, prev: &Mac, signed: &[u8]) -> Mac {
        self.mac(prev, signed)
    }

    /// Seals a text of its own that is an object without its last brace.
    pub(super) fn seal(&self, word: &str, mut text: Vec<u8>) -> Vec<u8> {
        let mac = self.mac(word.as_bytes(), &text);
        seal(&mac, &mut text);
        text
    }

    /// Whether [`Key::seal`] made it. Gives the object without its last brace.
    pub(super) fn unseal<'t>(&self, word: &str, text: &'t [u8]) -> Option<&'t [u8]> {
        let (signed, mac) = split(text)?;
        (self.mac(word.as_bytes(), signed) == *mac).then_some(signed)
    }
}

fn seal(mac: &Mac, out: &mut Vec<u8>) {
    out.extend_from_slice(TAG);
    out.extend_from_slice(mac);
    out.extend_from_slice(END);
}

/// A line without its line break: what is signed, and the MAC.
pub(super) fn split(line: &[u8]) -> Option<(&[u8], &Mac)> {
    let rest = line.strip_suffix(END)?;
    let (rest, mac) = rest.split_last_chunk::<64>()?;
    Some((rest.strip_suffix(TAG)?, mac))
}

/// The number of a line.
pub(super) fn seq(line: &[u8]) -> Option<u64> {
    let rest = line.strip_prefix(b"{\"seq\":")?;
    let end = rest.iter().position(|b| *b == b',')?;
    std::str::from_utf8(&rest[..end]).ok()?.parse().ok()
}

/// The time of a line; it comes right after the number.
pub(super) fn time(line: &[u8]) -> Option<&str> {
    let rest = &line[line.iter().position(|b| *b == b',')? + 1..];
    let rest = rest.strip_prefix(b"\"time\":\"")?;
    std::str::from_utf8(&rest[..rest.iter().position(|b| *b == b'"')?]).ok()
}

/// A token's stand-in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Session(pub [u8; 16]);

impl Value for Session {
    fn write(&self, out: &mut Vec<u8>) {
        Plain(std::str::from_utf8(&self.0).unwrap_or_default()).write(out);
    }
}

fn hex(bytes: &[u8]) -> Mac {
    let mut text = NONE;
    for (place, byte) in text.chunks_exact_mut(2).zip(bytes) {
        place[0] = b"0123456789abcdef"[usize::from(byte >> 4)];
        place[1] = b"0123456789abcdef"[usize::from(byte & 15)];
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_what_it_was_written_as() {
        let key = Key::new("0123456789abcdef0123456789abcdef");
        let mut out = Vec::new();
        let first = key.line(&NONE, 1, b"\"time\":\"t\",\"event\":\"start\"", &mut out);
        let second = key.line(&first, 2, b"\"time\":\"u\",\"mac\":\"fake\"", &mut out);
        let lines: Vec<&[u8]> = out.split(|b| *b == b'\n').collect();
        let (signed, mac) = split(lines[0]).unwrap();
        assert_eq!((mac, seq(lines[0]), time(lines[0])), (&first, Some(1), Some("t")));
        assert_eq!(key.of_line(&NONE, signed), first);
        let (signed, mac) = split(lines[1]).unwrap();
        assert_eq!((mac, &key.of_line(&first, signed)), (&second, &second));
        assert_ne!(key.of_line(&NONE, signed), second, "a line belongs behind the one before it");
        assert!(serde_json::from_slice::<serde_json::Value>(lines[0]).is_ok());
    }

    #[test]
    fn a_session_is_neither_the_token_nor_its_plain_hash() {
        let (one, other) =
            (Key::new("0123456789abcdef0123456789abcdef"), Key::new("another key of 32 bytes or more.."));
        assert_eq!(one.session("a.b.c"), one.session("a.b.c"));
        assert_ne!(one.session("a.b.c"), one.session("a.b.d"));
        assert_ne!(one.session("a.b.c"), other.session("a.b.c"));
        assert!(!format!("{one:?}").contains("0123"));
    }
}

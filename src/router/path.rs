//! The one form of a path: what is matched is what is sent (design §7).
//!
//! A path that two programs could read differently is refused, not repaired: dot segments, inner empty segments, escaped
//! separators, controls, backslashes, `;`, broken escapes. What may be spelled in two ways without a change of meaning
//! (RFC 3986, 6.2.2.2: escapes of unreserved characters) is brought to one spelling.

use std::borrow::Cow;

/// Why a path has no canonical form. The texts are for people and name no part of the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rejected(pub &'static str);

/// The canonical form of the path of a request target, without the query. Borrowed when it is canonical already.
///
/// # Errors
/// When the path is one that another reader could take for another path.
pub fn canonical(path: &str) -> Result<Cow<'_, str>, Rejected> {
    if !path.starts_with('/') {
        return Err(Rejected("the path does not begin with a slash"));
    }
    let escapes = check_bytes(path.as_bytes())?;
    let path = if escapes { unescape(path)? } else { Cow::Borrowed(path) };
    check_segments(&path)?;
    Ok(path)
}

/// Checks each byte that is written as itself; says whether there are escapes to look at.
fn check_bytes(path: &[u8]) -> Result<bool, Rejected> {
    let mut escapes = false;
    for &byte in path {
        match byte {
            b'%' => escapes = true,
            b'\\' => return Err(Rejected("the path has a backslash")),
            b';' => return Err(Rejected("the path has a semicolon")),
            b'?' | b'#' => return Err(Rejected("the path has a query or fragment mark")),
            // Outside of RFC 3986's characters, and read in several ways by the programs behind us.
            b'"' | b'<' | b'>' | b'^' | b'`' | b'{' | b'|' | b'}' => {
                return Err(Rejected("the path has a character that must be escaped"));
            }
            0x21..=0x7e => {}
            0x80.. => return Err(Rejected("the path has bytes outside of ASCII")),
            _ => return Err(Rejected("the path has a control character or a space")),
        }
    }
    Ok(escapes)
}

/// Decodes what is unreserved, writes the other escapes in upper case, refuses those that hide a separator or a control.
fn unescape(path: &str) -> Result<Cow<'_, str>, Rejected> {
    let bytes = path.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut out = String::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at] != b'%' {
            out.push(char::from(bytes[at]));
            decoded.push(bytes[at]);
            at += 1;
            continue;
        }
        let byte = bytes.get(at + 1..at + 3).and_then(hex).ok_or(Rejected("the path has a broken escape"))?;
        match byte {
            b'/' | b'\\' => return Err(Rejected("the path has an escaped slash or backslash")),
            b';' => return Err(Rejected("the path has a semicolon")),
            // An escaped percent sign is decoded a second time by some programs behind us.
            b'%' => return Err(Rejected("the path has an escaped percent sign")),
            0..=0x1f | 0x7f => return Err(Rejected("the path has an escaped control character")),
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            _ => {
                out.push('%');
                out.extend(bytes[at + 1..at + 3].iter().map(|b| char::from(b.to_ascii_uppercase())));
            }
        }
        decoded.push(byte);
        at += 3;
    }
    std::str::from_utf8(&decoded).map_err(|_| Rejected("the path is not UTF-8"))?;
    Ok(if out == path { Cow::Borrowed(path) } else { Cow::Owned(out) })
}

fn hex(digits: &[u8]) -> Option<u8> {
    let digit = |b: u8| char::from(b).to_digit(16);
    u8::try_from(digit(digits[0])? * 16 + digit(digits[1])?).ok()
}

fn check_segments(path: &str) -> Result<(), Rejected> {
    let mut segments = path[1..].split('/').peekable();
    while let Some(segment) = segments.next() {
        match segment {
            "." | ".." => return Err(Rejected("the path has a dot segment")),
            // The last one may be empty: `/a/` is a path of its own.
            "" if segments.peek().is_some() => return Err(Rejected("the path has an empty segment")),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(path: &str, expected: Result<&str, &str>) {
        let got = canonical(path);
        match (&got, expected) {
            (Ok(path), Ok(expected)) => assert_eq!(path, expected),
            (Err(Rejected(why)), Err(expected)) => assert!(why.contains(expected), "{path}: {why}"),
            _ => panic!("{path}: {got:?}, expected {expected:?}"),
        }
    }

    #[test]
    fn a_path_that_is_canonical_is_left_alone() {
        for path in
            ["/", "/a", "/a/", "/a/b.c", "/a:b@c,d=e+f", "/caf%C3%A9", "/.well-known/x", "/a/..b", "/%20", "/!$&'()*"]
        {
            check(path, Ok(path));
            assert!(matches!(canonical(path), Ok(Cow::Borrowed(_))), "{path} is copied");
        }
    }

    #[test]
    fn unreserved_escapes_are_decoded_and_the_others_written_in_upper_case() {
        check("/%61%2db", Ok("/a-b"));
        check("/%7euser", Ok("/~user"));
        check("/caf%c3%a9", Ok("/caf%C3%A9"));
        check("/a%3ab", Ok("/a%3Ab"));
    }

    #[test]
    fn what_two_programs_could_read_differently_is_refused() {
        let cases = [
            ("a", "begin"),
            ("", "begin"),
            ("/a/../b", "dot segment"),
            ("/..", "dot segment"),
            ("/a/.", "dot segment"),
            ("/./a", "dot segment"),
            ("/%2e%2e/a", "dot segment"),
            ("/.%2E/a", "dot segment"),
            ("//a", "empty segment"),
            ("/a//b", "empty segment"),
            ("///", "empty segment"),
            ("/a%2fb", "slash"),
            ("/a%2Fb", "slash"),
            ("/a%5cb", "slash or backslash"),
            ("/a\\b", "backslash"),
            ("/a%00", "control"),
            ("/a%0d%0ab", "control"),
            ("/a%7f", "control"),
            ("/a\u{1}b", "control"),
            ("/a b", "space"),
            ("/a;b", "semicolon"),
            ("/a%3bb", "semicolon"),
            ("/..;/a", "semicolon"),
            ("/a%", "broken"),
            ("/a%2", "broken"),
            ("/a%zz", "broken"),
            ("/a%252e", "percent"),
            ("/a%ff", "UTF-8"),
            ("/%c0%ae", "UTF-8"),
            ("/ñ", "ASCII"),
            ("/a{b}", "escaped"),
            ("/a\"b", "escaped"),
            ("/a?b", "query"),
        ];
        for (path, why) in cases {
            check(path, Err(why));
        }
    }

    #[test]
    fn the_canonical_form_of_a_canonical_path_is_itself() {
        for path in ["/%61%2db", "/caf%c3%a9/%20", "/x/%7E"] {
            let once = canonical(path).unwrap().into_owned();
            assert_eq!(canonical(&once).unwrap(), once);
        }
    }
}

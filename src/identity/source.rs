//! Where a token is looked for in a request, and what is found there. The first place that holds one decides, even when
//! that one is bad: a caller with two tokens gets no second guess.

use http::{HeaderMap, HeaderName};

/// One entry of `from:`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// `{ header: Authorization, scheme: Bearer }`: the credentials after the scheme.
    Header { name: HeaderName, scheme: Box<str> },
    /// `{ cookie: NAME }`: the value of the cookie of exactly this name.
    Cookie { name: Box<str> },
}

/// The kind of place a token came from. What came by cookie was sent by the browser, perhaps for a foreign page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    Header,
    Cookie,
}

/// What a request holds in the places of one token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presented<'h> {
    /// Nothing.
    Missing,
    /// Something that is not one token; `why` does not quote it.
    Unusable { why: &'static str, by: By },
    /// One token, good or bad. May be empty.
    Found { token: &'h str, by: By },
}

/// Looks through the places in order. Allocates nothing.
pub fn find<'h>(sources: &[Source], headers: &'h HeaderMap) -> Presented<'h> {
    sources
        .iter()
        .map(|source| source.find(headers))
        .find(|presented| *presented != Presented::Missing)
        .unwrap_or(Presented::Missing)
}

/// Every token in any of the places, more than one in one place too: for a logout, which must leave none alive.
pub fn find_all<'h>(sources: &[Source], headers: &'h HeaderMap) -> Vec<&'h str> {
    let mut found: Vec<&[u8]> = Vec::new();
    for source in sources {
        match source {
            Source::Header { name, scheme } => {
                found.extend(
                    headers.get_all(name).iter().filter_map(|value| credentials(value.as_bytes(), scheme.as_bytes())),
                );
            }
            Source::Cookie { name } => found.extend(cookie_values(headers, name.as_bytes())),
        }
    }
    found.into_iter().filter_map(|token| str::from_utf8(token).ok()).filter(|token| !token.is_empty()).collect()
}

impl Source {
    /// Says what is wrong with the names, if anything is: such an entry could never be found in a request.
    pub fn check(&self) -> Result<(), String> {
        match self {
            Self::Header { scheme, .. } if !is_name(scheme) => {
                Err(format!("`{scheme}` is no scheme: write a word such as `Bearer`"))
            }
            Self::Cookie { name } if !is_name(name) => Err(format!(
                "`{name}` is no cookie name: use letters, digits and any of !#$%&'*+-.^_`|~ (RFC 6265, 4.1.1)"
            )),
            _ => Ok(()),
        }
    }

    fn find<'h>(&self, headers: &'h HeaderMap) -> Presented<'h> {
        match self {
            Self::Header { name, scheme } => in_header(headers, name, scheme.as_bytes()),
            Self::Cookie { name } => in_cookies(headers, name.as_bytes()),
        }
    }
}

/// A token of RFC 9110, 5.6.2: what a scheme and a cookie name are made of.
pub(super) fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

fn in_header<'h>(headers: &'h HeaderMap, name: &HeaderName, scheme: &[u8]) -> Presented<'h> {
    let by = By::Header;
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Presented::Missing };
    // Whoever reads the request behind us may take the other one.
    if values.next().is_some() {
        return Presented::Unusable { why: "the header stands twice", by };
    }
    // Another scheme is another kind of credentials.
    credentials(value.as_bytes(), scheme).map_or(Presented::Missing, |token| as_token(token, by))
}

/// What stands behind the scheme.
fn credentials<'v>(value: &'v [u8], scheme: &[u8]) -> Option<&'v [u8]> {
    // The scheme is compared without regard to case (RFC 9110, 11.1).
    let (found, rest) = value.split_at_checked(scheme.len())?;
    if !found.eq_ignore_ascii_case(scheme) || rest.first().is_some_and(|byte| *byte != b' ') {
        return None;
    }
    // One or more spaces stand between the two (RFC 9110, 11.4).
    let spaces = rest.iter().take_while(|byte| **byte == b' ').count();
    Some(&rest[spaces..])
}

fn in_cookies<'h>(headers: &'h HeaderMap, name: &[u8]) -> Presented<'h> {
    let by = By::Cookie;
    let mut values = cookie_values(headers, name);
    let Some(value) = values.next() else { return Presented::Missing };
    // A page of a neighbouring domain can add a cookie of the same name, and browsers do not say which is whose.
    if values.next().is_some() {
        return Presented::Unusable { why: "the cookie stands twice", by };
    }
    if value.is_empty() { Presented::Missing } else { as_token(value, by) }
}

/// The values of all cookies of this name, in order.
fn cookie_values<'h>(headers: &'h HeaderMap, name: &[u8]) -> impl Iterator<Item = &'h [u8]> {
    let lines = headers.get_all(http::header::COOKIE).iter();
    lines.flat_map(|line| pairs(line.as_bytes())).filter_map(move |pair| {
        let equals = pair.iter().position(|byte| *byte == b'=')?;
        (trim(&pair[..equals]) == name).then(|| trim(&pair[equals + 1..]))
    })
}

/// The parts between semicolons. Tokens are long: looked through byte by byte they cost about as much as all the rest of a hit
/// (`benches/identity.rs`: 240 ns, and 126 so).
fn pairs(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(line);
    std::iter::from_fn(move || {
        let line = rest?;
        let end = memchr::memchr(b';', line);
        rest = end.map(|end| &line[end + 1..]);
        Some(end.map_or(line, |end| &line[..end]))
    })
}

fn as_token(bytes: &[u8], by: By) -> Presented<'_> {
    match str::from_utf8(bytes) {
        Ok(token) => Presented::Found { token, by },
        Err(_) => Presented::Unusable { why: "not text", by },
    }
}

/// Only the blanks that HTTP knows: a name that begins with another kind of space is another name.
fn trim(bytes: &[u8]) -> &[u8] {
    let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let Some(start) = bytes.iter().position(|byte| !is_blank(byte)) else { return &[] };
    let end = bytes.iter().rposition(|byte| !is_blank(byte)).map_or(start, |last| last + 1);
    &bytes[start..end]
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn sources() -> [Source; 2] {
        [
            Source::Header { name: http::header::AUTHORIZATION, scheme: "Bearer".into() },
            Source::Cookie { name: "sid".into() },
        ]
    }

    fn headers(lines: &[&[u8]]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for line in lines {
            let colon = line.iter().position(|byte| *byte == b':').unwrap();
            let name = HeaderName::from_bytes(&line[..colon]).unwrap();
            headers.append(name, HeaderValue::from_bytes(trim(&line[colon + 1..])).unwrap());
        }
        headers
    }

    #[track_caller]
    fn check(lines: &[&[u8]], expect: &str) {
        let headers = headers(lines);
        let got = match find(&sources(), &headers) {
            Presented::Missing => "missing".to_owned(),
            Presented::Unusable { by, .. } => format!("unusable {by:?}"),
            Presented::Found { token, by } => format!("{by:?} {token}"),
        };
        assert_eq!(got, expect, "{headers:?}");
    }

    #[test]
    fn a_logout_finds_every_token() {
        let lines: &[&[u8]] = &[
            b"authorization: Bearer junk",
            b"authorization: bearer  a",
            b"cookie: sid=b; x=y; sid=c",
            b"cookie: sid=",
        ];
        assert_eq!(find_all(&sources(), &headers(lines)), ["junk", "a", "b", "c"]);
        assert!(find_all(&sources(), &headers(&[b"authorization: Basic x"])).is_empty());
    }

    #[test]
    fn a_bearer_header_is_found_in_every_spelling_of_its_scheme() {
        for (value, expect) in [
            ("Bearer a.b.c", "Header a.b.c"),
            ("bearer a.b.c", "Header a.b.c"),
            ("BEARER a.b.c", "Header a.b.c"),
            ("Bearer   a.b.c", "Header a.b.c"),
            ("Bearer a.b.c, Bearer d", "Header a.b.c, Bearer d"),
            ("Bearer a b", "Header a b"),
            ("Bearer", "Header "),
            ("Bearer ", "Header "),
            ("Bearera.b.c", "missing"),
            ("Bearer\ta.b.c", "missing"),
            ("Bear", "missing"),
            ("Basic YTpi", "missing"),
            ("", "missing"),
        ] {
            check(&[format!("authorization: {value}").as_bytes()], expect);
        }
        check(&[b"authorization: Bearer \xff"], "unusable Header");
        check(&[b"authorization: Bearer a", b"authorization: Bearer a"], "unusable Header");
        check(&[b"authorization: Basic a", b"authorization: Bearer a"], "unusable Header");
    }

    #[test]
    fn the_cookie_is_found_by_exactly_its_name() {
        for (value, expect) in [
            ("sid=a", "Cookie a"),
            ("x=1; sid=a; y=2", "Cookie a"),
            ("x=1;sid=a", "Cookie a"),
            ("sid = a", "Cookie a"),
            ("sid=a=b", "Cookie a=b"),
            ("sid=a, sid=b", "Cookie a, sid=b"),
            ("sid=\"a\"", "Cookie \"a\""),
            ("$Version=1; sid=a; $Path=/", "Cookie a"),
            ("sid=", "missing"),
            ("sid", "missing"),
            ("=sid=evil", "missing"),
            (";;;", "missing"),
            ("SID=a", "missing"),
            ("xsid=a; sidx=b", "missing"),
            ("\u{2000}sid=a", "missing"),
            ("sid=a; sid=b", "unusable Cookie"),
            ("sid=a; sid=a", "unusable Cookie"),
            ("sid=; sid=a", "unusable Cookie"),
            ("sid=a; sid=", "unusable Cookie"),
        ] {
            check(&[format!("cookie: {value}").as_bytes()], expect);
        }
        check(&[b"cookie: x=1", b"cookie: sid=a"], "Cookie a");
        check(&[b"cookie: sid=a", b"cookie: sid=b"], "unusable Cookie");
        check(&[b"cookie: x=\xff; sid=a"], "Cookie a");
        check(&[b"cookie: sid=\xff"], "unusable Cookie");
    }

    #[test]
    fn the_first_place_that_holds_one_decides() {
        check(&[], "missing");
        check(&[b"authorization: Bearer bad", b"cookie: sid=good"], "Header bad");
        check(&[b"authorization: Bearer", b"cookie: sid=good"], "Header ");
        check(&[b"authorization: Bearer a", b"cookie: sid=a; sid=b"], "Header a");
        check(&[b"authorization: Basic YTpi", b"cookie: sid=good"], "Cookie good");
        check(&[b"authorization: Basic a", b"authorization: Basic b", b"cookie: sid=good"], "unusable Header");
    }

    #[test]
    fn names_that_no_request_can_hold_are_refused() {
        let cookie = |name: &str| Source::Cookie { name: name.into() };
        let header = |scheme: &str| Source::Header { name: http::header::AUTHORIZATION, scheme: scheme.into() };
        for good in [cookie("predicthealth_jwt"), cookie("__Host-sid"), header("Bearer"), header("DPoP")] {
            good.check().unwrap();
        }
        for bad in [cookie(""), cookie("a b"), cookie("a;b"), cookie("a=b"), cookie("ñ"), header(""), header("Bearer ")]
        {
            bad.check().expect_err("is refused");
        }
    }
}

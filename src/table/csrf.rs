//! Cross-site request forgery: may this request act in the name of the browser that sent it?
//!
//! A browser adds the cookie to requests that a foreign page makes it send. So what changes state, and what opens a WebSocket, must
//! come from a page of our own when the cookie is all that proves the caller. Where it comes from, browsers say themselves.

use hilum_filters::units::Origin;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};

use crate::identity::By;

/// What a route asks of such requests.
#[derive(Debug, Default)]
pub struct Csrf {
    /// `csrf: off`.
    pub off: bool,
    /// A sign-in or sign-out: checked whoever asks, since a foreign page could sign its visitor in as somebody else; programs that
    /// are no browser say nothing of where they come from, and may.
    pub is_session: bool,
    /// The origins whose pages may send cookies (`cors` with `credentials`), as browsers write them.
    pub origins: Vec<HeaderValue>,
}

/// The request, as far as it matters here.
#[derive(Clone, Copy, Debug)]
pub struct Sent<'h> {
    pub method: &'h Method,
    pub headers: &'h HeaderMap,
    /// The authority that the browser asked.
    pub host: &'h str,
    /// It came over TLS, as far as is known.
    pub secure: bool,
}

/// Where a request comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum From {
    Us,
    Foreign,
    Unsaid,
}

const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

impl Csrf {
    /// Whether the request may go on. `by`: where the caller's token came from, if there was one.
    pub fn admits(&self, sent: &Sent<'_>, by: Option<By>) -> bool {
        let by_cookie = by == Some(By::Cookie) || (self.is_session && by != Some(By::Header));
        if self.off || !by_cookie || !changes_state(sent) {
            return true;
        }
        match self.from(sent) {
            From::Us => true,
            From::Foreign => false,
            From::Unsaid => self.is_session,
        }
    }

    fn from(&self, sent: &Sent<'_>) -> From {
        let origin = only(sent.headers, &header::ORIGIN);
        if let Some(Ok(origin)) = origin
            && self.origins.contains(origin)
        {
            return From::Us;
        }
        match only(sent.headers, &FETCH_SITE) {
            // `none`: typed by the person, or a bookmark; no page has a hand in it.
            Some(Ok(site)) if site == "same-origin" || site == "none" => return From::Us,
            Some(_) => return From::Foreign,
            None => {}
        }
        match (origin, only(sent.headers, &header::REFERER)) {
            (Some(Ok(origin)), _) => ours(origin, sent),
            (Some(Err(())), _) | (None, Some(Err(()))) => From::Foreign,
            (None, Some(Ok(referer))) => ours(referer, sent),
            (None, None) => From::Unsaid,
        }
    }
}

/// Methods that only read are safe (RFC 9110, 9.2.1); a WebSocket begins with one of them and goes on with anything.
fn changes_state(sent: &Sent<'_>) -> bool {
    let upgrades = sent.headers.get(header::UPGRADE).is_some_and(|to| to.as_bytes().eq_ignore_ascii_case(b"websocket"));
    upgrades || !sent.method.is_safe()
}

/// The value of a header that stands once; twice is nobody's word.
fn only<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<Result<&'h HeaderValue, ()>> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?;
    Some(if values.next().is_none() { Ok(first) } else { Err(()) })
}

/// Compares the authority of an origin, or of a URL, with the one that was asked. `null` is nobody's.
fn ours(url: &HeaderValue, sent: &Sent<'_>) -> From {
    let Some((scheme, rest)) = url.to_str().ok().and_then(|url| url.split_once("://")) else { return From::Foreign };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    // That the connection is not known to be TLS says little: a proxy in front may have ended it.
    if sent.secure && !scheme.eq_ignore_ascii_case("https") {
        return From::Foreign;
    }
    let asked = format!("{scheme}://{}", sent.host).parse::<Origin>();
    let said = format!("{scheme}://{authority}").parse::<Origin>();
    if asked.is_ok() && asked == said { From::Us } else { From::Foreign }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `request` is a method and header lines; asked of `https://hilum.example` unless it names another host.
    fn check(csrf: &Csrf, by: Option<By>, secure: bool, request: &str, expect: bool) {
        let mut lines = request.split('\n');
        let method: Method = lines.next().unwrap().parse().unwrap();
        let mut headers = HeaderMap::new();
        for line in lines {
            let (name, value) = line.split_once(": ").unwrap();
            headers.append(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
        }
        let host = headers.get("host").map_or("hilum.example", |host| host.to_str().unwrap()).to_owned();
        let sent = Sent { method: &method, headers: &headers, host: &host, secure };
        assert_eq!(csrf.admits(&sent, by), expect, "{by:?} {request}");
    }

    const COOKIE: Option<By> = Some(By::Cookie);

    #[test]
    fn what_changes_state_by_cookie_must_come_from_our_own_pages() {
        let csrf = Csrf { origins: vec![HeaderValue::from_static("https://portal.example")], ..Csrf::default() };
        for (request, expect) in [
            // G01, G02, G04: whatever the body is.
            ("POST\norigin: https://evil.example", false),
            ("POST\norigin: https://evil.example\ncontent-type: text/plain", false),
            ("POST", false),
            ("POST\nreferer: https://evil.example/hilum.example", false),
            ("POST\nreferer: https://hilum.example/page?x=1", true),
            ("POST\nreferer: https://hilum.example", true),
            ("POST\norigin: https://hilum.example", true),
            ("DELETE\norigin: https://hilum.example", true),
            ("PATCH\norigin: https://HILUM.example:443", true),
            ("POST\norigin: https://hilum.example\nreferer: https://evil.example/", true),
            ("POST\norigin: https://evil.example\nreferer: https://hilum.example/", false),
            ("POST\norigin: null", false),
            ("POST\norigin: null\nreferer: https://hilum.example/", false),
            ("POST\norigin: http://hilum.example", false),
            ("POST\norigin: https://hilum.example:8443", false),
            ("POST\nhost: hilum.example:8443\norigin: https://hilum.example:8443", true),
            ("POST\norigin: https://hilum.example.evil.example", false),
            ("POST\norigin: https://evilhilum.example", false),
            ("POST\norigin: https://hilum.example@evil.example", false),
            ("POST\norigin: https://user@hilum.example", false),
            ("POST\norigin: https://hilum.example\norigin: https://evil.example", false),
            ("POST\norigin: hilum.example", false),
            // What the browser says of the site goes before the rest.
            ("POST\nsec-fetch-site: same-origin", true),
            ("POST\nsec-fetch-site: none", true),
            ("POST\nsec-fetch-site: same-site", false),
            ("POST\nsec-fetch-site: cross-site", false),
            ("POST\nsec-fetch-site: Same-Origin", false),
            ("POST\nsec-fetch-site: cross-site\norigin: https://hilum.example", false),
            ("POST\nsec-fetch-site: same-origin\nsec-fetch-site: cross-site", false),
            // An origin of `cors` may.
            ("POST\norigin: https://portal.example", true),
            ("POST\nsec-fetch-site: cross-site\norigin: https://portal.example", true),
            ("POST\nreferer: https://portal.example/", false),
            // G05, G08: reading is free, a WebSocket is not.
            ("GET\norigin: https://evil.example", true),
            ("HEAD\nsec-fetch-site: cross-site", true),
            ("OPTIONS\norigin: https://evil.example", true),
            ("GET\nupgrade: websocket\norigin: https://evil.example", false),
            ("GET\nupgrade: WebSocket", false),
            ("GET\nupgrade: websocket\norigin: https://hilum.example", true),
        ] {
            check(&csrf, COOKIE, true, request, expect);
        }
    }

    #[test]
    fn the_scheme_counts_only_when_it_is_known() {
        for (secure, expect) in [(true, false), (false, true)] {
            check(&Csrf::default(), COOKIE, secure, "POST\norigin: http://hilum.example", expect);
        }
        check(&Csrf::default(), COOKIE, false, "POST\nhost: [::1]:5000\norigin: http://[::1]:5000", true);
        check(&Csrf::default(), COOKIE, false, "POST\nhost: localhost:5000\norigin: http://localhost:3000", false);
    }

    #[test]
    fn a_token_that_the_browser_does_not_send_by_itself_needs_no_origin() {
        // G10.
        for by in [Some(By::Header), None] {
            check(&Csrf::default(), by, true, "POST\norigin: https://evil.example", true);
        }
        let off = Csrf { off: true, ..Csrf::default() };
        check(&off, COOKIE, true, "POST\norigin: https://evil.example", true);
    }

    #[test]
    fn a_sign_in_is_refused_to_foreign_pages_and_open_to_programs() {
        // G07.
        let session = Csrf { is_session: true, ..Csrf::default() };
        for by in [None, COOKIE] {
            check(&session, by, true, "POST\norigin: https://evil.example", false);
            check(&session, by, true, "POST\nsec-fetch-site: cross-site", false);
            check(&session, by, true, "POST\norigin: null", false);
            check(&session, by, true, "POST\norigin: https://hilum.example", true);
            check(&session, by, true, "POST", true);
        }
        check(&session, Some(By::Header), true, "POST\norigin: https://evil.example", true);
    }
}

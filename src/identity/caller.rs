//! Who is calling: nobody we know, or somebody whose token was verified, with everything that is made of its claims
//! once and used on every request.

use std::fmt;
use std::sync::{Arc, OnceLock};

use http::{HeaderName, HeaderValue};

use super::claims::{ClaimPath, Claims, as_text, scalar_text};
use super::refresh::Progress;
use super::source::By;
use super::standing::Standing;
use super::verify::{Refused, Verified};

/// Who is calling, as far as one kind of token says.
#[derive(Clone, Debug)]
pub enum Caller {
    /// There is no token.
    Missing,
    /// There is one, and it is not accepted.
    Refused { why: Refused, by: By },
    /// The token is good; whether its session is, the store does not say.
    StoreDown { by: By },
    /// Whether the token is good can't be said: the keys of its issuer can't be had.
    KeysDown { by: By },
    /// This one.
    Known { identity: Arc<Identity>, by: By },
}

impl Caller {
    /// Where the token came from, good or bad; `None`: there is none.
    pub fn by(&self) -> Option<By> {
        match self {
            Caller::Missing => None,
            Caller::Refused { by, .. }
            | Caller::StoreDown { by }
            | Caller::KeysDown { by }
            | Caller::Known { by, .. } => Some(*by),
        }
    }
}

/// A verified token and what is made of it. Shared by all requests that bring the same token. `Debug` shows neither
/// token nor claims.
pub struct Identity {
    /// The token's payload.
    pub claims: Arc<Claims>,
    /// The same for templates.
    pub values: minijinja::Value,
    /// What `identity:` tells the service, ready to write. A claim that is absent, empty, or has no text has no header.
    pub headers: Box<[(HeaderName, HeaderValue)]>,
    /// `Bearer <token>`, marked sensitive.
    pub authorization: HeaderValue,
    /// The token as it was sent.
    pub token: Arc<str>,
    /// Its `exp`, rounded down: unix seconds.
    pub expires: u64,
    /// The generation of the keys that verified it.
    pub(super) generation: u64,
    /// What is known of its session; `None` when its token needs none.
    pub(super) session: Option<Arc<Standing>>,
    /// How far the next token of its session is.
    pub(super) progress: Progress,
    mark: OnceLock<Mark>,
}

/// Who somebody is, as it may be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    pub user_id: Option<Box<str>>,
    pub user_type: Option<Box<str>>,
    /// Stands for the token.
    pub session: [u8; 16],
}

impl Identity {
    /// Refuses a token with a claim that can't be written as a header without changing its meaning.
    pub(super) fn new(
        token: &str,
        verified: Verified,
        headers: &[(HeaderName, ClaimPath)],
        session: Option<Arc<Standing>>,
    ) -> Result<Self, Refused> {
        let Verified { claims, expires, generation } = verified;
        let mut ready = Vec::with_capacity(headers.len());
        for (name, path) in headers {
            if let Some(text) = path.get(&claims).and_then(as_text).filter(|text| !text.is_empty()) {
                ready.push((name.clone(), header_value(&text)?));
            }
        }
        let mut authorization = HeaderValue::try_from(["Bearer ", token].concat())
            .expect("a verified token is base64url and dots, which a header may hold");
        authorization.set_sensitive(true);
        Ok(Self {
            values: minijinja::Value::from(minijinja::value::Serde(&claims)),
            claims: Arc::new(claims),
            headers: ready.into(),
            authorization,
            token: token.into(),
            expires,
            generation,
            session,
            progress: Progress::default(),
            mark: OnceLock::new(),
        })
    }

    /// What is told of it; made once. `session` is what stands for a token.
    pub fn mark(&self, session: impl FnOnce(&str) -> [u8; 16]) -> &Mark {
        let claim = |name: &str| Some(scalar_text(self.claims.get(name)?)?.into());
        self.mark.get_or_init(|| Mark {
            user_id: claim("user_id").or_else(|| claim("sub")),
            user_type: claim("user_type"),
            session: session(&self.token),
        })
    }
}

/// A claim as a header. Control characters would end the header and begin another; outer blanks are dropped by whoever
/// reads it (RFC 9110, 5.5), so `" 7"` would become user `7`. Leaving the header out instead would send a caller that a
/// service takes for nobody in particular, so the token is refused. Text beyond ASCII goes as its UTF-8 bytes.
fn header_value(text: &str) -> Result<HeaderValue, Refused> {
    if text.contains(char::is_control) || text.trim() != text {
        return Err(Refused::Invalid("a claim of `identity` holds what no header can"));
    }
    HeaderValue::from_bytes(text.as_bytes()).map_err(|_| Refused::Invalid("a claim of `identity` is no header text"))
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("expires", &self.expires).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::super::testkit::claim;
    use super::*;

    /// `claims` under `identity: { x-id: id, x-roles: roles, x-ref: metadata.reference_id }`.
    fn check(claims: &str, expect: Result<&[(&str, &str)], ()>) {
        let map = [("x-id", "id"), ("x-roles", "roles"), ("x-ref", "metadata.reference_id")]
            .map(|(name, path)| (HeaderName::from_static(name), claim(path)));
        let verified = Verified { claims: serde_json::from_str(claims).unwrap(), expires: 7, generation: 0 };
        let identity = Identity::new("a.b.c", verified, &map, None).map_err(drop);
        let headers = identity.as_ref().map(|identity| &*identity.headers);
        let got: Result<Vec<_>, _> = headers
            .map(|headers| headers.iter().map(|(n, v)| (n.as_str(), str::from_utf8(v.as_bytes()).unwrap())).collect());
        assert_eq!(got.as_deref().map_err(|()| &()), expect.as_ref().copied(), "{claims}");
    }

    #[test]
    fn a_caller_says_where_the_token_came_from() {
        let verified = Verified { claims: serde_json::Map::new(), expires: 7, generation: 0 };
        let identity = Arc::new(Identity::new("a.b.c", verified, &[], None).unwrap());
        assert_eq!(Caller::Missing.by(), None);
        for by in [By::Header, By::Cookie] {
            assert_eq!(Caller::Refused { why: Refused::Expired, by }.by(), Some(by));
            assert_eq!(Caller::StoreDown { by }.by(), Some(by));
            assert_eq!(Caller::KeysDown { by }.by(), Some(by));
            assert_eq!(Caller::Known { identity: identity.clone(), by }.by(), Some(by));
        }
    }

    #[test]
    fn what_is_told_of_a_token_is_made_of_it_and_once() {
        let mark = |claims: &str, user_id: Option<&str>, user_type: Option<&str>| {
            let verified = Verified { claims: serde_json::from_str(claims).unwrap(), expires: 7, generation: 0 };
            let identity = Identity::new("a.b.c", verified, &[], None).unwrap();
            let first = |token: &str| [token.as_bytes()[0]; 16];
            let expected = (user_id, user_type, b"aaaaaaaaaaaaaaaa");
            for mark in [identity.mark(first).clone(), identity.mark(|_| [0; 16]).clone()] {
                assert_eq!((mark.user_id.as_deref(), mark.user_type.as_deref(), &mark.session), expected, "{claims}");
            }
        };
        mark("{}", None, None);
        mark(r#"{"sub":"s","user_id":7,"user_type":"doctor"}"#, Some("7"), Some("doctor"));
        mark(r#"{"sub":"s","user_id":["a"],"user_type":{}}"#, Some("s"), None);
    }

    #[test]
    fn claims_become_headers() {
        check(r#"{"id":"7"}"#, Ok(&[("x-id", "7")]));
        check(
            r#"{"id":7,"roles":["a","b"],"metadata":{"reference_id":"r"}}"#,
            Ok(&[("x-id", "7"), ("x-roles", "a,b"), ("x-ref", "r")]),
        );
        check(r#"{"id":"José Ñandú"}"#, Ok(&[("x-id", "José Ñandú")]));
        check(r#"{"id":"a b"}"#, Ok(&[("x-id", "a b")]));
    }

    #[test]
    fn a_claim_without_a_text_has_no_header() {
        for claims in [
            r#"{}"#,
            r#"{"id":null}"#,
            r#"{"id":""}"#,
            r#"{"id":{"a":1}}"#,
            r#"{"roles":[]}"#,
            r#"{"roles":[["a"]]}"#,
            r#"{"roles":["a,admin"]}"#,
            r#"{"metadata":"r"}"#,
        ] {
            check(claims, Ok(&[]));
        }
    }

    #[test]
    fn a_claim_that_would_change_its_meaning_in_a_header_refuses_the_token() {
        for claims in [
            r#"{"id":"7\r\nX-User-Type: admin"}"#,
            r#"{"id":"7\n"}"#,
            r#"{"id":"a\u0000b"}"#,
            r#"{"id":"a\tb"}"#,
            r#"{"id":"a\u007fb"}"#,
            r#"{"id":"a\u0085b"}"#,
            r#"{"id":" 7"}"#,
            r#"{"id":"7 "}"#,
            r#"{"id":" "}"#,
            r#"{"roles":["a","b\r"]}"#,
        ] {
            check(claims, Err(()));
        }
    }

    #[test]
    fn a_template_reads_claims_and_a_service_gets_the_token() {
        let verified =
            Verified { claims: serde_json::from_str(r#"{"metadata":{"n":7}}"#).unwrap(), expires: 7, generation: 0 };
        let identity = Identity::new("a.b.c", verified, &[], None).unwrap();
        assert_eq!(identity.values.get_attr("metadata").unwrap().get_attr("n").unwrap(), minijinja::Value::from(7));
        assert_eq!(identity.authorization, "Bearer a.b.c");
        assert!(identity.authorization.is_sensitive());
        let shown = format!("{identity:?} {:?}", identity.authorization);
        assert!(!shown.contains("a.b.c") && !shown.contains("metadata"), "{shown}");
    }
}

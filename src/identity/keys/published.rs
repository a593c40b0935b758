//! What an issuer publishes (RFC 7517) → the keys in it that may verify a token. Everything else is left out: a set may
//! hold keys for other uses, and of kinds that this reader does not know (RFC 7517, 5).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::identity::verify::{Curve, PublicKey};

/// The usable keys of a set, in its order.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Published(Box<[Entry]>);

#[derive(Debug, PartialEq, Eq)]
struct Entry {
    kid: Option<Box<str>>,
    /// It serves this one alone.
    algorithm: Option<Algorithm>,
    key: PublicKey,
}

/// So many keys are tried for one token that does not say which.
const TRIED: usize = 16;

impl Published {
    /// Reads the text of a set. The error is for the log: why nothing of it can be used.
    pub(super) fn read(text: &[u8]) -> Result<Published, String> {
        #[derive(Deserialize)]
        struct Set {
            keys: Vec<Map<String, Value>>,
        }
        let set: Set =
            serde_json::from_slice(text).map_err(|_| "it is no JSON object with a list `keys`".to_owned())?;
        let count = set.keys.len();
        let keys: Box<[_]> = set.keys.iter().filter_map(usable).collect();
        if keys.is_empty() {
            return Err(format!("none of its {count} keys may verify signatures"));
        }
        Ok(Published(keys))
    }

    /// The keys that a token of this header may be signed by.
    pub(super) fn fitting(&self, algorithm: Algorithm, kid: Option<&str>) -> impl Iterator<Item = &PublicKey> {
        let fits = move |it: &&Entry| {
            (kid.is_none() || it.kid.as_deref() == kid)
                && it.algorithm.is_none_or(|only| only == algorithm)
                && it.key.serves(algorithm)
        };
        self.0.iter().filter(fits).map(|it| &it.key).take(TRIED)
    }
}

/// `None`: a key for something else, a secret, or one that is not safe.
fn usable(jwk: &Map<String, Value>) -> Option<Entry> {
    let text = |name: &str| jwk.get(name).and_then(Value::as_str);
    let number = |name: &str| URL_SAFE_NO_PAD.decode(text(name)?).ok();
    // Whoever reads the set could sign with a key whose private half stands in it.
    if jwk.contains_key("d") || jwk.contains_key("k") {
        return None;
    }
    if jwk.get("use").is_some_and(|it| it != "sig") {
        return None;
    }
    if let Some(operations) = jwk.get("key_ops") {
        operations.as_array()?.iter().find(|it| **it == "verify")?;
    }
    let algorithm = match jwk.get("alg") {
        None => None,
        Some(name) => Some(name.as_str()?.parse().ok()?),
    };
    let point = |curve, bytes: usize| {
        let (x, y) = (number("x")?, number("y")?);
        // Both numbers have the full length of the curve (RFC 7518, 6.2.1.2).
        if x.len() != bytes || y.len() != bytes {
            return None;
        }
        PublicKey::from_point(curve, &[&[4], &x[..], &y[..]].concat()).ok()
    };
    let key = match (text("kty")?, text("crv")) {
        ("RSA", _) => PublicKey::from_rsa(&number("n")?, &number("e")?).ok()?,
        ("EC", Some("P-256")) => point(Curve::P256, 32)?,
        ("EC", Some("P-384")) => point(Curve::P384, 48)?,
        ("OKP", Some("Ed25519")) => PublicKey::from_ed25519(&number("x")?).ok()?,
        _ => return None,
    };
    if algorithm.is_some_and(|only| !key.serves(only)) {
        return None;
    }
    let kid = match jwk.get("kid") {
        None => None,
        Some(kid) => Some(kid.as_str()?.into()),
    };
    Some(Entry { kid, algorithm, key })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::testkit::jwk;
    use Algorithm::{ES256, ES384, EdDSA, PS256, RS256, RS384};

    /// One key of a set → how many of `RS256 RS384 PS256 ES256 ES384 EdDSA` it is tried for, by a token with kid `a`.
    #[track_caller]
    fn check(key: &str, expect: &[Algorithm]) {
        // Beside a good key, since a set without one is refused whole.
        let set = format!(r#"{{"keys":[{key},{}]}}"#, jwk(EdDSA, r#""kid":"other""#));
        let set = Published::read(set.as_bytes()).expect(key);
        let all = [RS256, RS384, PS256, ES256, ES384, EdDSA];
        let got: Vec<_> = all.into_iter().filter(|it| set.fitting(*it, Some("a")).next().is_some()).collect();
        assert_eq!(got, expect, "{key}");
    }

    #[test]
    fn keys_serve_what_they_are_and_what_they_say() {
        check(&jwk(RS256, r#""kid":"a""#), &[RS256, RS384, PS256]);
        check(&jwk(RS256, r#""kid":"a","alg":"RS384","use":"sig""#), &[RS384]);
        check(&jwk(ES256, r#""kid":"a""#), &[ES256]);
        check(&jwk(ES384, r#""kid":"a","key_ops":["sign","verify"]"#), &[ES384]);
        check(&jwk(EdDSA, r#""kid":"a","x5c":["anything"],"new":{}"#), &[EdDSA]);
    }

    #[test]
    fn d37_keys_that_must_not_verify_are_left_out() {
        let long = "A".repeat(43);
        for key in [
            format!(r#"{{"kty":"oct","kid":"a","alg":"HS256","k":"{long}"}}"#),
            format!(r#"{{"kty":"oct","kid":"a","k":"{long}"}}"#),
            jwk(RS256, r#""kid":"a","use":"enc""#),
            jwk(RS256, r#""kid":"a","use":7"#),
            jwk(RS256, r#""kid":"a","key_ops":["encrypt"]"#),
            jwk(RS256, r#""kid":"a","key_ops":"verify""#),
            jwk(RS256, r#""kid":"a","alg":"HS256""#),
            jwk(RS256, r#""kid":"a","alg":"ES256""#),
            jwk(RS256, r#""kid":"a","alg":"RSA-OAEP""#),
            jwk(RS256, r#""kid":"a","alg":"none""#),
            jwk(RS256, r#""kid":"a","d":"AQAB""#),
            jwk(ES256, r#""kid":"a","d":"AQAB""#),
            jwk(ES256, r#""kid":"b""#),
            jwk(ES256, r#""kid":7"#),
            jwk(ES256, r#""typ":"x""#),
            r#"{"kty":"RSA","kid":"a","n":"AQAB","e":"AQAB"}"#.into(),
            format!(r#"{{"kty":"RSA","kid":"a","n":"{}","e":"AQ"}}"#, "x".repeat(342)),
            r#"{"kty":"RSA","kid":"a","e":"AQAB"}"#.into(),
            jwk(ES256, r#""kid":"a""#).replace("P-256", "P-521"),
            jwk(ES256, r#""kid":"a""#).replace("P-256", "secp256k1"),
            jwk(ES256, r#""kid":"a""#).replace("P-256", "P-384"),
            jwk(EdDSA, r#""kid":"a""#).replace("Ed25519", "Ed448"),
            jwk(EdDSA, r#""kid":"a""#).replace("Ed25519", "X25519"),
            r#"{"kid":"a"}"#.into(),
            r#"{"kty":"quantum","kid":"a"}"#.into(),
        ] {
            check(&key, &[]);
        }
    }

    #[test]
    fn a_token_without_kid_is_held_against_all_keys_that_fit_and_not_more_than_sixteen() {
        let keys = vec![jwk(ES256, r#""kid":"a""#); 20].join(",");
        let set = format!(r#"{{"keys":[{},{keys}]}}"#, jwk(RS256, r#""kid":"a""#));
        let set = Published::read(set.as_bytes()).unwrap();
        assert_eq!(set.fitting(ES256, None).count(), 16);
        assert_eq!(set.fitting(RS256, None).count(), 1);
        assert_eq!(set.fitting(ES384, None).count(), 0);
    }

    #[test]
    fn what_is_no_set_or_holds_nothing_usable_is_refused_whole() {
        for (text, part) in [
            ("", "no JSON"),
            ("<html>", "no JSON"),
            ("[]", "no JSON"),
            ("{}", "no JSON"),
            (r#"{"keys":{}}"#, "no JSON"),
            (r#"{"keys":["a"]}"#, "no JSON"),
            (r#"{"keys":[]}"#, "none of its 0 keys"),
            (r#"{"keys":[{"kty":"oct","k":"YQ"}]}"#, "none of its 1 keys"),
        ] {
            assert!(Published::read(text.as_bytes()).expect_err(text).contains(part), "{text}");
        }
    }
}

//! What the log is told of a token that is refused, and a person of a key that does not fit.

use super::super::super::testkit::{TODAY, claim, options, public, sign, sign_with, today};
use super::super::*;
use super::{HS256, SECRET};
use Algorithm::{ES256, ES384, EdDSA, PS256, RS256};

#[track_caller]
fn check(token: &str, expected: &str) {
    let verifier = Verifier::new(options()).unwrap();
    let NotVerified::Refused(Refused::Invalid(why)) = verifier.verify(token, today()).unwrap_err() else {
        panic!("{token} is not invalid")
    };
    assert!(why.contains(expected), "{why}, expected {expected}");
}

#[test]
fn a_refused_token_is_told_by_its_fault() {
    let payload = format!(r#"{{"exp":{}}}"#, TODAY + 60);
    let good = sign(HS256, &payload);
    let parts: Vec<_> = good.split('.').collect();
    check(&parts[..2].join("."), "not three parts");
    check(&format!("{}.{}.*", parts[0], parts[1]), "a part is not base64url");
    check(&sign(HS256, "[]"), "is not an object");
    check(&sign(r#"{"alg":"HS512"}"#, &payload), "an algorithm that is not allowed");
    check(&sign(r#"{"alg":"none"}"#, &payload), "an algorithm that is not allowed");
    check(&sign_with(b"another secret of thirty-two byte", Algorithm::HS256, HS256, &payload), "not signed with a key");
    check(&sign(HS256, "{}"), "no usable `exp`");
    check(&sign(HS256, format!(r#"{{"exp":{},"aud":"others"}}"#, TODAY + 60)), "another audience");
    check(&format!("*.{}.{}", parts[1], parts[2]), "the header is not base64url");
    check(&sign("[]", &payload), "the header is not an object");
    check(&sign(r#"{"alg":"HS256","crit":[]}"#, &payload), "`crit`");
    check(&sign(r#"{"alg":"HS256","typ":"x"}"#, &payload), "`typ`");
    check(&sign(r#"{"alg":"HS256","kid":1}"#, &payload), "`kid`");
    check(&sign(HS256, format!(r#"{{"exp":{}}}"#, TODAY + 100_000)), "further ahead than `max_lifetime`");
    check(&sign(HS256, format!(r#"{{"exp":{},"iat":1}}"#, TODAY + 60)), "lasts longer than `max_lifetime`");
    check(&sign(HS256, format!(r#"{{"exp":{},"iat":{}}}"#, TODAY + 90, TODAY + 80)), "`iat` lies ahead");
    check(&sign(HS256, format!(r#"{{"exp":{},"nbf":{}}}"#, TODAY + 90, TODAY + 80)), "`nbf` lies ahead");
    check(&sign(HS256, format!(r#"{{"exp":{},"type":"refresh"}}"#, TODAY + 60)), "`verify.claims`");
    check(&sign(HS256, format!(r#"{{"exp":{},"nbf":-1}}"#, TODAY + 60)), "not a number of seconds");
}

#[test]
fn the_longest_kid_is_taken_and_a_longer_one_refused() {
    for (bytes, is_good) in [(256, true), (257, false)] {
        let header = format!(r#"{{"alg":"HS256","kid":"{}"}}"#, "k".repeat(bytes));
        let token = sign(header, format!(r#"{{"exp":{}}}"#, TODAY + 60));
        assert_eq!(Verifier::new(options()).unwrap().verify(&token, today()).is_ok(), is_good, "{bytes}");
    }
}

#[test]
fn the_largest_token_is_taken_and_a_larger_one_refused() {
    // Bytes of the payload that make a token of exactly so many: three of them are four of its letters.
    let sizes = (0..10).map(|more| {
        let text = format!(r#"{{"exp":{},"pad":"{}"}}"#, TODAY + 60, "x".repeat(6050 + more));
        let token = sign(HS256, text);
        let got = Verifier::new(options()).unwrap().verify(&token, today());
        assert_eq!(got.is_ok(), token.len() <= 8192, "{}", token.len());
        token.len()
    });
    let sizes: Vec<_> = sizes.collect();
    assert!(sizes.contains(&8192) && sizes.contains(&8193), "{sizes:?}");
}

#[test]
fn a_key_that_does_not_fit_says_what_it_is_for() {
    for (key, other, part) in [
        (RS256, ES256, "ES256: it is an RSA key, for RS256, RS384, RS512, PS256, PS384 and PS512"),
        (PS256, EdDSA, "EdDSA: it is an RSA key"),
        (ES256, RS256, "RS256: it is an EC key on P-256, for ES256"),
        (ES384, ES256, "ES256: it is an EC key on P-384, for ES384"),
        (EdDSA, ES256, "ES256: it is an Ed25519 key, for EdDSA"),
    ] {
        let key = KeyOptions::Public(public(key));
        let options = VerifyOptions { algorithms: vec![other], key, claims: vec![], ..options() };
        let error = Verifier::new(options).expect_err(part);
        assert!(error.contains(part), "{error}");
    }
    let secret = KeyOptions::Secret { secret: SECRET.to_vec(), allow_weak: false };
    let options =
        VerifyOptions { algorithms: vec![ES256], key: secret, claims: vec![(claim("a"), vec![])], ..options() };
    assert!(Verifier::new(options).unwrap_err().contains("a secret can't verify ES256"));
}

//! Attacks on tokens, by the number they have in the list of attack cases (group D), each tried with a secret and with
//! every kind of key where that makes a difference. What can't be tried here says why at the end.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::super::super::testkit::{SECRET, TODAY, claim, options, pem, public, sign_by, sign_with, today};
use super::super::*;
use Algorithm::{ES256, ES384, EdDSA, HS256, HS384, HS512, PS256, PS384, PS512, RS256, RS384, RS512};

/// Every algorithm that a table may name.
const ALL: [Algorithm; 12] = [HS256, HS384, HS512, RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, EdDSA];

/// A verifier that takes this algorithm alone.
fn only(algorithm: Algorithm) -> VerifyOptions {
    let options = VerifyOptions { algorithms: vec![algorithm], ..options() };
    match algorithm.family() {
        AlgorithmFamily::Hmac => options,
        _ => VerifyOptions { key: KeyOptions::Public(public(algorithm)), ..options },
    }
}

fn signed(algorithm: Algorithm, header: &str, payload: &str) -> String {
    match algorithm.family() {
        AlgorithmFamily::Hmac => sign_with(SECRET, algorithm, header, payload),
        _ => sign_by(algorithm, header, payload),
    }
}

fn payload(more: &str) -> String {
    format!(r#"{{"exp":{},"user_type":"patient"{more}}}"#, TODAY + 60)
}

fn named(algorithm: Algorithm) -> String {
    format!(r#"{{"alg":"{algorithm:?}"}}"#)
}

#[track_caller]
fn check(id: &str, options: VerifyOptions, token: &str, accepted: bool) {
    let verifier = Verifier::new(options).expect(id);
    let got = verifier.verify(token, today());
    assert_eq!(got.is_ok(), accepted, "{id}: {:?} of {}", got.err(), &token[..token.len().min(200)]);
}

#[test]
fn d01_d04_d05_the_algorithm_is_ours_to_choose() {
    for ours in ALL {
        check("a good token", only(ours), &signed(ours, &named(ours), &payload("")), true);
        for (id, header) in [
            ("D01", r#"{"alg":"none"}"#),
            ("D02", r#"{"alg":"None"}"#),
            ("D02", r#"{"alg":"nOnE"}"#),
            ("D02", r#"{"alg":"NONE "}"#),
            ("D02", r#"{"alg":""}"#),
            ("D02", r#"{"alg":null}"#),
            ("D02", r#"{"alg":["RS256"]}"#),
            ("D02", r#"{"typ":"JWT"}"#),
        ] {
            let token = signed(ours, header, &payload(""));
            check(id, only(ours), &token, false);
            let (message, _) = token.rsplit_once('.').unwrap();
            check(id, only(ours), &format!("{message}."), false);
        }
        // D04 and D05: well signed by an algorithm that is not listed, of another family or of the same key.
        for theirs in ALL.into_iter().filter(|theirs| *theirs != ours) {
            check("D04/D05", only(ours), &signed(theirs, &named(theirs), &payload("")), false);
            check("D04/D05", only(ours), &signed(theirs, &named(ours), &payload("")), false);
        }
    }
}

#[test]
fn a_public_key_in_hand_signs_nothing() {
    // The classic confusion (RFC 8725, 2.1): HMAC over what everybody can read.
    for ours in [RS256, PS256, ES256, EdDSA] {
        let public = match ours {
            ES256 => pem::P256,
            EdDSA => pem::ED25519,
            _ => pem::RSA_2048,
        };
        for header in [named(HS256), named(ours)] {
            let token = sign_with(public.as_bytes(), HS256, header, payload(""));
            check("RFC 8725, 2.1", only(ours), &token, false);
        }
    }
}

#[test]
fn d07_d10_a_token_is_three_parts_that_belong_together() {
    for ours in ALL {
        let (ana, eva) = (payload(r#","user_id":"7""#), payload(r#","user_id":"8""#));
        let (ana, eva) = (signed(ours, &named(ours), &ana), signed(ours, &named(ours), &eva));
        let (message, _) = ana.rsplit_once('.').unwrap();
        let (_, signature) = eva.rsplit_once('.').unwrap();
        check("D07", only(ours), &format!("{message}.{signature}"), false);
        check("D10", only(ours), &format!("{ana}.{signature}"), false);
        check("D10", only(ours), &format!("{ana}.{signature}.{signature}"), false);
        check("D10", only(ours), message, false);
    }
}

#[test]
fn d08_a_signature_of_nothing_signs_nothing() {
    let der = |r: u8, s: u8| vec![0x30, 6, 2, 1, r, 2, 1, s];
    for (ours, half) in [(ES256, 32), (ES384, 48), (EdDSA, 32)] {
        let mut one = vec![0; 2 * half];
        (one[half - 1], one[2 * half - 1]) = (1, 1);
        let good = signed(ours, &named(ours), &payload(""));
        let (message, signature) = good.rsplit_once('.').unwrap();
        let raw = URL_SAFE_NO_PAD.decode(signature).unwrap();
        let mut as_der = vec![0x30, u8::try_from(2 * half + 4).unwrap(), 2, u8::try_from(half).unwrap()];
        as_der.extend([&raw[..half], &[2, u8::try_from(half).unwrap()], &raw[half..]].concat());
        let swapped = [&raw[half..], &raw[..half]].concat();
        for bad in
            [vec![0; 2 * half], one, vec![0xff; 2 * half], der(0, 0), der(1, 1), as_der, swapped, vec![], vec![0]]
        {
            check("D08", only(ours), &format!("{message}.{}", URL_SAFE_NO_PAD.encode(bad)), false);
        }
    }
    for ours in [RS256, PS256] {
        let good = signed(ours, &named(ours), &payload(""));
        let (message, _) = good.rsplit_once('.').unwrap();
        for bad in [vec![0; 256], vec![0xff; 256], [&[0; 255][..], &[1]].concat(), vec![0; 255], vec![0; 257]] {
            check("D08", only(ours), &format!("{message}.{}", URL_SAFE_NO_PAD.encode(bad)), false);
        }
    }
}

#[test]
fn d11_to_d17_a_header_names_no_key_and_no_rule() {
    let long = format!(r#","kid":"{}""#, "k".repeat(300));
    for ours in ALL {
        for (id, more, accepted) in [
            ("D11", r#","kid":"../../dev/null""#, true),
            ("D11", r#","kid":"/proc/self/environ""#, true),
            ("D13", r#","kid":"""#, true),
            ("D13", r#","kid":7"#, false),
            ("D13", r#","kid":null"#, false),
            ("D13", r#","kid":["a"]"#, false),
            ("D13", r#","kid":"a","kid":"b""#, false),
            ("D13", &long, false),
            ("D16", r#","jku":"https://evil.example/keys","x5u":"https://evil.example/c""#, true),
            ("D17", r#","crit":["x"],"x":1"#, false),
            ("D17", r#","crit":["b64"],"b64":false"#, false),
            ("D17", r#","b64":false"#, false),
            ("D35", r#","cty":"JWT""#, false),
        ] {
            let header = format!(r#"{{"alg":"{ours:?}"{more}}}"#);
            check(id, only(ours), &signed(ours, &header, &payload("")), accepted);
            // D16: never a way to a key that is not ours.
            check(
                "D16",
                only(ours),
                &sign_with(b"a secret of the attacker, 32 bytes", HS256, &header, payload("")),
                false,
            );
        }
    }
    let own = r#"{"alg":"RS256","jwk":{"kty":"oct","k":"YQ"},"x5c":["MIIB"]}"#;
    check("D16", only(RS256), &sign_with(b"a", HS256, own, payload("")), false);
}

#[test]
fn d19_to_d26_times_audience_and_issuer() {
    fn is(text: &str) -> Vec<Expected> {
        vec![Expected::Is(text.into())]
    }
    let at = |seconds: i64| TODAY.saturating_add_signed(seconds);
    let leeway = || VerifyOptions { leeway: Duration::from_secs(30), ..options() };
    let aud = || VerifyOptions { claims: vec![(claim("aud"), is("hilum"))], ..options() };
    let iss = || VerifyOptions { claims: vec![(claim("iss"), is("https://issuer.example"))], ..options() };
    let huge = format!(r#""aud":[{}"hilum"]"#, r#""x","#.repeat(1000));
    for (id, options, claims, accepted) in [
        ("D19", options as fn() -> VerifyOptions, format!(r#""exp":{}"#, at(0)), false),
        ("D19", options, format!(r#""exp":{}"#, at(-1)), false),
        ("D19", options, format!(r#""exp":{}"#, at(1)), true),
        ("D19", leeway, format!(r#""exp":{}"#, at(-29)), true),
        ("D19", leeway, format!(r#""exp":{}"#, at(-30)), false),
        ("D20", options, r#""a":1"#.into(), false),
        ("D22", options, format!(r#""exp":{},"nbf":{}"#, at(60), at(1)), false),
        ("D22", options, format!(r#""exp":{},"nbf":"{}""#, at(60), at(-1)), false),
        ("D22", options, format!(r#""exp":{},"nbf":{}"#, at(60), at(0)), true),
        ("D23", options, format!(r#""exp":{},"iat":{}"#, at(90), at(60)), true),
        ("D23", options, format!(r#""exp":{},"iat":{}"#, at(90), at(61)), false),
        ("D23", options, format!(r#""exp":{},"iat":{}"#, at(60), at(60 - 86_400)), true),
        ("D23", options, format!(r#""exp":{},"iat":{}"#, at(60), at(59 - 86_400)), false),
        ("D23", options, format!(r#""exp":{},"iat":0"#, at(60)), false),
        ("D23", options, format!(r#""exp":{},"iat":"{}""#, at(60), at(-1)), false),
        ("D23", leeway, format!(r#""exp":{},"iat":{}"#, at(120), at(90)), true),
        ("D25", aud, format!(r#""exp":{}"#, at(60)), false),
        ("D25", aud, format!(r#""exp":{},"aud":"hilum""#, at(60)), true),
        ("D25", aud, format!(r#""exp":{},"aud":["x","hilum"]"#, at(60)), true),
        ("D25", aud, format!(r#""exp":{},{huge}"#, at(60)), true),
        ("D25", aud, format!(r#""exp":{},"aud":["x"]"#, at(60)), false),
        ("D25", aud, format!(r#""exp":{},"aud":[]"#, at(60)), false),
        ("D25", aud, format!(r#""exp":{},"aud":["hilum",7]"#, at(60)), false),
        ("D25", aud, format!(r#""exp":{},"aud":[["hilum"]]"#, at(60)), false),
        ("D25", aud, format!(r#""exp":{},"aud":"hilum ""#, at(60)), false),
        ("D25", aud, format!(r#""exp":{},"aud":"HILUM""#, at(60)), false),
        ("D25", aud, format!(r#""exp":{},"aud":{{"hilum":1}}"#, at(60)), false),
        ("D25", options, format!(r#""exp":{},"aud":"hilum""#, at(60)), false),
        ("D26", iss, format!(r#""exp":{}"#, at(60)), false),
        ("D26", iss, format!(r#""exp":{},"iss":"https://issuer.example""#, at(60)), true),
        ("D26", iss, format!(r#""exp":{},"iss":"https://issuer.example/""#, at(60)), false),
        ("D26", iss, format!(r#""exp":{},"iss":"https://issuer.exampl\u0435""#, at(60)), false),
        ("D26", iss, format!(r#""exp":{},"iss":["https://issuer.example"]"#, at(60)), false),
    ] {
        check(id, options(), &signed(HS256, &named(HS256), &format!("{{{claims}}}")), accepted);
    }
}

#[test]
fn d28_to_d35_what_a_payload_must_be() {
    let kib = format!(r#","sub":"{}""#, "x".repeat(8 * 1024));
    for ours in [HS256, RS256, ES256, EdDSA] {
        for (id, more, accepted) in [
            ("D28", r#","type":"refresh""#, false),
            ("D28", r#","type":"access""#, true),
            ("D29", r#","sub":"a","sub":"admin""#, false),
            ("D29", r#","user\u005ftype":"admin""#, false),
            // D31: a `sub` is a claim like others: what is made of it (a header, a path, a comparison) encodes or refuses it.
            ("D31", r#","sub":"""#, true),
            ("D31", r#","sub":null"#, true),
            ("D34", &kib, false),
        ] {
            check(id, only(ours), &signed(ours, &named(ours), &payload(more)), accepted);
        }
        let message = |payload: &[u8]| match ours.family() {
            AlgorithmFamily::Hmac => sign_with(SECRET, ours, named(ours), payload),
            _ => sign_by(ours, named(ours), payload),
        };
        let utf16: Vec<u8> = payload("").encode_utf16().flat_map(u16::to_le_bytes).collect();
        check("D32", only(ours), &message(&[b"\xff\xfe", &utf16[..]].concat()), false);
        check("D32", only(ours), &message(&[b"\xef\xbb\xbf", payload("").as_bytes()].concat()), false);
        check("D32", only(ours), &message(b"{\"exp\":1800000060,\"sub\":\"\xff\"}"), false);
        check("D35", only(ours), &message(signed(ours, &named(ours), &payload("")).as_bytes()), false);
    }
}

/// D14 and the key sets of D37 are tried where key sets are (`identity::keys`), D37 for one key in `verify::key`, D31 where
/// claims become headers (`identity::caller`) and paths (`template::line`). D38: nothing here hands out a payload that was
/// not verified, and `dangerous` functions of the crate are not named in this engine. D44: what a clock does is in the hands of
/// whoever sets it; every `now` comes in as a value.
#[test]
fn d38_no_payload_is_read_before_its_signature() {
    for source in [include_str!("../mod.rs"), include_str!("../header.rs"), include_str!("../key.rs")] {
        assert!(!source.contains("insecure_decode") && !source.contains("dangerous"));
    }
}

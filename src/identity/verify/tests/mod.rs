//! Tokens, good and bad, as text. Most bad ones here are accepted by `jsonwebtoken` itself or by a gateway of renown.

mod attacks;
mod reasons;

use super::super::testkit::{HS256, SECRET, TODAY, claim, options, secret, sign, sign_with, today};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::*;

const INVALID: Result<(), &str> = Err("invalid");
const EXPIRED: Result<(), &str> = Err("expired");

#[track_caller]
fn check_token(options: VerifyOptions, token: &str, expect: Result<(), &str>) {
    let verifier = Verifier::new(options).unwrap();
    let got = verifier.verify(token, today()).map(drop).map_err(|refused| match refused {
        NotVerified::KeyUnknown => "key unknown",
        NotVerified::Refused(Refused::Invalid(why)) => {
            assert!(!why.contains("patient") && !why.contains("none"), "quotes the token: {why}");
            "invalid"
        }
        NotVerified::Refused(Refused::Expired) => "expired",
        NotVerified::Refused(Refused::SessionUnknown) => "session",
    });
    assert_eq!(got, expect, "{}", &token[..token.len().min(300)]);
}

#[track_caller]
fn check_header(header: impl AsRef<[u8]>, expect: Result<(), &str>) {
    let good = format!(r#"{{"user_type":"patient","exp":{}}}"#, TODAY + 60);
    check_token(options(), &sign(header, good), expect);
}

#[track_caller]
fn check_payload(payload: impl AsRef<[u8]>, expect: Result<(), &str>) {
    check_token(options(), &sign(HS256, payload), expect);
}

fn good() -> String {
    sign(HS256, format!(r#"{{"user_type":"patient","exp":{}}}"#, TODAY + 60))
}

#[test]
fn headers_are_taken_only_when_understood() {
    for (header, expect) in [
        (HS256, Ok(())),
        (r#"{"alg":"HS256"}"#, Ok(())),
        (r#"{"alg":"HS256","typ":"jwt"}"#, Ok(())),
        (r#"{"alg":"HS256","typ":"AT+jwt"}"#, Ok(())),
        (r#"{"alg":"HS256","kid":"../../dev/null"}"#, Ok(())),
        (r#"{"alg":"HS256","jku":"http://evil/","x5u":"http://evil/"}"#, Ok(())),
        (r#"{"alg":"HS256","jwk":{"kty":"oct","k":"YQ"}}"#, Ok(())),
        (r#"{"alg":"HS256","typ":"nonsense"}"#, INVALID),
        (r#"{"alg":"HS256","typ":"application/at+jwt"}"#, INVALID),
        (r#"{"alg":"HS256","typ":1}"#, INVALID),
        (r#"{"alg":"HS256","typ":null}"#, INVALID),
        (r#"{"alg":"HS256","crit":["x"],"x":1}"#, INVALID),
        (r#"{"alg":"HS256","crit":[]}"#, INVALID),
        (r#"{"alg":"HS256","crit":null}"#, INVALID),
        (r#"{"alg":"HS256","crit":["b64"],"b64":false}"#, INVALID),
        (r#"{"alg":"HS256","b64":false}"#, INVALID),
        (r#"{"alg":"HS256","b64":true}"#, INVALID),
        (r#"{"alg":"HS256","zip":"DEF"}"#, INVALID),
        (r#"{"alg":"HS256","enc":"A128GCM"}"#, INVALID),
        (r#"{"alg":"HS256","cty":"JWT"}"#, INVALID),
        (r#"{"alg":"none"}"#, INVALID),
        (r#"{"alg":"None"}"#, INVALID),
        (r#"{"alg":"nOnE"}"#, INVALID),
        (r#"{"alg":"NONE "}"#, INVALID),
        (r#"{"alg":""}"#, INVALID),
        (r#"{"alg":null}"#, INVALID),
        (r#"{"alg":["HS256"]}"#, INVALID),
        (r#"{"alg":"hs256"}"#, INVALID),
        (r#"{"alg":"HS384"}"#, INVALID),
        (r#"{"alg":"RS256"}"#, INVALID),
        (r#"{"alg":"ES256"}"#, INVALID),
        (r#"{"alg":"ES512"}"#, INVALID),
        (r#"{"typ":"JWT"}"#, INVALID),
        (r#"{"alg":"HS256","alg":"HS256"}"#, INVALID),
        (r#"{"alg":"HS256","kid":"a","kid":"b"}"#, INVALID),
        (r#"{"alg":"HS256","x":1,"x":2}"#, INVALID),
        (r#"{"alg":"HS256","kid":7}"#, INVALID),
        (r#"["HS256"]"#, INVALID),
        (r#""HS256""#, INVALID),
        ("", INVALID),
        ("{", INVALID),
        (r#"{"alg":"HS256"} x"#, INVALID),
        ("\u{feff}{\"alg\":\"HS256\"}", INVALID),
    ] {
        check_header(header, expect);
    }
    check_header(format!(r#"{{"alg":"HS256","kid":"{}"}}"#, "k".repeat(70_000)), INVALID);
}

#[test]
fn the_end_of_a_token_is_its_second_rounded_down() {
    for (exp, expect) in [
        ("+1", Ok(())),
        ("+0", EXPIRED),
        ("-1", EXPIRED),
        ("+1.0", Ok(())),
        ("+1.999", Ok(())),
        ("+0.001", EXPIRED),
        ("+0.5", EXPIRED),
        ("+0.999", EXPIRED),
        ("-0.5", EXPIRED),
        ("+86400", Ok(())),
        ("+86400.999", Ok(())),
        ("+86401", INVALID),
    ] {
        let (whole, fraction) = exp.split_once('.').map_or((exp, String::new()), |(w, f)| (w, format!(".{f}")));
        let second = TODAY.saturating_add_signed(whole.parse().unwrap());
        check_payload(format!(r#"{{"exp":{second}{fraction}}}"#), expect);
    }
    for (exp, expect) in [
        ("0", EXPIRED),
        ("0.5", EXPIRED),
        ("1.8000001e9", Ok(())),
        ("1e10", INVALID),
        ("1e19", INVALID),
        ("1.8e19", INVALID),
        ("18446744073709551615", INVALID),
        ("1e300", INVALID),
        ("1e999", INVALID),
        ("-1", INVALID),
        ("-1.5", INVALID),
        ("NaN", INVALID),
        ("null", INVALID),
        ("true", INVALID),
        ("\"1800000060\"", INVALID),
        ("[1800000060]", INVALID),
        ("{}", INVALID),
    ] {
        check_payload(format!(r#"{{"exp":{exp}}}"#), expect);
    }
    check_payload(r#"{"user_type":"patient"}"#, INVALID);
}

#[test]
fn leeway_moves_both_ends() {
    let leeway = || VerifyOptions { leeway: Duration::from_secs(30), ..options() };
    for (payload, expect) in [
        (format!(r#"{{"exp":{}}}"#, TODAY - 29), Ok(())),
        (format!(r#"{{"exp":{}}}"#, TODAY - 30), EXPIRED),
        (format!(r#"{{"exp":{}}}"#, TODAY + 86_430), Ok(())),
        (format!(r#"{{"exp":{}}}"#, TODAY + 86_431), INVALID),
        (format!(r#"{{"exp":{},"nbf":{}}}"#, TODAY + 60, TODAY + 30), Ok(())),
        (format!(r#"{{"exp":{},"nbf":{}}}"#, TODAY + 60, TODAY + 31), INVALID),
    ] {
        check_token(leeway(), &sign(HS256, payload), expect);
    }
    let verifier = Verifier::new(leeway()).unwrap();
    assert_eq!(verifier.over(TODAY), TODAY + 30);
    assert_eq!(verifier.over(u64::MAX), u64::MAX);
    let verified = verifier.verify(&sign(HS256, format!(r#"{{"exp":{}.9}}"#, TODAY + 60)), today()).unwrap();
    assert_eq!(verified.expires, TODAY + 60);
}

#[test]
fn payloads_are_taken_only_when_unmistakable() {
    let exp = TODAY + 60;
    let deep = format!(r#"{{"exp":{exp},"a":{}{}}}"#, "[".repeat(200), "]".repeat(200));
    for (payload, expect) in [
        (format!(r#"{{"exp":{exp}}}"#), Ok(())),
        (format!(r#"{{"exp":{exp},"nbf":{TODAY}}}"#), Ok(())),
        (format!(r#"{{"exp":{exp},"nbf":{TODAY}.9}}"#), Ok(())),
        (format!(r#"{{"exp":{exp},"nbf":{}}}"#, TODAY + 1), INVALID),
        (format!(r#"{{"exp":{exp},"nbf":"{TODAY}"}}"#), INVALID),
        (format!(r#"{{"exp":{exp},"nbf":null}}"#), INVALID),
        (format!(r#"{{"exp":{exp},"nbf":-1}}"#), INVALID),
        (format!(r#"{{"exp":{exp},"exp":{exp}}}"#), INVALID),
        (format!(r#"{{"exp":{exp},"user_type":"patient","user_type":"doctor"}}"#), INVALID),
        (format!(r#"{{"exp":{exp},"user_type":"patient","user\u005ftype":"doctor"}}"#), INVALID),
        (format!(r#"{{"exp":{exp},"metadata":{{"reference_id":"1","reference_id":"2"}}}}"#), INVALID),
        (format!(r#"{{"exp":{exp},"aud":"somebody"}}"#), INVALID),
        (format!(r#"{{"exp":{exp},"aud":["somebody","else"]}}"#), INVALID),
        (format!(r#"{{"exp":{exp},"iss":"anybody"}}"#), Ok(())),
        (format!("[{exp},null,null,null,null]"), INVALID),
        (format!("{exp}"), INVALID),
        ("null".into(), INVALID),
        (String::new(), INVALID),
        (format!(r#"{{"exp":{exp}}} x"#), INVALID),
        (format!("\u{feff}{{\"exp\":{exp}}}"), INVALID),
        (deep, INVALID),
        (good(), INVALID),
    ] {
        check_payload(payload, expect);
    }
    check_payload(b"\xff\xfe{\"exp\":1800000060}", INVALID);
    check_payload([b"{\"exp\":1800000060,\"u\":\"\xff\"}".as_slice()].concat(), INVALID);
}

#[test]
fn a_token_is_exactly_one_text() {
    let good = good();
    check_token(options(), &good, Ok(()));
    let (message, signature) = good.rsplit_once('.').unwrap();
    let (header, payload) = message.split_once('.').unwrap();
    let (head, last) = signature.split_at(42);
    // The last symbol of 32 bytes carries two bits that are not part of them: their other values must not pass.
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let sibling = &alphabet[alphabet.find(last).unwrap() + 1..][..1];
    let flipped = if head.starts_with('A') { "B" } else { "A" };
    for bad in [
        String::new(),
        ".".into(),
        "..".into(),
        message.into(),
        format!("{message}."),
        format!("{message}.{head}"),
        format!("{message}.{head}{sibling}"),
        format!("{message}.{flipped}{}", &signature[1..]),
        format!("{message}.{signature}="),
        format!("{message}.{signature}A"),
        format!("{message}.+/{}", &signature[2..]),
        format!("{header}=.{payload}.{signature}"),
        format!("{header}.{payload}=.{signature}"),
        format!(".{good}"),
        format!("{good}."),
        format!("{good}.{signature}"),
        format!("{good}.{header}.{signature}"),
        format!(" {good}"),
        format!("{good} "),
        format!("{good}\t"),
        format!("{header} .{payload}.{signature}"),
        format!("{header}.\u{e9}{payload}.{signature}"),
        format!("{payload}.{header}.{signature}"),
        format!("{message}.{}", sign(HS256, "{}").rsplit_once('.').unwrap().1),
        sign_with(b"another secret of thirty-two byte", Algorithm::HS256, HS256, format!("{{\"exp\":{}}}", TODAY + 60)),
        sign_with(SECRET, Algorithm::HS512, HS256, format!("{{\"exp\":{}}}", TODAY + 60)),
    ] {
        check_token(options(), &bad, INVALID);
    }
}

#[test]
fn a_token_of_more_than_8_kib_is_refused() {
    let token_of = |len: usize| {
        // Four symbols carry three bytes, so the padding is tried until the length is right.
        (len / 2..len)
            .map(|pad| sign(HS256, format!(r#"{{"exp":{},"pad":"{}"}}"#, TODAY + 60, "x".repeat(pad))))
            .find(|token| token.len() >= len)
            .unwrap()
    };
    let at_most = token_of(MAX_TOKEN - 1);
    assert!(at_most.len() <= MAX_TOKEN, "{}", at_most.len());
    check_token(options(), &at_most, Ok(()));
    let over = token_of(MAX_TOKEN + 1);
    assert_eq!(
        Verifier::new(options()).unwrap().verify(&over, today()).unwrap_err(),
        Refused::Invalid("longer than 8 KiB").into()
    );
}

#[test]
fn the_listed_algorithms_of_one_secret_are_taken() {
    let all = || VerifyOptions { algorithms: vec![Algorithm::HS256, Algorithm::HS384, Algorithm::HS512], ..options() };
    for (algorithm, name) in [(Algorithm::HS256, "HS256"), (Algorithm::HS384, "HS384"), (Algorithm::HS512, "HS512")] {
        let payload = format!(r#"{{"exp":{}}}"#, TODAY + 60);
        let token = sign_with(SECRET, algorithm, format!(r#"{{"alg":"{name}"}}"#), &payload);
        check_token(all(), &token, Ok(()));
        let only_512 = VerifyOptions { algorithms: vec![Algorithm::HS512], ..options() };
        check_token(only_512, &token, if name == "HS512" { Ok(()) } else { INVALID });
    }
}

#[test]
fn claims_must_be_among_those_accepted() {
    let is = |text: &str| Expected::Is(text.into());
    for (claims, payload, expect) in [
        (vec![is("access"), Expected::Absent], r#""a":1"#, Ok(())),
        (vec![is("access"), Expected::Absent], r#""type":"access""#, Ok(())),
        (vec![is("access"), Expected::Absent], r#""type":"refresh""#, INVALID),
        (vec![is("access"), Expected::Absent], r#""type":"ACCESS""#, INVALID),
        (vec![is("access"), Expected::Absent], r#""type":"access ""#, INVALID),
        (vec![is("access"), Expected::Absent], r#""type":null"#, INVALID),
        (vec![is("access"), Expected::Absent], r#""type":["access"]"#, INVALID),
        (vec![is("access"), Expected::Absent], r#""type":{"access":1}"#, INVALID),
        (vec![is("access")], r#""a":1"#, INVALID),
        (vec![Expected::Absent], r#""type":"""#, INVALID),
        (vec![is("")], r#""type":"""#, Ok(())),
        (vec![is("")], r#""a":1"#, INVALID),
        (vec![is("7")], r#""type":7"#, Ok(())),
        (vec![is("7")], r#""type":7.0"#, INVALID),
        (vec![is("true")], r#""type":true"#, Ok(())),
        (vec![is("a"), is("b")], r#""type":"b""#, Ok(())),
    ] {
        let token = sign(HS256, format!(r#"{{"exp":{},{payload}}}"#, TODAY + 60));
        check_token(VerifyOptions { claims: vec![(claim("type"), claims)], ..options() }, &token, expect);
    }
    let both = vec![(claim("a"), vec![is("1")]), (claim("m.b"), vec![is("2")])];
    for (payload, expect) in
        [(r#""a":1,"m":{"b":2}"#, Ok(())), (r#""a":1,"m":{"b":3}"#, INVALID), (r#""a":1"#, INVALID)]
    {
        let token = sign(HS256, format!(r#"{{"exp":{},{payload}}}"#, TODAY + 60));
        check_token(VerifyOptions { claims: both.clone(), ..options() }, &token, expect);
    }
}

#[test]
fn the_example_of_the_rfc_is_accepted_in_its_time() {
    // RFC 7515, A.1: its header and payload hold line breaks, its key is 64 bytes, its `exp` 1300819380.
    let token = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    let secret = URL_SAFE_NO_PAD
        .decode("AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow")
        .unwrap();
    let verifier = Verifier::new(VerifyOptions { key: self::secret(&secret), ..options() }).unwrap();
    let at = |unix| verifier.verify(token, Now { unix, ..today() });
    assert_eq!(at(1_300_819_379).unwrap().claims.get("iss").unwrap(), "joe");
    assert_eq!(at(1_300_819_380).unwrap_err(), Refused::Expired.into());
}

#[test]
fn options_that_would_let_anybody_in_or_nobody_are_refused() {
    let with = |secret: &[u8], allow_weak| VerifyOptions {
        key: KeyOptions::Secret { secret: secret.to_vec(), allow_weak },
        ..options()
    };
    for (options, expect) in [
        (options(), Ok(false)),
        (with(SECRET, true), Ok(false)),
        (with(b"UDEM", true), Ok(true)),
        (with(b"UDEM", false), Err("the secret has 4 bytes and can be guessed")),
        (with(&[b'x'; 31], false), Err("the secret has 31 bytes")),
        (with(b"", true), Err("the secret is empty")),
        (with(b"\n-----BEGIN PUBLIC KEY-----\nMIIBIjANBgkqhkiG9w0B", false), Err("is a PEM key")),
        (VerifyOptions { algorithms: vec![], ..options() }, Err("no algorithm")),
        (
            VerifyOptions { algorithms: vec![Algorithm::HS256, Algorithm::RS256], ..options() },
            Err("a secret can't verify RS256"),
        ),
        (VerifyOptions { leeway: Duration::from_millis(1500), ..options() }, Err("whole seconds")),
        (VerifyOptions { max_lifetime: Duration::from_millis(999), ..options() }, Err("refuses every token")),
        (VerifyOptions { claims: vec![(claim("a.b"), vec![])], ..options() }, Err("the claim `a.b`")),
    ] {
        match (Verifier::new(options).map(|verifier| verifier.has_weak_secret()), expect) {
            (Ok(weak), expect) => assert_eq!(Ok(weak), expect),
            (Err(error), Err(part)) => assert!(error.contains(part) && !error.contains("UDEM"), "{error}"),
            (Err(error), Ok(_)) => panic!("{error}"),
        }
    }
}

#[test]
fn no_secret_is_shown() {
    let secret = b"sesame sesame sesame sesame sesame".to_vec();
    let options = VerifyOptions { key: self::secret(&secret), ..options() };
    let shown = format!("{options:?} {:?}", Verifier::new(options.clone()).unwrap());
    assert_eq!(shown, "VerifyOptions { algorithms: [HS256], .. } Verifier { algorithms: [HS256], .. }");
}

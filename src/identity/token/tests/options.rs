//! What a kind of token says of itself, and what of that could have no effect.

use prometheus::Registry;

use super::*;
use crate::identity::keys::{Fetch, KeySetOptions, KeySets};
use crate::identity::verify::KeyOptions;

struct Nowhere;

#[async_trait]
impl Fetch for Nowhere {
    async fn fetch(&self) -> Result<bytes::Bytes, String> {
        Err("nobody is asked".into())
    }
}

#[test]
fn a_token_says_what_of_a_request_is_its_own() {
    let header = || Source::Header { name: HeaderName::from_static("x-token"), scheme: "T".into() };
    let cookie = |name: &str| Source::Cookie { name: name.into() };
    let id = || vec![(HeaderName::from_static("x-user-id"), claim("user_id"))];
    // Where it comes from, and the headers, cookies and whether a browser sends it by itself.
    for (sources, headers, cookies, by_cookie) in [
        (vec![header()], "x-user-id x-token", "", false),
        (vec![cookie("a"), header(), cookie("b")], "x-user-id x-token", "a b", true),
        (vec![cookie("b")], "x-user-id", "b", true),
    ] {
        let options = TokenOptions { sources, identity: id(), cookie: None, ..options() };
        let token = Token::new(options, None, Arc::new(Slow::default()), metrics()).unwrap();
        assert_eq!(token.name(), "web");
        assert_eq!(token.own_headers().map(HeaderName::as_str).collect::<Vec<_>>().join(" "), headers);
        assert_eq!(token.own_cookies().collect::<Vec<_>>().join(" "), cookies);
        assert_eq!(token.comes_by_cookie(), by_cookie, "{cookies}");
    }
    let token = token();
    assert_eq!(token.own_cookies().collect::<Vec<_>>(), ["predicthealth_jwt"], "also where a login sets it");
    assert_eq!(token.find_all(&headers("bearer a\nbearer b\ncookie c")), ["a", "b", "c"]);
    assert_eq!(token.find(&headers("cookie c")), Presented::Found { token: "c", by: By::Cookie });
    assert!(!token.is_refreshed() && token.key_set().is_none());
}

#[test]
fn a_token_tells_a_weak_secret_and_published_keys() {
    let with = |key| {
        let algorithms = match &key {
            KeyOptions::Set(_) => vec![jsonwebtoken::Algorithm::ES256],
            _ => verify_options().algorithms,
        };
        let options = TokenOptions { verify: VerifyOptions { key, algorithms, ..verify_options() }, ..options() };
        Token::new(options, None, Arc::new(Slow::default()), metrics()).unwrap()
    };
    let weak = with(KeyOptions::Secret { secret: b"short".to_vec(), allow_weak: true });
    assert!(weak.has_weak_secret() && !token().has_weak_secret());
    let sets = KeySets::new(&Registry::new()).unwrap();
    let options = KeySetOptions { url: "https://issuer.example/keys".into(), refresh: 600 * SECOND };
    let set = sets.set(&options, || Box::new(Nowhere));
    assert!(with(KeyOptions::Set(set.clone())).key_set().is_some_and(|it| Arc::ptr_eq(it, &set)));
}

#[tokio::test]
async fn cookies_are_set_and_cleared_as_configured() {
    let token = token();
    let text = token_of("7", 900);
    let identity = token.verify(&text, today()).await.unwrap();
    assert_eq!(
        token.set_cookie(&identity, 900 * SECOND, today(), false).unwrap(),
        format!(
            "predicthealth_jwt={text}; Expires=Fri, 15 Jan 2027 08:15:00 GMT; Max-Age=900; HttpOnly; Path=/; SameSite=Lax"
        )
    );
    assert_eq!(
        token.clear_cookie(true).unwrap(),
        "predicthealth_jwt=; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Secure; HttpOnly; Path=/; SameSite=Lax"
    );
    let without =
        Token::new(TokenOptions { cookie: None, ..options() }, None, Arc::new(Slow::default()), metrics()).unwrap();
    assert_eq!(without.set_cookie(&identity, SECOND, today(), false), None);
    assert_eq!(without.clear_cookie(false), None);
}

#[test]
fn options_that_can_have_no_effect_are_refused() {
    let header = || Source::Header { name: AUTHORIZATION, scheme: "Bearer".into() };
    let id = HeaderName::from_static("x-user-id");
    for (options, why) in [
        (TokenOptions { sources: vec![], ..options() }, "looked for nowhere"),
        (TokenOptions { sources: vec![header(), header()], cookie: None, ..options() }, "written twice"),
        (TokenOptions { sources: vec![Source::Cookie { name: "a b".into() }], ..options() }, "`a b` is no cookie name"),
        (TokenOptions { sources: vec![header()], ..options() }, "never read"),
        (
            TokenOptions { identity: vec![(id.clone(), claim("a")), (id, claim("b"))], ..options() },
            "`x-user-id` would be written twice",
        ),
        (TokenOptions { identity: vec![(AUTHORIZATION, claim("a"))], ..options() }, "carries the token itself"),
        (TokenOptions { cached: 0, ..options() }, "at least one"),
        (
            TokenOptions { verify: VerifyOptions { key: secret(b""), ..verify_options() }, ..options() },
            "the secret is empty",
        ),
    ] {
        let error = Token::new(options, None, Arc::new(Slow::default()), metrics()).expect_err(why);
        assert!(error.contains(why), "{error}");
    }
}

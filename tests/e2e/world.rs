//! What the suites have in common: a gateway before one puppet service, tokens, and what a service must have seen.

use hilum_demo::token::{Claims, Key};

use crate::harness::{Gateway, Seen, Service, expect, puppet};

pub(crate) const SECRET: &str = "a secret of the tests that is long enough";

/// The token `web`, by header or by cookie, without sessions.
pub(crate) const TOKENS: &str = r#"
tokens:
  web:
    from: [{ header: Authorization, scheme: Bearer }, { cookie: jwt }]
    verify: { algorithms: [HS256], secret: "${SECRET}" }
    identity: { X-User-ID: user_id, X-User-Type: user_type, X-User-Email: email, X-User-Roles: roles, X-Reference: metadata.reference_id }
    cookie: { name: jwt }
"#;

/// A gateway with the service `a`, a puppet, and these routes.
pub(crate) async fn before_a_puppet(routes: &str) -> (Gateway, Service) {
    let service = Service::start(puppet).await;
    (before(&service, routes).await, service)
}

/// A gateway with the service `a` and these routes.
pub(crate) async fn before(service: &Service, routes: &str) -> Gateway {
    let routes = format!("version: 1\nservices: {{ a: {{ peers: [\"${{A}}\"] }} }}\n{routes}");
    Gateway::with(&routes).env("A", service.url()).env("SECRET", SECRET).start().await
}

/// The claims of the user 7.
pub(crate) fn claims(user_type: &str) -> Claims {
    Claims::new("7", user_type, "u7@example.org")
}

/// A good token of the user 7.
pub(crate) fn token(user_type: &str) -> String {
    sign(&claims(user_type))
}

pub(crate) fn sign(claims: &Claims) -> String {
    Key::new(SECRET).sign(claims)
}

/// A token with this payload, whatever it is.
pub(crate) fn sign_json(payload: &str) -> String {
    use base64::Engine;
    use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
    let signed = format!("{}.{}", BASE64.encode(r#"{"alg":"HS256","typ":"JWT"}"#), BASE64.encode(payload));
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, SECRET.as_bytes());
    format!("{signed}.{}", BASE64.encode(ring::hmac::sign(&key, signed.as_bytes())))
}

/// Seconds since 1970.
pub(crate) fn now() -> f64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("the clock is past 1970").as_secs_f64()
}

/// Sends each request, which must be answered with 200, and compares what the service saw with the expectation: the request
/// line without its version, then `name: value` or `!name` for each header that matters.
pub(crate) async fn sees(gateway: &Gateway, service: &Service, cases: &[(&str, &str)]) {
    for (request, expectation) in cases {
        let answer = gateway.send(request).await;
        expect(request, &answer, "200");
        let seen = service.last();
        let mut lines = expectation.lines().map(str::trim).filter(|line| !line.is_empty());
        let first = lines.next().expect("an expectation has a request line");
        let mut wrong: Vec<String> = lines.filter(|line| !has(&seen, line)).map(str::to_owned).collect();
        if format!("{} {}", seen.method, seen.target) != first {
            wrong.push(first.to_owned());
        }
        assert!(
            wrong.is_empty(),
            "\n{request}\nexpected: {}\nseen:\n{}",
            wrong.join("\n"),
            String::from_utf8_lossy(&seen.head)
        );
    }
}

/// Whether a line holds of a request: `name: value`, `!name` for none, `= text` for its body.
pub(crate) fn has(seen: &Seen, line: &str) -> bool {
    if let Some(name) = line.strip_prefix('!') {
        return seen.header(name).is_none();
    }
    if let Some(body) = line.strip_prefix('=') {
        return seen.body == body.trim_start().as_bytes();
    }
    let (name, value) = line.split_once(": ").unwrap_or_else(|| panic!("no expectation: {line}"));
    seen.header(name).is_some_and(|got| value == "*" || got == value)
}

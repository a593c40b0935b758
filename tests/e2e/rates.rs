//! How often: limits by client, header, claim and body, of all requests and of failures.

use crate::harness::*;
use crate::world::*;

const ROUTES: &str = r#"
routes:
  - { name: five, match: GET /five, auth: public, respond: { text: ok }, rate: [{ allow: 5/1m, key: client }], cors: { origins: ["https://a.example"] } }
  - { name: by-header, match: GET /by-header, auth: public, respond: { text: ok }, rate: [{ allow: 1/1m, key: { header: X-Key } }] }
  - { name: by-claim, match: GET /by-claim, auth: { token: web }, forward: { service: a, path: /echo }, rate: [{ allow: 2/1m, key: { claim: user_id } }] }
  - { name: by-body, match: /by-body, auth: public, forward: { service: a, path: /echo }, rate: [{ allow: 1/1m, key: { body: user.email } }], limits: { body: 1KiB } }
  - name: doctors
    match: GET /doctors
    auth: { token: web, claims: { user_type: doctor } }
    respond: { text: ok }
    rate: [{ allow: 2/1m, key: { claim: email }, count: failures }]
  - name: shaped
    match: GET /shaped
    auth: public
    respond: { text: ok }
    rate: [{ allow: 1/1h, key: client }]
    errors: { rate_limited: { json: { message: "{{ message }}", code: "{{ status }}" } } }
    messages: { rate_limited: Demasiados intentos }
  - group: together
    auth: public
    rate: [{ allow: 2/1m, key: client }]
    routes:
      - { name: one, match: GET /one, respond: { text: ok } }
      - { name: two, match: GET /two, respond: { text: ok } }
      - { name: own, match: GET /own, respond: { text: ok }, rate: [{ allow: 9/1m, key: client }] }
"#;

#[tokio::test]
async fn one_too_many_is_told_when_to_come_back() {
    let (gateway, service) = before_a_puppet(&format!("{TOKENS}{ROUTES}")).await;
    let preflight = "OPTIONS /five\nOrigin: https://a.example\nAccess-Control-Request-Method: GET";
    for n in 0..9 {
        expect(&format!("preflight {n}"), &gateway.send(preflight).await, "200");
    }
    for n in 0..5 {
        // Who is believed no proxy can't be another client by saying so.
        let answer = gateway.send(&format!("GET /five\nX-Forwarded-For: 192.0.2.{n}\nX-Real-IP: 192.0.2.{n}")).await;
        expect(&format!("number {n}"), &answer, "200");
    }
    let limited = gateway.send("GET /five\nX-Forwarded-For: 192.0.2.77").await;
    expect("number 6", &limited, "429 rate_limited");
    let wait: u64 = limited.header("retry-after").and_then(|v| v.parse().ok()).expect("seconds");
    assert!((1..=12).contains(&wait), "{wait}");
    check(
        &gateway,
        &[
            ("GET /shaped", "200"),
            ("GET /shaped", "429 rate_limited\n{\"message\":\"Demasiados intentos\",\"code\":429}\nretry-after: *"),
            (preflight, "200"),
        ],
    )
    .await;
    assert!(service.seen().is_empty());
    let metrics = gateway.metrics().await;
    assert_eq!(metrics.sum("hilum_rejections_total", &[("reason", "rate_limited")]), 2.0);
    assert_eq!(metrics.sum("hilum_rates_total", &[("result", "limited")]), 2.0);
    assert_eq!(metrics.sum("hilum_rates_total", &[("result", "allowed")]), 6.0);
}

#[tokio::test]
async fn a_header_a_claim_and_a_field_of_the_body_are_counted_each_by_its_value() {
    let (gateway, service) = before_a_puppet(&format!("{TOKENS}{ROUTES}")).await;
    let bearer = |user_type: &str| format!("Authorization: Bearer {}", token(user_type));
    let other = format!(
        "Authorization: Bearer {}",
        sign_json(&format!(r#"{{"user_id":"8","user_type":"patient","exp":{}}}"#, now() + 600.0))
    );
    let body = |text: &str| format!("POST /by-body\nContent-Type: application/json\n\n{text}");
    let limited = "429 rate_limited\nretry-after: *";
    check(
        &gateway,
        &[
            ("GET /by-header\nX-Key: a", "200"),
            ("GET /by-header\nX-Key: a", limited),
            ("GET /by-header\nX-Key: b", "200"),
            ("GET /by-header", "200"),
            ("GET /by-header", limited),
            ("GET /by-header\nX-Key: c\nX-Key: d", limited),
            // Nobody who proves nothing uses up what belongs to somebody.
            ("GET /by-claim", "401 token_missing"),
            (&format!("GET /by-claim\n{}", bearer("patient")), "200"),
            (&format!("GET /by-claim\n{}", bearer("doctor")), "200"),
            (&format!("GET /by-claim\n{}", bearer("patient")), limited),
            (&format!("GET /by-claim\n{other}"), "200"),
            (&body(r#"{"user":{"email":"ana@example.org"}}"#), "200\n~ ana@example.org"),
            (&body(r#"{"user":{"email":" ANA@example.org "}}"#), limited),
            (&body(r#"{"user":{"email":"bo@example.org"}}"#), "200"),
            (&body("{}"), "200"),
            (&body("[]"), limited),
            (&body(r#"{"user":{"email":"x","email":"y"}}"#), limited),
            (&body(&format!("\"{}\"", "x".repeat(2000))), "413 body_too_large"),
        ],
    )
    .await;
    assert_eq!(service.seen().len(), 6, "what is refused reaches no service");
}

#[tokio::test]
async fn behind_a_proxy_that_is_believed_each_of_its_clients_is_one() {
    let routes = r#"
version: 1
routes: [{ match: GET /, auth: public, respond: { text: ok }, rate: [{ allow: 1/1h, key: client }] }]
"#;
    let gateway = Gateway::with(routes).conf("trusted_proxies: [127.0.0.0/8]").start().await;
    let from = |address: &str| format!("GET /\nX-Forwarded-For: {address}");
    check(
        &gateway,
        &[
            (&from("192.0.2.1"), "200"),
            (&from("192.0.2.2"), "200"),
            (&from("192.0.2.1"), "429 rate_limited"),
            // What the client wrote itself stands further left and is not believed.
            (&from("198.51.100.7, 192.0.2.1"), "429 rate_limited"),
            (&from("2001:db8::1"), "200"),
            (&from("2001:db8::2"), "429 rate_limited"),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_limit_of_a_group_is_shared_by_its_routes() {
    let (gateway, _service) = before_a_puppet(&format!("{TOKENS}{ROUTES}")).await;
    check(
        &gateway,
        &[
            ("GET /one", "200"),
            ("GET /two", "200"),
            ("GET /one", "429 rate_limited"),
            ("GET /two", "429 rate_limited"),
            ("GET /own", "200"),
        ],
    )
    .await;
}

#[tokio::test]
async fn callers_of_the_wrong_kind_are_counted_and_the_right_ones_are_not() {
    let (gateway, _service) = before_a_puppet(&format!("{TOKENS}{ROUTES}")).await;
    let by = |user_type: &str| format!("GET /doctors\nAuthorization: Bearer {}", token(user_type));
    for _ in 0..5 {
        expect("a doctor", &gateway.send(&by("doctor")).await, "200");
    }
    let wrong = by("patient");
    check(&gateway, &[(&wrong, "403 claim_mismatch"), (&wrong, "403 claim_mismatch"), (&wrong, "429 rate_limited")])
        .await;
}

#[tokio::test]
async fn a_reload_keeps_the_counts_of_a_limit_that_did_not_change() {
    let (gateway, service) = before_a_puppet(&format!("{TOKENS}{ROUTES}")).await;
    check(&gateway, &[("GET /shaped", "200"), ("GET /one", "200"), ("GET /two", "200")]).await;
    let head = format!("version: 1\nservices: {{ a: {{ peers: [\"{}\"] }} }}", service.url());
    let more = "routes:\n  - { name: zero, match: GET /zero, auth: public, respond: { text: ok } }";
    gateway.edit(&format!("{head}\n{TOKENS}{}", ROUTES.replacen("routes:", more, 1).replace("9/1m", "1/1m")));
    expect("reload", &gateway.reload().await, "200");
    check(
        &gateway,
        &[
            ("GET /zero", "200"),
            ("GET /shaped", "429 rate_limited"),
            ("GET /two", "429 rate_limited"),
            ("GET /own", "200"),
            ("GET /own", "429 rate_limited"),
        ],
    )
    .await;
}

/// A sign-in before a service that is told in the path whether the password is right.
async fn before_a_sign_in(rate: &str) -> (Gateway, Service) {
    let service = sign_in_service().await;
    let routes = format!(
        r#"
{TOKENS}
routes:
  - name: login
    match: POST /login
    auth: public
    session: {{ login: {{ token: web, service: a, path: "/auth/{{query.outcome:-wrong}}" }} }}
    rate: [{rate}]
"#
    );
    let gateway = before(&service, &routes).await;
    (gateway, service)
}

/// Knows by the path whether the password is right.
async fn sign_in_service() -> Service {
    let token = token("patient");
    Service::start(move |seen| match seen.target == "/auth/right" {
        true => Reply::json(200, format!(r#"{{"access_token":"{token}"}}"#)),
        false => Reply::json(401, r#"{"detail":"wrong"}"#),
    })
    .await
}

fn sign_in(email: &str, password: &str) -> String {
    let outcome = if password == "right" { "right" } else { "wrong" };
    format!(
        "POST /login?outcome={outcome}\nContent-Type: application/json\n\n{{\"email\":\"{email}\",\"password\":\"{password}\"}}"
    )
}

const BY_ACCOUNT: &str = "{ allow: 10/1h, key: { body: email }, count: failures }";

#[tokio::test]
async fn ten_wrong_passwords_close_one_account_for_a_while_and_no_other() {
    let (gateway, service) = before_a_sign_in(BY_ACCOUNT).await;
    for n in 0..30 {
        expect(&format!("right {n}"), &gateway.send(&sign_in("ana@example.org", "right")).await, "200");
    }
    for (n, email) in ["ana@example.org", "ANA@example.org", " ana@Example.org "].iter().cycle().take(10).enumerate() {
        expect(&format!("wrong {n}"), &gateway.send(&sign_in(email, "wrong")).await, "401 login_refused");
    }
    // What is no sign-in at all is not one that failed.
    let no_json = "POST /login\nContent-Type: application/json\n\n[]";
    for _ in 0..12 {
        expect("no JSON", &gateway.send(no_json).await, "400 json_invalid");
    }
    check(
        &gateway,
        &[
            (&sign_in("ana@example.org", "wrong"), "429 rate_limited\nretry-after: *\n!set-cookie"),
            (&sign_in("aNa@example.org", "right"), "429 rate_limited\n!set-cookie"),
            (&sign_in("bo@example.org", "right"), "200"),
        ],
    )
    .await;
    assert_eq!(service.seen().len(), 41);
    assert!(!gateway.stderr().contains("ana@example.org"), "no account in a log");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_wrong_passwords_at_once_are_not_each_the_first() {
    let (gateway, service) = before_a_sign_in(BY_ACCOUNT).await;
    let gateway = std::sync::Arc::new(gateway);
    let mut guesses = tokio::task::JoinSet::new();
    for n in 0..100 {
        let (gateway, guess) = (gateway.clone(), sign_in("ana@example.org", &format!("guess {n}")));
        guesses.spawn(async move { gateway.send(&guess).await.status });
    }
    let mut statuses = within("a hundred answers", guesses.join_all()).await;
    statuses.sort_unstable();
    assert_eq!(service.seen().len(), 10);
    assert_eq!(statuses, [vec![401; 10], vec![429; 90]].concat());
}

#[tokio::test]
async fn one_address_can_not_try_one_password_on_every_account() {
    let (gateway, service) =
        before_a_sign_in(&format!("{BY_ACCOUNT}, {{ allow: 20/1h, key: client, count: failures }}")).await;
    for n in 0..20 {
        let answer = gateway.send(&sign_in(&format!("user{n}@example.org"), "wrong")).await;
        expect(&format!("account {n}"), &answer, "401 login_refused");
    }
    expect("one more", &gateway.send(&sign_in("user20@example.org", "wrong")).await, "429 rate_limited");
    assert_eq!(service.seen().len(), 20);
}

/// So much time that a busy machine of tests does not look like a Redis that is down.
const CONF: &str = "sessions: { redis: \"${REDIS_URL}\", timeout: 5s }";

async fn before_redis(redis: &Redis, service: &Service, rate: &str) -> Gateway {
    let routes = format!(
        r#"
version: 1
services: {{ a: {{ peers: ["${{A}}"] }} }}
{TOKENS}
routes:
  - {{ name: open, match: GET /open, auth: public, respond: {{ text: ok }}, rate: [{{ allow: 4/1h, key: client }}] }}
  - name: login
    match: POST /login
    auth: public
    session: {{ login: {{ token: web, service: a, path: "/auth/{{query.outcome:-wrong}}" }} }}
    rate: [{rate}]
"#
    );
    let gateway = Gateway::with(&routes).conf(CONF).env("A", service.url()).env("SECRET", SECRET);
    gateway.env("REDIS_URL", redis.url()).start().await
}

#[tokio::test]
async fn gateways_with_one_redis_count_together_and_without_it_each_for_itself() {
    let (mut redis, service) = (Redis::start().await, sign_in_service().await);
    let (one, two) =
        (before_redis(&redis, &service, BY_ACCOUNT).await, before_redis(&redis, &service, BY_ACCOUNT).await);
    for gateway in [&one, &two] {
        for _ in 0..2 {
            expect("four in all", &gateway.send("GET /open").await, "200");
        }
    }
    for gateway in [&one, &two] {
        let limited = gateway.send("GET /open").await;
        expect("one too many", &limited, "429 rate_limited");
        let wait: u64 = limited.header("retry-after").and_then(|v| v.parse().ok()).expect("seconds");
        assert!((890..=900).contains(&wait), "{wait}");
    }
    for n in 0..12 {
        let gateway = if n % 2 == 0 { &one } else { &two };
        expect(&format!("right {n}"), &gateway.send(&sign_in("ana@example.org", "right")).await, "200");
    }
    for n in 0..10 {
        let gateway = if n % 2 == 0 { &one } else { &two };
        expect(&format!("wrong {n}"), &gateway.send(&sign_in("Ana@example.org", "wrong")).await, "401 login_refused");
    }
    for gateway in [&one, &two] {
        expect("shut", &gateway.send(&sign_in("ana@example.org", "right")).await, "429 rate_limited");
    }
    let keys: Vec<String> = redis.run(&["KEYS", "*"]).await;
    assert_eq!(keys.len(), 2, "one for each limit: {keys:?}");
    for key in &keys {
        assert!(key.starts_with("hilum:rate:") && !key.contains("ana"), "{key}");
        let left: i64 = redis.run(&["PTTL", key]).await;
        assert!((1..=3_600_000).contains(&left), "it goes by itself: {left}");
    }
    assert_eq!(one.metrics().await.sum("hilum_rates_total", &[("result", "local")]), 0.0);
    redis.kill().await;
    for n in 0..4 {
        expect(&format!("for itself {n}"), &one.send("GET /open").await, "200");
    }
    expect("for itself", &one.send("GET /open").await, "429 rate_limited");
    expect("the other one", &two.send("GET /open").await, "200");
    assert_eq!(one.metrics().await.sum("hilum_rates_total", &[("result", "local")]), 5.0);
    redis.restart().await;
    // What is asked of an empty Redis is allowed again, as soon as it is asked.
    eventually("the gateways to count together again", async || {
        Some(one.send("GET /open").await).filter(|answer| answer.status == 200)
    })
    .await;
}

//! Sessions that go on: the cookie of a browser is renewed on the way, and nothing else is changed by it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use hilum_demo::token::Claims;

use crate::audit::Log;
use crate::harness::*;
use crate::world::*;

const ROUTES: &str = r#"
version: 1
services: { auth: { peers: ["${AUTH}"] }, a: { peers: ["${A}"] } }
tokens:
  web:
    from: [{ header: Authorization, scheme: Bearer }, { cookie: jwt }]
    verify: { algorithms: [HS256], secret: "${SECRET}" }
    session: { key: "access_token:{token}" }
    identity: { X-User-ID: user_id }
    cookie: { name: jwt }
    refresh: { before: 2m, service: auth, path: /auth/refresh, same: [user_id], max: 1h }
routes:
  - { name: login, match: POST /login, auth: public, session: { login: { token: web, service: auth, path: /auth/login } } }
  - { name: logout, match: POST /logout, auth: { token: web }, session: { logout: { token: web } } }
  - { name: show, match: GET /me, auth: { token: web }, session: { show: { token: web } }, audit: { resource: "session" } }
  - { name: cached, match: GET /cached, auth: { token: web }, cache_control: "public, max-age=60", respond: { text: x } }
  - { name: streamed, match: GET /records, auth: { token: web }, forward: { service: a } }
"#;

/// Gives out tokens: at sign-in one that lasts `first` seconds, then one of 900 s for each question.
#[derive(Default)]
struct Auth {
    first: u64,
    refreshed: AtomicUsize,
    /// Makes every token another one.
    given: AtomicU64,
}

fn token_for(seconds: u64, more: u64) -> String {
    let mut claims = claims("patient");
    claims.exp =
        (Claims::new("7", "patient", "u@example.org").exp - 900.0).floor() + seconds as f64 + more as f64 / 1e6;
    sign(&claims)
}

impl Auth {
    fn answer(&self, seen: &Seen) -> Reply {
        let n = self.given.fetch_add(1, SeqCst);
        let (seconds, refresh) = if seen.target == "/auth/login" {
            (self.first, "null".to_owned())
        } else {
            self.refreshed.fetch_add(1, SeqCst);
            (900, format!("\"r{n}\""))
        };
        let token = token_for(seconds, n);
        Reply::json(200, format!(r#"{{"access_token":"{token}","expires_in":{seconds},"refresh_token":{refresh}}}"#))
    }
}

struct World {
    log: Log,
    gateway: Gateway,
    auth: Service,
    given: Arc<Auth>,
    _a: Service,
}

/// A gateway that is to have an audit log.
fn before(auth: &Service, a: &Service) -> Builder {
    let gateway = Gateway::with(ROUTES).env("AUTH", auth.url()).env("A", a.url());
    gateway.env("SECRET", SECRET).env("HILUM_AUDIT_KEY", AUDIT_KEY)
}

async fn world(first: u64) -> World {
    let given = Arc::new(Auth { first, ..Auth::default() });
    let answers = given.clone();
    let auth = Service::start(move |seen| answers.answer(seen)).await;
    let a = Service::always(Reply::json(200, "{}")).await;
    let log = Log::new();
    let gateway = before(&auth, &a).conf(&log.conf("")).start().await;
    World { log, gateway, auth, given, _a: a }
}

const LOGIN: &str = "POST /login\nContent-Type: application/json\n\n{\"email\":\"u@example.org\",\"password\":\"p\"}";

/// The token in the cookie that an answer sets.
fn cookie(answer: &Response) -> Option<String> {
    let set = answer.header("set-cookie")?;
    let value = set.strip_prefix("jwt=")?.split(';').next()?;
    (!value.is_empty()).then(|| value.to_owned())
}

fn with(line: &str, token: &str) -> String {
    format!("{line}\nCookie: jwt={token}\nSec-Fetch-Site: same-origin")
}

#[tokio::test]
async fn every_answer_to_a_token_that_runs_out_carries_the_next_cookie() {
    let it = world(100).await;
    let old = cookie(&it.gateway.send(LOGIN).await).expect("a cookie");
    let first = it.gateway.send(&with("GET /records", &old)).await;
    expect("streamed", &first, "200\nset-cookie: *\ncache-control: private, no-store");
    let next = cookie(&first).expect("a cookie");
    assert_ne!(next, old);
    for line in ["GET /records", "GET /me", "GET /cached"] {
        let answer = it.gateway.send(&with(line, &old)).await;
        expect(line, &answer, "200\ncache-control: private, no-store");
        assert_eq!(cookie(&answer).as_deref(), Some(&*next), "{line}");
        expect("not due", &it.gateway.send(&with(line, &next)).await, "200\n!set-cookie");
    }
    let bearer = format!("GET /me\nAuthorization: Bearer {old}");
    expect("bearer", &it.gateway.send(&bearer).await, "200\n!set-cookie");
    assert_eq!(it.given.refreshed.load(SeqCst), 1);
    let asked = it.auth.last();
    assert_eq!(asked.header("authorization"), Some(format!("Bearer {old}")), "there was no refresh token yet");
    assert_eq!(asked.body, b"{}");
    let after = it.gateway.send(&with("POST /logout", &next)).await;
    expect("logout", &after, "200\nset-cookie: *");
    assert_eq!(cookie(&after), None, "it takes the cookie away");
    for token in [&old, &next] {
        expect("both are over", &it.gateway.send(&with("GET /me", token)).await, "401 session_unknown");
    }
    it.gateway.counts("hilum_sessions_total", &[("event", "refreshed")], |count| count == 1.0).await;
}

#[tokio::test]
async fn each_refresh_has_one_record_that_names_the_old_session_and_the_new_one() {
    let mut it = world(100).await;
    let old = cookie(&it.gateway.send(LOGIN).await).expect("a cookie");
    // Whoever begins it does not wait for it.
    let mut gone = it.gateway.connect().await;
    gone.write(&message(&with("GET /records\nX-Request-ID: gone", &old))).await;
    drop(gone);
    it.gateway.counts("hilum_sessions_total", &[("event", "refreshed")], |count| count == 1.0).await;
    let next = cookie(&it.gateway.send(&with("GET /me\nX-Request-ID: by-old", &old)).await).expect("a cookie");
    for _ in 0..3 {
        it.gateway.send(&with("GET /records", &old)).await;
    }
    expect("by the next", &it.gateway.send(&with("GET /me\nX-Request-ID: by-next", &next)).await, "200");
    it.gateway.stop().await;
    let records = it.log.records();
    let refreshed: Vec<_> = records.iter().filter(|record| record["event"] == "refresh").collect();
    assert_eq!(refreshed.len(), 1, "{refreshed:#?}");
    let by = |id: &str| records.iter().find(|record| record["request_id"] == id).expect("it is recorded");
    assert_eq!(refreshed[0]["session"], by("by-old")["session"]);
    assert_eq!(refreshed[0]["new_session"], by("by-next")["session"]);
    assert_ne!(refreshed[0]["session"], refreshed[0]["new_session"]);
    assert_eq!(
        (&refreshed[0]["request_id"], &refreshed[0]["user_id"], &refreshed[0]["outcome"]),
        (&"gone".into(), &"7".into(), &"success".into())
    );
}

#[tokio::test]
async fn a_sign_out_with_a_token_that_runs_out_brings_no_new_cookie() {
    let it = world(100).await;
    let old = cookie(&it.gateway.send(LOGIN).await).expect("a cookie");
    let after = it.gateway.send(&with("POST /logout", &old)).await;
    expect("logout", &after, "200\nset-cookie: *");
    assert_eq!(cookie(&after), None, "it takes the cookie away");
    assert_eq!(it.given.refreshed.load(SeqCst), 0);
}

#[tokio::test]
async fn a_service_that_gives_no_token_costs_a_request_nothing_but_a_moment() {
    for (says, most) in [
        (Reply::json(500, "{}"), Duration::from_millis(500)),
        (Reply::json(404, "{}"), Duration::from_millis(500)),
        (Reply::json(200, "{}"), Duration::from_millis(500)),
        (Reply::json(200, format!(r#"{{"access_token":"{}"}}"#, token_for(50, 0))), Duration::from_millis(500)),
        (Reply::new().pause(20_000), Duration::from_millis(1500)),
    ] {
        let token = token_for(100, 7);
        let login = format!(r#"{{"access_token":"{token}","expires_in":100}}"#);
        let auth = Service::start(move |seen| match &*seen.target {
            "/auth/login" => Reply::json(200, &login),
            _ => says.clone(),
        })
        .await;
        let a = Service::always(Reply::json(200, "{}")).await;
        let gateway = before(&auth, &a).audited().start().await;
        let token = cookie(&gateway.send(LOGIN).await).expect("a cookie");
        let asked = Instant::now();
        expect("in hand", &gateway.send(&with("GET /records", &token)).await, "200\n!set-cookie");
        assert!(asked.elapsed() < most, "{:?}", asked.elapsed());
        for _ in 0..10 {
            expect("afterwards", &gateway.send(&with("GET /me", &token)).await, "200\n!set-cookie");
        }
        let questions = auth.seen().iter().filter(|seen| seen.target == "/auth/refresh").count();
        assert_eq!(questions, 1);
    }
}

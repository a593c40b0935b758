//! Two gateways over one Redis, and very many sessions that come due at the same time.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Instant;

use hilum_demo::token::{Claims, Key};

use crate::harness::{Client, Gateway, Redis, Reply, Seen, Service};

const SECRET: &str = "a secret of the tests that is long enough";
const ROUTES: &str = r#"
version: 1
services: { auth: { peers: ["${AUTH}"] } }
tokens:
  web:
    from: [{ header: Authorization, scheme: Bearer }, { cookie: jwt }]
    verify: { algorithms: [HS256], secret: "${SECRET}" }
    session: { key: "access_token:{token}" }
    identity: { X-User-ID: user_id }
    cookie: { name: jwt }
    refresh: { before: 10m, service: auth, path: /auth/refresh, same: [user_id] }
routes:
  - { name: login, match: "POST /login/{user}", auth: public, session: { login: { token: web, service: auth, path: "/auth/login/{user}" } } }
  - { name: logout, match: POST /logout, auth: public, session: { logout: { token: web } } }
  - { name: show, match: GET /me, auth: { token: web }, session: { show: { token: web } } }
"#;
const SESSIONS: usize = 10_000;
/// Connections that ask at the same time, on each gateway.
const CLIENTS: usize = 32;

/// A sign-in is for five minutes and the next token for fifteen, so every session is due from its first request on.
fn auth(key: &Key, refreshed: &AtomicUsize, seen: &Seen) -> Reply {
    let signs_in = seen.target.strip_prefix("/auth/login/");
    let user = match signs_in {
        Some(user) => user.to_owned(),
        None => {
            refreshed.fetch_add(1, SeqCst);
            let token = seen.header("authorization").expect("a token").replace("Bearer ", "");
            key.verify(&token).map(|claims| claims.user_id).unwrap_or_default()
        }
    };
    let mut claims = Claims::new(&user, "patient", "u@example.org");
    if signs_in.is_some() {
        claims.exp -= 600.0;
    }
    Reply::json(200, format!(r#"{{"access_token":"{}"}}"#, key.sign(&claims)))
}

/// Sends each request on one of several connections → the tokens in the cookies of the answers, all of which are 200.
async fn all(gateway: &Gateway, requests: &[String]) -> Vec<Option<String>> {
    let share = requests.len().div_ceil(CLIENTS);
    let mut clients = tokio::task::JoinSet::new();
    for (at, requests) in requests.chunks(share).enumerate() {
        let (address, requests) = (gateway.address(), requests.to_vec());
        clients.spawn(async move {
            let mut client = Client::connect(address).await;
            let mut got = Vec::new();
            for request in &requests {
                let answer = client.send(request).await;
                assert_eq!(answer.status, 200, "{request}");
                let cookie = answer.header("set-cookie").and_then(|it| it.strip_prefix("jwt=").map(str::to_owned));
                got.push(cookie.map(|it| it.split(';').next().unwrap_or_default().to_owned()));
            }
            (at, got)
        });
    }
    let mut parts = clients.join_all().await;
    parts.sort_by_key(|(at, _)| *at);
    parts.into_iter().flat_map(|(_, got)| got).collect()
}

fn me(token: &str) -> String {
    format!("GET /me\nCookie: jwt={token}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_sessions_that_come_due_at_once_are_refreshed_once_each_over_two_gateways() {
    let redis = Redis::start().await;
    let refreshed = Arc::new(AtomicUsize::new(0));
    let (key, count) = (Key::new(SECRET), refreshed.clone());
    let service = Service::start(move |seen| auth(&key, &count, seen)).await;
    let start = async || {
        let gateway = Gateway::with(ROUTES).conf("sessions: { redis: \"${REDIS_URL}\", timeout: 2s }");
        let gateway =
            gateway.env("REDIS_URL", redis.url()).env("AUTH", service.url()).env("SECRET", SECRET).start().await;
        gateway.counts("hilum_session_stream_up", &[], |up| up == 1.0).await;
        gateway
    };
    let (one, two) = (start().await, start().await);
    let logins: Vec<_> =
        (0..SESSIONS).map(|n| format!("POST /login/user-{n}\nContent-Type: application/json\n\n{{}}")).collect();
    let old: Vec<String> = all(&one, &logins).await.into_iter().map(|it| it.expect("a cookie")).collect();

    // Each session on both gateways at the same time; and again, as if no cookie had arrived.
    let requests: Vec<_> = old.iter().map(|token| me(token)).collect();
    let begun = Instant::now();
    let (a, b) = tokio::join!(all(&one, &requests), all(&two, &requests));
    let took = begun.elapsed();
    let (c, d) = tokio::join!(all(&two, &requests), all(&one, &requests));
    println!("{SESSIONS} sessions due at once on two gateways: {} questions, {took:?}", refreshed.load(SeqCst));
    assert_eq!(refreshed.load(SeqCst), SESSIONS, "one question for each");
    let mut next = HashMap::new();
    for n in 0..SESSIONS {
        let given = c[n].as_ref().expect("a lost cookie is sent again");
        for other in [&a, &b, &d] {
            assert!(other[n].as_ref().is_none_or(|it| it == given), "session {n} has two successors");
        }
        assert!(d[n].is_some() && (a[n].is_some() || b[n].is_some()), "session {n}");
        next.insert(n, given.clone());
    }
    let late = a.iter().chain(&b).filter(|it| it.is_none()).count();
    println!(
        "{late} of {} answers went without the cookie, because its refresh was not over within a second",
        2 * SESSIONS
    );

    // Both tokens of every session are good on both gateways until somebody signs out, by either.
    for n in [0, SESSIONS / 2, SESSIONS - 1] {
        let (mut x, mut y) = (Client::connect(one.address()).await, Client::connect(two.address()).await);
        let (before, after) = (&old[n], &next[&n]);
        for client in [&mut x, &mut y] {
            for token in [before, after] {
                assert_eq!(client.send(&me(token)).await.status, 200);
            }
        }
        let leaves = if n == 0 { before } else { after };
        let logout = format!("POST /logout\nAuthorization: Bearer {leaves}\nContent-Length: 0");
        assert_eq!(x.send(&logout).await.status, 200);
        for token in [before, after] {
            assert_eq!(x.send(&me(token)).await.status, 401);
            let asked = Instant::now();
            while y.send(&me(token)).await.status != 401 {
                assert!(asked.elapsed().as_secs() < 2, "beyond max_staleness");
            }
        }
    }
}

//! Sessions in a real Redis, which is killed, frozen, paused, emptied and cut off. Nobody gets in who should not, nobody is signed
//! out by an outage, and it is over when Redis is back.

use std::time::{Duration, Instant};

use crate::harness::*;
use crate::world::*;

const ROUTES: &str = r#"
version: 1
services: { auth: { peers: ["${AUTH}"] } }
tokens:
  web:
    from: [{ header: Authorization, scheme: Bearer }, { cookie: jwt }]
    verify: { algorithms: [HS256], secret: "${SECRET}" }
    session: { key: "access_token:{token}", max_staleness: 1s }
    cookie: { name: jwt }
routes:
  - { name: socket, match: GET /socket, auth: { token: web }, limits: { time: none }, forward: { service: auth } }
  - { name: login, match: POST /login, auth: public, session: { login: { token: web, service: auth, path: /auth/login } } }
  - { name: logout, match: POST /logout, auth: public, session: { logout: { token: web } } }
  - { name: show, match: GET /me, auth: { token: web }, session: { show: { token: web } } }
  - { name: greet, match: GET /greet, auth: { token: web, optional: true }, respond: { text: x } }
  - { name: open, match: GET /open, auth: public, respond: { json: { open: true } } }
"#;

/// Answers within this, whatever Redis does: 250 ms, and in a debug build what that and a busy machine of tests add.
const SOON: Duration = Duration::from_millis(if cfg!(debug_assertions) { 400 } else { 250 });

async fn before_redis(redis: &Redis, token: &str) -> (Gateway, Service) {
    let answer = format!(r#"{{"access_token":"{token}","token_type":"bearer","expires_in":900}}"#);
    let auth = Service::always(Reply::json(200, answer)).await;
    let conf = "sessions: { redis: \"${REDIS_URL}\" }";
    let gateway = Gateway::with(ROUTES).conf(conf).env("AUTH", auth.url()).env("SECRET", SECRET);
    let gateway = gateway.env("REDIS_URL", redis.url()).start().await;
    hears(&gateway).await;
    (gateway, auth)
}

/// Waits until Redis tells this gateway of changes.
async fn hears(gateway: &Gateway) {
    gateway.counts("hilum_session_stream_up", &[], |up| up == 1.0).await;
}

fn me(token: &str) -> String {
    format!("GET /me\nCookie: jwt={token}")
}

fn of(user: &str) -> String {
    sign(&hilum_demo::token::Claims::new(user, "patient", "u@example.org"))
}

/// Puts a session as PredictHealth's own programs do.
async fn put(redis: &Redis, token: &str) {
    redis.run::<()>(&["SETEX", &format!("access_token:{token}"), "900", token]).await;
}

const LOGIN: &str = "POST /login\nContent-Type: application/json\n\n{\"email\":\"u@example.org\",\"password\":\"p\"}";

/// Asks with an uncached token of its own each time, and wants the outage told as one: soon, and no cookie cleared.
async fn says_unavailable(gateway: &Gateway, token: &str) {
    let asked = Instant::now();
    let answer = gateway.send(&me(token)).await;
    let took = asked.elapsed();
    expect("outage", &answer, "503 store_unavailable\nretry-after: *\n!set-cookie");
    assert!(took < SOON, "{took:?}");
}

/// Two sessions, of which the gateway has seen the first.
async fn before_an_outage(redis: &Redis) -> (Gateway, Service, String, String) {
    let (cached, fresh) = (of("1"), of("2"));
    let (gateway, auth) = before_redis(redis, &of("7")).await;
    put(redis, &cached).await;
    put(redis, &fresh).await;
    check(&gateway, &[(&me(&cached), "200")]).await;
    (gateway, auth, cached, fresh)
}

/// Everything that holds while Redis does not answer, and afterwards. `cached` was seen before, `fresh` never.
async fn outage(gateway: &Gateway, cached: &str, fresh: &str) {
    let since = Instant::now();
    says_unavailable(gateway, fresh).await;
    let logout = gateway.send(&format!("POST /logout\nCookie: jwt={fresh}")).await;
    expect("logout", &logout, "503 store_unavailable\n!set-cookie");
    expect("login", &gateway.send(LOGIN).await, "503 store_unavailable\n!set-cookie");
    check(
        gateway,
        &[
            ("GET /open", "200"),
            ("GET /me", "401 token_missing"),
            ("GET /me\nCookie: jwt=x", "401 token_invalid"),
            // Who could not be looked up is not nobody.
            ("GET /greet", "200"),
            (&format!("GET /greet\nCookie: jwt={fresh}"), "503 store_unavailable\n!set-cookie"),
        ],
    )
    .await;
    // Believed for `max_staleness` after the last proof, and not longer.
    eventually("the cached session to be doubted", async || {
        let answer = gateway.send(&me(cached)).await;
        assert!([200, 503].contains(&answer.status), "{answer:?}");
        assert!(answer.header("set-cookie").is_none());
        (answer.status == 503).then_some(())
    })
    .await;
    assert!(since.elapsed() < Duration::from_secs(1) + SOON + SOON, "{:?}", since.elapsed());
    says_unavailable(gateway, cached).await;
}

/// Redis has been back since `since`: within a second everything is as it was.
async fn recovers(gateway: &Gateway, since: Instant, token: &str, expected: u16) {
    eventually("the gateway to recover", async || {
        let answer = gateway.send(&me(token)).await;
        assert!([expected, 503].contains(&answer.status), "{answer:?}");
        (answer.status == expected).then_some(())
    })
    .await;
    assert!(since.elapsed() < Duration::from_secs(1), "{:?}", since.elapsed());
}

#[tokio::test]
async fn a_session_is_predicthealths_key_and_value_and_is_seen_by_every_gateway() {
    let redis = Redis::start().await;
    let token = of("7");
    let (one, _auth) = before_redis(&redis, &token).await;
    let (two, _other) = before_redis(&redis, &token).await;
    check(&one, &[(&me(&token), "401 session_unknown"), (LOGIN, "200\nset-cookie: *")]).await;
    let key = format!("access_token:{token}");
    assert_eq!(redis.run::<String>(&["GET", &key]).await, token);
    let left: i64 = redis.run(&["TTL", &key]).await;
    assert!((890..=900).contains(&left), "{left}");
    check(&one, &[(&me(&token), "200")]).await;
    check(&two, &[(&me(&token), "200")]).await;
    // Used again and again, it is asked for no more and lives no longer.
    let asked = redis.calls(&["get", "strlen", "pttl", "expire", "pexpire", "set"]).await;
    for _ in 0..200 {
        check(&one, &[(&me(&token), "200")]).await;
    }
    assert_eq!(redis.calls(&["get", "strlen", "pttl", "expire", "pexpire", "set"]).await, asked);
    check(&two, &[(&format!("POST /logout\nCookie: jwt={token}"), "200\nset-cookie: *jwt=;*")]).await;
    eventually("the other gateway to hear of it", async || (one.send(&me(&token)).await.status == 401).then_some(()))
        .await;
    assert!(!redis.run::<bool>(&["EXISTS", &key]).await);
    // Another program signs somebody in, and out.
    put(&redis, &token).await;
    check(&one, &[(&me(&token), "200")]).await;
    redis.run::<()>(&["DEL", &key]).await;
    eventually("the gateway to hear of it", async || (one.send(&me(&token)).await.status == 401).then_some(())).await;
}

#[tokio::test]
async fn a_session_ends_when_its_time_runs_out_and_what_is_no_session_is_none() {
    let redis = Redis::start().await;
    let (gateway, _auth) = before_redis(&redis, &of("7")).await;
    let (short, list, empty) = (of("1"), of("2"), of("3"));
    redis.run::<()>(&["SET", &format!("access_token:{short}"), &short, "PX", "300"]).await;
    redis.run::<()>(&["RPUSH", &format!("access_token:{list}"), "x"]).await;
    redis.run::<()>(&["SET", &format!("access_token:{empty}"), ""]).await;
    check(&gateway, &[(&me(&short), "200"), (&me(&list), "401 session_unknown"), (&me(&empty), "401 session_unknown")])
        .await;
    eventually("its end", async || (gateway.send(&me(&short)).await.status == 401).then_some(())).await;
    // Everything at once.
    put(&redis, &short).await;
    check(&gateway, &[(&me(&short), "200")]).await;
    redis.run::<()>(&["FLUSHALL"]).await;
    eventually("the flush", async || (gateway.send(&me(&short)).await.status == 401).then_some(())).await;
}

#[tokio::test]
async fn redis_is_killed_and_comes_back_empty() {
    let mut redis = Redis::start().await;
    let (gateway, _auth, cached, fresh) = before_an_outage(&redis).await;
    redis.kill().await;
    outage(&gateway, &cached, &fresh).await;
    redis.restart().await;
    recovers(&gateway, Instant::now(), &cached, 401).await;
    put(&redis, &cached).await;
    check(&gateway, &[(&me(&cached), "200"), (&me(&fresh), "401 session_unknown"), (LOGIN, "200")]).await;
    hears(&gateway).await;
}

#[tokio::test]
async fn redis_is_frozen_and_goes_on() {
    let redis = Redis::start().await;
    let (gateway, _auth, cached, fresh) = before_an_outage(&redis).await;
    redis.freeze();
    outage(&gateway, &cached, &fresh).await;
    redis.thaw();
    recovers(&gateway, Instant::now(), &cached, 200).await;
    check(
        &gateway,
        &[
            (&me(&fresh), "200"),
            (&format!("POST /logout\nCookie: jwt={fresh}"), "200"),
            (&me(&fresh), "401 session_unknown"),
        ],
    )
    .await;
}

#[tokio::test]
async fn redis_is_paused_and_goes_on() {
    let redis = Redis::start().await;
    let (gateway, _auth, cached, fresh) = before_an_outage(&redis).await;
    let pause = Duration::from_secs(4);
    let over = Instant::now() + pause;
    redis.run::<()>(&["CLIENT", "PAUSE", &pause.as_millis().to_string(), "ALL"]).await;
    outage(&gateway, &cached, &fresh).await;
    // Redis keeps the time itself and answers nobody before.
    tokio::time::sleep_until(over.into()).await;
    recovers(&gateway, over, &cached, 200).await;
}

#[tokio::test]
async fn connections_to_redis_are_cut_and_nobody_notices() {
    let redis = Redis::start().await;
    let token = of("1");
    let (gateway, _auth) = before_redis(&redis, &of("7")).await;
    put(&redis, &token).await;
    check(&gateway, &[(&me(&token), "200")]).await;
    let mut operator = redis.connect().await;
    for round in 0..20 {
        command(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"])
            .exec_async(&mut operator)
            .await
            .expect("it cuts");
        check(&gateway, &[(&me(&token), "200"), (&me(&of(&format!("nobody-{round}"))), "401 session_unknown")]).await;
    }
    hears(&gateway).await;
    redis.run::<()>(&["DEL", &format!("access_token:{token}")]).await;
    eventually("the news, after all", async || (gateway.send(&me(&token)).await.status == 401).then_some(())).await;
}

#[tokio::test]
async fn a_redis_that_is_not_there_keeps_nobody_from_starting() {
    let mut redis = Redis::start().await;
    redis.kill().await;
    let auth = Service::always(Reply::json(200, "{}")).await;
    let gateway =
        Gateway::with(ROUTES).conf("sessions: \"${REDIS_URL}\"").env("AUTH", auth.url()).env("SECRET", SECRET);
    let gateway = gateway.env("REDIS_URL", redis.url()).start().await;
    let token = of("1");
    says_unavailable(&gateway, &token).await;
    check(&gateway, &[("GET /open", "200")]).await;
    redis.restart().await;
    put(&redis, &token).await;
    recovers(&gateway, Instant::now(), &token, 200).await;
    hears(&gateway).await;
}

#[tokio::test]
async fn no_account_that_redis_refuses_lets_anybody_in() {
    let redis = Redis::start().await;
    let token = of("1");
    let (gateway, _auth) = before_redis(&redis, &of("7")).await;
    put(&redis, &token).await;
    let mut operator = redis.connect().await;
    let run = async |words: &[&str], operator: &mut redis::aio::MultiplexedConnection| {
        command(words).exec_async(operator).await.expect("Redis takes it");
    };
    run(&["CONFIG", "SET", "requirepass", "secret"], &mut operator).await;
    run(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"], &mut operator).await;
    says_unavailable(&gateway, &token).await;
    run(&["CONFIG", "SET", "requirepass", ""], &mut operator).await;
    recovers(&gateway, Instant::now(), &token, 200).await;
    // A replica that may not be written to.
    run(&["REPLICAOF", "127.0.0.1", "1"], &mut operator).await;
    let logout = gateway.send(&format!("POST /logout\nCookie: jwt={token}")).await;
    expect("logout on a replica", &logout, "503 store_unavailable\n!set-cookie");
    run(&["REPLICAOF", "NO", "ONE"], &mut operator).await;
    recovers(&gateway, Instant::now(), &token, 200).await;
    let log = gateway.stderr();
    assert!(!log.contains(&token) && !log.contains("secret"), "{log}");
}

#[tokio::test]
async fn a_websocket_that_a_cookie_opened_ends_with_its_session_and_with_its_token() {
    const UPGRADE: &str = "Host: h\nOrigin: http://h\nConnection: Upgrade\nUpgrade: websocket\nSec-WebSocket-Version: 13\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
    let redis = Redis::start().await;
    let service = Service::start(puppet).await;
    let gateway =
        Gateway::with(ROUTES).conf("sessions: \"${REDIS_URL}\"").env("AUTH", service.url()).env("SECRET", SECRET);
    let gateway = gateway.env("REDIS_URL", redis.url()).start().await;
    hears(&gateway).await;
    let (ended, kept) = (of("1"), of("2"));
    let short = sign_json(&format!(r#"{{"user_id":"3","exp":{}}}"#, now() + 2.0));
    for token in [&ended, &kept, &short] {
        put(&redis, token).await;
    }
    let open = async |id: &str, credentials: String| {
        let mut client = gateway.connect().await;
        client.write(&message(&format!("GET /socket\nX-Request-ID: {id}\n{credentials}\n{UPGRADE}"))).await;
        assert_eq!(client.head().await.status, 101, "{id}");
        client.write(b"hello").await;
        client.until("hello").await;
        client
    };
    let mut by_cookie = open("cookie", format!("Cookie: jwt={ended}")).await;
    let mut by_bearer = open("bearer", format!("Authorization: Bearer {ended}")).await;
    let mut other = open("other", format!("Cookie: jwt={kept}")).await;
    let mut brief = open("brief", format!("Cookie: jwt={short}")).await;
    redis.run::<()>(&["DEL", &format!("access_token:{ended}")]).await;
    by_cookie.closed().await;
    assert_eq!(gateway.logged_id("cookie").await["reason"], "session_unknown");
    brief.closed().await;
    assert_eq!(gateway.logged_id("brief").await["reason"], "token_expired");
    for client in [&mut other, &mut by_bearer] {
        client.write(b"still here").await;
        client.until("still here").await;
    }
}

//! Services that fail, in every way there is: each has its reason, for the client, in the log and in the metrics.

use std::time::{Duration, Instant};

use crate::harness::*;

const ROUTES: &str = r#"
version: 1
services:
  a: { peers: ["${A}"], timeouts: { connect: 300ms, response: 300ms }, retry: { attempts: 1 } }
  slow: { peers: ["${A}"], timeouts: { response: 5s } }
  gone: { peers: ["${GONE}"], retry: { attempts: 1 } }
  sick: { peers: ["${GONE}"], health: { every: 50ms, timeout: 500ms, down_after: 1 } }
routes:
  - group: streamed
    path: /s
    auth: public
    routes:
      - { match: "/a/{rest...}", name: s-a, forward: { service: a, path: "/{rest}" } }
      - { match: "/slow/{rest...}", name: s-slow, forward: { service: slow, path: "/{rest}" }, limits: { time: 400ms } }
      - { match: /gone, name: s-gone, forward: { service: gone } }
      - { match: GET /post, name: s-post, forward: { service: a, method: POST } }
      - { match: /sick, name: s-sick, forward: { service: sick } }
  - group: buffered
    path: /b
    auth: public
    reply: { 418: { json: {} } }
    routes:
      - { match: "/a/{rest...}", name: b-a, forward: { service: a, path: "/{rest}" } }
      - { match: "/slow/{rest...}", name: b-slow, forward: { service: slow, path: "/{rest}" }, limits: { time: 400ms } }
      - { match: /gone, name: b-gone, forward: { service: gone } }
      - { match: GET /post, name: b-post, forward: { service: a, method: POST } }
      - { match: /sick, name: b-sick, forward: { service: sick } }
"#;

async fn world() -> (Gateway, Service, Refusing) {
    let (service, gone) = (Service::start(puppet).await, Refusing::new());
    let gateway = Gateway::with(ROUTES).env("A", service.url()).env("GONE", gone.url()).start().await;
    (gateway, service, gone)
}

#[tokio::test]
async fn each_failure_of_a_service_has_its_reason() {
    let (gateway, _service, _gone) = world().await;
    for (name, path, expectation, outcome) in [
        ("gone", "gone", "502 peer_refused", "refused"),
        ("a", "a/close", "502 peer_reset", "reset"),
        ("a", "a/reset", "502 peer_reset", "reset"),
        ("a", "a/garbage", "502 peer_garbage", "garbage"),
        ("a", "a/silent", "504 peer_timeout", "timeout"),
        ("slow", "slow/slow-head/3000", "504 deadline", "deadline"),
    ] {
        for kind in ["s", "b"] {
            let id = format!("{kind}-{}", path.replace('/', "-"));
            let since = Instant::now();
            let counted =
                gateway.metrics().await.sum("hilum_service_requests_total", &[("service", name), ("outcome", outcome)]);
            let answer = gateway.send(&format!("GET /{kind}/{path}\nX-Request-ID: {id}")).await;
            expect(&id, &answer, &format!("{expectation}\ncontent-type: application/problem+json\n!~ 127.0.0.1"));
            assert!(since.elapsed() < Duration::from_secs(2), "{id} took {:?}", since.elapsed());
            let line = gateway.logged_id(&id).await;
            assert_eq!(
                (format!("{} {}", line["status"], line["reason"].as_str().unwrap_or_default()), line["route"].as_str()),
                (expectation.to_owned(), Some(&*format!("{kind}-{name}")))
            );
            assert_eq!(line["service"], name, "{id}: the log says who failed: {line}");
            gateway
                .counts("hilum_service_requests_total", &[("service", name), ("outcome", outcome)], |n| {
                    n == counted + 1.0
                })
                .await;
        }
        let reason = expectation.split(' ').next_back().unwrap_or_default();
        assert!(gateway.metrics().await.sum("hilum_rejections_total", &[("reason", reason)]) >= 2.0, "{reason}");
    }
    gateway.counts("hilum_peer_in_flight", &[], |n| n == 0.0).await;
    gateway.counts("hilum_requests_in_flight", &[], |n| n == 0.0).await;
}

#[tokio::test]
async fn a_service_without_a_healthy_peer_is_refused_at_once() {
    let (gateway, _service, _gone) = world().await;
    gateway.peers_up(&[("service", "sick")], 0.0).await;
    for request in ["GET /s/sick", "GET /b/sick", "POST /s/sick\n\nbody"] {
        let since = Instant::now();
        check(&gateway, &[(request, "503 no_healthy_peer\nretry-after: *")]).await;
        assert!(since.elapsed() < Duration::from_millis(900), "{request} took {:?}", since.elapsed());
    }
}

#[tokio::test]
async fn half_a_body_is_told_as_half_or_not_at_all() {
    let (gateway, _service, _gone) = world().await;
    for (path, reason) in [("cut", "peer_reset"), ("drip/50/100", "deadline")] {
        let service = if path == "cut" { "a" } else { "slow" };
        let id = format!("s-{reason}");
        let since = Instant::now();
        let answer = gateway.send(&format!("GET /s/{service}/{path}\nX-Request-ID: {id}")).await;
        assert_eq!(
            (answer.status, answer.complete),
            (200, false),
            "{path}: no client may take it for the whole: {answer:?}"
        );
        assert!(since.elapsed() < Duration::from_secs(3), "{path} took {:?}", since.elapsed());
        let line = gateway.logged_id(&id).await;
        assert_eq!((line["status"].as_u64(), line["reason"].as_str()), (Some(200), Some(reason)), "{line}");
        let expectation = if path == "cut" { "502 peer_reset" } else { "504 deadline" };
        check(&gateway, &[(&format!("GET /b/{service}/{path}"), expectation)]).await;
    }
}

#[tokio::test]
async fn a_deadline_is_for_the_whole_request() {
    let (gateway, _service, _gone) = world().await;
    for request in
        ["GET /s/slow/silent", "GET /b/slow/silent", "POST /s/slow/silent\n\nbody", "POST /b/slow/silent\n\nbody"]
    {
        let since = Instant::now();
        check(&gateway, &[(request, "504 deadline")]).await;
        let took = since.elapsed();
        assert!((Duration::from_millis(350)..Duration::from_millis(2500)).contains(&took), "{request} took {took:?}");
    }
}

/// Answers the first request of a connection and closes at the second: what a kept connection looks like that the service has
/// given up in the moment it is used again.
async fn forgetful() -> Service {
    let before = std::sync::Mutex::new(std::collections::HashSet::new());
    Service::start(move |seen| {
        match before.lock().unwrap_or_else(std::sync::PoisonError::into_inner).insert(seen.connection) {
            true => puppet(seen),
            false => Reply::new().close(),
        }
    })
    .await
}

#[tokio::test]
async fn a_kept_connection_that_is_dead_is_replaced_unless_that_could_do_a_thing_twice() {
    let service = forgetful().await;
    let gone = Refusing::new();
    let gateway = Gateway::with(ROUTES).env("A", service.url()).env("GONE", gone.url()).start().await;
    for kind in ["s", "b"] {
        let before = service.seen().len();
        for (n, (request, expectation)) in [
            ("GET", "200"),
            // On the kept connection first, which closes, then on a fresh one.
            ("GET", "200"),
            ("PUT", "200"),
            // The service may have acted before it closed.
            ("POST", "502 peer_reset"),
            // What counts is the method that the service sees.
            ("as POST", "200"),
            ("as POST", "502 peer_reset"),
        ]
        .into_iter()
        .enumerate()
        {
            let id = format!("{kind}-{n}");
            let request = match request {
                "GET" => format!("GET /{kind}/a/echo\nX-Request-ID: {id}"),
                "as POST" => format!("GET /{kind}/post\nX-Request-ID: {id}"),
                method => format!("{method} /{kind}/a/echo\nX-Request-ID: {id}\n\nbody"),
            };
            let answer = gateway.send(&request).await;
            expect(&request, &answer, expectation);
            // The line is written when the exchange is over: the connection to the service is kept from then on.
            gateway.logged_id(&id).await;
        }
        let methods: Vec<_> = service.seen()[before..].iter().map(|seen| seen.method.clone()).collect();
        assert_eq!(methods, ["GET", "GET", "GET", "PUT", "PUT", "POST", "POST", "POST"], "{kind}");
    }
}

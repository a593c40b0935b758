//! Requests that failed at one peer and are sent to another one, streamed and buffered alike.

use std::time::{Duration, Instant};

use crate::harness::*;

const ROUTES: &str = r#"
version: 1
services:
  s:
    peers: ["${GOOD}", "${BAD}"]
    timeouts: { connect: 300ms, response: 300ms }
    retry: { backoff: 5ms }
defaults: { auth: public }
routes:
  - { name: streamed, match: "/s/{rest...}", forward: { service: s, path: "/{rest}" } }
  - { name: buffered, match: "/b/{rest...}", forward: { service: s, path: "/{rest}" }, reply: { 418: { json: {} } } }
  - { name: changed, match: GET /as-post, forward: { service: s, path: /reset, method: POST } }
"#;

/// Fails as the path says.
fn bad(seen: &Seen) -> Reply {
    match seen.target.as_str() {
        "/reset" => Reply::new().reset(),
        "/early-reset" => Reply::early().then(Step::Take(1)).reset(),
        "/close" => Reply::new().close(),
        "/garbage" => Reply::new().send("\x16\x03\x01 this is no HTTP\r\n\r\n").close(),
        "/silent" => Reply::new().then(Step::Hang),
        "/cut" => Reply::new().send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf").pause(50).reset(),
        "/wait" => Reply::new().answer(503, &["Retry-After: 60"], "busy"),
        path => Reply::json(path[1..].parse().unwrap_or(200), "{}"),
    }
}

/// The good one answers everything with what it saw.
async fn world() -> (Gateway, Service, Service) {
    let good = Service::start(|_: &Seen| Reply::new().then(Step::Echo)).await;
    let bad = Service::start(bad).await;
    let gateway = Gateway::with(ROUTES).env("GOOD", good.url()).env("BAD", bad.url()).start().await;
    (gateway, good, bad)
}

/// Sends it twice, so that each peer is asked first once → both answers, sorted, and how often the log says that peers were asked.
async fn twice(gateway: &Gateway, request: &str) -> String {
    let (head, body) = request.split_once("\n\n").unwrap_or((request, ""));
    let mut told = Vec::new();
    for _ in 0..2 {
        let id = format!("request-{}", gateway.access_log().len());
        let answer = gateway.send(&format!("{head}\nX-Request-ID: {id}\n\n{body}")).await;
        assert!(answer.complete, "{request}: {answer:?}");
        let line = gateway.logged_id(&id).await;
        told.push(format!("{} {}x{}", answer.status, answer.reason(), line["attempts"]).replace(" x", "x"));
    }
    told.sort();
    told.dedup();
    told.join(", ")
}

#[tokio::test]
async fn what_failed_is_answered_by_another_peer_if_it_may_be_sent_twice() {
    let (gateway, good, bad) = world().await;
    for (way, post) in [
        ("reset", "200x1, 502 peer_resetx1"),
        ("close", "200x1, 502 peer_resetx1"),
        ("garbage", "200x1, 502 peer_garbagex1"),
        ("silent", "200x1, 504 peer_timeoutx1"),
        ("502", "200x1, 502x1"),
        ("503", "200x1, 503x1"),
        ("504", "200x1, 504x1"),
        ("wait", "200x1, 503x1"),
    ] {
        for kind in ["s", "b"] {
            let before = (good.seen().len(), bad.seen().len());
            for method in ["GET", "HEAD", "DELETE"] {
                assert_eq!(
                    twice(&gateway, &format!("{method} /{kind}/{way}")).await,
                    "200x1, 200x2",
                    "{method} {kind} {way}"
                );
            }
            // While a body streams, the client may be the slow one, and the guard's word holds: nobody is asked anew.
            let put = if (kind, way) == ("s", "silent") { "200x1, 504 peer_timeoutx1" } else { "200x1, 200x2" };
            assert_eq!(twice(&gateway, &format!("PUT /{kind}/{way}\n\nbody")).await, put, "PUT {kind} {way}");
            assert_eq!(twice(&gateway, &format!("POST /{kind}/{way}\n\nbody")).await, post, "POST {kind} {way}");
            let seen = (good.seen().len() - before.0, bad.seen().len() - before.1);
            // Of ten requests five come to the bad one first, and those that may be repeated go on.
            let repeated = if put == "200x1, 200x2" { 4 } else { 3 };
            assert_eq!(seen, (5 + repeated, 5), "{kind} {way}");
        }
    }
    // What is an answer like any other is passed on.
    for way in ["500", "404", "429"] {
        for kind in ["s", "b"] {
            assert_eq!(twice(&gateway, &format!("GET /{kind}/{way}")).await, format!("200x1, {way}x1"), "{kind} {way}");
        }
    }
    // What counts is the method that is sent.
    assert_eq!(twice(&gateway, "GET /as-post").await, "200x1, 502 peer_resetx1");
    let metrics = gateway.metrics().await;
    assert_eq!(metrics.sum("hilum_retries_total", &[("result", "answered")]), 2.0 * 8.0 * 4.0 - 1.0);
    assert_eq!(metrics.sum("hilum_retries_total", &[("result", "failed")]), 0.0);
    assert_eq!(metrics.sum("hilum_peer_in_flight", &[]), 0.0);
}

#[tokio::test]
async fn the_service_is_told_which_attempt_it_is_and_the_client_can_not_say_so() {
    let (gateway, good, _bad) = world().await;
    for kind in ["s", "b"] {
        for _ in 0..2 {
            gateway.send(&format!("GET /{kind}/reset\nX-Hilum-Attempts: 7")).await;
        }
    }
    let numbers: Vec<_> = good.seen().iter().map(|seen| seen.header("x-hilum-attempts").unwrap_or_default()).collect();
    assert_eq!(numbers.iter().filter(|number| number.is_empty()).count(), 2, "{numbers:?}");
    assert_eq!(numbers.iter().filter(|number| *number == "2").count(), 2, "{numbers:?}");
}

#[tokio::test]
async fn a_body_is_sent_again_from_its_first_byte_or_not_at_all() {
    let (gateway, good, _bad) = world().await;
    let (small, large) = ("s".repeat(60_000), "l".repeat(70_000));
    for way in ["reset", "early-reset", "502"] {
        let before = good.seen().len();
        assert_eq!(twice(&gateway, &format!("PUT /s/{way}\n\n{small}")).await, "200x1, 200x2", "{way}");
        assert!(good.seen()[before..].iter().all(|seen| seen.body == small.as_bytes()), "{way}: all of it, once");
    }
    // Pingora keeps 64 KiB of a body that streams; a body that was read whole is there as long as it is needed.
    let told = twice(&gateway, &format!("PUT /s/reset\n\n{large}")).await;
    assert_eq!(told, "200x1, 502 peer_resetx1");
    assert_eq!(twice(&gateway, &format!("PUT /b/reset\n\n{large}")).await, "200x1, 200x2");
    let chunked = "PUT /s/502\nTransfer-Encoding: chunked\n\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
    assert_eq!(twice(&gateway, chunked).await, "200x1, 200x2");
    assert_eq!(good.last().body, b"abcde");
}

#[tokio::test]
async fn after_the_first_byte_of_an_answer_nothing_is_sent_again() {
    let (gateway, good, bad) = world().await;
    let mut halves = 0;
    for _ in 0..2 {
        let answer = gateway.send("GET /s/cut").await;
        halves += usize::from(!answer.complete);
    }
    assert_eq!((halves, good.seen().len(), bad.seen().len()), (1, 1, 1));
    // What is read whole can be had elsewhere: no byte of the half went to the client.
    assert_eq!(twice(&gateway, "GET /b/cut").await, "200x1, 200x2");
}

#[tokio::test]
async fn what_was_not_sent_is_sent_elsewhere_whatever_its_method() {
    let good = Service::start(puppet).await;
    let gone = Refusing::new();
    let gateway = Gateway::with(ROUTES).env("GOOD", good.url()).env("BAD", gone.url()).start().await;
    for kind in ["s", "b"] {
        for method in ["GET", "POST", "PATCH"] {
            let body = if method == "GET" { "" } else { "\n\nbody" };
            assert_eq!(
                twice(&gateway, &format!("{method} /{kind}/echo{body}")).await,
                "200x1, 200x2",
                "{method} {kind}"
            );
        }
    }
    assert_eq!(good.seen().len(), 12, "each of them once");
    let socket = "GET /s/socket\nConnection: Upgrade\nUpgrade: websocket\nSec-WebSocket-Version: 13\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
    for _ in 0..2 {
        let mut client = gateway.connect().await;
        client.write(&message(socket)).await;
        assert_eq!(client.head().await.status, 101);
    }
}

#[tokio::test]
async fn one_deadline_holds_for_all_attempts() {
    let routes = ROUTES
        .replace("response: 300ms", "response: 20s")
        .replace("auth: public }", "auth: public, limits: { time: 500ms } }");
    let bad = Service::start(bad).await;
    let gateway = Gateway::with(&routes).env("GOOD", bad.url()).env("BAD", bad.url()).start().await;
    for kind in ["s", "b"] {
        let since = Instant::now();
        let answer = gateway.send(&format!("GET /{kind}/silent")).await;
        assert_eq!((answer.status, answer.reason().as_str()), (504, "deadline"), "{kind}");
        assert!(since.elapsed() < Duration::from_secs(2), "{kind}: {:?}", since.elapsed());
    }
}

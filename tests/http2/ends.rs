//! How connections and streams of HTTP/2 end: after so many requests, with the process, with an answer before the end of a body. What
//! is in flight is answered, and what reaches nobody is counted.

use nix::sys::signal::Signal;

use super::harness::*;
use super::wire::{fields, frame};
use super::*;

const GOAWAY: u8 = 7;

fn get(path: &str) -> Vec<u8> {
    fields(&[GOOD[0], GOOD[1], GOOD[2], (":path", path)])
}

#[tokio::test]
async fn a_connection_has_so_many_requests_and_no_more() {
    let world = World::with("connections: { header: 1s, idle: 1s, requests: 5 }", puppet).await;
    // A good client: what is in flight is answered, GOAWAY says no error, and the connection ends with the last answer.
    let mut client = world.ca.dialer(&["h2"]).http2(world.gateway.address(), "a.test").await;
    for _ in 0..4 {
        assert_eq!(client.send("a.test", "GET /echo").await.expect("an answer").status, 200);
    }
    assert_eq!(client.send("a.test", "GET /slow-head/300").await.expect("the last answer").status, 200);
    let ended = within("the end of the connection", client.driver).await.expect("no panic");
    // Its own last word may find nobody.
    assert!(ended.as_ref().err().is_none_or(h2::Error::is_io), "{ended:?}");

    // One that never says that it has heard: it is left alone after a while without a request.
    let mut wire = world.wire().await;
    for stream in [1, 3, 5, 7, 9] {
        wire.send(&frame(HEADERS, END_HEADERS | END_STREAM, stream, &get("/echo"))).await;
        assert_ne!(wire.end_of(stream).await, "closed", "{stream}");
    }
    assert_eq!(wire.end().await, "goaway 0");
    assert_eq!(wire.is_over().await, "closed");

    // One that goes on all the same: there is a bound to it.
    let mut wire = world.wire().await;
    let mut sent = 0_u32;
    while wire.ended(u32::MAX).await.is_none() {
        assert!(sent < 10_000, "it goes on for ever");
        let more: Vec<u8> = (sent..sent + 50)
            .flat_map(|n| frame(HEADERS, END_HEADERS | END_STREAM, n * 2 + 1, &get("/echo")))
            .collect();
        wire.flood(&more).await;
        sent += 50;
        wire.end_of(sent * 2 - 1).await;
    }
    assert!(sent < 5000, "{sent}");
    assert!(sent > 50, "what crosses the GOAWAY is answered");
    world.is_well("afterwards").await;
    world.gateway.counts("hilum_requests_in_flight", &[], |n| n == 0.0).await;
    world.gateway.counts("hilum_connections", &[], |n| n == 0.0).await;
}

#[tokio::test]
async fn the_end_of_the_process_waits_for_streams_in_flight() {
    let mut world = World::new().await;
    // One that waits for its service, one in the middle of its upload, and one that has nothing to do.
    let (mut wire, mut upload, mut idle) = (world.wire().await, world.wire().await, world.wire().await);
    idle.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &get("/echo"))).await;
    assert_eq!(idle.end_of(1).await, "status 200");
    wire.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &get("/slow-head/1600"))).await;
    upload.send(&frame(HEADERS, END_HEADERS, 1, &with(&POST, &[("content-length", "8")]))).await;
    upload.send(&frame(DATA, 0, 1, b"half")).await;
    world.service.has_seen(3).await;
    world.gateway.signal(Signal::SIGTERM);
    for wire in [&mut idle, &mut wire, &mut upload] {
        // NO_ERROR, and no stream is beyond it yet.
        assert_eq!(wire.end().await, "goaway 0");
        let goaway = wire.came().iter().find(|frame| frame.kind == GOAWAY).expect("it came");
        assert_eq!(goaway.payload[..4], [0x7f, 0xff, 0xff, 0xff]);
    }
    upload.send(&frame(DATA, END_STREAM, 1, b"half")).await;
    assert_eq!(upload.end_of(1).await, "status 200");
    assert_eq!(wire.end_of(1).await, "status 200");
    assert_eq!(wire.rest_of(1).await, "whole");
    assert!(world.gateway.ended().await.success());
    assert!(world.service.seen().iter().any(|seen| seen.body == b"halfhalf"));
    let lines = world.gateway.access_log();
    assert_eq!(lines.iter().filter(|line| line["status"] == 200).count(), 3, "{lines:?}");
    assert_eq!(lines.len(), 3, "{lines:?}");
}

#[tokio::test]
async fn an_answer_before_the_end_of_a_body_stops_it_cleanly() {
    let world = World::new().await;
    let mut wire = world.wire().await;
    // A service that answers early, and an answer of our own to a body that is larger than its route takes.
    for (stream, path, status) in [(1, "/early/409", "status 409"), (3, "/small/echo", "status 413")] {
        let head = [POST[0], POST[1], POST[2], (":path", path), ("content-length", "900000")];
        wire.send(&frame(HEADERS, END_HEADERS, stream, &fields(&head))).await;
        wire.send(&frame(DATA, 0, stream, &[b'x'; 16_000])).await;
        assert_eq!(wire.end_of(stream).await, status, "{path}");
        // RFC 9113, 8.1: with NO_ERROR, and behind the whole answer.
        assert_eq!(wire.reset_of(stream).await, "reset 0", "{path}");
        let ends = wire.came().iter().filter(|frame| frame.stream == stream);
        assert!(ends.clone().any(|frame| frame.kind <= HEADERS && frame.flags & END_STREAM != 0), "{path}");
        // What was on its way is for nobody, and the connection goes on.
        wire.send(&frame(DATA, 0, stream, &[b'x'; 16_000])).await;
    }
    wire.send(&frame(HEADERS, END_HEADERS | END_STREAM, 5, &get("/echo"))).await;
    assert_eq!(wire.end_of(5).await, "status 200");
    world.gateway.counts("hilum_requests_in_flight", &[], |n| n == 0.0).await;
}

#[tokio::test]
async fn interim_answers_of_a_service_are_no_answer() {
    let hints = "HTTP/1.1 103 Early Hints\r\nLink: </evil>\r\n\r\n";
    let world = World::with("connections: { header: 1s }", move |seen| match seen.target.as_str() {
        "/hints" => Reply::new().send(hints).send(hints).answer(200, &["X-A: 1"], "final"),
        "/interim" => Reply::new().send(hints.repeat(50)).close(),
        _ => puppet(seen),
    })
    .await;
    let mut client = world.ca.dialer(&["h2"]).http2(world.gateway.address(), "a.test").await;
    let answer = client.send("a.test", "GET /hints").await.expect("an answer");
    assert_eq!((answer.status, answer.text().as_str(), answer.header("link")), (200, "final", None));
    let answer = client.send("a.test", "POST /continue\nexpect: 100-continue\n\nbody").await.expect("an answer");
    assert_eq!((answer.status, &answer.json()["body"]), (200, &"body".into()));
    let answer = client.send("a.test", "GET /interim").await.expect("an answer");
    assert_eq!((answer.status, answer.reason().as_str()), (502, "peer_reset"));
}

#[tokio::test]
async fn what_reaches_nobody_is_in_the_log_and_counted() {
    // What h2 refuses, what Pingora does, and what is refused by hooks, which tell more.
    let heads = [
        ("no path", fields(&GOOD[..3]), ("malformed", 0)),
        ("an upper-case name", with(&GOOD, &[("X-Evil", "1")]), ("malformed", 0)),
        ("connection", with(&GOOD, &[("connection", "x")]), ("malformed", 0)),
        (
            "extended CONNECT",
            fields(&[(":method", "CONNECT"), GOOD[1], GOOD[2], GOOD[3], (":protocol", "websocket")]),
            ("malformed", 0),
        ),
        ("too large for h2", with(&GOOD, &[("x-a", &"x".repeat(70_000)[..15_000])].repeat(5)), ("malformed", 0)),
        ("another host", with(&GOOD, &[("host", "evil.test")]), ("malformed", 0)),
        ("two lengths", with(&POST, &[("content-length", "1"), ("content-length", "2")]), ("malformed", 0)),
        ("a space", get("/a b"), ("malformed", 0)),
        ("CONNECT", fields(&[(":method", "CONNECT"), GOOD[2]]), ("method_not_allowed", 405)),
        ("dots", get("/../echo"), ("path_rejected", 400)),
        (
            "too large for us",
            with(&GOOD, &[("x-a", &"x".repeat(9000)), ("x-b", &"x".repeat(8000))]),
            ("headers_too_large", 431),
        ),
    ];
    for (case, head, (reason, status)) in heads {
        let world = World::new().await;
        let mut wire = world.wire().await;
        wire.send(&head_in_frames(1, &head)).await;
        assert!(!["status 200", "silence"].contains(&wire.end_of(1).await.as_str()), "{case}");
        wire.finish().await;
        let line = world.gateway.logged(case, |_| true).await;
        assert_eq!((line["reason"].as_str(), line["status"].as_u64()), (Some(reason), Some(status)), "{case}: {line}");
        assert_eq!(line["client"], "127.0.0.1", "{case}");
        world.gateway.counts("hilum_connections", &[], |n| n == 0.0).await;
        assert_eq!(world.gateway.access_log().len(), 1, "{case}");
        let metrics = world.gateway.metrics().await;
        assert_eq!(metrics.sum("hilum_rejections_total", &[]), 1.0, "{case}");
        assert_eq!(metrics.sum("hilum_rejections_total", &[("reason", reason)]), 1.0, "{case}");
        assert_eq!(metrics.sum("hilum_requests_total", &[]), 1.0, "{case}");
    }
}

/// In as many frames as it needs.
fn head_in_frames(stream: u32, head: &[u8]) -> Vec<u8> {
    let pieces: Vec<&[u8]> = head.chunks(16_000).collect();
    let last = pieces.len() - 1;
    let frames = pieces.iter().enumerate().map(|(n, piece)| {
        let (kind, flags) = if n == 0 { (HEADERS, END_STREAM) } else { (CONTINUATION, 0) };
        frame(kind, if n == last { flags | END_HEADERS } else { flags }, stream, piece)
    });
    frames.flatten().collect()
}

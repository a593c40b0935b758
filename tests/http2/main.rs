//! HTTP/2 as no good client speaks it, frame by frame: what is malformed reaches no service, what is a flood ends its own connection,
//! and whoever comes next is served.

#![allow(clippy::large_futures, reason = "a test runs once")]

mod ends;
mod floods;
#[path = "../harness/mod.rs"]
mod harness;
mod hpack;
mod share;
mod slow;
mod turns;
mod wire;

use std::time::{Duration, Instant};

use tokio::sync::{RwLock, RwLockReadGuard};

use harness::*;
use wire::{Wire, fields, frame};

const ROUTES: &str = r#"
version: 1
services: { a: { peers: ["${A}"] }, hasty: { peers: ["${A}"], timeouts: { response: 500ms } } }
defaults: { auth: public }
routes:
  - { match: "/{rest...}", forward: { service: a }, limits: { time: 2s } }
  - { match: "/open/{rest...}", forward: { service: a, path: "/{rest}" }, limits: { time: none } }
  - { match: "/hasty/{rest...}", forward: { service: hasty, path: "/{rest}" }, limits: { time: 10s } }
  - { match: "/stream/{rest...}", forward: { service: hasty, path: "/{rest}" }, limits: { time: none } }
  - { match: "/whole/{rest...}", forward: { service: a, path: "/{rest}" }, limits: { time: 30s }, reply: { 418: { json: {} } } }
  - { match: "/small/{rest...}", forward: { service: a, path: "/{rest}" }, limits: { body: 10B } }
  - { match: "/cookies/{rest...}", forward: { service: a, path: "/{rest}", cookies: pass } }
"#;
const GOOD: [(&str, &str); 4] =
    [(":method", "GET"), (":scheme", "https"), (":authority", "a.test"), (":path", "/echo")];
const POST: [(&str, &str); 4] =
    [(":method", "POST"), (":scheme", "https"), (":authority", "a.test"), (":path", "/echo")];

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PRIORITY: u8 = 2;
const PUSH_PROMISE: u8 = 5;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// Held by one test alone where it measures, and by all others together.
static TURN: RwLock<()> = RwLock::const_new(());

struct World {
    _turn: Option<RwLockReadGuard<'static, ()>>,
    ca: Authority,
    service: Service,
    gateway: Gateway,
}

impl World {
    async fn new() -> World {
        World::with("connections: { header: 1s, idle: 3s }", puppet).await
    }

    async fn with(conf: &str, script: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> World {
        let service = Service::start(script).await;
        let url = service.url();
        World::start(conf, service, &url).await
    }

    /// Before another service than its own.
    async fn before(url: &str) -> World {
        let service = Service::start(puppet).await;
        World::start("connections: { header: 1s, idle: 3s }", service, url).await
    }

    async fn start(conf: &str, service: Service, url: &str) -> World {
        let turn = TURN.read().await;
        World { _turn: Some(turn), ..World::alone(conf, service, url).await }
    }

    async fn alone(conf: &str, service: Service, url: &str) -> World {
        let ca = Authority::new();
        let issued = ca.issue(&["a.test"]);
        let gateway = Gateway::with(ROUTES)
            .listeners("[{ address: \"127.0.0.1:0\", tls: { cert: a.pem, key: a.key } }]")
            .file("conf/a.pem", issued.cert)
            .file("conf/a.key", issued.key)
            .conf(conf)
            .env("A", url);
        World { _turn: None, gateway: gateway.start().await, ca, service }
    }

    async fn wire(&self) -> Wire {
        Wire::new(self.ca.dialer(&["h2"]).dial(self.gateway.address(), "a.test").await.expect("TLS")).await
    }

    /// Another client is served.
    async fn answers(&self) {
        let answer =
            self.ca.dialer(&["h2"]).http2(self.gateway.address(), "a.test").await.send("a.test", "GET /echo").await;
        assert_eq!(answer.expect("an answer").status, 200);
    }

    /// Whoever comes next is served, soon, and the gateway has not lost anything.
    async fn is_well(&self, case: &str) {
        let since = Instant::now();
        let answer =
            self.ca.dialer(&["h2"]).http2(self.gateway.address(), "a.test").await.send("a.test", "GET /echo").await;
        assert_eq!(answer.unwrap_or_else(|e| panic!("{case}: {e}")).status, 200, "{case}");
        assert!(since.elapsed() < Duration::from_secs(2), "{case}: {:?}", since.elapsed());
        assert_eq!(self.gateway.metrics().await.sum("hilum_panics_total", &[]), 0.0, "{case}");
    }
}

fn with(base: &[(&str, &str)], more: &[(&str, &str)]) -> Vec<u8> {
    fields(&[base, more].concat())
}

#[tokio::test]
async fn a_malformed_head_reaches_no_service() {
    let world = World::new().await;
    let without = |name: &str| fields(&GOOD.into_iter().filter(|(n, _)| *n != name).collect::<Vec<_>>());
    let path = |path: &str| fields(&[GOOD[0], GOOD[1], GOOD[2], (":path", path)]);
    let method = |method: &str| fields(&[(":method", method), GOOD[1], GOOD[2], GOOD[3]]);
    let long = "x".repeat(9000);
    for (case, head) in [
        ("no method", without(":method")),
        ("no scheme", without(":scheme")),
        ("no path", without(":path")),
        ("no authority", without(":authority")),
        ("two methods", with(&GOOD, &[(":method", "GET")])),
        ("two paths", with(&GOOD, &[(":path", "/b")])),
        ("two authorities", with(&GOOD, &[(":authority", "b.test")])),
        ("a pseudo-header behind a header", fields(&[GOOD[0], GOOD[1], GOOD[2], ("x-a", "1"), GOOD[3]])),
        ("an unknown pseudo-header", with(&GOOD, &[(":unknown", "1")])),
        ("a pseudo-header of answers", with(&GOOD, &[(":status", "200")])),
        ("extended CONNECT", fields(&[(":method", "CONNECT"), GOOD[1], GOOD[2], GOOD[3], (":protocol", "websocket")])),
        ("CONNECT", fields(&[(":method", "CONNECT"), (":authority", "evil.test:443")])),
        ("an empty path", path("")),
        ("a star", path("*")),
        ("a path without a slash", path("echo")),
        ("an absolute path", path("http://evil.test/")),
        ("another host's path", path("//evil.test/")),
        ("dots", path("/../echo")),
        ("a space in the path", path("/a b")),
        ("a space", path("/echo HTTP/1.1")),
        ("CR LF in the path", path("/echo HTTP/1.1\r\nX-Evil: 1\r\n\r\nGET /evil")),
        ("NUL in the path", path("/echo\0")),
        ("CR LF in a method", method("GET /evil HTTP/1.1\r\n\r\nGET")),
        ("an empty method", method("")),
        ("CR LF in a value", with(&GOOD, &[("x-a", "1\r\nX-Evil: 1")])),
        ("LF in a value", with(&GOOD, &[("x-a", "1\nX-Evil: 1")])),
        ("NUL in a value", with(&GOOD, &[("x-a", "1\0")])),
        ("a colon in a name", with(&GOOD, &[("x-a: 1", "2")])),
        ("CR LF in a name", with(&GOOD, &[("x-a\r\nx-evil", "2")])),
        ("an upper-case name", with(&GOOD, &[("X-Evil", "1")])),
        ("an empty name", with(&GOOD, &[("", "1")])),
        ("transfer-encoding", with(&POST, &[("transfer-encoding", "chunked")])),
        ("connection", with(&GOOD, &[("connection", "x-evil")])),
        ("keep-alive", with(&GOOD, &[("keep-alive", "1")])),
        ("proxy-connection", with(&GOOD, &[("proxy-connection", "close")])),
        ("upgrade", with(&GOOD, &[("upgrade", "websocket")])),
        ("te", with(&GOOD, &[("te", "gzip")])),
        ("two lengths", with(&POST, &[("content-length", "1"), ("content-length", "2")])),
        ("a length that is none", with(&POST, &[("content-length", "+1")])),
        ("another host", with(&GOOD, &[("host", "evil.test")])),
        ("two hosts", with(&GOOD, &[("host", "a.test"), ("host", "a.test")])),
        ("a user in the authority", fields(&[GOOD[0], GOOD[1], (":authority", "u@a.test"), GOOD[3]])),
        ("an authority that is none", fields(&[GOOD[0], GOOD[1], (":authority", "a.test/evil"), GOOD[3]])),
        ("too large", with(&GOOD, &[("x-a", &long), ("x-b", &long)])),
    ] {
        let mut wire = world.wire().await;
        wire.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &head)).await;
        let ended = wire.end_of(1).await;
        assert!(!ended.is_empty() && ended != "status 200" && ended != "silence", "{case}: {ended}");
        assert_eq!(world.service.seen().len(), 0, "{case}: {ended} {:?}", world.service.seen());
    }
    world.is_well("afterwards").await;
}

#[tokio::test]
async fn what_a_request_becomes_is_exactly_one_request() {
    let world = World::new().await;
    let mut wire = world.wire().await;
    let cookies = [("cookie", "a=1"), ("cookie", "b=2")];
    let body = [("content-length", "4")];
    wire.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &with(&GOOD, &cookies))).await;
    assert_eq!(wire.end_of(1).await, "status 200");
    // A body in pieces, with empty ones among them and at the end (Pingora's issue 935).
    for (stream, head) in [(3, with(&POST, &body)), (5, with(&POST, &[]))] {
        wire.send(&frame(HEADERS, END_HEADERS, stream, &head)).await;
        for piece in ["", "bo", "", "dy"] {
            wire.send(&frame(DATA, 0, stream, piece.as_bytes())).await;
        }
        wire.send(&frame(DATA, END_STREAM, stream, b"")).await;
        assert_eq!(wire.end_of(stream).await, "status 200");
    }
    // The same connection to the service takes the next request: nothing was left on it.
    wire.send(&frame(HEADERS, END_HEADERS | END_STREAM, 7, &with(&GOOD, &[("te", "trailers")]))).await;
    assert_eq!(wire.end_of(7).await, "status 200");
    let seen: Vec<(String, String)> = world
        .service
        .seen()
        .iter()
        .map(|s| (s.method.clone(), String::from_utf8_lossy(&s.body).into_owned()))
        .collect();
    let expected = [("GET", ""), ("POST", "body"), ("POST", "body"), ("GET", "")];
    assert_eq!(seen, expected.map(|(method, body)| (method.to_owned(), body.to_owned())));
}

#[tokio::test]
async fn crumbs_of_a_cookie_are_one_header_for_the_service() {
    let world = World::new().await;
    let mut wire = world.wire().await;
    let head = fields(&[
        GOOD[0],
        GOOD[1],
        GOOD[2],
        (":path", "/cookies/echo"),
        ("cookie", "a=1"),
        ("x-a", "1"),
        ("cookie", "b=2; c=3"),
        ("cookie", "d=4"),
    ]);
    wire.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &head)).await;
    assert_eq!(wire.end_of(1).await, "status 200");
    let seen = world.service.last();
    let lines: Vec<_> = seen.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("cookie")).collect();
    // RFC 9113, 8.2.3: HTTP/1 has one line, and `; ` between them.
    assert!(matches!(lines.as_slice(), [(_, value)] if value == "a=1; b=2; c=3; d=4"), "{lines:?}");
}

#[tokio::test]
async fn a_fragment_is_refused_or_reaches_nobody() {
    let world = World::new().await;
    for (path, target) in
        [("/echo#frag", "/echo"), ("/echo?a=b#frag", "/echo?a=b"), ("/echo#/../evil", "/echo"), ("/#", "/"), ("#", "/")]
    {
        let mut wire = world.wire().await;
        let head = fields(&[GOOD[0], GOOD[1], GOOD[2], (":path", path)]);
        wire.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &head)).await;
        // What is routed is what is sent: without it.
        match wire.end_of(1).await.as_str() {
            "status 200" => assert_eq!(world.service.last().target, target, "{path}"),
            ended => assert!(ended == "status 400" || ended == "reset 1", "{path}: {ended}"),
        }
    }
}

#[tokio::test]
async fn a_body_that_is_not_what_its_length_says_is_no_request() {
    // The length, what comes in pieces, and whether the last one says that it is the last.
    for (length, pieces, ends) in [
        ("5", &["1234"][..], true),
        ("5", &["12", "34", ""], true),
        ("5", &[""], true),
        ("3", &["1234"], true),
        ("3", &["1234"], false),
        // As much as was announced, of which the service must not hear before it is known to be all.
        ("3", &["123", "4"], true),
        ("3", &["1", "2", "3", "", "4"], false),
        ("0", &["1"], true),
        ("0", &["", "1"], false),
    ] {
        let case = format!("{length} {pieces:?} {ends}");
        for path in ["/echo", "/whole/echo"] {
            let recorder = Recorder::start().await;
            let world = World::before(&recorder.url()).await;
            let mut wire = world.wire().await;
            let head = fields(&[POST[0], POST[1], POST[2], (":path", path), ("content-length", length)]);
            wire.send(&frame(HEADERS, END_HEADERS, 1, &head)).await;
            for (n, piece) in pieces.iter().enumerate() {
                let flags = if ends && n + 1 == pieces.len() { END_STREAM } else { 0 };
                wire.send(&frame(DATA, flags, 1, piece.as_bytes())).await;
                // By then it has gone as far as it goes.
                world.answers().await;
            }
            let ended = wire.end_of(1).await;
            assert!(ended == "reset 1" || ended == "goaway 1" || ended == "status 400", "{case}: {ended}");
            world.gateway.counts("hilum_requests_in_flight", &[], |n| n == 0.0).await;
            let whole = recorder.take();
            assert!(whole.iter().all(|seen| seen.method == "GET"), "{case}: {whole:?}");
        }
    }
}

#[tokio::test]
async fn a_body_is_whole_with_the_end_of_its_stream() {
    let world = World::new().await;
    let mut wire = world.wire().await;
    for (stream, pieces) in [(1, &["123", ""][..]), (3, &["1", "2", "3", "", ""]), (5, &["", "12", "3"])] {
        wire.send(&frame(HEADERS, END_HEADERS, stream, &with(&POST, &[("content-length", "3")]))).await;
        for (n, piece) in pieces.iter().enumerate() {
            let flags = if n + 1 == pieces.len() { END_STREAM } else { 0 };
            wire.send(&frame(DATA, flags, stream, piece.as_bytes())).await;
        }
        assert_eq!(wire.end_of(stream).await, "status 200", "{pieces:?}");
        assert_eq!(world.service.last().body, b"123", "{pieces:?}");
    }
    wire.send(&frame(HEADERS, END_HEADERS, 7, &with(&POST, &[("content-length", "0")]))).await;
    wire.send(&frame(DATA, END_STREAM, 7, b"")).await;
    assert_eq!(wire.end_of(7).await, "status 200");
}

#[tokio::test]
async fn a_connection_that_breaks_the_rules_ends() {
    let world = World::new().await;
    let good = fields(&GOOD);
    let request = |stream| frame(HEADERS, END_HEADERS | END_STREAM, stream, &good);
    let connect = |bytes: Vec<Vec<u8>>| bytes.concat();
    for (case, bytes) in [
        ("an even stream", request(2)),
        ("stream 0", request(0)),
        ("a stream that goes back", connect(vec![request(5), request(3)])),
        ("a push of the client", frame(PUSH_PROMISE, END_HEADERS, 1, &[&[0, 0, 0, 2][..], &good].concat())),
        ("DATA on stream 0", frame(DATA, END_STREAM, 0, b"x")),
        ("DATA on an idle stream", frame(DATA, END_STREAM, 9, b"x")),
        ("CONTINUATION alone", frame(CONTINUATION, END_HEADERS, 1, &good)),
        ("another frame inside of a head", connect(vec![frame(HEADERS, 0, 1, &good), frame(PING, 0, 0, &[0; 8])])),
        ("a frame that is too large", frame(DATA, 0, 1, &vec![0; 20_000])),
        ("a short PING", frame(PING, 0, 0, &[0; 4])),
        ("SETTINGS of a stream", frame(SETTINGS, 0, 1, &[])),
        ("SETTINGS of half a setting", frame(SETTINGS, 0, 0, &[0; 5])),
        ("a window of nothing", frame(WINDOW_UPDATE, 0, 0, &[0; 4])),
        ("a window over all bounds", connect(vec![frame(WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0xff, 0xff]); 2])),
        ("HPACK of no table", frame(HEADERS, END_HEADERS | END_STREAM, 1, &[0xff, 0xff, 0xff, 0xff, 0x0f])),
    ] {
        let mut wire = world.wire().await;
        wire.send(&bytes).await;
        let ended = wire.end().await;
        assert!(ended.starts_with("goaway") || ended == "closed", "{case}: {ended}");
    }
    world.is_well("afterwards").await;
}

#[tokio::test]
async fn so_many_streams_at_once_and_no_more() {
    let world = World::new().await;
    let mut wire = world.wire().await;
    let head = fields(&[GOOD[0], GOOD[1], GOOD[2], (":path", "/slow-head/1000")]);
    let all: Vec<u8> = (0..101_u32).flat_map(|n| frame(HEADERS, END_HEADERS | END_STREAM, n * 2 + 1, &head)).collect();
    wire.send(&all).await;
    // REFUSED_STREAM: the client may send it again.
    assert_eq!(wire.end_of(201).await, "reset 7");
    assert_eq!(wire.end_of(1).await, "status 200");
    world.is_well("afterwards").await;
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_not_waited_for() {
    let world = World::new().await;
    let mut wire = world.wire().await;
    // A window of one byte, and an answer of a megabyte.
    wire.send(&frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 1])).await;
    let head = fields(&[GOOD[0], GOOD[1], GOOD[2], (":path", "/body/1000000")]);
    wire.send(
        &(0..50_u32).flat_map(|n| frame(HEADERS, END_HEADERS | END_STREAM, n * 2 + 1, &head)).collect::<Vec<_>>(),
    )
    .await;
    world.is_well("beside it").await;
    world.gateway.counts("hilum_requests_in_flight", &[], |n| n == 0.0).await;
    world.gateway.counts("hilum_connections", &[], |n| n == 0.0).await;
}

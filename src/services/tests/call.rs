//! Requests of our own against a service that misbehaves.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use pingora_http::RequestHeader;
use prometheus::Registry;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::Instant;

use super::scripted::{Act, OK, Scripted, eventually, exposed, fleet, nobody, service, within};
use crate::services::{Call, Pool, Priority, ServiceOptions, Timeouts, call};

const LONG: Duration = Duration::from_secs(10);
const SHORT: Duration = Duration::from_millis(100);

fn request(method: &str, body: &'static [u8]) -> Call {
    let mut head = RequestHeader::build(method, b"/patients/7?full=1", None).expect("a head");
    head.insert_header("Accept", "application/json").expect("a field");
    Call { head, body: Bytes::from_static(body), reply_limit: 5, priority: Priority::default() }
}

fn pool(registry: &Registry, options: &ServiceOptions) -> Arc<Pool> {
    fleet(registry).pool(options)
}

/// One call as text, with `PEER` for the address.
async fn told(pool: &Arc<Pool>, peer: SocketAddr, call_: &Call, time: Duration) -> String {
    let text = match within(call(pool, None, call_, Instant::now() + time)).await {
        Ok(answer) => {
            assert_eq!(answer.peer, peer);
            format!("{} {}", answer.status.as_u16(), String::from_utf8_lossy(&answer.body))
        }
        Err(error) => error.to_string(),
    };
    text.replace(&peer.to_string(), "PEER")
}

/// A fresh service that does `act`, one call → what the caller is told, and the outcome that is counted.
async fn check(act: Act, call_: &Call, response: Duration, deadline: Duration, expected: &str, outcome: &str) {
    let server = Scripted::start(&[act]).await;
    let registry = Registry::new();
    let timeouts = Timeouts { response, ..Timeouts::default() };
    let pool = pool(&registry, &ServiceOptions { timeouts, ..service("patients", &[&server.url()]) });
    assert_eq!(told(&pool, server.address, call_, deadline).await, expected, "{act:?}");
    let metrics = exposed(&registry);
    let counted = format!("outcome=\"{outcome}\",peer=\"{}\",service=\"patients\"}} 1", server.address);
    assert!(metrics.contains(&counted), "{act:?}: {metrics}");
    assert!(metrics.contains(&format!("hilum_peer_in_flight{{peer=\"{}\",service=\"patients\"}} 0", server.address)));
    assert!(metrics.contains("hilum_service_seconds_count{service=\"patients\"} 1"), "{metrics}");
}

#[tokio::test]
async fn complete_answers_arrive_however_they_are_framed() {
    for (bytes, expected, outcome) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "200 ok", "2xx"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nlimit", "200 limit", "2xx"),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\nT: x\r\n\r\n",
            "200 hello",
            "2xx",
        ),
        ("HTTP/1.1 204 No Content\r\n\r\n", "204 ", "2xx"),
        ("HTTP/1.1 304 Not Modified\r\nContent-Length: 1000\r\n\r\n", "304 ", "3xx"),
        ("HTTP/1.0 404 Not Found\r\nContent-Length: 2\r\n\r\nno", "404 no", "4xx"),
        ("HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n", "500 ", "5xx"),
        (
            "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 302 Found\r\nContent-Length: 2\r\n\r\ngo",
            "302 go",
            "3xx",
        ),
    ] {
        check(Act::Send(bytes), &request("GET", b""), LONG, LONG, expected, outcome).await;
    }
    let until_close = Act::SendAndClose("HTTP/1.1 200 OK\r\n\r\nall");
    check(until_close, &request("GET", b""), LONG, LONG, "200 all", "2xx").await;
    let head = Act::Send("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
    check(head, &request("HEAD", b""), LONG, LONG, "200 ", "2xx").await;
}

#[tokio::test]
async fn each_way_to_fail_is_told_apart() {
    let (reset, garbage, large) = ("the connection ended", "not a valid answer", "the answer is too large");
    for (act, doing, why, outcome) in [
        (Act::Close, "waiting for", reset, "reset"),
        (Act::Reset, "waiting for", reset, "reset"),
        (Act::SendAndClose("HTTP/1.1 200 O"), "waiting for", reset, "reset"),
        (Act::SendAndClose("HTTP/1.1 103 Early Hints\r\n\r\n"), "waiting for", reset, "reset"),
        (Act::SendAndClose("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab"), "reading", reset, "reset"),
        (
            Act::SendAndClose("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n"),
            "reading",
            reset,
            "reset",
        ),
        (Act::Send("SSH-2.0-OpenSSH_9.2\r\n\r\n"), "waiting for", garbage, "garbage"),
        (Act::Send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"), "waiting for", garbage, "garbage"),
        (Act::Send("HTTP/1.1 700 Odd\r\nContent-Length: 0\r\n\r\n"), "waiting for", garbage, "garbage"),
        (
            Act::Send("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"),
            "waiting for",
            garbage,
            "garbage",
        ),
        (Act::Send("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nab"), "reading", garbage, "garbage"),
        (Act::Send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"), "reading", garbage, "garbage"),
        (Act::Send("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n"), "reading", large, "reply_too_large"),
        (
            Act::Send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nabcdef\r\n"),
            "reading",
            large,
            "reply_too_large",
        ),
    ] {
        let expected = match doing {
            "reading" => format!("reading the answer of PEER: {why}"),
            _ => format!("waiting for the answer of PEER: {why}"),
        };
        check(act, &request("GET", b""), LONG, LONG, &expected, outcome).await;
    }
}

#[tokio::test]
async fn a_silent_service_is_a_timeout_and_a_dripping_one_meets_the_deadline() {
    let (slow, over) = ("it took too long", "the time for the request was over");
    let silent = |why| format!("waiting for the answer of PEER: {why}");
    check(Act::Silent, &request("GET", b""), SHORT, LONG, &silent(slow), "timeout").await;
    check(Act::Silent, &request("GET", b""), LONG, SHORT, &silent(over), "deadline").await;
    // Each byte comes in time, so only a deadline over all of it helps.
    check(Act::Drip("HTTP/1.1 200 OK\r\nX: y"), &request("GET", b""), LONG, SHORT, &silent(over), "deadline").await;
    let mut patient = request("GET", b"");
    patient.reply_limit = u64::MAX;
    let body = format!("reading the answer of PEER: {over}");
    let endless = Act::Drip("HTTP/1.1 200 OK\r\n\r\n");
    check(endless, &patient, LONG, Duration::from_millis(400), &body, "deadline").await;
}

#[tokio::test]
async fn without_a_connection_the_service_has_refused() {
    let registry = Registry::new();
    let nobody = nobody().await;
    let pool = pool(&registry, &service("patients", &[&format!("http://{nobody}")]));
    let told = told(&pool, nobody, &request("GET", b""), LONG).await;
    assert_eq!(told, "connecting to PEER: no connection");
}

#[tokio::test]
async fn the_time_to_connect_includes_tls() {
    let server = Scripted::start(&[OK]).await;
    let registry = Registry::new();
    let timeouts = Timeouts { connect: SHORT, ..Timeouts::default() };
    let url = format!("https://{}", server.address);
    let pool = pool(&registry, &ServiceOptions { timeouts, ..service("patients", &[&url]) });
    let told = told(&pool, server.address, &request("GET", b""), LONG).await;
    assert_eq!(told, "connecting to PEER: it took too long");
}

#[tokio::test]
async fn nothing_is_tried_when_the_time_is_over_or_nobody_is_up() {
    let registry = Registry::new();
    let server = Scripted::start(&[OK]).await;
    let pool = pool(&registry, &service("patients", &[&server.url()]));
    let over = call(&pool, None, &request("GET", b""), Instant::now()).await.expect_err("no time");
    assert_eq!(over.to_string(), "connecting to a peer: the time for the request was over");
    let empty = fleet(&Registry::new()).pool(&service("patients", &[]));
    let nobody = call(&empty, None, &request("GET", b""), Instant::now() + LONG).await.expect_err("no peer");
    assert_eq!(nobody.to_string(), "choosing a peer: none is up");
    assert!(server.requests(0).await.is_empty());
}

/// Calls of this method one after the other → what each is told, and the connection on which each request came.
async fn check_connections(acts: &[Act], method: &str, expected: &[&str], connections: &[usize]) {
    let server = Scripted::start(acts).await;
    let registry = Registry::new();
    let pool = pool(&registry, &service("patients", &[&server.url()]));
    for expected in expected {
        assert_eq!(&told(&pool, server.address, &request(method, b""), LONG).await, expected, "{acts:?}");
    }
    let seen: Vec<usize> = server.requests(connections.len()).await.iter().map(|(at, _)| *at).collect();
    assert_eq!(seen, connections, "{method} {acts:?}");
}

#[tokio::test]
async fn a_connection_is_kept_after_a_complete_answer_only() {
    let chunked = Act::Send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n");
    let close = Act::Send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
    let large = Act::Send("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n");
    let too_long = Act::Send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok and more");
    check_connections(&[OK], "GET", &["200 ok", "200 ok", "200 ok"], &[0, 0, 0]).await;
    check_connections(&[OK], "POST", &["200 ok", "200 ok"], &[0, 0]).await;
    check_connections(&[chunked], "GET", &["200 ok", "200 ok"], &[0, 0]).await;
    check_connections(&[close], "GET", &["200 ok", "200 ok"], &[0, 1]).await;
    check_connections(&[too_long, OK], "GET", &["200 ok", "200 ok"], &[0, 1]).await;
    let refused = "reading the answer of PEER: the answer is too large";
    check_connections(&[large, OK], "GET", &[refused, "200 ok"], &[0, 1]).await;
}

#[tokio::test]
async fn a_kept_connection_that_was_closed_is_replaced_once_for_idempotent_methods() {
    let ended = "waiting for the answer of PEER: the connection ended";
    check_connections(&[OK, Act::Close, OK], "GET", &["200 ok", "200 ok"], &[0, 0, 1]).await;
    check_connections(&[OK, Act::Reset, OK], "DELETE", &["200 ok", "200 ok"], &[0, 0, 1]).await;
    check_connections(&[OK, Act::Close], "PUT", &["200 ok", ended], &[0, 0, 1]).await;
    check_connections(&[OK, Act::Close, OK], "POST", &["200 ok", ended], &[0, 0]).await;
    // A fresh connection is no stale one, and a service that has begun to answer has seen the request.
    check_connections(&[Act::Close, OK], "GET", &[ended], &[0]).await;
    let begun = Act::SendAndClose("HTTP/1.1 103 Early Hints\r\n\r\n");
    check_connections(&[OK, begun, OK], "GET", &["200 ok", ended], &[0, 0]).await;
}

#[tokio::test]
async fn the_call_sets_host_and_framing_and_nothing_of_the_old_connection() {
    let server = Scripted::start(&[OK]).await;
    let fleet = fleet(&Registry::new());
    let pool = fleet.pool(&service("patients", &[&format!("http://localhost:{}", server.address.port())]));
    fleet.run(std::slice::from_ref(&pool), &tokio::runtime::Handle::current());
    within(pool.resolved()).await;
    let mut asked = request("POST", b"a=1");
    for (name, value) in [
        ("Host", "evil.example"),
        ("Content-Length", "77"),
        ("Transfer-Encoding", "chunked"),
        ("Connection", "Upgrade, X-Secret"),
        ("Upgrade", "websocket"),
        ("Expect", "100-continue"),
        ("TE", "trailers"),
    ] {
        asked.head.insert_header(name, value).expect("a field");
    }
    assert_eq!(told(&pool, server.address, &asked, LONG).await, "200 ok");
    let text = server.requests(1).await[0].1.clone();
    let (head, body) = text.split_once("\r\n\r\n").expect("a head");
    let mut lines: Vec<String> = head.lines().map(str::to_ascii_lowercase).collect();
    lines.sort();
    let host = format!("host: localhost:{}", server.address.port());
    let mut expected = ["accept: application/json", "content-length: 3", &host, "post /patients/7?full=1 http/1.1"];
    expected.sort_unstable();
    assert_eq!(lines, expected);
    assert_eq!(body, "a=1");
}

#[tokio::test]
async fn an_answer_that_comes_before_the_body_was_read_is_not_lost() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let mut some = [0; 100];
        stream.read_exact(&mut some).await.expect("a part of the request");
        stream.write_all(b"HTTP/1.1 413 Large\r\nContent-Length: 2\r\n\r\nno").await.expect("the answer is sent");
        // Closed with most of the body unread, which resets the connection.
    });
    let registry = Registry::new();
    let pool = pool(&registry, &service("patients", &[&format!("http://{address}")]));
    let mut large = request("POST", b"");
    large.body = Bytes::from(vec![b'x'; 16 << 20]);
    assert_eq!(told(&pool, address, &large, LONG).await, "413 no");
}

#[tokio::test]
async fn a_call_that_nobody_waits_for_leaves_nothing_in_flight() {
    let server = Scripted::start(&[Act::Silent]).await;
    let registry = Registry::new();
    let pool = pool(&registry, &service("patients", &[&server.url()]));
    let in_flight = |count: u32| {
        let line = format!("hilum_peer_in_flight{{peer=\"{}\",service=\"patients\"}} {count}", server.address);
        exposed(&registry).contains(&line)
    };
    let asking = tokio::spawn({
        let pool = pool.clone();
        async move { call(&pool, None, &request("GET", b""), Instant::now() + LONG).await.map(drop) }
    });
    server.requests(1).await;
    assert!(in_flight(1));
    asking.abort();
    eventually(|| in_flight(0)).await;
    let metrics = exposed(&registry);
    assert!(metrics.contains(&format!("outcome=\"abandoned\",peer=\"{}\",service=\"patients\"}} 1", server.address)));
    assert!(metrics.contains("hilum_service_seconds_count{service=\"patients\"} 0"), "{metrics}");
}

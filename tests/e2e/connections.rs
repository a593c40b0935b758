//! How many may be connected, how often one connection is used, and how long a client is waited for: everybody else is unhurt.

use std::time::{Duration, Instant};

use crate::harness::*;

const ROUTES: &str = r#"
version: 1
services: { a: { peers: ["${A}"] } }
defaults: { auth: public, limits: { body: 64MiB, time: none } }
routes:
  - { name: here, match: "GET,POST /here", respond: { text: here } }
  - { name: streamed, match: "/s/{rest...}", forward: { service: a, path: "/{rest}" } }
  - { name: buffered, match: "/b/{rest...}", forward: { service: a, path: "/{rest}" }, reply: { 418: { json: {} } } }
"#;

async fn before(conf: &str) -> (Gateway, Service) {
    let service = Service::start(puppet).await;
    let gateway = Gateway::with(ROUTES).env("A", service.url()).conf(conf).start().await;
    (gateway, service)
}

fn loopback(last: u8) -> [u8; 4] {
    [127, 0, 0, last]
}

/// A connection from 127.0.0.`last`, on which a request was answered; `None`: it was closed unserved.
async fn served(gateway: &Gateway, last: u8) -> Option<Client> {
    let mut client = Client::from(loopback(last), gateway.address(), None).await.ok()?;
    client.try_write(&message("GET /here")).await;
    let answer = client.try_read(false).await?;
    expect("served", &answer, "200\n= here");
    Some(client)
}

async fn refused(gateway: &Gateway, cause: &str) -> f64 {
    gateway.metrics().await.sum("hilum_connections_refused_total", &[("cause", cause)])
}

#[tokio::test]
async fn more_than_all_places_are_closed_and_each_place_is_given_back() {
    let (gateway, _service) = before("connections: { total: 3, header: 1s, idle: 20s }").await;
    let mut kept = Vec::new();
    for last in 1..=3 {
        kept.push(served(&gateway, last).await.expect("there is a place"));
    }
    for last in 1..=8 {
        assert!(served(&gateway, last).await.is_none(), "127.0.0.{last} is one too many");
    }
    assert_eq!(refused(&gateway, "total").await, 8.0);
    assert_eq!(gateway.metrics().await.sum("hilum_connections", &[]), 3.0, "and operators are let in");
    for client in &mut kept {
        expect("who is in stays in", &client.send("GET /here").await, "200");
    }
    kept.truncate(2);
    // A connection ends in many ways.
    for way in ["dropped", "reset", "half closed", "malformed", "in its head", "in its body", "asked to", "slow"] {
        let mut client = eventually(&format!("a place before {way}"), async || served(&gateway, 4).await).await;
        assert!(served(&gateway, 5).await.is_none(), "{way}: it was the last place");
        match way {
            "reset" => client.reset(),
            "half closed" => {
                client.finish().await;
                client.closed().await;
            }
            "malformed" => {
                client.write(b"nonsense\r\n\r\n").await;
                client.closed().await;
            }
            "in its head" => client.write(b"GET /here HTTP/1.1\r\nHo").await,
            "in its body" => client.write(&message("POST /s/echo\nContent-Length: 10\n\nhalf")).await,
            "asked to" => {
                client.send("GET /here\nConnection: close").await;
                client.closed().await;
            }
            "slow" => {
                client.write(b"GET /here HTTP/1.1\r\nHo").await;
                client.closed().await;
            }
            _ => {}
        }
    }
    drop(kept);
    gateway.counts("hilum_connections", &[], |n| n == 0.0).await;
    let told = gateway.stderr().matches("as many as `connections.total` are open").count();
    assert!((1..=3).contains(&told), "{told} lines: not one for each\n{}", gateway.stderr());
}

#[tokio::test]
async fn one_client_takes_its_own_places_only() {
    let (gateway, _service) = before("connections: { per_client: 2 }\ntrusted_proxies: [127.0.0.7]").await;
    let mut kept = Vec::new();
    for _ in 0..2 {
        for last in 1..=8 {
            kept.push((last, served(&gateway, last).await.unwrap_or_else(|| panic!("127.0.0.{last} has a place"))));
        }
    }
    for last in [1, 2, 3, 4, 5, 6, 8] {
        assert!(served(&gateway, last).await.is_none(), "127.0.0.{last} has all of its places");
    }
    assert_eq!(refused(&gateway, "client").await, 7.0);
    // Behind a proxy are many.
    for _ in 0..10 {
        kept.push((7, served(&gateway, 7).await.expect("a trusted proxy has no limit of its own")));
    }
    kept.retain(|(last, _)| *last != 1);
    let mut again = eventually("a place of 127.0.0.1", async || served(&gateway, 1).await).await;
    expect("again", &again.send("GET /here").await, "200");
    assert!(served(&gateway, 2).await.is_none(), "what one gives back is nobody else's");
    assert!(gateway.stderr().contains("127.0.0."), "the log names one: {}", gateway.stderr());
}

#[tokio::test]
async fn the_last_request_of_a_connection_is_told_so() {
    for requests in [1, 3] {
        let (gateway, _service) = before(&format!("connections: {{ requests: {requests} }}")).await;
        for path in ["/here", "/s/echo", "/b/echo", "/nowhere"] {
            let mut client = gateway.connect().await;
            for n in 1..=requests {
                let answer = client.send(&format!("GET {path}")).await;
                let closes = answer.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
                assert_eq!(closes, n == requests, "{path}: request {n} of {requests}: {answer:?}");
            }
            client.closed().await;
        }
        // All at once: those behind the last are not answered.
        let mut client = gateway.connect().await;
        client.write(&message("GET /here").repeat(5)).await;
        for _ in 0..requests {
            expect("pipelined", &client.read(false).await, "200");
        }
        assert!(client.try_read(false).await.is_none(), "{requests} were all");
    }
}

#[tokio::test]
async fn a_body_that_drips_is_too_slow_and_one_that_flows_is_not() {
    let (gateway, service) = before("connections: { stall: 1s }").await;
    let upload = async |path: &str, bytes: usize, every: u64, times: usize| {
        let mut client = gateway.connect().await;
        let since = Instant::now();
        client.write(&message(&format!("POST {path}\nContent-Length: {}", bytes * times))).await;
        let mut pace = tokio::time::interval(Duration::from_millis(every));
        for _ in 0..times {
            pace.tick().await;
            if gateway.metrics().await.sum("hilum_rejections_total", &[]) > 0.0 {
                break;
            }
            client.try_write(&vec![b'x'; bytes]).await;
        }
        (client.read(false).await, since.elapsed())
    };
    for (path, expectation) in [("/s/echo", "200"), ("/b/echo", "200")] {
        // 1,000 bytes a second for three seconds.
        let (answer, took) = upload(path, 200, 200, 15).await;
        expect(path, &answer, expectation);
        assert!(took > Duration::from_millis(2500), "{path}: after {took:?}");
    }
    let seen = service.seen().len();
    for (path, n) in [("/b/echo", 1.0), ("/s/echo", 2.0)] {
        let mut client = gateway.connect().await;
        let since = Instant::now();
        client.write(&message(&format!("POST {path}\nX-Request-ID: drip{n}\nContent-Length: 1000"))).await;
        let mut drip = tokio::time::interval(Duration::from_millis(100));
        let counted = gateway.counts("hilum_rejections_total", &[("reason", "client_too_slow")], |got| got == n);
        let mut counted = std::pin::pin!(counted);
        loop {
            tokio::select! {
                _ = drip.tick() => client.try_write(b"x").await,
                _ = &mut counted => break,
            };
        }
        expect(path, &client.read(false).await, "408 client_too_slow");
        let took = since.elapsed();
        assert!((Duration::from_millis(950)..Duration::from_secs(5)).contains(&took), "{path}: after {took:?}");
        assert_eq!(gateway.logged_id(&format!("drip{n}")).await["reason"], "client_too_slow");
    }
    assert!(service.seen().len() <= seen + 1, "a buffered body that never came is nobody's business");
    gateway.counts("hilum_connections", &[], |n| n == 0.0).await;
}

#[tokio::test]
async fn who_does_not_read_is_left_and_a_quiet_stream_is_not() {
    let (gateway, _service) = before("connections: { stall: 1s }").await;
    let mut quiet = gateway.connect().await;
    quiet.write(&message("GET /s/sse/2/2500")).await;
    quiet.until("data: 0").await;
    let mut socket = gateway.connect().await;
    let upgrade = "Connection: Upgrade\nUpgrade: websocket\nSec-WebSocket-Version: 13\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
    socket.write(&message(&format!("GET /s/socket\n{upgrade}"))).await;
    assert_eq!(socket.head().await.status, 101);
    let begun = Instant::now();
    for (path, n) in [("/s/body/16000000", 1.0), ("/b/body/8000000", 2.0)] {
        let mut client = Client::from(loopback(9), gateway.address(), Some(4096)).await.expect("a connection");
        let since = Instant::now();
        client.write(&message(&format!("GET {path}\nX-Request-ID: deaf{n}"))).await;
        gateway.counts("hilum_rejections_total", &[("reason", "client_too_slow")], |got| got == n).await;
        let took = since.elapsed();
        assert!((Duration::from_millis(950)..Duration::from_secs(5)).contains(&took), "{path}: after {took:?}");
        assert_eq!(gateway.logged_id(&format!("deaf{n}")).await["reason"], "client_too_slow");
        gateway.counts("hilum_connections", &[], |n| n == 2.0).await;
    }
    quiet.until("data: 1").await;
    quiet.until("0\r\n\r\n").await;
    assert!(begun.elapsed() > Duration::from_secs(2), "longer than anybody who is waited for may take");
    socket.write(b"still here").await;
    socket.until("still here").await;
    drop((quiet, socket));
    gateway.counts("hilum_connections", &[], |n| n == 0.0).await;
}

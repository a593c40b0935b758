//! WebSocket and event streams: a route with `limits: { time: none }` stays open for as long as both ends like.

use std::time::{Duration, Instant};

use crate::harness::*;

const ROUTES: &str = r#"
version: 1
services: { a: { peers: ["${A}"], timeouts: { response: 300ms } } }
routes:
  - { name: open, match: "/**", auth: public, forward: { service: a }, limits: { time: none } }
"#;
const UPGRADE: &str =
    "Connection: Upgrade\nUpgrade: websocket\nSec-WebSocket-Version: 13\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";

async fn before(script: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> (Gateway, Service) {
    let service = Service::start(script).await;
    (Gateway::with(ROUTES).env("A", service.url()).start().await, service)
}

#[tokio::test]
async fn a_websocket_carries_bytes_both_ways_until_one_side_closes() {
    let (gateway, service) = before(puppet).await;
    let mut client = gateway.connect().await;
    client.write(&message(&format!("GET /socket\nX-Request-ID: socket\n{UPGRADE}"))).await;
    let switched = client.head().await;
    expect("upgrade", &Response { complete: true, ..switched }, "101\nupgrade: websocket\nconnection: *pgrade*");
    assert_eq!(service.last().header("sec-websocket-key").as_deref(), Some("dGhlIHNhbXBsZSBub25jZQ=="));
    assert_eq!(service.last().header("upgrade").as_deref(), Some("websocket"));
    for text in ["hello", "\u{1}\u{2}\u{3}", &"x".repeat(100_000)] {
        client.write(text.as_bytes()).await;
        let mut back = Vec::new();
        while back.len() < text.len() {
            back.extend(client.piece().await);
        }
        assert!(back == text.as_bytes(), "{} of {} bytes", back.len(), text.len());
    }
    drop(client);
    service.is_left_alone().await;
    assert_eq!(gateway.logged_id("socket").await["status"], 101);
    gateway.counts("hilum_peer_in_flight", &[], |n| n == 0.0).await;
}

#[tokio::test]
async fn a_socket_may_be_quiet_for_longer_than_any_answer_may_take() {
    let pushes = |seen: &Seen| match seen.target.as_str() {
        "/push" => puppet(&Seen { target: "/socket".to_owned(), ..seen.clone() })
            .unpiped()
            .pause(900)
            .send("pushed")
            .then(Step::Pipe),
        _ => puppet(seen),
    };
    let (gateway, _service) = before(pushes).await;
    let mut client = gateway.connect().await;
    client.write(&message(&format!("GET /push\n{UPGRADE}"))).await;
    assert_eq!(client.head().await.status, 101);
    client.until("pushed").await;
    client.write(b"still here").await;
    client.until("still here").await;
    // A service that closes ends the client's side as well.
    let (gateway, _service) =
        before(|seen| puppet(&Seen { target: "/socket".to_owned(), ..seen.clone() }).unpiped().send("bye").close())
            .await;
    let mut client = gateway.connect().await;
    client.write(&message(&format!("GET /push\n{UPGRADE}"))).await;
    assert_eq!(client.head().await.status, 101);
    client.until("bye").await;
    client.closed().await;
}

#[tokio::test]
async fn an_upgrade_that_the_service_refuses_is_an_answer() {
    let (gateway, _service) = before(puppet).await;
    check(&gateway, &[(&format!("GET /status/426\n{UPGRADE}"), "426\n{\"status\":426}")]).await;
    check(&gateway, &[(&format!("GET /silent\n{UPGRADE}"), "504 peer_timeout")]).await;
}

#[tokio::test]
async fn events_arrive_one_by_one() {
    let (gateway, service) = before(puppet).await;
    let mut client = gateway.connect().await;
    client.write(&message("GET /sse/4/400\nAccept: text/event-stream\nX-Request-ID: events")).await;
    let head = client.head().await;
    expect("events", &Response { complete: true, ..head }, "200\ncontent-type: text/event-stream");
    let mut came = Vec::new();
    for n in 0..4 {
        client.until(&format!("data: {n}\n\n")).await;
        came.push(Instant::now());
    }
    let took = came[3] - came[0];
    assert!(took > Duration::from_millis(800), "they were held back and came within {took:?}");
    client.until("0\r\n\r\n").await;
    assert_eq!(gateway.logged_id("events").await["status"], 200);
    // A client that leaves ends the stream at the service.
    let mut client = gateway.connect().await;
    client.write(&message("GET /sse/1000/50")).await;
    client.until("data: 1\n\n").await;
    drop(client);
    service.is_left_alone().await;
}

#[tokio::test]
async fn the_head_of_an_answer_is_due_all_the_same() {
    let (gateway, _service) = before(puppet).await;
    let since = Instant::now();
    check(&gateway, &[("GET /silent", "504 peer_timeout")]).await;
    assert!(since.elapsed() < Duration::from_secs(3), "{:?}", since.elapsed());
}

#[tokio::test]
async fn an_upload_may_take_longer_than_an_answer() {
    let (gateway, service) = before(puppet).await;
    let mut client = gateway.connect().await;
    client.write(&message("POST /echo\nContent-Length: 12")).await;
    let mut pause = tokio::time::interval(Duration::from_millis(500));
    for piece in ["one ", "two ", "six", "!"] {
        pause.tick().await;
        client.write(piece.as_bytes()).await;
    }
    // Longer than the 300 ms of an answer, and than the second of grace that follows.
    expect("upload", &client.read(false).await, "200\n~ one two six!");
    assert_eq!(service.seen().len(), 1);
}

/// Many times, since what goes wrong here goes wrong once in a hundred: the service's 101 may be there before the gateway has
/// noted that the request has no body, and that end must not be taken for the end of the conversation.
#[tokio::test]
async fn no_upgrade_is_torn_down_however_quick_the_service_is() {
    let (gateway, service) = before(|seen| {
        puppet(&Seen { target: "/socket".to_owned(), ..seen.clone() }).unpiped().send("hello").then(Step::Pipe)
    })
    .await;
    let mut lost = 0;
    for _ in 0..400 {
        let mut client = gateway.connect().await;
        client.write(&message(&format!("GET /any\n{UPGRADE}"))).await;
        assert_eq!(client.head().await.status, 101);
        let mut talk = Vec::new();
        client.try_write(b" and back").await;
        while talk.len() < b"hello and back".len() {
            let piece = client.piece().await;
            if piece.is_empty() {
                break;
            }
            talk.extend(piece);
        }
        lost += usize::from(talk != b"hello and back");
    }
    assert_eq!((lost, service.seen().len()), (0, 400), "conversations that ended before they began");
}

/// Pingora keeps a body of known length back until its buffer is full or the body ends.
#[tokio::test]
async fn a_slow_body_of_known_length_is_seen_as_it_comes() {
    let (gateway, _service) = before(|_| {
        Reply::new().send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst").pause(600).send("later").close()
    })
    .await;
    let mut client = gateway.connect().await;
    client.write(&message("GET /drip")).await;
    let since = Instant::now();
    client.until("first").await;
    assert!(since.elapsed() < Duration::from_millis(400), "held back for {:?}", since.elapsed());
    client.until("later").await;
}

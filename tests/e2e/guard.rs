//! Whose turn it is: clients that leave, that do not read or send slowly, services that do not listen, and WebSockets full of
//! traffic both ways. Each gets what is its due, and the fault is the right one's.

use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::harness::*;

const ROUTES: &str = r#"
version: 1
services:
  a: { peers: ["${A}"], timeouts: { response: 300ms }, retry: { attempts: 1 } }
  slow: { peers: ["${A}"], timeouts: { response: 20s }, retry: { attempts: 1 } }
routes:
  - { name: timed, match: "/timed/{rest...}", auth: public, forward: { service: a, path: "/{rest}" }, limits: { body: 64MiB, time: 2s } }
  - { name: long, match: "/long/{rest...}", auth: public, forward: { service: a, path: "/{rest}" }, limits: { time: 20s } }
  - { name: open, match: "/open/{rest...}", auth: public, forward: { service: a, path: "/{rest}" }, limits: { body: 64MiB, time: none } }
  - { name: slow, match: "/slow/{rest...}", auth: public, forward: { service: slow, path: "/{rest}" } }
  - { name: brief, match: "/brief/{rest...}", auth: public, forward: { service: slow, path: "/{rest}" }, limits: { time: 1s } }
  - { name: buffered, match: "/buffered/{rest...}", auth: public, forward: { service: a, path: "/{rest}" }, limits: { time: 700ms }, reply: { 418: { json: {} } } }
"#;
const UPGRADE: &str =
    "Connection: Upgrade\nUpgrade: websocket\nSec-WebSocket-Version: 13\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
const MB: usize = 1024 * 1024;

async fn before(script: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> (Gateway, Service) {
    let service = Service::start(script).await;
    (Gateway::with(ROUTES).env("A", service.url()).start().await, service)
}

/// The requests to all services that ended so.
async fn ended(gateway: &Gateway, outcome: &str) -> f64 {
    gateway.metrics().await.sum("hilum_service_requests_total", &[("outcome", outcome)])
}

/// Nothing is left of any exchange or connection.
async fn all_is_over(gateway: &Gateway) {
    for gauge in ["hilum_connections", "hilum_requests_in_flight", "hilum_peer_in_flight"] {
        gateway.counts(gauge, &[], |n| n == 0.0).await;
    }
}

#[tokio::test]
async fn a_client_that_sends_its_next_request_early_is_told_of_a_silent_service_all_the_same() {
    let (gateway, _service) = before(puppet).await;
    let mut client = gateway.connect().await;
    let since = Instant::now();
    client.write(&message("GET /timed/silent")).await;
    client.write(&message("GET /timed/echo")).await;
    expect("the first", &client.read(false).await, "504 peer_timeout");
    assert!(since.elapsed() < Duration::from_millis(1500), "as soon as to anybody: {:?}", since.elapsed());
    all_is_over(&gateway).await;
}

#[tokio::test]
async fn a_client_that_leaves_does_not_make_the_service_work_twice() {
    let works = |seen: &Seen| match seen.target.as_str() {
        "/work" => Reply::new().then(Step::Hang),
        _ => puppet(seen),
    };
    for (request, part) in [("GET", ""), ("PUT", "ten bytes.")] {
        for resets in [false, true] {
            let (gateway, service) = before(works).await;
            let case = format!("{request}, reset: {resets}");
            expect("warm", &gateway.send("GET /slow/echo\nX-Request-ID: warm").await, "200");
            // The line is written when the exchange is over: the connection to the service is kept from then on.
            gateway.logged_id("warm").await;
            let mut client = gateway.connect().await;
            let length = if part.is_empty() { "" } else { "\nContent-Length: 100" };
            client.write(&message(&format!("{request} /slow/work\nX-Request-ID: left{length}"))).await;
            client.write(part.as_bytes()).await;
            assert_eq!(service.has_seen(2).await[1].connection, 1, "{case}: it is about kept connections");
            match resets {
                true => client.reset(),
                false => drop(client),
            }
            gateway.logged_id("left").await;
            // A second try would have come before this one, and on a connection of its own.
            expect("after", &gateway.send("GET /slow/echo").await, "200");
            let seen: Vec<_> = service.seen().into_iter().map(|s| (s.method, s.target, s.connection)).collect();
            let asked = |method: &str, target: &str, connection| (method.to_owned(), target.to_owned(), connection);
            let once = [asked("GET", "/echo", 1), asked(request, "/work", 1), asked("GET", "/echo", 2)];
            assert_eq!((seen.as_slice(), service.connections()), (once.as_slice(), 2), "{case}");
            assert_eq!(ended(&gateway, "abandoned").await, 1.0, "{case}: nobody knows what would have become of it");
        }
    }
}

#[tokio::test]
async fn a_client_that_pauses_in_a_download_gets_all_of_it() {
    let piece = pattern();
    let much = piece.repeat(8);
    // Made before, since the service must not be slow itself.
    let whole = Reply::new().answer(200, &[], &much);
    let pieces = (0..8).fold(Reply::new().chunked(&[]), |reply, _| reply.chunk(&piece)).last_chunk();
    let (gateway, _service) =
        before(move |seen| if seen.target == "/pieces" { pieces.clone() } else { whole.clone() }).await;
    let paths = ["long/whole", "long/pieces", "open/whole", "open/pieces"];
    let mut clients = Vec::new();
    for path in paths {
        let mut client = gateway.connect().await;
        client.write(&message(&format!("GET /{path}\nX-Request-ID: {path}"))).await;
        clients.push(client);
    }
    // Four times what the service may take, and its second of grace.
    tokio::time::sleep(Duration::from_millis(1400)).await;
    for (path, client) in paths.iter().zip(&mut clients) {
        let answer = client.read(false).await;
        assert!(answer.status == 200 && answer.complete, "{path}: {} of 8 MB", answer.body.len());
        assert!(answer.body == much, "{path}: not what was sent");
        let line = gateway.logged_id(path).await;
        assert_eq!((line["status"].as_u64(), line["reason"].as_str()), (Some(200), None), "{line}");
        assert!(line["ms"].as_f64() > Some(1000.0), "{path}: it fit into buffers, and shows nothing: {line}");
    }
    let metrics = gateway.metrics().await;
    let of = |outcome| metrics.sum("hilum_service_requests_total", &[("outcome", outcome)]);
    assert_eq!((of("2xx"), of("timeout"), of("deadline"), of("abandoned")), (4.0, 0.0, 0.0, 0.0));
    assert_eq!(metrics.sum("hilum_rejections_total", &[]), 0.0);
}

/// A mebibyte that tells when a byte of it is missing.
fn pattern() -> Vec<u8> {
    (0..MB / 8).flat_map(|n| format!("{n:07}\n").into_bytes()).collect()
}

#[tokio::test]
async fn a_service_that_takes_no_upload_is_to_blame_for_it() {
    let (gateway, _service) = before(|_| Reply::early().then(Step::Deaf)).await;
    let length = 48 * MB;
    let (whole, mut chunks) = (vec![b'x'; length], Vec::new());
    for piece in whole.chunks(MB) {
        chunks.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
        chunks.extend_from_slice(piece);
        chunks.extend_from_slice(b"\r\n");
    }
    let mut uploads = Vec::new();
    for path in ["timed", "open"] {
        for (framing, body) in
            [(format!("Content-Length: {length}"), &whole), ("Transfer-Encoding: chunked".to_owned(), &chunks)]
        {
            let id = format!("{path}-{}", &framing[..7]);
            let request = message(&format!("PUT /{path}/upload\nX-Request-ID: {id}\n{framing}"));
            let gateway = &gateway;
            uploads.push(async move {
                let mut client = gateway.connect().await;
                let since = Instant::now();
                client.write(&request).await;
                client.duplex(body, 1).await;
                (id, client.try_read(false).await, since.elapsed())
            });
        }
    }
    let [a, b, c, d]: [_; 4] = uploads.try_into().unwrap_or_else(|_| unreachable!("there are four"));
    let (a, b, c, d) = tokio::join!(a, b, c, d);
    let mut wrong = Vec::new();
    for (id, answer, took) in [a, b, c, d] {
        let line = gateway.logged_id(&id).await;
        let told = answer.map(|answer| (answer.status, answer.reason()));
        let is_told = match &told {
            Some((status, reason)) => *status == 504 && line["status"] == 504 && line["reason"] == **reason,
            // Without a deadline of the route there is nobody left who could answer.
            None => id.starts_with("open") && line["status"] == 0,
        };
        let is_blamed = line["reason"] == "deadline" || line["reason"] == "peer_timeout";
        if !is_told || !is_blamed || took > Duration::from_millis(3500) {
            wrong.push(format!("{id}: after {took:?} the client was told {told:?}, the log {line}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let metrics = gateway.metrics().await;
    let blamed = |outcome| metrics.sum("hilum_service_requests_total", &[("outcome", outcome)]);
    assert_eq!(blamed("timeout") + blamed("deadline"), 4.0, "{}", metrics.0);
    assert_eq!(metrics.sum("hilum_rejections_total", &[("reason", "client_too_slow")]), 0.0);
    all_is_over(&gateway).await;
}

#[tokio::test]
async fn a_client_that_waits_for_100_is_not_too_slow() {
    let (gateway, _service) = before(|_| Reply::early().then(Step::Hang)).await;
    for path in ["timed", "open"] {
        let mut client = gateway.connect().await;
        let since = Instant::now();
        let head = format!("PUT /{path}/upload\nX-Request-ID: {path}\nExpect: 100-continue\nContent-Length: 100");
        client.write(&message(&head)).await;
        let answer = client.read(false).await;
        assert!(
            answer.status == 504 && ["deadline", "peer_timeout"].contains(&&*answer.reason()),
            "{path}: after {:?} {answer:?}",
            since.elapsed()
        );
    }
    let blamed = ended(&gateway, "timeout").await + ended(&gateway, "deadline").await;
    assert_eq!(blamed, 2.0, "{}", gateway.metrics().await.0);
}

/// A client whose WebSocket is open.
async fn switched(gateway: &Gateway, path: &str) -> Client {
    let mut client = gateway.connect().await;
    client.write(&message(&format!("GET {path}\nX-Request-ID: socket\n{UPGRADE}"))).await;
    assert_eq!(client.head().await.status, 101);
    client
}

fn switches() -> Reply {
    Reply::early().send(SWITCH)
}

#[tokio::test]
async fn a_websocket_full_of_traffic_both_ways_loses_nothing_and_ends() {
    let much = pattern().repeat(20);
    let sends = much.clone();
    let (gateway, service) = before(move |seen| match seen.target.as_str() {
        "/echo" => switches().then(Step::Blocks(MB)),
        // Writes all of its own before it reads anything.
        _ => switches().send(&sends).then(Step::Take(sends.len())).send("done").then(Step::Hang),
    })
    .await;
    for (path, last) in [("/open/echo", ""), ("/open/talk", "done")] {
        let mut client = switched(&gateway, path).await;
        client.duplex(&much, much.len() + last.len()).await;
        let came = client.piece().await;
        let whole = came.strip_suffix(last.as_bytes()).unwrap_or_default();
        assert!(whole == much, "{path}: {} of {} bytes came back", came.len(), much.len());
        drop(client);
        service.is_left_alone().await;
        all_is_over(&gateway).await;
    }
    assert!(service.last().body == much, "{} of {} bytes arrived", service.last().body.len(), much.len());
    // In the middle of it, with bytes on their way in both directions.
    let mut client = switched(&gateway, "/open/echo").await;
    client.duplex(&much, 5 * MB).await;
    drop(client);
    service.is_left_alone().await;
    all_is_over(&gateway).await;
}

#[tokio::test]
async fn a_websocket_client_that_has_said_its_last_word_still_gets_what_is_on_its_way() {
    let much = pattern().repeat(8);
    let sends = much.clone();
    let (gateway, service) = before(move |seen| match seen.target.as_str() {
        "/before" => switches().send(&sends).close(),
        _ => switches().then(Step::ReadToEnd).send(&sends).close(),
    })
    .await;
    for path in ["/open/before", "/open/after"] {
        let mut client = switched(&gateway, path).await;
        client.finish().await;
        let mut came = Vec::new();
        loop {
            match client.piece().await {
                piece if piece.is_empty() => break,
                piece => came.extend(piece),
            }
        }
        assert!(came == much, "{path}: {} of {} bytes", came.len(), much.len());
        drop(client);
        service.is_left_alone().await;
        all_is_over(&gateway).await;
    }
}

#[tokio::test]
async fn a_websocket_ends_at_the_deadline_of_its_route_and_is_nobodys_fault() {
    let (gateway, service) = before(|_| switches().then(Step::Pipe)).await;
    let since = Instant::now();
    let mut client = switched(&gateway, "/brief/socket").await;
    client.write(b"hello").await;
    client.until("hello").await;
    client.closed().await;
    let took = since.elapsed();
    assert!((Duration::from_millis(950)..Duration::from_millis(2500)).contains(&took), "after {took:?}");
    let line = gateway.logged_id("socket").await;
    assert_eq!((line["status"].as_u64(), line["reason"].as_str()), (Some(101), Some("deadline")), "{line}");
    service.is_left_alone().await;
    all_is_over(&gateway).await;
    let metrics = gateway.metrics().await;
    let of = |outcome| metrics.sum("hilum_service_requests_total", &[("outcome", outcome)]);
    assert_eq!((of("1xx"), of("deadline"), of("timeout")), (1.0, 0.0, 0.0), "{}", metrics.0);
    assert_eq!(metrics.sum("hilum_rejections_total", &[("reason", "client_too_slow")]), 0.0);
}

#[tokio::test]
async fn a_switch_to_something_else_or_that_nobody_asked_for_is_garbage() {
    let (gateway, _service) = before(|seen| {
        Reply::early()
            .send(match seen.target.as_str() {
                "/none" => "HTTP/1.1 101 Switching Protocols\r\n\r\n",
                "/h2c" => "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
                "/old" => "HTTP/1.0 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
                _ => SWITCH,
            })
            .send("bytes that no client must see")
            .then(Step::Hang)
    })
    .await;
    let garbage = "502 peer_garbage\ncontent-type: application/problem+json\n!~ must see\n!upgrade";
    for path in ["none", "h2c", "old"] {
        check(&gateway, &[(&format!("GET /slow/{path}\n{UPGRADE}"), garbage)]).await;
    }
    for request in ["GET /slow/any", "POST /slow/any\n\nbody", "GET /buffered/any", "GET /open/none"] {
        check(&gateway, &[(request, garbage)]).await;
    }
    all_is_over(&gateway).await;
    assert_eq!(ended(&gateway, "garbage").await, 7.0, "{}", gateway.metrics().await.0);
}

#[tokio::test]
async fn slow_uploads_are_too_slow_and_never_malformed() {
    let (gateway, service) = before(puppet).await;
    let mut uploads = JoinSet::new();
    let to = gateway.address();
    for _ in 0..30 {
        uploads.spawn(async move {
            let mut client = Client::connect(to).await;
            client.write(&message("POST /buffered/echo\nContent-Length: 100")).await;
            client.write(b"part").await;
            let answer = client.read(false).await;
            format!("{} {}", answer.status, answer.reason())
        });
    }
    let answers = uploads.join_all().await;
    assert_eq!(answers, vec!["408 client_too_slow"; 30]);
    assert!(service.seen().is_empty(), "a buffered request goes on when it is whole");
    gateway.counts("hilum_rejections_total", &[("reason", "client_too_slow")], |n| n == 30.0).await;
}

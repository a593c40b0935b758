//! Clients that are slow, silent or malformed: none holds a connection for long, and none goes uncounted.

use std::time::{Duration, Instant};

use crate::harness::*;

const ROUTES: &str = r#"
version: 1
services: { a: { peers: ["${A}"] } }
routes:
  - { name: here, match: GET /here, auth: public, respond: { text: here } }
  - { name: streamed, match: "/s/**", auth: public, forward: { service: a }, limits: { time: 700ms } }
  - { name: buffered, match: "/b/**", auth: public, forward: { service: a }, limits: { time: 700ms }, reply: { 418: { json: {} } } }
"#;

async fn start() -> (Gateway, Service) {
    let service = Service::start(puppet).await;
    let gateway =
        Gateway::with(ROUTES).env("A", service.url()).conf("connections: { header: 1s, idle: 600ms }").start().await;
    (gateway, service)
}

fn around(time: Duration, ms: u64) -> bool {
    (Duration::from_millis(ms * 9 / 10)..Duration::from_millis(ms + 1500)).contains(&time)
}

#[tokio::test]
async fn a_head_that_comes_byte_by_byte_is_cut_off_at_its_deadline() {
    let (gateway, _service) = start().await;
    let mut client = gateway.connect().await;
    let since = Instant::now();
    let mut drip = tokio::time::interval(Duration::from_millis(300));
    let mut bytes = b"GET /here HTTP/1.1\r\nHost: hilum.test\r\n".iter().cycle();
    let ended = within("the connection to be cut off", async {
        loop {
            tokio::select! {
                _ = drip.tick() => { client.try_write(&[*bytes.next().expect("it goes round")]).await; }
                () = gateway_has_counted(&gateway, "client_too_slow") => return since.elapsed(),
            }
        }
    })
    .await;
    assert!(around(ended, 1000), "after {ended:?}");
    client.closed().await;
    assert!(around(since.elapsed(), 1000), "after {:?}", since.elapsed());
    let line = gateway.logged("the slow client's line", |line| line["reason"] == "client_too_slow").await;
    assert_eq!((line["status"].as_u64(), line["method"].as_str()), (Some(0), Some("")), "{line}");
    // Also on a connection that has served a request before.
    let mut client = gateway.connect().await;
    expect("first", &client.send("GET /here").await, "200");
    client.write(b"GET /he").await;
    let took = client.closed().await;
    assert!(around(took, 1000), "after {took:?}");
    gateway.counts("hilum_rejections_total", &[("reason", "client_too_slow")], |n| n == 2.0).await;
    gateway.counts("hilum_connections", &[], |n| n == 0.0).await;
}

async fn gateway_has_counted(gateway: &Gateway, reason: &str) {
    gateway.counts("hilum_rejections_total", &[("reason", reason)], |n| n > 0.0).await;
}

#[tokio::test]
async fn an_idle_connection_is_closed_and_is_nobodys_fault() {
    let (gateway, _service) = start().await;
    let mut fresh = gateway.connect().await;
    let took = fresh.closed().await;
    assert!(around(took, 600), "without a request: after {took:?}");
    let mut used = gateway.connect().await;
    for _ in 0..3 {
        expect("used", &used.send("GET /here").await, "200");
    }
    let took = used.closed().await;
    assert!(around(took, 600), "after a request: after {took:?}");
    gateway.counts("hilum_connections", &[], |n| n == 0.0).await;
    assert_eq!(gateway.metrics().await.sum("hilum_rejections_total", &[]), 0.0);
    assert_eq!(gateway.access_log().len(), 3, "idle connections have no line");
}

#[tokio::test]
async fn a_service_may_take_longer_than_a_client_may_be_idle() {
    let (gateway, _service) = start().await;
    let service = Service::always(Reply::new().pause(1500).answer(200, &[], "late")).await;
    let patient = ROUTES.replace("limits: { time: 700ms }", "limits: { time: 20s }");
    let patient = Gateway::with(&patient)
        .env("A", service.url())
        .conf("connections: { header: 300ms, idle: 300ms }")
        .start()
        .await;
    check(&patient, &[("GET /s/x", "200\n= late"), ("GET /b/x", "200\n= late")]).await;
    drop(gateway);
}

#[tokio::test]
async fn a_body_that_stalls_ends_with_the_time_of_the_request() {
    let (gateway, _service) = start().await;
    for (path, expectation) in [("/b/echo", "408 client_too_slow"), ("/s/echo", "408 client_too_slow")] {
        let mut client = gateway.connect().await;
        let since = Instant::now();
        client.write(&message(&format!("POST {path}\nX-Request-ID: stalled{path}\nContent-Length: 100"))).await;
        client.write(b"part").await;
        let answer = client.read(false).await;
        expect(path, &answer, expectation);
        assert!(around(since.elapsed(), 700), "{path}: after {:?}", since.elapsed());
        let line = gateway.logged_id(&format!("stalled{path}")).await;
        assert_eq!(line["reason"], "client_too_slow", "{line}");
    }
}

#[tokio::test]
async fn what_is_no_request_is_counted_and_logged() {
    let (gateway, service) = start().await;
    let cases: [&[u8]; 10] = [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"nonsense\r\n\r\n",
        b"GET /here\r\n\r\n",
        b"GET /here HTTP/1.1\r\nHost : hilum.test\r\n\r\n",
        b"GET /here HTTP/1.1\r\nHost: hilum.test\r\nX-A: a\x00b\r\n\r\n",
        b"GET /here HTTP/1.1\r\nHost: hilum.test\r\nX-A: 1\r\n folded\r\n\r\n",
        b"GET  /here HTTP/1.1\r\nHost: hilum.test\r\n\r\n",
        b"GET /here HTTP/3.7\r\nHost: hilum.test\r\n\r\n",
        b"POST /s/x HTTP/1.1\r\nHost: hilum.test\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"POST /s/x HTTP/1.1\r\nHost: hilum.test\r\nContent-Length: +1\r\n\r\na",
    ];
    for (n, bytes) in cases.iter().enumerate() {
        let shown = String::from_utf8_lossy(bytes);
        let mut client = gateway.connect().await;
        client.write(bytes).await;
        let answer = client.try_read(false).await;
        let status = answer.map(|answer| answer.status).unwrap_or_default();
        assert_eq!(status, 400, "{shown:?}");
        client.closed().await;
        eventually(&format!("a log line for {shown:?}"), async || (gateway.access_log().len() > n).then_some(())).await;
        let line = gateway.access_log()[n].clone();
        assert_eq!((line["status"].as_u64(), line["route"].is_null()), (Some(400), true), "{shown:?}: {line}");
        assert_eq!(line["client"], "127.0.0.1", "{shown:?}");
    }
    assert!(service.seen().is_empty(), "none of them reached a service: {:?}", service.seen());
    gateway.counts("hilum_rejections_total", &[], |n| n == cases.len() as f64).await;
    // A client that leaves in the middle of its head has no answer, and is counted.
    let mut client = gateway.connect().await;
    client.write(b"GET /here HTTP/1.1\r\nHos").await;
    drop(client);
    gateway.counts("hilum_rejections_total", &[], |n| n == cases.len() as f64 + 1.0).await;
    gateway.counts("hilum_connections", &[], |n| n == 0.0).await;
}

#[tokio::test]
async fn a_client_that_pauses_in_its_body_is_not_the_fault_of_the_service() {
    let service = Service::start(puppet).await;
    let routes =
        ROUTES.replace("peers: [\"${A}\"]", "peers: [\"${A}\"], timeouts: { response: 200ms }").replace("700ms", "5s");
    let gateway = Gateway::with(&routes).env("A", service.url()).start().await;
    for kind in ["s", "b"] {
        let mut client = gateway.connect().await;
        client.write(&message(&format!("POST /{kind}/echo\nContent-Length: 8"))).await;
        client.write(b"half").await;
        let mut pause = tokio::time::interval(Duration::from_millis(700));
        pause.tick().await;
        pause.tick().await;
        client.write(b"half").await;
        let answer = client.read(false).await;
        // Waited for, or told that it was too slow: both are true.
        assert!([200, 408].contains(&answer.status), "{kind}: {answer:?}");
    }
    gateway.counts("hilum_peer_in_flight", &[], |n| n == 0.0).await;
    assert_eq!(gateway.metrics().await.sum("hilum_service_requests_total", &[("outcome", "timeout")]), 0.0);
}

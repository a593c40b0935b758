//! A service that has enough to do: who waits, who is refused, and what an operator can do about its peers.

use std::time::{Duration, Instant};

use crate::harness::*;

const ROUTES: &str = r#"
version: 1
services:
  s: { peers: ["${A}"], limits: { in_flight: 2, queue: 1 } }
defaults: { auth: public }
routes:
  - { name: streamed, match: "/s/{rest...}", forward: { service: s, path: "/{rest}" } }
  - { name: buffered, match: "/b/{rest...}", forward: { service: s, path: "/{rest}" }, reply: { 418: { json: {} } } }
  - { name: urgent, match: "/urgent/{rest...}", forward: { service: s, path: "/{rest}" }, priority: critical }
  - { name: open, match: "/open/{rest...}", forward: { service: s, path: "/{rest}" }, limits: { time: none } }
"#;

async fn world() -> (Gateway, Service) {
    let service = Service::start(puppet).await;
    let gateway = Gateway::with(ROUTES).env("A", service.url()).start().await;
    (gateway, service)
}

/// A client whose request the service works on, or that waits for a place.
async fn asking(gateway: &Gateway, path: &str) -> Client {
    let mut client = gateway.connect().await;
    client.write(&message(&format!("GET {path}"))).await;
    client
}

#[tokio::test]
async fn more_than_a_service_may_have_wait_or_are_refused_at_once() {
    let (gateway, service) = world().await;
    for kind in ["s", "b"] {
        let before = service.seen().len();
        let mut held = [
            asking(&gateway, &format!("/{kind}/slow-head/500")).await,
            asking(&gateway, &format!("/{kind}/slow-head/500")).await,
        ];
        service.has_seen(before + 2).await;
        let mut waiting = asking(&gateway, &format!("/{kind}/echo")).await;
        gateway.counts("hilum_service_waiting", &[("service", "s")], |waiting| waiting == 1.0).await;
        let since = Instant::now();
        let refused = gateway.send(&format!("GET /{kind}/echo")).await;
        assert_eq!((refused.status, refused.reason().as_str()), (503, "overloaded"), "{kind}");
        assert!(refused.header("retry-after").is_some() && since.elapsed() < Duration::from_millis(300), "{kind}");
        assert_eq!(waiting.read(false).await.status, 200, "{kind}: its turn came");
        for client in &mut held {
            assert_eq!(client.read(false).await.status, 200);
        }
    }
    let metrics = gateway.metrics().await;
    let shed = metrics.sum("hilum_shed_total", &[("service", "s"), ("priority", "normal")]);
    assert_eq!(shed, 2.0);
    assert_eq!(metrics.sum("hilum_rejections_total", &[("reason", "overloaded")]), shed);
}

#[tokio::test]
async fn the_urgent_ones_go_first() {
    let (gateway, service) = world().await;
    let _held = [asking(&gateway, "/s/slow-head/500").await, asking(&gateway, "/s/slow-head/500").await];
    service.has_seen(2).await;
    let mut normal = asking(&gateway, "/s/echo").await;
    gateway.counts("hilum_service_waiting", &[("service", "s")], |waiting| waiting == 1.0).await;
    let mut urgent = asking(&gateway, "/urgent/echo").await;
    let (normal, urgent) = (normal.read(false).await, urgent.read(false).await);
    assert_eq!((normal.status, normal.reason().as_str(), urgent.status), (503, "overloaded", 200));
}

#[tokio::test]
async fn a_client_that_is_slow_to_send_or_to_take_keeps_no_place() {
    let (gateway, service) = world().await;
    let mut uploads = Vec::new();
    for _ in 0..4 {
        let mut client = gateway.connect().await;
        client.write(&message("POST /s/echo\nContent-Length: 8\n\nhalf")).await;
        uploads.push(client);
    }
    // Nobody reads these; they are more than fits into buffers.
    let downloads = [asking(&gateway, "/s/body/20000000").await, asking(&gateway, "/s/body/20000000").await];
    service.has_seen(6).await;
    check(&gateway, &[("GET /s/echo", "200"), ("POST /s/echo\n\nbody", "200")]).await;
    // When it is complete, an upload needs a place as any other; what is refused, no service has whole.
    let held = [asking(&gateway, "/s/slow-head/900").await, asking(&gateway, "/s/slow-head/900").await];
    service.has_seen(10).await;
    let mut waiting = asking(&gateway, "/s/echo").await;
    gateway.counts("hilum_service_waiting", &[("service", "s")], |waiting| waiting == 1.0).await;
    let mut upload = uploads.pop().expect("one of four");
    upload.write(b"done").await;
    let answer = upload.read(false).await;
    assert_eq!((answer.status, answer.reason().as_str()), (503, "overloaded"));
    assert_eq!(waiting.read(false).await.status, 200);
    for mut upload in uploads {
        upload.write(b"done").await;
        assert_eq!(upload.read(false).await.status, 200);
    }
    drop((held, downloads));
    let whole = service.seen().into_iter().filter(|seen| seen.body == b"halfdone").count();
    assert_eq!(whole, 3, "the one that was refused was never sent whole");
}

#[tokio::test]
async fn what_stays_open_keeps_no_place() {
    let (gateway, _service) = world().await;
    let socket = "Connection: Upgrade\nUpgrade: websocket\nSec-WebSocket-Version: 13\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
    let mut open = Vec::new();
    for _ in 0..5 {
        let mut client = gateway.connect().await;
        client.write(&message(&format!("GET /open/socket\n{socket}"))).await;
        assert_eq!(client.head().await.status, 101);
        open.push(client);
        let mut stream = asking(&gateway, "/open/sse/1000/50").await;
        assert_eq!(stream.head().await.status, 200);
        open.push(stream);
    }
    assert_eq!(gateway.send("GET /s/echo").await.status, 200);
}

#[tokio::test]
async fn an_operator_takes_a_peer_out_and_puts_it_back() {
    let (a, b) = (Service::start(puppet).await, Service::start(puppet).await);
    let routes = "version: 1\nservices: { s: { peers: [\"${A}\", \"${B}\"] } }\nroutes: [{ match: /**, auth: public, forward: { service: s } }]";
    let gateway = Gateway::with(routes).env("A", a.url()).env("B", b.url()).start().await;
    let path = format!("/services/s/peers/{}/drain", b.address());
    let mut in_flight = asking(&gateway, "/slow-head/500").await;
    let mut other = asking(&gateway, "/slow-head/500").await;
    eventually("both to be asked", async || (a.seen().len() + b.seen().len() == 2).then_some(())).await;
    assert_eq!(gateway.ask_admin(&format!("POST {path}\nContent-Length: 0")).await.text(), "drained\n");
    for _ in 0..10 {
        assert_eq!(gateway.send("GET /echo").await.status, 200);
    }
    assert_eq!((a.seen().len(), b.seen().len()), (11, 1), "nothing new is sent to it");
    assert_eq!(
        (in_flight.read(false).await.status, other.read(false).await.status),
        (200, 200),
        "what it works on goes on"
    );
    gateway.counts("hilum_peer_in_flight", &[], |n| n == 0.0).await;
    let peers = gateway.ask_admin("GET /status").await.json()["services"][0]["peers"].clone();
    assert_eq!(
        (&peers[1]["state"], &peers[1]["up"], &peers[1]["in_flight"]),
        (&"drained".into(), &false.into(), &0.into())
    );
    assert_eq!(gateway.reload().await.status, 200);
    for _ in 0..4 {
        gateway.send("GET /echo").await;
    }
    assert_eq!(b.seen().len(), 1, "nor after a reload");
    assert_eq!(gateway.ask_admin(&format!("DELETE {path}\nContent-Length: 0")).await.text(), "not drained\n");
    for _ in 0..4 {
        gateway.send("GET /echo").await;
    }
    assert_eq!(b.seen().len(), 3);
    let nobody = "POST /services/s/peers/127.0.0.1:1/drain\nContent-Length: 0";
    assert_eq!(gateway.ask_admin(nobody).await.status, 404);
    assert_eq!(gateway.ask_admin(&format!("GET {path}")).await.status, 405);
}

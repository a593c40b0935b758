//! What is taken is given back: connections, requests in flight, descriptors.

use crate::harness::{Client, Gateway, Service, puppet};

const ROUTES: &str = r#"
version: 1
services: { s: { peers: ["${S}"] } }
defaults: { auth: public }
routes:
  - { name: hello, match: GET /hello, respond: { text: hello } }
  - { name: service, match: "/**", forward: { service: s } }
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_thousand_connections_leave_nothing_behind() {
    let service = Service::start(puppet).await;
    let mut gateway = Gateway::with(ROUTES).env("S", service.url()).start().await;
    for _ in 0..20 {
        assert_eq!(gateway.send("GET /echo").await.status, 200);
    }
    gateway.counts("hilum_connections", &[], |n| n == 0.0).await;
    let before = gateway.metrics().await;
    for number in 0..2000 {
        match number % 5 {
            0 => assert_eq!(gateway.send("GET /echo").await.status, 200),
            1 => assert_eq!(gateway.send("GET /nowhere\nHost: x y").await.status, 400),
            // Clients that leave: before they say anything, in the middle of a head, and before the answer is there.
            2 => drop(gateway.connect().await),
            3 => Client::connect(gateway.address()).await.write(b"GET /hello HTTP/1.1\r\nHost: a").await,
            _ => Client::connect(gateway.address()).await.write(b"GET /hello HTTP/1.1\r\nHost: a\r\n\r\n").await,
        }
    }
    for gauge in ["hilum_connections", "hilum_requests_in_flight", "hilum_peer_in_flight"] {
        assert!(before.has(gauge, &[]), "there is no {gauge}");
        gateway.counts(gauge, &[], |n| n == 0.0).await;
    }
    let after = gateway.metrics().await;
    let grew = |name: &str| after.sum(name, &[]) - before.sum(name, &[]);
    println!(
        "after 2,000 connections: {} descriptors more, {} KiB more, {} requests counted, {} malformed",
        grew("process_open_fds"),
        grew("process_resident_memory_bytes") / 1024.0,
        grew("hilum_requests_total"),
        after.sum("hilum_rejections_total", &[("reason", "malformed")])
    );
    assert!(grew("process_open_fds").abs() <= 8.0, "{} descriptors more", grew("process_open_fds"));
    assert!(grew("process_resident_memory_bytes") < 32.0 * 1024.0 * 1024.0);
    assert_eq!(after.sum("hilum_panics_total", &[]), 0.0);
    // Answered and left-alone requests alike have a line. At its end all of them are written.
    assert_eq!(gateway.stop().await.code(), Some(0));
    let echoes = 400 + 20;
    let lines = gateway.access_log();
    assert_eq!(lines.iter().filter(|line| line["route"] == "service").count(), echoes);
}

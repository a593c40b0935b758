//! SIGTERM: not ready, what is in flight is answered, and the process ends when nothing is.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::harness::{Client, Gateway, Service, message, puppet};
use crate::load::{Load, says_close};

const ROUTES: &str = r#"
version: 1
services: { s: { peers: ["${S}"] } }
defaults: { auth: public, limits: { time: none } }
routes:
  - { name: hello, match: GET /hello, respond: { text: hello } }
  - { name: service, match: "/**", forward: { service: s } }
"#;

async fn before(conf: &str) -> (Gateway, Service) {
    let service = Service::start(puppet).await;
    let gateway = Gateway::with(ROUTES).env("S", service.url()).conf(conf).start().await;
    (gateway, service)
}

/// A connection with one request on its way to the service, whose answer is still to come.
async fn asking(gateway: &Gateway, service: &Service, path: &str) -> Client {
    let already = service.seen().len();
    let mut client = gateway.connect().await;
    client.write(&message(&format!("GET {path}"))).await;
    service.has_seen(already + 1).await;
    client
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_is_lost_when_it_ends_under_load() {
    let (mut gateway, service) = before("").await;
    let mut slow = asking(&gateway, &service, "/slow-head/1800").await;
    // 800 bytes, one each millisecond or more.
    let mut download = asking(&gateway, &service, "/drip/800/1").await;
    // 500 requests a second.
    let load = Load::start(gateway.address(), 20, Duration::from_millis(40), &["GET /hello", "GET /echo"]);
    load.has_answered(300).await;
    load.chapter().await;
    let told = Instant::now();
    gateway.signal(Signal::SIGTERM);
    gateway.said("draining").await;
    let ready = gateway.ask_admin("GET /health/ready").await;
    assert_eq!((ready.status, ready.text().as_str()), (503, "draining\n"));
    assert_eq!(gateway.ask_admin("GET /health/live").await.status, 200, "it lives, as long as it drains");

    let slow = slow.read(false).await;
    assert!(slow.status == 200 && slow.complete && slow.text() == "late", "{slow:?}");
    assert!(says_close(&slow), "{slow:?}");
    let download = download.read(false).await;
    assert!(download.status == 200 && download.complete && download.body.len() == 800, "{} bytes", download.body.len());
    let answered = told.elapsed();
    let status = gateway.ended().await;
    let ended = told.elapsed();
    assert_eq!(status.code(), Some(0), "{}", gateway.stderr());
    let chapters = load.stop().await;
    let [before, draining] = chapters.as_slice() else { panic!("{chapters:?}") };
    println!(
        "before: {} sent; draining: {} sent, {:?}, {} lost, {} connections refused; last answer after {answered:?}, ended after {ended:?}",
        before.sent,
        draining.sent,
        draining.answers,
        draining.lost.len(),
        draining.refused
    );
    before.expect_all_good("before the signal");
    draining.expect_all_good("after the signal");
    assert!(draining.refused > 0, "at the end nobody is let in");
    assert!(
        ended < answered + Duration::from_secs(2),
        "it ends when it is idle, not at the end of its time: {ended:?}"
    );
    let lines = gateway.access_log();
    assert_eq!(lines.len(), before.answered() + draining.answered() + 2, "each answer has its line, the last ones too");
    assert!(lines.iter().all(|line| line["status"] == 200), "{:?}", lines.iter().find(|line| line["status"] != 200));
}

#[tokio::test]
async fn without_anything_in_flight_it_ends_at_once() {
    for idle in [0, 3] {
        let (mut gateway, _service) = before("").await;
        let mut clients = Vec::new();
        for _ in 0..idle {
            let mut client = gateway.connect().await;
            assert_eq!(client.send("GET /hello").await.status, 200);
            clients.push(client);
        }
        let told = Instant::now();
        assert_eq!(gateway.stop().await.code(), Some(0), "{idle} idle connections");
        println!("{idle} idle connections: ended after {:?}", told.elapsed());
        assert!(told.elapsed() < Duration::from_secs(3), "{idle} idle connections: {:?}", told.elapsed());
        assert_eq!(gateway.access_log().len(), idle);
    }
}

#[tokio::test]
async fn a_kept_connection_hears_that_it_ends() {
    let (mut gateway, service) = before("").await;
    let _in_flight = asking(&gateway, &service, "/slow-head/1000").await;
    let mut kept = gateway.connect().await;
    assert!(!says_close(&kept.send("GET /hello").await));
    let mut other = gateway.connect().await;
    assert!(!says_close(&other.send("GET /echo").await));
    gateway.signal(Signal::SIGTERM);
    gateway.said("draining").await;
    for (client, path) in [(&mut kept, "/hello"), (&mut other, "/echo")] {
        let answer = client.send(&format!("GET {path}")).await;
        assert!(answer.status == 200 && answer.complete && says_close(&answer), "{path}: {answer:?}");
        client.closed().await;
    }
    // Who connects anew in this time is served as well.
    let answer = gateway.send("GET /hello").await;
    assert!(answer.status == 200 && says_close(&answer), "{answer:?}");
    assert_eq!(gateway.ended().await.code(), Some(0));
}

#[tokio::test]
async fn what_hangs_is_cut_when_the_time_is_over() {
    let (mut gateway, service) = before("drain: 1s").await;
    let mut hanging = asking(&gateway, &service, "/silent").await;
    let told = Instant::now();
    gateway.signal(Signal::SIGTERM);
    assert_eq!(gateway.ended().await.code(), Some(0));
    let took = told.elapsed();
    assert!((Duration::from_secs(1)..Duration::from_secs(5)).contains(&took), "{took:?}");
    assert!(hanging.try_read(false).await.is_none_or(|answer| answer.status == 503), "an answer out of nowhere");
    assert!(gateway.stderr().contains("1 requests in flight: the time to drain is over"), "{}", gateway.stderr());
    // It was lost, and that is told with a reason.
    let lines = gateway.access_log();
    assert_eq!(lines.len(), 1, "the request that was cut has no line");
    assert_eq!(lines[0]["reason"], "draining", "{}", lines[0]);
}

#[tokio::test]
async fn a_second_signal_does_not_wait() {
    for (when, signal) in [("at once", Signal::SIGTERM), ("at once", Signal::SIGINT), ("later", Signal::SIGTERM)] {
        let (mut gateway, service) = before("").await;
        let _hanging = asking(&gateway, &service, "/silent").await;
        gateway.signal(Signal::SIGTERM);
        gateway.said("draining").await;
        if when == "later" {
            // The listener is closed when new clients are not waited for any more.
            crate::harness::eventually("the listener to close", async || {
                Client::try_connect(gateway.address()).await.err()
            })
            .await;
        }
        let told = Instant::now();
        gateway.signal(signal);
        gateway.ended().await;
        assert!(told.elapsed() < Duration::from_secs(2), "{signal} {when}: {:?}", told.elapsed());
    }
}

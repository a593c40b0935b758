//! One of two peers dies under load, and the file is edited meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

use crate::harness::{Gateway, Reply, Service, eventually, puppet};
use crate::load::Load;

/// The route `edition` tells which file is live.
fn routes(edition: usize, service: &str) -> String {
    format!(
        r#"
version: 1
services:
  s:
    peers: ["${{A}}", "${{B}}"]
    health: {{ path: /health, every: 200ms, timeout: 1s, down_after: 2, up_after: 2 }}
    {service}
defaults: {{ auth: public }}
routes:
  - {{ name: edition, match: GET /edition, respond: {{ text: "{edition}" }} }}
  - {{ name: service, match: /s/**, forward: {{ service: s }} }}
  - {{ name: shaped, match: GET /shaped, forward: {{ service: s, path: /status/200 }}, reply: {{ 200: {{ json: "{{{{ body }}}}" }} }} }}
"#
    )
}

async fn before(a: &Service, b: &Service) -> Gateway {
    Gateway::with(&routes(0, "")).env("A", a.url()).env("B", b.url()).start().await
}

async fn is_up(gateway: &Gateway, peer: &Service, wanted: bool) {
    let address = peer.address().to_string();
    let number = if wanted { 1.0 } else { 0.0 };
    let labels = [("service", "s"), ("peer", address.as_str())];
    gateway.peers_up(&labels, number).await;
}

/// Waits until this edition answers, and tells how long that took.
async fn is_live(gateway: &Gateway, edition: usize) -> Duration {
    let since = Instant::now();
    let wanted = edition.to_string();
    eventually(&format!("edition {edition}"), async || {
        let answer = gateway.send("GET /edition").await;
        assert_eq!(answer.status, 200, "{answer:?}");
        (answer.text() == wanted).then_some(())
    })
    .await;
    since.elapsed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_peer_costs_no_request_once_it_is_seen_and_no_edit_costs_any() {
    let (a, mut b) = (Service::start(puppet).await, Service::start(puppet).await);
    let gateway = before(&a, &b).await;
    is_up(&gateway, &a, true).await;
    is_up(&gateway, &b, true).await;

    let load =
        Load::start(gateway.address(), 6, Duration::from_millis(10), &["GET /s/one", "GET /shaped", "GET /edition"]);
    load.has_answered(200).await;
    assert!(b.seen().len() > 20, "both peers work: {} requests", b.seen().len());
    load.chapter().await; // 1: it dies
    b.kill().await;
    is_up(&gateway, &b, false).await;

    load.chapter().await; // 2: it is known to be dead
    load.has_answered(100).await;
    let mut took = Vec::new();
    for edition in 1..=20 {
        gateway.edit(&routes(edition, ""));
        took.push(is_live(&gateway, edition).await);
    }
    is_up(&gateway, &b, false).await;
    gateway.counts("hilum_reloads_total", &[("result", "loaded")], |n| n == 20.0).await;

    load.chapter().await; // 3: it comes back
    let before = b.seen().len();
    b.restart();
    is_up(&gateway, &b, true).await;
    b.has_seen(before + 20).await;

    let chapters = load.stop().await;
    let [both, dying, dead, back] = chapters.as_slice() else { panic!("{chapters:?}") };
    took.sort();
    let (median, slowest) = (took[10], took[19]);
    println!(
        "both up: {} sent; dying: {} sent, {:?}; dead, 20 edits: {} sent, {:?}, live after {median:?} (median), {slowest:?} (slowest); back: {} sent",
        both.sent, dying.sent, dying.answers, dead.sent, dead.answers, back.sent
    );
    both.expect_all_good("both peers are up");
    // Until a check has seen it, a GET may meet the dead peer; it is answered all the same, and told why.
    assert!(dying.lost.is_empty(), "{:?}", dying.lost);
    assert!(
        dying.answers.keys().all(|kind| ["200", "502 peer_refused", "502 peer_reset"].contains(&kind.as_str())),
        "{:?}",
        dying.answers
    );
    dead.expect_all_good("one peer is known to be dead, the file is edited 20 times");
    back.expect_all_good("the peer comes back");
    assert!(median < Duration::from_secs(1), "an edit is live within a second: {took:?}");
    assert_eq!(gateway.metrics().await.sum("hilum_panics_total", &[]), 0.0);
}

#[tokio::test]
async fn what_is_known_of_a_peer_outlives_a_reload() {
    let sick = Arc::new(AtomicBool::new(false));
    let state = sick.clone();
    let a = Service::start(puppet).await;
    // It would answer requests, so that one which is sent to it is seen.
    let b = Service::start(move |seen| match seen.target.as_str() {
        "/health" if state.load(SeqCst) => Reply::json(503, "{}"),
        _ => puppet(seen),
    })
    .await;
    let gateway = before(&a, &b).await;
    is_up(&gateway, &b, true).await;
    sick.store(true, SeqCst);
    is_up(&gateway, &b, false).await;
    let quiet = b.seen().len();
    let edits = [
        ("nothing of the service", ""),
        ("its timeouts", "timeouts: { response: 3s }"),
        ("how a peer is chosen", "balance: least_requests"),
        ("back to the first", ""),
    ];
    for (edition, (what, service)) in edits.into_iter().enumerate() {
        let edition = edition + 1;
        gateway.edit(&routes(edition, service));
        let reloaded = gateway.reload().await;
        assert_eq!(reloaded.status, 200, "{what}: {reloaded:?}");
        assert_eq!(gateway.send("GET /edition").await.text(), edition.to_string(), "{what}");
        let mut client = gateway.connect().await;
        for _ in 0..40 {
            assert_eq!(client.send("GET /s/echo").await.status, 200, "{what}");
        }
        assert_eq!(b.seen().len(), quiet, "a request went to a peer that is down, after an edit of {what}");
    }
    // The checks go on under the new table.
    sick.store(false, SeqCst);
    is_up(&gateway, &b, true).await;
    let load = Load::start(gateway.address(), 2, Duration::from_millis(5), &["GET /s/echo"]);
    b.has_seen(quiet + 5).await;
    load.stop().await[0].expect_all_good("it is up again");
}

#[tokio::test]
async fn a_service_without_a_healthy_peer_is_refused_at_once_and_comes_back() {
    let (mut a, mut b) = (Service::start(puppet).await, Service::start(puppet).await);
    let gateway = before(&a, &b).await;
    is_up(&gateway, &a, true).await;
    a.kill().await;
    b.kill().await;
    is_up(&gateway, &a, false).await;
    is_up(&gateway, &b, false).await;
    for path in ["/s/echo", "/shaped"] {
        let answer = gateway.send(&format!("GET {path}")).await;
        assert_eq!((answer.status, answer.reason().as_str()), (503, "no_healthy_peer"), "{path}: {answer:?}");
        assert!(answer.header("retry-after").is_some(), "{path}: {answer:?}");
    }
    a.restart();
    is_up(&gateway, &a, true).await;
    assert_eq!(gateway.send("GET /s/echo").await.status, 200);
}

//! Floods: whatever a client sends without end, its own connection ends for it, and nobody else waits.

use std::net::SocketAddr;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

use tokio::time::{MissedTickBehavior, interval, interval_at};

use super::harness::*;
use super::wire::{fields, frame};
use super::*;

/// Another client, on a connection of its own: how long each of its requests took.
fn canary(dialer: Dialer, to: SocketAddr) -> Canary<Vec<Duration>> {
    Canary::start(move |stops| async move {
        let mut client = dialer.http2(to, "a.test").await;
        let mut ticks = interval(Duration::from_millis(3));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut took = Vec::new();
        while !stops.load(SeqCst) {
            ticks.tick().await;
            let since = Instant::now();
            let answer = client.send("a.test", "GET /echo").await.expect("the canary is answered");
            assert_eq!(answer.status, 200);
            took.push(since.elapsed());
        }
        took
    })
}

fn p99(mut took: Vec<Duration>) -> Duration {
    took.sort_unstable();
    took[took.len() * 99 / 100]
}

/// How long each flood is repeated, on one connection after the other, and how long there is none before it.
const ROUND: Duration = Duration::from_millis(800);

/// A p99 up to this is no sign of anything: the gateway, a service, the flood and this client have two processors together with
/// whatever else the machine does, and each of the four steps of a request may wait there for a few slices of three milliseconds. A
/// client that waits for a flood waits for all of it, which takes a multiple of this.
const NOISE: Duration = Duration::from_millis(50);

/// The name of a flood, its bytes, and how its connection ends: `closed` without a word where the guard or Pingora ends it.
fn floods() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let good = fields(&GOOD);
    let request = |stream: u32, flags| frame(HEADERS, END_HEADERS | flags, stream, &good);
    let streams = || (0..20_000_u32).map(|n| n * 2 + 1);
    let upload = |pieces: usize, piece: &[u8]| {
        [frame(HEADERS, END_HEADERS, 1, &fields(&POST)), frame(DATA, 0, 1, piece).repeat(pieces)].concat()
    };
    let continued =
        |block: &[u8], count| [frame(HEADERS, 0, 1, &good), frame(CONTINUATION, 0, 1, block).repeat(count)].concat();
    let bomb = |value: &str| frame(HEADERS, END_HEADERS | END_STREAM, 1, &with(&GOOD, &[("x-a", value)]));
    vec![
        (
            "rapid reset",
            streams().flat_map(|n| [request(n, END_STREAM), frame(RST_STREAM, 0, n, &[0, 0, 0, 8])].concat()).collect(),
            "goaway 11",
        ),
        (
            "made you reset",
            streams()
                .flat_map(|n| [request(n, 0), frame(WINDOW_UPDATE, 0, n, &[0x7f, 0xff, 0xff, 0xff])].concat())
                .collect(),
            "goaway 11",
        ),
        (
            "malformed",
            streams()
                .flat_map(|n| frame(HEADERS, END_HEADERS | END_STREAM, n, &with(&GOOD, &[("host", "b")])))
                .collect(),
            // By Pingora, or by h2 for as many that it refused beyond a hundred at once.
            "closed | goaway 11",
        ),
        (
            "no request",
            streams().flat_map(|n| frame(HEADERS, END_HEADERS | END_STREAM, n, &fields(&[GOOD[0]]))).collect(),
            "goaway 11",
        ),
        ("CONTINUATION", continued(&fields(&[("x-a", "0123456789012345")]), 20_000), "goaway 11"),
        ("empty CONTINUATION", continued(&[], 20_000), "goaway 11"),
        ("PING", frame(PING, 0, 0, &[7; 8]).repeat(50_000), "closed"),
        ("answers to PING", frame(PING, 1, 0, &[7; 8]).repeat(50_000), "closed"),
        ("SETTINGS", frame(SETTINGS, 0, 0, &[]).repeat(50_000), "closed"),
        ("PRIORITY", frame(PRIORITY, 0, 1, &[0, 0, 0, 3, 7]).repeat(50_000), "closed"),
        ("WINDOW_UPDATE", frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]).repeat(50_000), "closed"),
        ("frames that nobody knows", frame(0x42, 0, 1, b"?").repeat(50_000), "closed"),
        ("empty DATA", upload(100_000, b""), "goaway 11"),
        ("small DATA", upload(100_000, b"x"), "goaway 11"),
        (
            "padded DATA",
            [frame(HEADERS, END_HEADERS, 1, &fields(&POST)), frame(DATA, 8, 1, &[9; 10]).repeat(50_000)].concat(),
            "goaway 11",
        ),
        ("a header bomb", [bomb(&"x".repeat(15_000)), frame(PING, 0, 0, &[7; 8]).repeat(50_000)].concat(), "closed"),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn floods_end_their_own_connection_and_nobody_else_waits() {
    let _alone = TURN.write().await;
    let service = Service::start(puppet).await;
    let url = service.url();
    let world = World::alone("connections: { header: 1s, idle: 3s }", service, &url).await;
    // Nobody floods this one: what its client waits for is the machine, which the flood shares.
    let service = Service::start(puppet).await;
    let url = service.url();
    let bystander = World::alone("connections: { header: 1s, idle: 3s }", service, &url).await;
    let memory = world.gateway.memory();
    let mut wrong = Vec::new();
    for (case, bytes, expected) in floods() {
        // Again, should somebody else have taken the machine: what the flood itself does it does each time.
        let mut waited = Vec::new();
        loop {
            let start = |of: &World| canary(of.ca.dialer(&["h2"]), of.gateway.address());
            let quiet = start(&world);
            interval_at((Instant::now() + ROUND).into(), ROUND).tick().await;
            let quiet = p99(quiet.stop());
            let (beside, spared) = (start(&world), start(&bystander));
            let since = Instant::now();
            while since.elapsed() < ROUND {
                let mut wire = world.wire().await;
                within(case, wire.flood(&bytes)).await;
                let ended = wire.end().await;
                if !expected.split(" | ").any(|one| one == ended) {
                    wrong.push(format!("{case}: {ended}, and not {expected}"));
                    break;
                }
            }
            let (beside, spared) = (p99(beside.stop()), p99(spared.stop()));
            if beside <= NOISE.max(quiet.max(spared) * 3) {
                break;
            }
            waited.push((quiet, spared, beside));
            if waited.len() == 5 {
                wrong.push(format!(
                    "{case}: another client's p99, before, of another gateway, and beside it: {waited:?}"
                ));
                break;
            }
        }
        world.is_well(case).await;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let after = world.gateway.memory();
    assert!(after < memory + 64 * 1024 * 1024, "{memory} bytes became {after}");
    world.gateway.counts("hilum_requests_in_flight", &[], |n| n == 0.0).await;
}

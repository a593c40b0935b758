//! Whose turn it is in a stream of HTTP/2, where the guard can make nobody answer: who is waited for is the one who is to blame.

use std::time::{Duration, Instant};

use super::wire::{fields, frame};
use super::*;

fn ask(method: &str, path: &str, id: &str) -> Vec<u8> {
    fields(&[(":method", method), GOOD[1], GOOD[2], (":path", path), ("x-request-id", id)])
}

/// The requests to services that ended so.
async fn ended(world: &World, outcome: &str) -> f64 {
    world.gateway.metrics().await.sum("hilum_service_requests_total", &[("outcome", outcome)])
}

#[tokio::test]
async fn a_stream_may_be_quiet_for_longer_than_its_head_may_take() {
    let world = World::new().await;
    let mut wire = world.wire().await;
    wire.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &ask("GET", "/stream/sse/2/1500", "quiet"))).await;
    assert_eq!(wire.end_of(1).await, "status 200");
    assert_eq!(wire.rest_of(1).await, "whole");
    assert_eq!(world.gateway.logged_id("quiet").await["reason"], serde_json::Value::Null);
    // One whose head does not come is ended; another answer than none it can't be given.
    let since = Instant::now();
    wire.send(&frame(HEADERS, END_HEADERS | END_STREAM, 3, &ask("GET", "/stream/silent", "silent"))).await;
    assert!(wire.end_of(3).await.starts_with("reset"));
    assert!(since.elapsed() < Duration::from_secs(5), "{:?}", since.elapsed());
    assert_eq!(world.gateway.logged_id("silent").await["reason"], "peer_timeout");
    // Where there is a deadline it is an answer.
    wire.send(&frame(HEADERS, END_HEADERS | END_STREAM, 5, &ask("GET", "/hasty/silent", "timed"))).await;
    assert_eq!(wire.end_of(5).await, "status 504");
    assert_eq!(world.gateway.logged_id("timed").await["reason"], "peer_timeout");
}

#[tokio::test]
async fn a_client_that_pauses_in_its_upload_is_no_fault_of_the_service() {
    let world = World::new().await;
    let mut wire = world.wire().await;
    for (stream, route) in [(1, "hasty"), (3, "stream")] {
        wire.send(&frame(HEADERS, END_HEADERS, stream, &ask("POST", &format!("/{route}/echo"), route))).await;
        wire.send(&frame(DATA, 0, stream, b"one, ")).await;
        // Longer than the service may be silent.
        tokio::time::sleep(Duration::from_millis(1200)).await;
        wire.send(&frame(DATA, END_STREAM, stream, b"two")).await;
        assert_eq!(wire.end_of(stream).await, "status 200", "{route}");
        assert_eq!(world.service.last().body, b"one, two", "{route}");
    }
    assert_eq!(ended(&world, "timeout").await, 0.0);
}

#[tokio::test]
async fn a_client_that_leaves_is_gone_and_nothing_was_malformed() {
    let world = World::new().await;
    let mut wire = world.wire().await;
    let cancel = 8_u32.to_be_bytes();
    // While the service works, in the middle of its answer, and in the middle of the request.
    wire.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &ask("GET", "/open/silent", "works"))).await;
    world.service.has_seen(1).await;
    wire.send(&frame(RST_STREAM, 0, 1, &cancel)).await;
    wire.send(&frame(HEADERS, END_HEADERS | END_STREAM, 3, &ask("GET", "/open/drip/1000/50", "answers"))).await;
    assert_eq!(wire.end_of(3).await, "status 200");
    wire.send(&frame(RST_STREAM, 0, 3, &cancel)).await;
    wire.send(&frame(HEADERS, END_HEADERS, 5, &ask("POST", "/open/echo", "uploads"))).await;
    wire.send(&frame(DATA, 0, 5, b"half")).await;
    world.service.has_seen(3).await;
    wire.send(&frame(RST_STREAM, 0, 5, &cancel)).await;
    for id in ["works", "answers", "uploads"] {
        assert_eq!(world.gateway.logged_id(id).await["reason"], "client_gone", "{id}");
    }
    let metrics = world.gateway.metrics().await;
    assert_eq!(metrics.sum("hilum_rejections_total", &[]), 0.0);
    world.is_well("afterwards").await;
}

//! Clients that are slow on purpose over HTTP/2: each stream ends in its time, and the fault is the client's.

use std::time::{Duration, Instant};

use tokio::time::interval;

use super::harness::*;
use super::wire::{Wire, fields, frame};
use super::*;

const CONF: &str = "connections: { header: 1s, idle: 3s, stall: 1s }";

fn post(path: &str, more: &[(&str, &str)]) -> Vec<u8> {
    fields(&[&[POST[0], POST[1], POST[2], (":path", path)], more].concat())
}

/// Sends so many bytes ten times a second until the stream ends, and tells how, and after how long.
async fn drip(wire: &mut Wire, bytes: usize) -> (String, Duration) {
    let since = Instant::now();
    let mut ticks = interval(Duration::from_millis(100));
    loop {
        ticks.tick().await;
        if bytes > 0 {
            wire.send(&frame(DATA, 0, 1, &vec![b'x'; bytes])).await;
        }
        if let Some(ended) = wire.ended(1).await {
            return (ended, since.elapsed());
        }
        assert!(since.elapsed() < Duration::from_secs(20), "it goes on for ever");
    }
}

#[tokio::test]
async fn a_slow_upload_ends_in_its_time() {
    let recorder = Recorder::start().await;
    let world = World::start(CONF, Service::start(puppet).await, &recorder.url()).await;
    let length = [("content-length", "1000000")];
    // The path, how many bytes come ten times a second, and when it is over: with the grace of a second in which it may be answered.
    for (path, bytes, earliest, latest) in [
        // `connections.stall`, for which 240 bytes a second are enough.
        ("/open/echo", 0, 900, 3000),
        ("/open/echo", 1, 900, 3000),
        ("/whole/echo", 0, 900, 3000),
        ("/whole/echo", 1, 900, 3000),
        // `limits.time`, of a client that is just not slow enough.
        ("/echo", 100, 1900, 4000),
    ] {
        for more in [&length[..], &[]] {
            let case = format!("{path} {bytes} {more:?}");
            let mut wire = world.wire().await;
            wire.send(&frame(HEADERS, END_HEADERS, 1, &post(path, more))).await;
            let (ended, took) = drip(&mut wire, bytes).await;
            assert!(ended == "status 408" || ended == "reset 8", "{case}: {ended}");
            let took = took.as_millis();
            assert!((earliest..latest).contains(&took), "{case}: {ended} after {took} ms");
            world.is_well(&case).await;
        }
    }
    world.gateway.counts("hilum_rejections_total", &[("reason", "client_too_slow")], |n| n == 10.0).await;
    // The service never had a whole one.
    assert!(recorder.take().iter().all(|seen| seen.method == "GET"));
    world.gateway.counts("hilum_requests_in_flight", &[], |n| n == 0.0).await;
}

#[tokio::test]
async fn an_upload_that_is_just_fast_enough_arrives() {
    let world = World::with(CONF, puppet).await;
    let mut wire = world.wire().await;
    wire.send(&frame(HEADERS, END_HEADERS, 1, &post("/open/echo", &[]))).await;
    let since = Instant::now();
    let mut ticks = interval(Duration::from_millis(100));
    while since.elapsed() < Duration::from_secs(4) {
        ticks.tick().await;
        wire.send(&frame(DATA, 0, 1, &[b'x'; 60])).await;
    }
    wire.send(&frame(DATA, END_STREAM, 1, b"")).await;
    assert_eq!(wire.end_of(1).await, "status 200");
}

#[tokio::test]
async fn a_slow_reader_ends_in_its_time() {
    let world = World::with(CONF, puppet).await;
    // No window at all, and one of a byte; an answer that ends, one without a length, and one of our own.
    for (window, path) in [
        (0, "/open/body/1000000"),
        (1, "/open/body/1000000"),
        (0, "/open/chunked"),
        (0, "/body/1000"),
        (0, "/whole/status/200"),
    ] {
        let mut wire = world.wire().await;
        let since = Instant::now();
        wire.send(&frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, window])).await;
        let head = fields(&[GOOD[0], GOOD[1], GOOD[2], (":path", path)]);
        wire.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &head)).await;
        let ended = wire.rest_of(1).await;
        let took = since.elapsed().as_millis();
        assert!(ended.starts_with("reset"), "{window} {path}: {ended}");
        assert!((900..4000).contains(&took), "{window} {path}: {took} ms");
        world.is_well(path).await;
    }
    world.gateway.counts("hilum_requests_in_flight", &[], |n| n == 0.0).await;
}

#[tokio::test]
async fn a_head_that_does_not_end_ends_with_its_connection() {
    let world = World::with(CONF, puppet).await;
    let mut wire = world.wire().await;
    let since = Instant::now();
    wire.send(&frame(HEADERS, 0, 1, &fields(&GOOD))).await;
    assert_eq!(wire.end().await, "closed");
    assert!(since.elapsed() < Duration::from_secs(4), "{:?}", since.elapsed());
    world.gateway.counts("hilum_rejections_total", &[("reason", "malformed")], |n| n == 1.0).await;
}

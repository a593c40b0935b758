//! HPACK: few bytes that stand for many, and a table that is made to grow and shrink (RFC 7541, 7.3).

use super::wire::{fields, frame, kept};
use super::*;

/// How the other end's table may be at most.
fn table(size: u32) -> Vec<u8> {
    frame(SETTINGS, 0, 0, &[&[0, 1][..], &size.to_be_bytes()].concat())
}

/// An update of the table's size in front of a block (RFC 7541, 6.3).
fn update(size: usize) -> Vec<u8> {
    let Some(mut rest) = size.checked_sub(31) else { return vec![0x20 | u8::try_from(size).expect("it is small")] };
    let mut bytes = vec![0x3f];
    while rest >= 128 {
        bytes.push(u8::try_from(rest % 128).expect("it is small") | 128);
        rest /= 128;
    }
    bytes.push(u8::try_from(rest).expect("it is small"));
    bytes
}

/// With COMPRESSION_ERROR, for which h2 says PROTOCOL_ERROR.
fn is_refused(ended: &str) -> bool {
    ended == "goaway 9" || ended == "goaway 1"
}

#[tokio::test]
async fn few_bytes_that_stand_for_many_are_no_head() {
    let world = World::new().await;
    let memory = world.gateway.memory();
    // 4 KB go into the table, and each byte behind them stands for them again: 64 MB in a frame.
    let bomb = [fields(&GOOD), kept("x-a", &"x".repeat(4000)), vec![0xbe; 12_000]].concat();
    let mut wire = world.wire().await;
    for stream in (1..40).step_by(2) {
        wire.send(&frame(HEADERS, END_HEADERS | END_STREAM, stream, &bomb)).await;
        let ended = wire.end_of(stream).await;
        assert!(
            ended == "status 431" || ended.starts_with("goaway") || ended.starts_with("reset"),
            "{stream}: {ended}"
        );
        if ended.starts_with("goaway") {
            break;
        }
    }
    // The same in frames that go on, and after a good request whose table it uses.
    let mut wire = world.wire().await;
    let first = [fields(&GOOD), kept("x-a", &"x".repeat(4000))].concat();
    wire.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &first)).await;
    assert_eq!(wire.end_of(1).await, "status 200");
    wire.send(&frame(HEADERS, END_STREAM, 3, &[fields(&GOOD), vec![0xbe; 12_000]].concat())).await;
    wire.flood(&frame(CONTINUATION, 0, 3, &[0xbe; 16_000]).repeat(200)).await;
    let ended = wire.end().await;
    assert_eq!(ended, "goaway 11");
    assert_eq!(world.service.seen().len(), 1, "no bomb is a request");
    world.is_well("afterwards").await;
    let after = world.gateway.memory();
    assert!(after < memory + 32 * 1024 * 1024, "{memory} bytes became {after}");
    // One for each of the heads that reached nobody.
    world.gateway.counts("hilum_rejections_total", &[("reason", "malformed")], |n| n >= 2.0).await;
}

#[tokio::test]
async fn a_table_has_the_size_that_was_agreed() {
    let world = World::new().await;
    let good = fields(&GOOD);
    for size in [4097, 1 << 20, u32::MAX as usize] {
        let mut wire = world.wire().await;
        wire.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &[update(size), good.clone()].concat())).await;
        assert!(is_refused(&wire.end().await), "{size}");
    }
    let mut wire = world.wire().await;
    // What is allowed, and an entry that must be gone afterwards.
    let block = [update(0), update(4096), good.clone(), kept("x-a", "1")].concat();
    wire.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &block)).await;
    assert_eq!(wire.end_of(1).await, "status 200");
    wire.send(&frame(HEADERS, END_HEADERS | END_STREAM, 3, &[update(0), good.clone(), vec![0xbe]].concat())).await;
    assert!(is_refused(&wire.end().await));
    world.is_well("afterwards").await;
}

#[tokio::test]
async fn a_table_that_grows_and_shrinks_costs_nothing() {
    let world = World::new().await;
    let (good, memory) = (fields(&GOOD), world.gateway.memory());
    let mut wire = world.wire().await;
    // Whatever a client says that it takes, answers fill no table of four gigabytes.
    for n in 0..200_u32 {
        let stream = n * 2 + 1;
        let sizes = [table(0), table(u32::MAX), table(n % 2 * u32::MAX)].concat();
        wire.send(&[sizes, frame(HEADERS, END_HEADERS | END_STREAM, stream, &good)].concat()).await;
        let ended = wire.end_of(stream).await;
        assert!(ended.starts_with("status"), "{n}: {ended}");
    }
    // An update in a hundred of them costs a byte each, and nothing else.
    let mut wire = world.wire().await;
    let block = [[update(0), update(4096)].concat().repeat(2000), good].concat();
    wire.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &block)).await;
    let ended = wire.end_of(1).await;
    assert!(ended == "status 200" || is_refused(&ended), "{ended}");
    world.is_well("afterwards").await;
    let after = world.gateway.memory();
    assert!(after < memory + 32 * 1024 * 1024, "{memory} bytes became {after}");
}

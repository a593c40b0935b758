//! A client's share: over HTTP/2 few connections carry many requests, so those are bound as well, over all connections of an address.

use super::wire::{fields, frame};
use super::*;

fn ask(stream: u32, path: &str) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | END_STREAM, stream, &fields(&[GOOD[0], GOOD[1], GOOD[2], (":path", path)]))
}

/// The streams of a client's connection, counted from 1.
fn stream(number: u32) -> u32 {
    2 * number - 1
}

impl World {
    async fn wire_from(&self, source: [u8; 4]) -> Wire {
        let dialer = self.ca.dialer(&["h2"]);
        Wire::new(dialer.dial_from(source, self.gateway.address(), "a.test").await.expect("TLS")).await
    }

    async fn wait_for_refused(&self, count: f64) {
        self.gateway.counts("hilum_rejections_total", &[("reason", "overloaded")], |n| n == count).await;
    }
}

#[tokio::test]
async fn a_client_has_its_share_of_requests_however_it_spreads_them() {
    // Four for each of its connections.
    let world = World::with("connections: { per_client: 2 }\ntrusted_proxies: [127.0.0.7]", puppet).await;
    let mut wires = Vec::new();
    for _ in 0..2 {
        let mut wire = world.wire_from([127, 0, 0, 5]).await;
        for number in 1..=4 {
            wire.send(&ask(stream(number), "/open/silent")).await;
        }
        wires.push(wire);
    }
    world.service.has_seen(8).await;
    for wire in &mut wires {
        wire.send(&ask(stream(5), "/open/echo")).await;
        // REFUSED_STREAM: nothing was done, and the client may ask again.
        assert_eq!(wire.end_of(stream(5)).await, "reset 7");
    }
    assert_eq!(world.service.seen().len(), 8);
    world.wait_for_refused(2.0).await;
    // The log says who it was.
    let logged = async || {
        let lines = world.gateway.access_log().into_iter().filter(|line| line["reason"] == "overloaded");
        Some(lines.collect::<Vec<_>>()).filter(|lines| lines.len() == 2)
    };
    let lines = eventually("two lines", logged).await;
    assert!(lines.iter().all(|line| line["client"] == "127.0.0.5" && line["status"] == 0), "{lines:?}");
    world.is_well("another client").await;
    // What is given back is there again, on whichever connection.
    wires[1].send(&frame(RST_STREAM, 0, stream(1), &8_u32.to_be_bytes())).await;
    world.gateway.counts("hilum_requests_in_flight", &[], |n| n == 7.0).await;
    wires[0].send(&ask(stream(6), "/open/echo")).await;
    assert_eq!(wires[0].end_of(stream(6)).await, "status 200");
    drop(wires);
    world.gateway.counts("hilum_requests_in_flight", &[], |n| n == 0.0).await;
    let mut wire = world.wire_from([127, 0, 0, 5]).await;
    for number in 1..=8 {
        wire.send(&ask(stream(number), "/open/silent")).await;
    }
    world.gateway.counts("hilum_requests_in_flight", &[], |n| n == 8.0).await;
    // Behind a trusted proxy are many.
    let mut proxy = world.wire_from([127, 0, 0, 7]).await;
    for number in 1..=12 {
        proxy.send(&ask(stream(number), "/open/silent")).await;
    }
    world.gateway.counts("hilum_requests_in_flight", &[], |n| n == 20.0).await;
    world.wait_for_refused(2.0).await;
}

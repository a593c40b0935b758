//! A file that becomes shorter while it is sent.

use super::World;
use super::harness::*;

/// More than all buffers between here and there.
const LONG: u64 = 64 * 1024 * 1024;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_a_file_is_never_told_as_a_whole_one() {
    let world = World::start().await;
    let path = world.gateway.folder().join("assets/long.bin");
    let file = std::fs::File::create(&path).expect("a file in our own folder");
    file.set_len(LONG).expect("room for holes");
    let mut client = world.gateway.connect().await;
    client.write(&message("GET /static/long.bin")).await;
    let head = client.head().await;
    assert_eq!((head.status, head.header("content-length")), (200, Some(LONG.to_string())));
    file.set_len(1024).expect("a file of our own");
    let mut came = 0;
    loop {
        match client.piece().await.len() {
            0 => break,
            length => came += length as u64,
        }
    }
    assert!(came < LONG, "{came} bytes came of a file that had fewer");
    world.gateway.counts("hilum_connections", &[], |n| n == 0.0).await;
}

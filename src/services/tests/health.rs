//! Health checks, as they change while a pool is in use.

use std::time::Duration;

use prometheus::Registry;

use super::log::{keep_log, logged};
use super::scripted::{Act, OK, Scripted, UNWELL, eventually, exposed, fleet, nobody, run, service, within};
use crate::services::lineup::Wish;
use crate::services::{Health, HealthOptions, Pool, ServiceOptions, Timeouts};

fn quick(path: Option<&str>) -> HealthOptions {
    HealthOptions {
        path: path.map(|path| path.parse().expect("a path")),
        every: Duration::from_millis(10),
        timeout: Duration::from_millis(200),
        down_after: 3,
        up_after: 2,
    }
}

fn checked(name: &str, peers: &[&str], health: HealthOptions) -> ServiceOptions {
    ServiceOptions { health: Some(health), ..service(name, peers) }
}

async fn until_up(pool: &Pool, up: usize) {
    within(pool.until(|pool| pool.health().up == up)).await;
}

#[tokio::test]
async fn a_peer_goes_down_and_comes_back_with_its_checks() {
    keep_log();
    let server = Scripted::start(&[OK]).await;
    let (registry, peer) = (Registry::new(), server.address);
    let fleet = fleet(&registry);
    let pool = fleet.pool(&checked("watched", &[&server.url()], quick(Some("/health?deep=1"))));
    run(&fleet, &[&pool]);
    let seen = server.requests(2).await;
    assert_ne!(seen[0].0, seen[1].0, "each check connects anew");
    let mut lines: Vec<&str> = seen[0].1.trim_end().lines().collect();
    lines.sort_unstable();
    let host = format!("Host: {peer}");
    assert_eq!(lines, ["Connection: close", "GET /health?deep=1 HTTP/1.1", &host, "User-Agent: hilum-health"]);
    assert_eq!(pool.health(), Health { up: 1, total: 1 });
    assert!(exposed(&registry).contains(&format!("hilum_peer_up{{peer=\"{peer}\",service=\"watched\"}} 1")));

    server.now(UNWELL);
    until_up(&pool, 0).await;
    assert!(pool.pick(&Wish::default()).is_none(), "nobody is picked while nobody is up");
    assert!(exposed(&registry).contains(&format!("hilum_peer_up{{peer=\"{peer}\",service=\"watched\"}} 0")));
    // Some more failures, which change nothing and are not logged.
    server.requests(server.requests(0).await.len() + 5).await;
    server.now(OK);
    until_up(&pool, 1).await;
    assert!(pool.pick(&Wish::default()).is_some());
    let expected = [
        format!("WARN service=watched peer={peer} down after 3 failed checks: answered 503"),
        format!("INFO service=watched peer={peer} up after 2 passed checks"),
    ];
    assert_eq!(logged("service=watched "), expected);
}

/// A service that does `act` → whether its peer goes down, and what is said about it.
async fn check(name: &str, act: Act, path: Option<&str>, expected: Result<(), &str>) {
    keep_log();
    let server = Scripted::start(&[act]).await;
    let fleet = fleet(&Registry::new());
    let pool = fleet.pool(&checked(name, &[&server.url()], quick(path)));
    run(&fleet, &[&pool]);
    match expected {
        Ok(()) => {
            server.requests(5).await;
            assert_eq!(pool.health().up, 1, "{name}");
        }
        Err(cause) => {
            until_up(&pool, 0).await;
            let line = format!("WARN service={name} peer={} down after 3 failed checks: {cause}", server.address);
            assert_eq!(logged(&format!("service={name} ")), [line]);
        }
    }
}

#[tokio::test]
async fn a_check_passes_with_a_complete_2xx_in_time_and_nothing_else() {
    let path = Some("/health");
    check("h200", OK, path, Ok(())).await;
    check("h204", Act::Send("HTTP/1.1 204 No Content\r\n\r\n"), path, Ok(())).await;
    check("h299", Act::SendAndClose("HTTP/1.1 299 Fine\r\n\r\nok"), path, Ok(())).await;
    check("h103", Act::Send("HTTP/1.1 103 Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), path, Ok(()))
        .await;
    check("h301", Act::Send("HTTP/1.1 301 M\r\nContent-Length: 0\r\n\r\n"), path, Err("answered 301")).await;
    check("h101", Act::Send("HTTP/1.1 101 S\r\n\r\n"), path, Err("answered 101")).await;
    check(
        "hshort",
        Act::SendAndClose("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok"),
        path,
        Err("connection closed"),
    )
    .await;
    check("hsilent", Act::Silent, path, Err("no answer in time")).await;
    check("hdrip", Act::Drip("HTTP/1.1 200 OK\r\nX: y"), path, Err("no answer in time")).await;
    check("hclose", Act::Close, path, Err("connection closed")).await;
    check("hreset", Act::Reset, path, Err("connection closed")).await;
    check("hgarbage", Act::Send("hello\r\n\r\n"), path, Err("no answer in HTTP")).await;
}

#[tokio::test]
async fn without_a_path_being_able_to_connect_is_enough() {
    keep_log();
    let server = Scripted::start(&[Act::Silent]).await;
    let dead = nobody().await;
    let fleet = fleet(&Registry::new());
    let pool = fleet.pool(&checked("tcp", &[&server.url(), &format!("http://{dead}")], quick(None)));
    run(&fleet, &[&pool]);
    until_up(&pool, 1).await;
    assert_eq!(pool.pick(&Wish::default()).expect("one is up").peer.address(), server.address);
    let line = format!("WARN service=tcp peer={dead} down after 3 failed checks: connection refused");
    assert_eq!(logged("service=tcp "), [line]);
}

#[tokio::test]
async fn health_is_carried_over_unless_it_is_checked_in_another_way() {
    let server = Scripted::start(&[UNWELL]).await;
    let registry = Registry::new();
    let fleet = fleet(&registry);
    let options = checked("carried", &[&server.url()], quick(Some("/health")));
    let old = fleet.pool(&options);
    run(&fleet, &[&old]);
    until_up(&old, 0).await;

    let timeouts = Timeouts { response: Duration::from_secs(3), ..Timeouts::default() };
    let new = fleet.pool(&ServiceOptions { timeouts, ..options.clone() });
    assert_eq!(new.health(), Health { up: 0, total: 1 }, "known to be down from the first request on");
    let other = fleet.pool(&ServiceOptions { health: Some(quick(Some("/ready"))), ..options.clone() });
    assert_eq!(other.health(), Health { up: 1, total: 1 }, "nobody has asked for /ready yet");

    // After the switch it is the new pool that is told, and the old one learns it when it is watched again.
    run(&fleet, &[&new]);
    server.now(OK);
    until_up(&new, 1).await;
    assert_eq!(fleet.pool(&options).health().up, 0);
    run(&fleet, &[&old]);
    until_up(&old, 1).await;
}

#[tokio::test]
async fn pools_that_are_not_listed_are_no_longer_checked() {
    let server = Scripted::start(&[OK]).await;
    let registry = Registry::new();
    let fleet = fleet(&registry);
    let pool = fleet.pool(&checked("stopped", &[&server.url()], quick(Some("/health"))));
    run(&fleet, &[&pool]);
    server.requests(1).await;
    let up = |expected: bool| exposed(&registry).contains("hilum_peer_up{") == expected;
    assert!(up(true));
    run(&fleet, &[]);
    eventually(|| up(false)).await;
    assert!(pool.pick(&Wish::default()).is_some(), "requests that began before can still be served");
    run(&fleet, &[&pool]);
    eventually(|| up(true)).await;
    fleet.stop();
    eventually(|| up(false)).await;
    run(&fleet, &[&pool]);
    eventually(|| up(true)).await;
    drop(fleet);
    eventually(|| up(false)).await;
}

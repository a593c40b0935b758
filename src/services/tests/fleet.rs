//! Pools: who is picked, and what a reload carries over.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use prometheus::Registry;

use super::scripted::{CA_FILE, exposed, fleet, service};
use crate::services::lineup::Wish;
use crate::services::peer::Picked;
use crate::services::{Balance, Fleet, Health, HealthOptions, Pool, ServiceOptions, Timeouts, hash_key};

const A: &str = "http://10.0.0.1:80";
const B: &str = "http://10.0.0.2:80";

fn weighted(balance: Balance, peers: &[(&str, u16)]) -> ServiceOptions {
    let mut options = service("patients", &peers.iter().map(|(peer, _)| *peer).collect::<Vec<_>>());
    for (peer, (_, weight)) in options.peers.iter_mut().zip(peers) {
        peer.weight = *weight;
    }
    ServiceOptions { balance, ..options }
}

/// Which peers these picks go to, as last number of the address → count. All are held until the end.
fn spread(pool: &Pool, picks: u64, key: impl Fn(u64) -> Option<u64>) -> BTreeMap<u8, u64> {
    let held: Vec<Picked> =
        (0..picks).filter_map(|number| pool.pick(&Wish { key: key(number), ..Wish::default() })).collect();
    let mut spread = BTreeMap::new();
    for picked in &held {
        let std::net::IpAddr::V4(address) = picked.peer.address().ip() else { panic!("IPv4 only") };
        *spread.entry(address.octets()[3]).or_default() += 1;
    }
    spread
}

/// Peers with their weights, 60 requests → who got how many, each within `tolerance`.
fn check(balance: Balance, peers: &[(&str, u16)], expected: &[(u8, u64)], tolerance: u64) {
    let registry = Registry::new();
    let pool = fleet(&registry).pool(&weighted(balance, peers));
    let got = spread(&pool, 60, |_| None);
    let same = got.keys().eq(expected.iter().map(|(peer, _)| peer));
    let near = expected.iter().all(|(peer, count)| got.get(peer).is_some_and(|got| got.abs_diff(*count) <= tolerance));
    assert!(same && near, "{balance:?} {peers:?}: {got:?}, expected {expected:?}");
    assert!(!exposed(&registry).contains("hilum_peer_in_flight{peer=\"10.0.0.1:80\",service=\"patients\"} 6"));
    for peer in expected.iter().map(|(peer, _)| peer) {
        let line = format!("hilum_peer_in_flight{{peer=\"10.0.0.{peer}:80\",service=\"patients\"}} 0");
        assert!(exposed(&registry).contains(&line), "all were given back: {}", exposed(&registry));
    }
}

#[tokio::test]
async fn requests_are_shared_out_by_weight() {
    check(Balance::RoundRobin, &[(A, 1)], &[(1, 60)], 0);
    check(Balance::RoundRobin, &[(A, 1), (B, 1)], &[(1, 30), (2, 30)], 0);
    check(Balance::RoundRobin, &[(A, 2), (B, 1)], &[(1, 40), (2, 20)], 0);
    check(Balance::RoundRobin, &[(A, 1), (B, 0)], &[(1, 60)], 0);
    check(Balance::RoundRobin, &[(A, 1), (B, 1), (A, 1)], &[(1, 40), (2, 20)], 0);
    check(Balance::RoundRobin, &[(A, 0), (B, 0)], &[], 0);
    check(Balance::RoundRobin, &[], &[], 0);
    check(Balance::LeastRequests, &[(A, 1), (B, 1)], &[(1, 30), (2, 30)], 1);
    check(Balance::LeastRequests, &[(A, 3), (B, 1)], &[(1, 45), (2, 15)], 1);
    check(Balance::Hash, &[(A, 2), (B, 1)], &[(1, 40), (2, 20)], 0);
}

#[tokio::test]
async fn a_peer_that_answers_nobody_does_not_get_all_places() {
    for balance in [Balance::RoundRobin, Balance::LeastRequests, Balance::Hash] {
        let mut options = weighted(balance, &[(A, 1), (B, 1)]);
        options.limits.in_flight = 8;
        let pool = fleet(&Registry::new()).pool(&options);
        let mut stuck = Vec::new();
        for number in 0..200_u64 {
            let wish = Wish { key: Some(hash_key(&number.to_le_bytes())), ..Wish::default() };
            let picked = pool.pick(&wish).expect("both are up");
            if picked.peer.label().as_ref() == "10.0.0.1:80" {
                stuck.push(picked);
            }
        }
        assert!(stuck.len() <= 6 && !stuck.is_empty(), "{balance:?}: {} of 8 places", stuck.len());
    }
}

#[tokio::test]
async fn equal_keys_meet_the_same_peer() {
    let pool = fleet(&Registry::new()).pool(&weighted(Balance::Hash, &[(A, 1), (B, 1)]));
    for key in ["7", "8", "9", "patient/7"].map(|key| hash_key(key.as_bytes())) {
        assert_eq!(spread(&pool, 20, |_| Some(key)).len(), 1);
    }
    assert_eq!(spread(&pool, 200, |number| Some(hash_key(&number.to_le_bytes()))).len(), 2);
}

#[tokio::test]
async fn a_drained_peer_is_watched_and_not_counted() {
    let pool = fleet(&Registry::new()).pool(&weighted(Balance::RoundRobin, &[(A, 1), (B, 0)]));
    assert_eq!(pool.health(), Health { up: 1, total: 1 });
    assert_eq!(pool.peers().len(), 2);
}

#[tokio::test]
async fn the_same_options_are_the_same_pool_and_others_share_what_is_in_flight() {
    let registry = Registry::new();
    let fleet = fleet(&registry);
    let options = service("patients", &[A, B]);
    let pool = fleet.pool(&options);
    assert!(Arc::ptr_eq(&pool, &fleet.pool(&options.clone())));
    let picked = pool.pick(&Wish::default()).expect("both are up");

    let timeouts = Timeouts { response: Duration::from_secs(3), ..Timeouts::default() };
    let changed = fleet.pool(&ServiceOptions { timeouts, ..options.clone() });
    assert!(!Arc::ptr_eq(&pool, &changed));
    let in_flight = |pool: &Pool| pool.peers().iter().map(|(peer, _)| peer.in_flight()).sum::<u64>();
    assert_eq!((in_flight(&pool), in_flight(&changed)), (1, 1));
    let other = fleet.pool(&service("doctors", &[A, B]));
    assert_eq!(in_flight(&other), 0, "another service counts its own requests");
    drop((pool, picked));
    assert_eq!(in_flight(&changed), 0);
}

#[tokio::test]
async fn metrics_of_peers_that_are_gone_are_removed() {
    let registry = Registry::new();
    let fleet = fleet(&registry);
    let old = fleet.pool(&service("patients", &[A, B]));
    let new = fleet.pool(&service("patients", &[A]));
    let picked = loop {
        let picked = old.pick(&Wish::default()).expect("both are up");
        if picked.peer.label().as_ref() == "10.0.0.2:80" {
            break picked;
        }
    };
    drop(old);
    let metrics = exposed(&registry);
    assert!(metrics.contains(r#"hilum_peer_in_flight{peer="10.0.0.2:80",service="patients"} 1"#), "{metrics}");
    drop(picked);
    let metrics = exposed(&registry);
    assert!(!metrics.contains("10.0.0.2") && metrics.contains("10.0.0.1"), "{metrics}");
    drop(new);
    assert!(!exposed(&registry).contains("patients"), "{}", exposed(&registry));
}

#[test]
fn a_fleet_says_what_it_cannot_read() {
    let certificates = |path: &str| Fleet::new(&Registry::new(), Some(path.to_owned())).err().map(|e| format!("{e:#}"));
    assert_eq!(certificates(CA_FILE), None);
    let missing = certificates("/nowhere/ca.pem").expect("it is not there");
    assert!(missing.starts_with("reading the CA file /nowhere/ca.pem: "), "{missing}");
    let wrong = certificates(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")).expect("it is no PEM");
    assert!(wrong.ends_with("holds no certificate in PEM form"), "{wrong}");
    let registry = Registry::new();
    let _first = fleet(&registry);
    assert!(Fleet::new(&registry, Some(CA_FILE.to_owned())).is_err(), "metrics are registered once");
}

#[tokio::test]
async fn a_pool_of_addresses_needs_no_watching_to_serve() {
    let options = ServiceOptions { health: Some(HealthOptions::default()), ..service("patients", &[A]) };
    let pool = fleet(&Registry::new()).pool(&options);
    pool.resolved().await;
    assert_eq!(pool.health(), Health { up: 1, total: 1 });
}

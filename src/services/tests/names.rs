//! Names, as what they stand for changes while a pool is in use.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use prometheus::Registry;
use tokio::sync::watch;

use super::log::{keep_log, logged};
use super::scripted::{CA_FILE, OK, Scripted, eventually, exposed, fleet, run, service, within};
use crate::services::lineup::Wish;
use crate::services::{Fleet, Health, Pool, Resolve, ServiceOptions, Timeouts, lock};

/// A name server whose answers a test sets, and that says how often it was asked.
struct NameServer {
    answer: Arc<Mutex<Result<Vec<SocketAddr>, &'static str>>>,
    asked: watch::Sender<usize>,
}

impl NameServer {
    fn new(answer: Result<&str, &'static str>) -> NameServer {
        NameServer { answer: Arc::new(Mutex::new(addresses(answer))), asked: watch::Sender::new(0) }
    }

    fn resolve(&self) -> Resolve {
        let (answer, asked) = (self.answer.clone(), self.asked.clone());
        Arc::new(move |host, port| {
            assert_eq!((host, port), ("patients.internal", 8004));
            asked.send_modify(|count| *count += 1);
            let answer = lock(&answer).clone().map_err(io::Error::other);
            Box::pin(async move { answer })
        })
    }

    /// Answers this from now on, and waits until that answer was taken in.
    async fn now(&self, answer: Result<&str, &'static str>) {
        *lock(&self.answer) = addresses(answer);
        let mut asked = self.asked.subscribe();
        let before = *asked.borrow();
        // The question that follows the first one with the new answer comes when that answer is taken in.
        within(asked.wait_for(|count| *count >= before + 2)).await.expect("the sender lives");
    }

    fn asked(&self) -> usize {
        *self.asked.borrow()
    }
}

fn addresses(answer: Result<&str, &'static str>) -> Result<Vec<SocketAddr>, &'static str> {
    answer.map(|texts| texts.split_whitespace().map(|text| text.parse().expect("an address")).collect())
}

fn named(name: &str) -> ServiceOptions {
    ServiceOptions { resolve_every: Duration::from_millis(10), ..service(name, &["http://patients.internal:8004"]) }
}

fn fleet_with(registry: &Registry, server: &NameServer) -> Arc<Fleet> {
    Fleet::with_resolver(registry, Some(CA_FILE.to_owned()), server.resolve()).expect("a fresh registry")
}

fn labels(pool: &Pool) -> String {
    let labels: Vec<String> = pool.peers().iter().map(|(peer, _)| peer.label().to_string()).collect();
    labels.join(" ")
}

#[tokio::test]
async fn names_are_followed_and_the_last_good_answer_is_kept() {
    keep_log();
    let server = NameServer::new(Err("no such name"));
    let registry = Registry::new();
    let fleet = fleet_with(&registry, &server);
    let pool = fleet.pool(&named("named"));
    assert!(pool.pick(&Wish::default()).is_none(), "not resolved yet");
    run(&fleet, &[&pool]);
    within(pool.resolved()).await;
    assert_eq!(pool.health(), Health { up: 0, total: 0 }, "a failed look-up is a result too");
    for (answer, expected) in [
        (Ok("10.0.0.1:8004"), "10.0.0.1:8004"),
        (Err("down"), "10.0.0.1:8004"),
        (Ok(""), "10.0.0.1:8004"),
        (Ok("10.0.0.2:8004 [::1]:8004 10.0.0.1:8004"), "10.0.0.1:8004 10.0.0.2:8004"),
        (Ok("10.0.0.2:8004"), "10.0.0.2:8004"),
    ] {
        server.now(answer).await;
        assert_eq!(labels(&pool), expected, "after {answer:?}");
    }
    assert_eq!(pool.pick(&Wish::default()).expect("it is up").peer.authority(), "patients.internal:8004");
    eventually(|| !exposed(&registry).contains("10.0.0.1")).await;
    let name = "service=named name=patients.internal:8004";
    let expected = [
        format!("WARN {name} cannot be resolved, keeping 0 addresses: no such name"),
        format!("INFO {name} resolves again"),
        format!("WARN {name} cannot be resolved, keeping 1 addresses: down"),
        format!("INFO {name} resolves again"),
    ];
    assert_eq!(logged("service=named "), expected);
}

#[tokio::test]
async fn a_pool_with_other_options_knows_the_addresses_at_once() {
    let server = NameServer::new(Ok("10.0.0.1:8004"));
    let registry = Registry::new();
    let fleet = fleet_with(&registry, &server);
    let old = fleet.pool(&named("moved"));
    run(&fleet, &[&old]);
    within(old.resolved()).await;
    let timeouts = Timeouts { response: Duration::from_secs(3), ..Timeouts::default() };
    let new = fleet.pool(&ServiceOptions { timeouts, ..named("moved") });
    assert_eq!(labels(&new), "10.0.0.1:8004");
    // A name that nobody uses any more is forgotten.
    run(&fleet, &[]);
    drop((old, new));
    eventually(|| labels(&fleet.pool(&named("moved"))).is_empty()).await;
}

#[tokio::test]
async fn running_the_same_pools_again_disturbs_nothing() {
    let server = NameServer::new(Ok("10.0.0.1:8004"));
    let fleet = fleet_with(&Registry::new(), &server);
    let pool = fleet.pool(&ServiceOptions { resolve_every: ServiceOptions::RESOLVE_EVERY, ..named("again") });
    for _ in 0..3 {
        run(&fleet, &[&pool]);
        within(pool.resolved()).await;
    }
    assert_eq!(server.asked(), 1);
    fleet.stop();
    run(&fleet, &[&pool]);
    eventually(|| server.asked() == 2).await;
}

#[tokio::test]
async fn localhost_is_found_by_the_system() {
    let server = Scripted::start(&[OK]).await;
    let fleet = fleet(&Registry::new());
    let pool = fleet.pool(&service("local", &[&format!("http://localhost:{}", server.address.port())]));
    run(&fleet, &[&pool]);
    within(pool.resolved()).await;
    assert_eq!(labels(&pool), server.address.to_string(), "one machine, once");
}

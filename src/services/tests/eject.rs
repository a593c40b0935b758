//! Peers that are ejected by real traffic, and how they come back.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use pingora_http::RequestHeader;
use prometheus::Registry;
use tokio::time::Instant;

use super::log::{keep_log, logged};
use super::scripted::{Act, OK, Scripted, exposed, fleet, nobody, run, service, within};
use crate::services::lineup::Wish;
use crate::services::{Call, EjectOptions, Health, HealthOptions, Pool, Priority, ServiceOptions, Timeouts, call};

const BROKEN: Act = Act::Send("HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n");
const SPAN: Duration = Duration::from_millis(150);

fn ejecting(name: &str, peers: &[&str]) -> ServiceOptions {
    let eject = EjectOptions { after: 3, span: SPAN, ..EjectOptions::default() };
    let mut options = ServiceOptions { eject: Some(eject), ..service(name, peers) };
    options.limits.slow_start = Duration::ZERO;
    options.timeouts = Timeouts { response: Duration::from_millis(100), ..Timeouts::default() };
    options
}

async fn ask(pool: &Arc<Pool>, method: &str) {
    let head = RequestHeader::build(method, b"/", None).expect("a head");
    let question = Call { head, body: Bytes::new(), reply_limit: 1000, priority: Priority::default() };
    let _ = within(call(pool, None, &question, Instant::now() + Duration::from_secs(5))).await;
}

async fn until_up(pool: &Pool, up: usize) {
    within(pool.until(|pool| pool.health().up == up)).await;
}

#[tokio::test]
async fn a_peer_that_fails_is_ejected_and_comes_back_when_it_is_well() {
    keep_log();
    for (name, act, cause) in [("ereset", Act::Reset, "failures"), ("e500", BROKEN, "server errors")] {
        let (good, bad) = (Scripted::start(&[OK]).await, Scripted::start(&[act]).await);
        let registry = Registry::new();
        let fleet = fleet(&registry);
        let pool = fleet.pool(&ejecting(name, &[&good.url(), &bad.url()]));
        run(&fleet, &[&pool]);
        let begun = Instant::now();
        for _ in 0..12 {
            ask(&pool, "GET").await;
        }
        let ejected = Instant::now();
        assert_eq!(bad.requests(0).await.len(), 3, "{name}: three in a row, and no more");
        assert_eq!(pool.health(), Health { up: 1, total: 2 });
        let label = bad.address;
        let metrics = exposed(&registry);
        assert!(metrics.contains(&format!("hilum_peer_up{{peer=\"{label}\",service=\"{name}\"}} 0")), "{metrics}");
        assert!(metrics.contains(&format!(
            "hilum_ejections_total{{cause=\"{}\",peer=\"{label}\"",
            if name == "e500" { "errors" } else { "failures" }
        )));
        assert_eq!(
            logged(&format!("service={name} ")),
            [format!("WARN service={name} peer={label} ejected for 150ms after 3 {cause} in a row")]
        );

        // It is still unwell when its time is over: one request finds out, and it stays out.
        within(async {
            while bad.requests(0).await.len() < 4 {
                ask(&pool, "GET").await;
            }
        })
        .await;
        assert!(begun.elapsed() >= SPAN, "{:?}", begun.elapsed());
        assert!(ejected.elapsed() < SPAN * 4, "{:?}", ejected.elapsed());
        assert_eq!(pool.health().up, 1);
        bad.now(OK);
        within(async {
            while pool.health().up < 2 {
                ask(&pool, "GET").await;
            }
        })
        .await;
        assert!(logged(&format!("service={name} ")).last().is_some_and(|line| line.ends_with("is trusted again")));
    }
}

#[tokio::test]
async fn a_peer_that_is_ejected_and_down_is_not_looked_at_again_and_again() {
    let (good, bad) = (Scripted::start(&[OK]).await, Scripted::start(&[Act::Reset]).await);
    let fleet = fleet(&Registry::new());
    let mut options = ejecting("both", &[&good.url(), &bad.url()]);
    let every = Duration::from_millis(10);
    options.health = Some(HealthOptions { every, down_after: 8, ..HealthOptions::default() });
    let pool = fleet.pool(&options);
    for _ in 0..6 {
        ask(&pool, "GET").await;
    }
    assert_eq!(pool.health().up, 1);
    run(&fleet, &[&pool]);
    let (peer, _) = pool.peers().into_iter().find(|(peer, _)| peer.address() == bad.address).expect("it is there");
    within(pool.until(|_| !peer.is_up())).await;
    tokio::time::sleep(SPAN + SPAN / 2).await;
    pool.arrange();
    let now = std::time::Instant::now();
    assert!(pool.next_change(now).is_none_or(|at| at > now), "the watch would never sleep");
}

#[tokio::test]
async fn what_can_not_be_repeated_does_not_find_out_how_an_ejected_peer_is() {
    let (good, bad) = (Scripted::start(&[OK]).await, Scripted::start(&[Act::Reset]).await);
    let fleet = fleet(&Registry::new());
    let pool = fleet.pool(&ejecting("posts", &[&good.url(), &bad.url()]));
    run(&fleet, &[&pool]);
    for _ in 0..6 {
        ask(&pool, "POST").await;
    }
    assert_eq!(pool.health().up, 1);
    let before = bad.requests(0).await.len();
    tokio::time::sleep(SPAN + SPAN / 2).await;
    ask(&pool, "POST").await;
    assert_eq!(bad.requests(0).await.len(), before);
    // Where nothing else comes for as long, somebody has to.
    bad.now(OK);
    tokio::time::sleep(SPAN).await;
    ask(&pool, "POST").await;
    until_up(&pool, 2).await;
    assert_eq!(bad.requests(0).await.len(), before + 1);
}

#[tokio::test]
async fn never_too_many_are_ejected() {
    for (bad, good, up) in [(1, 0, 1), (2, 0, 1), (3, 0, 2), (4, 0, 2), (1, 1, 1), (2, 2, 2)] {
        let mut peers = Vec::new();
        for number in 0..bad + good {
            peers.push(Scripted::start(&[if number < bad { Act::Reset } else { OK }]).await);
        }
        let urls: Vec<String> = peers.iter().map(Scripted::url).collect();
        let fleet = fleet(&Registry::new());
        let mut options = ejecting("many", &urls.iter().map(String::as_str).collect::<Vec<_>>());
        options.eject = Some(EjectOptions { after: 3, ..EjectOptions::default() });
        let pool = fleet.pool(&options);
        run(&fleet, &[&pool]);
        for _ in 0..40 {
            ask(&pool, "GET").await;
        }
        assert_eq!(pool.health().up, up, "{bad} bad, {good} good");
    }
}

/// Three peers, one ejected, one down by its checks: of the three one is left, which is enough, or too few.
#[tokio::test]
async fn when_too_few_are_left_nobody_counts_as_ejected() {
    for (panic, up) in [(25, 1), (50, 2)] {
        let (good, bad, dead) = (Scripted::start(&[OK]).await, Scripted::start(&[OK]).await, nobody().await);
        let fleet = fleet(&Registry::new());
        let mut options = ejecting("panic", &[&good.url(), &bad.url(), &format!("http://{dead}")]);
        let every = Duration::from_millis(10);
        options.health = Some(HealthOptions { path: None, every, down_after: 1, ..HealthOptions::default() });
        let panic = crate::services::Share::percent(panic);
        options.eject = Some(EjectOptions { after: 3, panic, ..EjectOptions::default() });
        let pool = fleet.pool(&options);
        run(&fleet, &[&pool]);
        until_up(&pool, 2).await;
        bad.now(Act::Reset);
        for _ in 0..12 {
            ask(&pool, "GET").await;
        }
        assert_eq!(pool.health(), Health { up, total: 3 }, "panic {panic:?}");
    }
}

#[tokio::test]
async fn an_ejection_is_every_pools_and_outlives_the_one_that_saw_it() {
    let (good, bad) = (Scripted::start(&[OK]).await, Scripted::start(&[Act::Reset]).await);
    let fleet = fleet(&Registry::new());
    let options = ejecting("kept", &[&good.url(), &bad.url()]);
    let (old, seconds) = (fleet.pool(&options), Duration::from_secs);
    let new = fleet.pool(&ServiceOptions { resolve_every: seconds(7), ..options.clone() });
    assert!(!Arc::ptr_eq(&old, &new));
    run(&fleet, &[&new]);
    // What requests find out that began with an old file, the new one is told.
    for _ in 0..6 {
        ask(&old, "GET").await;
    }
    until_up(&new, 1).await;
    drop(old);
    let newer = fleet.pool(&ServiceOptions { resolve_every: seconds(8), ..options.clone() });
    assert_eq!(newer.health().up, 1, "known from its first request on");
    let without = fleet.pool(&ServiceOptions { eject: None, ..options });
    assert_eq!(without.health().up, 2, "where the file says so, nobody is ejected");
}

#[tokio::test]
async fn who_joins_others_waits_for_its_first_good_check_and_begins_slowly() {
    let (old, new) = (Scripted::start(&[OK]).await, Scripted::start(&[super::scripted::UNWELL]).await);
    let fleet = fleet(&Registry::new());
    let every = Duration::from_millis(10);
    let health = HealthOptions { every, down_after: 1000, ..HealthOptions::default() };
    let mut options = ServiceOptions { health: Some(health), ..service("joins", &[&old.url()]) };
    options.limits.slow_start = Duration::from_secs(1000);
    let first = fleet.pool(&options);
    run(&fleet, &[&first]);
    old.requests(1).await;
    let more = ServiceOptions { peers: service("joins", &[&old.url(), &new.url()]).peers, ..options.clone() };
    let pool = fleet.pool(&more);
    run(&fleet, &[&pool]);
    new.requests(2).await;
    assert_eq!(pool.health(), Health { up: 1, total: 2 }, "it has not passed a check yet");
    new.now(OK);
    until_up(&pool, 2).await;
    let picked = (0..1000).filter(|_| pool.pick(&Wish::default()).is_some_and(|it| it.peer.address() == new.address));
    let share = picked.count();
    assert!((20..90).contains(&share), "a tenth of its half at first: {share} of 1000");

    // Where nobody else is up, whoever is there is asked.
    let alone = fleet.pool(&ServiceOptions { name: "alone".into(), ..more });
    assert_eq!(alone.health(), Health { up: 2, total: 2 });
}

#[tokio::test]
async fn a_drained_peer_gets_nothing_new_in_any_pool() {
    let (a, b) = (Scripted::start(&[OK]).await, Scripted::start(&[OK]).await);
    let fleet = fleet(&Registry::new());
    let options = service("drained", &[&a.url(), &b.url()]);
    let pool = fleet.pool(&options);
    run(&fleet, &[&pool]);
    assert!(pool.drain(&b.address.to_string(), true) && !pool.drain("127.0.0.1:1", true));
    for _ in 0..10 {
        ask(&pool, "GET").await;
    }
    assert_eq!((a.requests(0).await.len(), b.requests(0).await.len()), (10, 0));
    let other = fleet.pool(&ServiceOptions { resolve_every: Duration::from_secs(7), ..options });
    assert_eq!(other.health(), Health { up: 1, total: 2 });
    assert!(other.drain(&b.address.to_string(), false));
    until_up(&pool, 2).await;
}

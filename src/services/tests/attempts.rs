//! Requests that are sent again: whether, to whom, and what is counted.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use pingora_http::RequestHeader;
use prometheus::Registry;
use tokio::time::Instant;

use super::scripted::{Act, OK, Scripted, exposed, fleet, nobody, service, within};
use crate::services::{Call, CallError, LimitOptions, Pool, Priority, RetryOptions, ServiceOptions, Timeouts, call};

const WAIT: Act = Act::Send("HTTP/1.1 503 Busy\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n");
const TOO_LONG: Act = Act::Send("HTTP/1.1 503 Busy\r\nRetry-After: 60\r\nContent-Length: 0\r\n\r\n");
const BAD: Act = Act::Send("HTTP/1.1 502 Bad Gateway\r\nContent-Length: 3\r\n\r\nbad");
const HALF: Act = Act::SendAndClose("HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nhalf");

fn request(method: &str) -> Call {
    let head = RequestHeader::build(method, b"/", None).expect("a head");
    Call { head, body: Bytes::new(), reply_limit: 1000, priority: Priority::default() }
}

fn retrying(peers: &[&str]) -> ServiceOptions {
    let retry = RetryOptions { backoff: Duration::from_millis(1), ..RetryOptions::default() };
    let timeouts = Timeouts { response: Duration::from_millis(100), ..Timeouts::default() };
    ServiceOptions { retry, timeouts, ..service("s", peers) }
}

/// What the caller is told, and how many attempts it took.
async fn told(pool: &Arc<Pool>, method: &str) -> String {
    match within(call(pool, None, &request(method), Instant::now() + Duration::from_secs(5))).await {
        Ok(answer) => format!("{} after {}", answer.status.as_u16(), answer.attempts),
        Err(CallError::Failed { fault, attempts, .. }) => format!("{fault:?} after {attempts}"),
        Err(other) => format!("{other:?}"),
    }
}

/// Two peers that each do one thing → what GET and POST are told, the number of requests that both peers saw together, and what is
/// counted as retries.
async fn check(first: Act, second: Act, expected: [&str; 2], seen: usize, retries: &str) {
    let (a, b) = (Scripted::start(&[first]).await, Scripted::start(&[second]).await);
    let registry = Registry::new();
    let fleet = fleet(&registry);
    let pool = fleet.pool(&retrying(&[&a.url(), &b.url()]));
    // Each peer is the first one once.
    let mut got = [String::new(), String::new()];
    for (got, method) in got.iter_mut().zip(["GET", "POST"]) {
        let mut both = [told(&pool, method).await, told(&pool, method).await];
        both.sort();
        *got = if both[0] == both[1] { both[0].clone() } else { both.join(", ") };
    }
    assert_eq!(got, expected, "{first:?} {second:?}");
    let (a, b) = (a.requests(0).await, b.requests(0).await);
    assert_eq!(a.len() + b.len(), seen, "{first:?} {second:?}");
    let counted = |result: &str| {
        let text = exposed(&registry);
        let line = text.lines().find(|line| line.starts_with(&format!("hilum_retries_total{{result=\"{result}\"")));
        line.and_then(|line| line.rsplit(' ').next()).unwrap_or("-").to_owned()
    };
    assert_eq!(
        format!("{} {} {}", counted("answered"), counted("failed"), counted("over_budget")),
        retries,
        "{first:?}"
    );
}

#[tokio::test]
async fn a_get_that_failed_is_answered_by_another_peer_and_a_post_is_not_sent_twice() {
    check(Act::Reset, OK, ["200 after 1, 200 after 2", "200 after 1, Reset after 1"], 5, "1 0 0").await;
    check(Act::Close, OK, ["200 after 1, 200 after 2", "200 after 1, Reset after 1"], 5, "1 0 0").await;
    check(Act::Silent, OK, ["200 after 1, 200 after 2", "200 after 1, Timeout after 1"], 5, "1 0 0").await;
    check(Act::Send("no http\r\n\r\n"), OK, ["200 after 1, 200 after 2", "200 after 1, Garbage after 1"], 5, "1 0 0")
        .await;
    check(HALF, OK, ["200 after 1, 200 after 2", "200 after 1, Reset after 1"], 5, "1 0 0").await;
    check(BAD, OK, ["200 after 1, 200 after 2", "200 after 1, 502 after 1"], 5, "1 0 0").await;
    check(BAD, BAD, ["502 after 3", "502 after 1"], 8, "0 4 0").await;
    check(Act::Silent, Act::Silent, ["Timeout after 2", "Timeout after 1"], 6, "0 2 0").await;
    check(OK, OK, ["200 after 1", "200 after 1"], 4, "0 0 0").await;
}

#[tokio::test]
async fn what_was_not_sent_is_sent_elsewhere_whatever_its_method() {
    let (up, down) = (Scripted::start(&[OK]).await, nobody().await);
    let fleet = fleet(&Registry::new());
    let pool = fleet.pool(&retrying(&[&up.url(), &format!("http://{down}")]));
    for method in ["GET", "POST", "GET", "POST"] {
        let told = told(&pool, method).await;
        assert!(["200 after 1", "200 after 2"].contains(&&*told), "{method}: {told}");
    }
    let seen = up.requests(4).await;
    let numbers: Vec<_> =
        seen.iter().filter_map(|(_, text)| text.split("x-hilum-attempts: ").nth(1)?.lines().next()).collect();
    assert_eq!((seen.len(), numbers), (4, vec!["2", "2"]), "each came once, and says which attempt it is: {seen:?}");
}

#[tokio::test]
async fn a_peer_that_asks_to_be_left_alone_is() {
    let busy = Scripted::start(&[WAIT, OK]).await;
    let fleet = fleet(&Registry::new());
    let begun = Instant::now();
    assert_eq!(told(&fleet.pool(&retrying(&[&busy.url()])), "GET").await, "200 after 2");
    assert!(begun.elapsed() >= Duration::from_secs(1), "it came back too early: {:?}", begun.elapsed());
    let busier = Scripted::start(&[TOO_LONG, OK]).await;
    let begun = Instant::now();
    assert_eq!(told(&fleet.pool(&retrying(&[&busier.url()])), "GET").await, "503 after 1");
    assert!(begun.elapsed() < Duration::from_secs(1));
}

#[tokio::test]
async fn an_outage_does_not_become_a_storm() {
    let down = Scripted::start(&[Act::Reset]).await;
    let registry = Registry::new();
    let fleet = fleet(&registry);
    let pool = fleet.pool(&retrying(&[&down.url()]));
    for _ in 0..300 {
        told(&pool, "GET").await;
    }
    // 300 requests, fifty attempts that were there from the start, and one for every five requests.
    assert_eq!(down.requests(0).await.len(), 300 + 50 + 59);
    assert!(exposed(&registry).contains(r#"hilum_retries_total{result="over_budget",service="s"}"#));
}

#[tokio::test]
async fn a_service_with_enough_to_do_is_asked_no_more() {
    let slow = Scripted::start(&[Act::Silent]).await;
    let registry = Registry::new();
    let fleet = fleet(&registry);
    let limits = LimitOptions { in_flight: 1, queue: 0, ..LimitOptions::default() };
    let timeouts = Timeouts { response: Duration::from_secs(5), ..Timeouts::default() };
    let pool = fleet.pool(&ServiceOptions { limits, timeouts, ..service("s", &[&slow.url()]) });
    let asking = tokio::spawn({
        let pool = pool.clone();
        async move { told(&pool, "GET").await }
    });
    slow.requests(1).await;
    let begun = Instant::now();
    assert_eq!(told(&pool, "GET").await, "Overloaded");
    assert!(begun.elapsed() < Duration::from_millis(50), "{:?}", begun.elapsed());
    assert!(exposed(&registry).contains(r#"hilum_shed_total{priority="normal",service="s"} 1"#));
    asking.abort();
    let _ = asking.await;
    slow.now(OK);
    assert_eq!(told(&pool, "GET").await, "200 after 1", "the place was given back");
}

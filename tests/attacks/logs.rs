//! Ten thousand bad requests at once: the log stays readable, each of them is counted, and of what is audited nothing is lost without a
//! word.

use serde_json::Value;
use tokio::task::JoinSet;

use super::harness::*;
use super::world::{SECRET, TOKENS};

const ROUTES: &str = r#"
version: 1
services: { a: { peers: ["${A}"] } }
tokens:
routes:
  - { name: filled, match: POST /filled, auth: public, forward: { service: a, body: { json: { n: "{{ request.body.n + 1 }}" } } } }
  - { name: private, match: GET /private, auth: { token: web }, forward: { service: a } }
  - { name: record, match: "GET /records/{id}", auth: public, audit: { resource: "record/{id}" }, respond: { text: x } }
"#;
/// The requests of each kind.
const MANY: usize = 2500;
const CLIENTS: usize = 5;
/// Of one client on one connection before it reads the answers.
const AT_ONCE: usize = 50;

/// Sends one request so often, on several connections, and gives what was answered.
async fn flood(gateway: &Gateway, request: Vec<u8>, expected: u16, closes: bool) {
    let to = gateway.address();
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let request = request.clone();
        clients.spawn(async move {
            let mut left = MANY / CLIENTS;
            while left > 0 {
                let at_once = if closes { 1 } else { AT_ONCE.min(left) };
                let mut client = Client::connect(to).await;
                client.push(&request.repeat(at_once)).await;
                for _ in 0..at_once {
                    assert_eq!(client.read(false).await.status, expected);
                }
                left -= at_once;
            }
        });
    }
    clients.join_all().await;
}

fn audited(gateway: &Gateway) -> Vec<Value> {
    let folder = std::fs::read_dir(gateway.folder().join("audit")).expect("a folder of the audit log");
    let mut paths: Vec<_> = folder.map(|entry| entry.expect("an entry").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|end| end.len() == 6));
    let texts: String = paths.iter().map(|path| std::fs::read_to_string(path).expect("a segment")).collect();
    texts.lines().map(|line| serde_json::from_str(line).expect("a record")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_bad_requests_are_counted_and_no_ten_thousand_lines() {
    let recorder = Recorder::start().await;
    let routes = ROUTES.replace("tokens:\n", TOKENS.trim_start());
    let gateway = Gateway::with(&routes).audited().env("A", recorder.url()).env("SECRET", SECRET).start().await;
    let mut gateway = gateway;
    let before = gateway.stderr().lines().count();
    let since = std::time::Instant::now();
    flood(&gateway, message("POST /filled\nContent-Length: 2\nContent-Type: application/json\n\n{}"), 400, false).await;
    flood(&gateway, message("GET /private"), 401, false).await;
    flood(&gateway, message("GET /records/7"), 200, false).await;
    flood(&gateway, b"GET / HTTP/1.1\r\nno header\r\n\r\n".to_vec(), 400, true).await;
    let seconds = since.elapsed().as_secs() + 2;
    let many = MANY as f64;
    for reason in ["value_missing", "token_missing", "malformed"] {
        gateway.counts("hilum_rejections_total", &[("reason", reason)], |n| n == many).await;
    }
    // Every one of them is a line of the access log, or counted as one that was dropped.
    let dropped = gateway.metrics().await.sum("hilum_access_log_dropped_total", &[]);
    eventually("all lines", async || ((gateway.access_log().len() as f64) + dropped == 4.0 * many).then_some(())).await;
    // One kind of line in the log: so many a second, and the others counted.
    let log = gateway.stderr();
    let said = log.lines().filter(|line| line.contains("forward.body:")).count();
    let left_out = gateway.metrics().await.sum("hilum_log_left_out_total", &[]);
    assert_eq!(said as f64 + left_out, many, "{said} and {left_out}");
    assert!(said as u64 <= seconds * 100, "{said} lines in {seconds} seconds");
    let others = log.lines().skip(before).filter(|line| !line.contains("forward.body:") && !line.contains("left out"));
    assert_eq!(others.count(), 0, "{log}");
    assert_eq!(recorder.take().len(), 0);
    let metrics = gateway.metrics().await;
    assert_eq!(metrics.sum("hilum_audit_records_total", &[("result", "failed")]), 0.0);
    let lost = metrics.sum("hilum_audit_records_total", &[("result", "dropped")]);
    assert!(gateway.stop().await.success());
    // Denials are told one by one or by their number; what was done to a record is one record each, or missed by number.
    let records = audited(&gateway);
    let of = |event: &str| {
        let of: Vec<_> = records.iter().filter(|record| record["event"] == event).collect();
        let counts = of.iter().map(|record| record["count"].as_u64().unwrap_or(1)).sum::<u64>();
        (of.len(), counts as f64)
    };
    let (lines, denied) = of("denied");
    assert_eq!(denied, many);
    assert!(lines as u64 <= (seconds / 10 + 2) * 11, "{lines} records of denials");
    let (lines, _) = of("access");
    assert_eq!(lines as f64 + lost, many, "{lost} were dropped");
}

//! Services are not believed either: what one of them sends ends as one answer for one client, as a 502, or as an answer that is cut.

use super::harness::*;
use super::said;

const ROUTES: &str = r#"
version: 1
services: { a: { peers: ["${A}"], timeouts: { response: 1s } } }
routes:
  - { name: public, match: "/public/**", auth: public, forward: { service: a }, limits: { time: 2s } }
  - { name: whole, match: "/whole/**", auth: public, forward: { service: a }, reply: { 418: { json: {} } }, limits: { time: 2s } }
"#;

/// The id of the catalogue, what a service sends, and what the client gets: status and reason, or one of several. `closed` is none,
/// `cut` a part of a body that nobody takes for the whole.
const ANSWERS: &[(&str, &str, &str)] = &[
    ("O07", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\ngood!", "502 peer_garbage"),
    ("O07", "HTTP/1.1 200 OK\r\nContent-Length: 4, 5\r\n\r\ngood!", "502 peer_garbage"),
    ("O07", "HTTP/1.1 200 OK\r\nContent-Length: +4\r\n\r\ngood", "502 peer_garbage"),
    ("O07", "HTTP/1.1 200 OK\r\nContent-Length: -4\r\n\r\ngood", "502 peer_garbage"),
    ("O07", "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\ngood", "502 peer_garbage"),
    (
        "O07",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n4\r\ngood\r\n0\r\n\r\n",
        "200 | 502 peer_garbage",
    ),
    (
        "O07",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nno size\r\ngood\r\n0\r\n\r\n",
        "502 peer_garbage | cut",
    ),
    ("O08", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngoodHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", "200"),
    ("O08", "HTTP/1.1 204 No Content\r\nContent-Length: 4\r\n\r\nevil", "204 | 502 peer_garbage"),
    ("O08", "HTTP/1.1 304 Not Modified\r\nContent-Length: 4\r\n\r\nevil", "304 | 502 peer_garbage"),
    (
        "O08",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\ngood\r\n0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
        "200",
    ),
    ("O11", "HTTP/1.1 200 OK\r\n\u{1}{2000*X-A: 1\r\n}Content-Length: 4\r\n\r\ngood", "502 peer_garbage"),
    ("O11", "HTTP/1.1 200 OK\r\nX-A: \u{1}{1100000*a}\r\nContent-Length: 4\r\n\r\ngood", "502 peer_garbage"),
    ("O13", "HTTP/1.1 200 OK\r\nX-A: a\rSet-Cookie: evil=1\r\nContent-Length: 4\r\n\r\ngood", "502 peer_garbage"),
    ("O13", "HTTP/1.1 200 OK\r\nX-A: a\0b\r\nContent-Length: 4\r\n\r\ngood", "502 peer_garbage"),
    ("O13", "HTTP/1.1 200 OK\r\nX-A: a\r\n folded\r\nContent-Length: 4\r\n\r\ngood", "502 peer_garbage | 200"),
    ("O13", "HTTP/1.1 200 OK\r\nX A: a\r\nContent-Length: 4\r\n\r\ngood", "502 peer_garbage"),
    ("O13", "HTTP/1.1 200 OK\r\nno colon\r\nContent-Length: 4\r\n\r\ngood", "502 peer_garbage"),
    ("O13", "HTTP/1.1 200 O\rK\r\nContent-Length: 4\r\n\r\ngood", "502 peer_garbage"),
    ("O14", "HTTP/1.1 000 Zero\r\nContent-Length: 4\r\n\r\ngood", "502 peer_garbage"),
    ("O14", "HTTP/1.1 99 Low\r\nContent-Length: 4\r\n\r\ngood", "502 peer_garbage"),
    ("O14", "HTTP/1.1 1000 High\r\nContent-Length: 4\r\n\r\ngood", "502 peer_garbage"),
    ("O14", "HTTP/1.1 2x0 Odd\r\nContent-Length: 4\r\n\r\ngood", "502 peer_garbage"),
    ("O14", "HTTP/1.1 -200 Odd\r\nContent-Length: 4\r\n\r\ngood", "502 peer_garbage"),
    ("O14", "HTTP/9.9 200 OK\r\nContent-Length: 4\r\n\r\ngood", "502 peer_garbage"),
    ("O14", "ICY 200 OK\r\nContent-Length: 4\r\n\r\ngood", "502 peer_garbage"),
    ("O14", "HTTP/1.1 200 OK\nContent-Length: 4\n\ngood", "200 | 502 peer_garbage"),
    (
        "O20",
        "HTTP/1.1 200 OK\r\nX-Hilum-Reason: token_missing\r\nConnection: X-A\r\nX-A: evil\r\nKeep-Alive: x\r\nContent-Length: 4\r\n\r\ngood",
        "200",
    ),
];

/// `\u{1}{N*text}` is a text so many times: nobody reads a thousand lines.
fn bytes(text: &str) -> Vec<u8> {
    let Some((before, rest)) = text.split_once("\u{1}{") else { return text.as_bytes().to_vec() };
    let (repeated, behind) = rest.split_once('}').expect("a brace that ends");
    let (count, what) = repeated.split_once('*').expect("a number and a text");
    [before, &what.repeat(count.parse().expect("a number")), behind].concat().into_bytes()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_service_sends_is_one_answer_for_one_client() {
    let service = Service::start(|seen| {
        let number = seen.target.rsplit('/').next().and_then(|n| n.parse::<usize>().ok());
        match number.and_then(|n| ANSWERS.get(n)) {
            Some((_, answer, _)) => Reply::new().send(bytes(answer)),
            None => Reply::new().answer(200, &[], "the next one"),
        }
    })
    .await;
    let gateway = Gateway::with(ROUTES).env("A", service.url()).start().await;
    let mut wrong = Vec::new();
    for (number, (id, sends, expected)) in ANSWERS.iter().enumerate() {
        for kind in ["public", "whole"] {
            let mut client = gateway.connect().await;
            client.write(&message(&format!("GET /{kind}/{number}"))).await;
            let got = client.try_read(false).await;
            let said = match &got {
                None => "closed".to_owned(),
                Some(answer) if !answer.complete => "cut".to_owned(),
                Some(answer) => said(answer),
            };
            let text = got.as_ref().map(|answer| format!("{answer:?} {}", answer.text())).unwrap_or_default();
            if !expected.split(" | ").any(|one| one == said) || text.contains("evil") || text.contains("set-cookie") {
                let sends: String = sends.escape_debug().take(90).collect();
                wrong.push(format!("[{id}] {kind} {sends}: {said}, and not {expected}: {}", text.escape_debug()));
            }
            // Neither this client nor the next one gets what was left over.
            let mut after = vec![gateway.send(&format!("GET /{kind}/other")).await];
            if got.is_some_and(|answer| answer.complete) {
                client.push(&message(&format!("GET /{kind}/next"))).await;
                after.extend(client.try_read(false).await);
            }
            after.retain(|answer| answer.status != 200 || answer.text() != "the next one");
            if !after.is_empty() {
                wrong.push(format!("[{id}] {kind} {number}: the next ones got {after:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(gateway.metrics().await.sum("hilum_panics_total", &[]), 0.0);
    gateway.counts("hilum_peer_in_flight", &[], |n| n == 0.0).await;
}

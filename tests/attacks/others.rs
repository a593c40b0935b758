//! Another server's eyes: hyper behind Hilum reads of each case about framing and heads exactly what the case says a service gets. Where
//! two programs could disagree, nothing arrives.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{Method, Uri};

use super::harness::*;
use super::world::{SECRET, TOKENS};
use super::{ROUTES, cases, fill, groups};

type Read = Arc<Mutex<Vec<(String, Vec<u8>)>>>;

async fn keep(State(read): State<Read>, method: Method, uri: Uri, body: Bytes) -> String {
    let line = format!("{method} {uri}");
    read.lock().expect("no test panics while it holds it").push((line.clone(), body.to_vec()));
    format!("took {line}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_server_reads_what_a_case_says_and_nothing_else() {
    let read = Read::default();
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("it is bound"));
    let router = Router::new().fallback(keep).with_state(read.clone());
    tokio::spawn(async move { axum::serve(listener, router).await });
    let routes = ROUTES.replace("tokens:\n", TOKENS.trim_start());
    let gateway = Gateway::with(&routes)
        .conf("connections: { header: 2s }")
        .env("A", url)
        .env("SECRET", SECRET)
        .file("assets/a.txt", "a file")
        .file("static/pages/page.html", "<p>a page</p>")
        .start()
        .await;
    let (mut wrong, mut number) = (Vec::new(), 0);
    let (_, text) = groups().into_iter().find(|(file, _)| file == "A.txt").expect("a group of cases");
    for case in cases(&text, &fill) {
        number += 1;
        let mut client = gateway.connect().await;
        client.push(&case.bytes).await;
        if case.is_cut {
            client.finish().await;
        }
        let mut is_answered = false;
        for _ in &case.answers {
            is_answered |= client.try_read(case.bytes.starts_with(b"HEAD ")).await.is_some();
        }
        drop(client);
        let barrier = format!("/public/barrier-{number}");
        expect("the next one", &gateway.send(&format!("GET {barrier}")).await, &format!("200\n= took GET {barrier}"));
        let seen = std::mem::take(&mut *read.lock().expect("no test panics while it holds it"));
        let lines: Vec<_> = seen.iter().map(|(line, _)| line.as_str()).collect();
        let barrier = format!("GET {barrier}");
        if case.is_cut && !is_answered && lines == [barrier.as_str()] {
            // Who has said the last word may be gone: it is answered, or the service is not asked.
            continue;
        }
        let expected: Vec<_> = case.got.iter().map(|got| got.line.as_str()).chain([barrier.as_str()]).collect();
        if lines != expected {
            wrong.push(format!("[{}] {}: hyper read {lines:?}, and not {expected:?}", case.id, case.title));
        }
        for (got, (_, body)) in case.got.iter().zip(&seen) {
            let told = got.holds.iter().find_map(|line| line.strip_prefix('='));
            if told.is_some_and(|told| told.trim_start().as_bytes() != body) {
                wrong.push(format!("[{}] {}: hyper read the body {}", case.id, case.title, body.escape_ascii()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(number > 200, "only {number} were run");
}

//! The attacks that a gateway must expect, as bytes: `cases/*.txt` has them by group, `index.txt` says which id is held where.
//!
//! Each case is sent alone, and again with a good request behind it on the same connection, which must be answered as itself or not at
//! all. The service takes whole requests by the letter, so "the service got nothing" means that no request was complete.

#![allow(clippy::large_futures, reason = "a test runs once")]

mod case;
mod files;
#[path = "../harness/mod.rs"]
mod harness;
mod index;
mod logs;
mod others;
mod properties;
mod services;
#[path = "../e2e/world.rs"]
#[allow(dead_code, reason = "shared with the other suites")]
mod world;

use case::{Answer, Case, cases};
use harness::*;
use world::{SECRET, TOKENS, has, token};

const ROUTES: &str = include_str!("routes.yaml");

/// The files of cases, which are read as they are so that a new one needs no line here.
fn groups() -> Vec<(String, String)> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/attacks/cases");
    let entries = std::fs::read_dir(&folder).expect("a folder of cases");
    let mut files: Vec<_> = entries
        .map(|entry| {
            let path = entry.expect("an entry").path();
            let name = path.file_name().expect("a file").to_string_lossy().into_owned();
            (name, std::fs::read_to_string(&path).expect("a file of cases"))
        })
        .collect();
    files.sort();
    files
}

fn fill(name: &str) -> String {
    match name {
        "user" => token("patient"),
        "admin" => token("admin"),
        other => panic!("{other} stands for nothing"),
    }
}

struct World {
    gateway: Gateway,
    recorder: Recorder,
}

impl World {
    async fn start() -> World {
        let recorder = Recorder::start().await;
        let routes = ROUTES.replace("tokens:\n", TOKENS.trim_start());
        let gateway = Gateway::with(&routes)
            .conf("connections: { header: 2s }")
            .env("A", recorder.url())
            .env("SECRET", SECRET)
            .file("assets/a.txt", "a file")
            .file("assets/.env", "a secret")
            .file("assets/a.txt.bak", "a backup")
            .file("static/pages/page.html", "<p>a page</p>")
            .start()
            .await;
        World { gateway, recorder }
    }

    /// What is wrong with a case, if anything.
    async fn run(&self, case: &Case, behind: bool, number: usize) -> Result<(), String> {
        let canary = format!("/public/canary-{number}");
        let mut client = self.gateway.connect().await;
        let mut bytes = case.bytes.clone();
        if behind {
            bytes.extend(message(&format!("GET {canary}")));
        }
        client.push(&bytes).await;
        if case.is_cut {
            client.finish().await;
        }
        let to_head = case.bytes.starts_with(b"HEAD ");
        let (mut is_open, mut is_answered) = (true, false);
        for answer in &case.answers {
            let got = client.try_read(to_head).await;
            is_open = got.is_some();
            is_answered |= is_open;
            fits(case, answer, got.as_ref())?;
        }
        // The good one: as itself, or not at all.
        let followed = match is_open && behind {
            true => client.try_read(false).await,
            false => None,
        };
        if let Some(answer) = &followed {
            compare("the request behind it", answer, &format!("200\n= took GET {canary}"))?;
        }
        let barrier = format!("/public/barrier-{number}");
        expect("the next one", &self.gateway.send(&format!("GET {barrier}")).await, "200");
        self.recorder.has(&barrier).await;
        let seen = self.recorder.take();
        let lines: Vec<String> = seen.iter().map(|seen| format!("{} {}", seen.method, seen.target)).collect();
        if case.is_cut && !is_answered && lines == [format!("GET {barrier}")] {
            // Who has said the last word may be gone: it is answered, or the service is not asked.
            return Ok(());
        }
        let mut expected: Vec<String> = case.got.iter().map(|got| got.line.clone()).collect();
        if followed.is_some() {
            expected.push(format!("GET {canary}"));
        }
        expected.push(format!("GET {barrier}"));
        if lines != expected {
            return Err(format!("the service got {lines:?}, and not {expected:?}"));
        }
        for (got, seen) in case.got.iter().zip(&seen) {
            let wrong: Vec<_> = got.holds.iter().filter(|line| !has(seen, line)).collect();
            if !wrong.is_empty() {
                return Err(format!(
                    "not {wrong:?}, but\n{}{}",
                    String::from_utf8_lossy(&seen.head),
                    seen.body.escape_ascii()
                ));
            }
        }
        Ok(())
    }
}

fn fits(case: &Case, expected: &Answer, got: Option<&Response>) -> Result<(), String> {
    let Some(got) = got else {
        let may_close = expected.either.iter().any(|one| one == "closed");
        return if may_close { Ok(()) } else { Err(format!("closed, and not {:?}", expected.either)) };
    };
    let first = said(got);
    if !expected.either.contains(&first) {
        return Err(format!("{first}, and not {:?}", expected.either));
    }
    compare(&case.title, got, &[&[first], &expected.holds[..]].concat().join("\n"))
}

/// The status, and the reason if Hilum gives one.
fn said(answer: &Response) -> String {
    format!("{} {}", answer.status, answer.reason()).trim().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_attack_is_answered_as_its_case_says_and_reaches_no_service() {
    let world = World::start().await;
    let (mut wrong, mut number) = (Vec::new(), 0);
    for (file, text) in groups() {
        for case in cases(&text, &fill) {
            for behind in [false, true] {
                // Behind a last word nothing can follow.
                if behind && case.is_cut {
                    continue;
                }
                number += 1;
                if let Err(why) = world.run(&case, behind, number).await {
                    let how = if behind { "followed" } else { "alone" };
                    wrong.push(format!("{file}: [{}] {} ({how}): {why}", case.id, case.title));
                    world.recorder.take();
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {number}\n{}", wrong.len(), wrong.join("\n"));
    assert!(number > 1300, "only {number} were run");
    assert_eq!(world.recorder.faults(), Vec::<String>::new());
    let metrics = world.gateway.metrics().await;
    assert_eq!(metrics.sum("hilum_panics_total", &[]), 0.0);
    world.gateway.counts("hilum_connections", &[], |n| n == 0.0).await;
    world.gateway.counts("hilum_peer_in_flight", &[], |n| n == 0.0).await;
    assert!(!world.gateway.stderr().contains("hilum.test"), "what a client sent is in the log");
}

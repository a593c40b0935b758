//! What holds for every request, whatever it says: texts that nobody thought of, and when one fails, the smallest that does.

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use tokio::runtime::Runtime;

use super::World;
use super::harness::eventually;
use super::world::token;

/// The same texts in every run: a failure can be seen again, and nobody's change fails for another's luck.
fn runner(cases: u32) -> TestRunner {
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 512, ..Config::default() };
    TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha))
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}

/// Pieces of targets that programs disagree about.
fn target() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        6 => prop::sample::select(vec![
            "/", "//", ".", "..", "/..", "/../", "/./", "%2e", "%2E%2e", "%2f", "%5c", "\\", ";", "/;", ";a=b", "..;/", "%00", "%0a", "%",
            "%%32%65", "%252e", "%c0%ae", "%ef%bc%8f", "%u002e", "?", "#", "%3f", "%23", "@", ":", "&", "=", "+", "~", "admin", "/admin/",
            "public", "/public/", "api", "ADMIN", "%61dmin", "x",
        ])
        .prop_map(str::to_owned),
        2 => "[ -~]{1,3}",
        1 => "%[0-9a-fA-F]{2}",
    ];
    let start = prop::sample::select(vec![
        "/public/",
        "/public",
        "/",
        "/admin/",
        "/prefix/",
        "/named/",
        "",
        "http://hilum.test/",
    ]);
    (start, prop::collection::vec(piece, 0..8)).prop_map(|(start, pieces)| format!("{start}{}", pieces.concat()))
}

/// Where a careless program would end up: everything decoded, as often as there is something to decode, backslashes are slashes,
/// parameters are dropped, and dots are followed.
fn carelessly(target: &str) -> Vec<String> {
    let mut path = target.split(['?', '#']).next().unwrap_or_default().as_bytes().to_vec();
    for _ in 0..3 {
        let mut decoded = Vec::new();
        let mut at = 0;
        while at < path.len() {
            let hex =
                path.get(at + 1..at + 3).and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
            match (path[at], hex) {
                (b'%', Some(byte)) => {
                    decoded.push(byte);
                    at += 3;
                }
                (byte, _) => {
                    decoded.push(byte);
                    at += 1;
                }
            }
        }
        path = decoded;
    }
    let path = String::from_utf8_lossy(&path).replace('\\', "/").to_ascii_lowercase();
    let mut segments: Vec<String> = Vec::new();
    for segment in path.split('/').map(|segment| segment.split(';').next().unwrap_or_default()) {
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop()),
            segment => segments.push(segment.to_owned()),
        }
    }
    segments
}

/// Without a token only what is public is reached, even by a service that reads paths as carelessly as can be.
#[test]
fn no_target_reaches_more_than_its_route_gives() {
    let runtime = runtime();
    let world = runtime.block_on(World::start());
    let arrived = std::cell::Cell::new(0);
    let result = runner(3000).run(&target(), |target| {
        runtime.block_on(async {
            let mut client = world.gateway.connect().await;
            client
                .push(format!("GET {target} HTTP/1.1\r\nHost: hilum.test\r\nConnection: close\r\n\r\n").as_bytes())
                .await;
            let answer = client.try_read(false).await;
            for seen in world.recorder.take() {
                arrived.set(arrived.get() + 1);
                let ends = carelessly(&seen.target);
                prop_assert_eq!(ends.first().map(String::as_str), Some("public"), "{} sent {}", target, seen.target);
            }
            prop_assert!(answer.is_some_and(|answer| answer.status < 500), "{}", target);
            prop_assert_eq!(world.recorder.faults(), Vec::<String>::new());
            Ok(())
        })
    });
    assert!(result.is_ok(), "{result:?}");
    assert!(arrived.get() > 300, "only {} arrived, which shows nothing", arrived.get());
}

/// What the token of the tests says, as a service is told.
const OURS: [(&str, &str); 5] = [
    ("x-user-id", "7"),
    ("x-user-type", "patient"),
    ("x-user-email", "u7@example.org"),
    ("x-user-roles", "patient"),
    ("x-reference", "7"),
];

/// The name of an identity header as somebody may spell it, or nearly.
fn name() -> impl Strategy<Value = String> {
    let names: Vec<&str> =
        OURS.iter().map(|(name, _)| *name).chain(["x-forwarded-for", "x-real-ip", "authorization"]).collect();
    (prop::sample::select(names), prop::collection::vec((any::<bool>(), 0..5u8), 16)).prop_map(|(name, spelling)| {
        let letters = name.chars().zip(spelling.into_iter().cycle());
        letters
            .map(|(letter, (upper, between))| match (letter, between) {
                ('-', 0) => '_',
                ('-', 1) => '.',
                (letter, _) if upper => letter.to_ascii_uppercase(),
                (letter, _) => letter,
            })
            .collect()
    })
}

fn line() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => (name(), "[ -~]{0,6}").prop_map(|(name, value)| format!("{name}: evil{value}")),
        2 => (name(), name()).prop_map(|(a, b)| format!("Connection: {a}, {b}")),
        1 => name().prop_map(|name| format!("Connection: close, {name}")),
        1 => Just("Cookie: x-user-id=evil".to_owned()),
    ]
}

/// A name as programs may read it that know no difference between `-`, `_` and `.`.
fn read_loosely(name: &str) -> String {
    name.to_ascii_lowercase().replace(['_', '.'], "-")
}

#[test]
fn a_service_is_told_who_is_calling_by_us_alone() {
    let runtime = runtime();
    let world = runtime.block_on(World::start());
    let user = token("patient");
    let arrived = std::cell::Cell::new(0);
    let strategy = (prop::collection::vec(line(), 0..6), 0..3usize, 0..6usize);
    let result = runner(1500).run(&strategy, |(mut lines, who, at)| {
        let (path, is_known) = [("/api/x", true), ("/either/x", false), ("/public/x", false)][who];
        // The header decides whose token it is, so that a second one is none of this property.
        lines.retain(|line| !read_loosely(line).starts_with("authorization:"));
        if is_known {
            lines.insert(at.min(lines.len()), format!("Authorization: Bearer {user}"));
        }
        runtime.block_on(async {
            let mut client = world.gateway.connect().await;
            let head = format!(
                "GET {path} HTTP/1.1\r\nHost: hilum.test\r\n{}\r\n",
                lines.iter().map(|l| format!("{l}\r\n")).collect::<String>()
            );
            client.push(head.as_bytes()).await;
            let answer = client.try_read(false).await;
            prop_assert!(answer.is_some_and(|answer| answer.status == 200 || answer.status == 400), "{:?}", lines);
            for seen in world.recorder.take() {
                arrived.set(arrived.get() + 1);
                let told: BTreeSet<(String, &str)> =
                    seen.headers.iter().map(|(name, value)| (read_loosely(name), value.as_str())).collect();
                for (name, ours) in OURS {
                    let values: Vec<&str> = told.iter().filter(|(n, _)| n == name).map(|(_, value)| *value).collect();
                    let expected: &[&str] = if is_known { &[ours] } else { &[] };
                    prop_assert_eq!(values, expected, "{} after {:?}", name, &lines);
                }
                prop_assert!(
                    !seen.headers.iter().any(|(_, value)| value.contains("evil")),
                    "{:?} sent {:?}",
                    &lines,
                    seen.headers
                );
            }
            Ok(())
        })
    });
    assert!(result.is_ok(), "{result:?}");
    assert!(arrived.get() > 700, "only {} arrived, which shows nothing", arrived.get());
    assert_eq!(world.recorder.faults(), Vec::<String>::new());
}

/// Any bytes, those that logs are attacked with among them.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let nasty = prop::sample::select(vec![
        &b"\x1b]0;x\x07"[..],
        b"\x1b[2J",
        b"\r\n",
        b"\n",
        b"%0d%0a",
        b"\"",
        b"\\",
        b"{\"status\":200}",
        b"\xe2\x80\xa8",
        b"\xc2\x85",
        b"\xe2\x80\xae",
        b"\xff\xfe",
        b"\0",
        b"\t",
        b"${jndi:ldap://x}",
        b"</script>",
        b"\",\"admin\":true,\"",
        b" ",
    ]);
    prop::collection::vec(prop_oneof![nasty.prop_map(<[u8]>::to_vec), prop::collection::vec(any::<u8>(), 1..4)], 0..4)
        .prop_map(|v| v.concat())
}

/// One line for each request that was answered, each of them one JSON object of plain letters, whatever the heads said.
#[test]
fn a_request_is_one_line_of_the_log_and_writes_nothing_of_its_own_into_it() {
    let runtime = runtime();
    let world = runtime.block_on(World::start());
    let sent = std::cell::Cell::new(0);
    let strategy = (bytes(), bytes(), bytes(), bytes(), prop::sample::select(vec!["GET", "POST", "FROB", "get"]));
    let result = runner(1500).run(&strategy, |(path, agent, id, cookie, method)| {
        let head = [
            method.as_bytes(),
            b" /public/",
            &path,
            b" HTTP/1.1\r\nHost: hilum.test\r\nConnection: close\r\nUser-Agent: ",
            &agent,
            b"\r\nX-Request-ID: ",
            &id,
            b"\r\nReferer: http://x/",
            &agent,
            b"\r\ntraceparent: ",
            &id,
            b"\r\nCookie: jwt=",
            &cookie,
            b"\r\n\r\n",
        ];
        runtime.block_on(async {
            let mut client = world.gateway.connect().await;
            client.push(&head.concat()).await;
            client.finish().await;
            // A line end in the wrong place may leave a head that is not complete: then there is no answer, and still one line.
            let _ = client.try_read(false).await;
            client.closed().await;
        });
        sent.set(sent.get() + 1);
        Ok(())
    });
    assert!(result.is_ok(), "{result:?}");
    runtime.block_on(async {
        let long = [
            format!("GET /public/x\nUser-Agent: {}", "u".repeat(15_000)),
            format!("GET /public/{}", "p".repeat(8_000)),
            format!("{} /public/x", "M".repeat(8_000)),
            format!("GET /public/x\nX-Request-ID: {}", "i".repeat(8_000)),
            format!("GET /nowhere/{}", "n".repeat(8_000)),
        ];
        for request in &long {
            world.gateway.send(request).await;
        }
        world.gateway.send("GET /public/last\nX-Request-ID: last").await;
        world.gateway.logged_id("last").await;
        // Each has its line, whichever thread was last.
        let all = sent.get() + long.len() + 1;
        let whole = async || Some(world.gateway.access_log()).filter(|log| log.len() >= all);
        let log = eventually("every line", whole).await;
        assert_eq!(log.len(), all);
        assert!(
            log.iter().all(|line| line.is_object() && line["status"].is_u64() && line["time"].is_string()),
            "{log:?}"
        );
        let text = std::fs::read(world.gateway.folder().join("access.log")).expect("there is an access log");
        let odd: Vec<u8> =
            text.iter().copied().filter(|byte| *byte != b'\n' && !(b' '..=b'~').contains(byte)).collect();
        assert!(odd.is_empty(), "{odd:?}");
        let longest = text.split(|byte| *byte == b'\n').map(<[u8]>::len).max().unwrap_or_default();
        assert!(longest < 1024, "a line of {longest} bytes");
        // An id that a client gives is visible ASCII of at most 64 letters, and told as it is.
        let without_id = log.into_iter().map(|mut line| {
            line.as_object_mut().and_then(|line| line.remove("request_id"));
            line.to_string()
        });
        let text: String = without_id.collect();
        for foreign in ["admin\\\":true", "jndi", "script", "0d%0a", "uuuu", "pppp", "MMMM", "nnnn", "u001b"] {
            assert!(!text.contains(foreign), "{foreign} is in the log");
        }
    });
}

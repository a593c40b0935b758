//! What no file may hold. Each guard says why, and names the exceptions with their reason.

use super::source::{Source, relative, root, sources, walk};

/// All Rust of the repository.
const ALL: &[&str] = &["src", "filters", "demo", "tests", "benches"];

/// Fails with every line of `code` that holds one of `words`, except in `allowed` files.
fn forbid(why: &str, sources: &[Source], code: fn(&Source) -> String, words: &[&str], allowed: &[&str]) {
    let mut wrong = Vec::new();
    let mut met = Vec::new();
    for source in sources {
        for (number, line) in
            code(source).lines().enumerate().filter(|(_, line)| words.iter().any(|word| has_word(line, word)))
        {
            match allowed.iter().find(|file| **file == source.path) {
                Some(file) => met.push(*file),
                None => wrong.push(format!("{}:{}: {}", source.path, number + 1, line.trim())),
            }
        }
    }
    assert!(wrong.is_empty(), "{why}\n{}", wrong.join("\n"));
    let idle: Vec<_> = allowed.iter().filter(|file| !met.contains(file)).collect();
    assert!(idle.is_empty(), "these exceptions are not needed any more: {idle:?}");
}

/// `word` stands in `line` and is not the end of a longer one.
fn has_word(line: &str, word: &str) -> bool {
    let starts_word = word.starts_with(|c: char| c.is_alphanumeric());
    line.match_indices(word)
        .any(|(at, _)| !starts_word || !line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_'))
}

fn shipped(source: &Source) -> String {
    source.shipped.clone()
}

fn code(source: &Source) -> String {
    source.code.clone()
}

#[test]
fn no_file_is_longer_than_a_thousand_lines() {
    for source in sources(ALL) {
        assert!(source.lines <= 1000, "{} has {} lines: it is two ideas", source.path, source.lines);
    }
}

#[test]
fn nothing_shipped_unwraps_or_is_left_for_later() {
    let engine = sources(&["src", "filters", "demo"]);
    forbid(
        "`expect` says which invariant holds",
        &engine,
        shipped,
        &[".unwrap()", ".unwrap_err()", ".unwrap_unchecked("],
        &[],
    );
    forbid("finish it or leave it out", &engine, code, &["todo!", "unimplemented!", "dbg!"], &[]);
}

#[test]
fn no_static_holds_state() {
    let engine = sources(&["src", "filters", "demo"]);
    forbid("two gateways in one process must not meet", &engine, code, &["static mut"], &[]);
    // A type that can change behind a shared reference is state as well, whatever its static says.
    let holders = ["Mutex", "RwLock", "Atomic", "OnceLock", "OnceCell", "Cell<", "DashMap"];
    let mut wrong = Vec::new();
    for source in &engine {
        for (number, line) in source.shipped.lines().enumerate() {
            let line = line.trim_start().trim_start_matches("pub ");
            // Inside of `thread_local!` or `task_local!` it belongs to one thread or task: a buffer, or what is being done there.
            let is_static = line.strip_prefix("static ").or_else(|| line.split_once(") static ").map(|(_, rest)| rest));
            let local = source.shipped.lines().take(number).last().is_some_and(|above| above.contains("_local!"));
            if is_static.is_some_and(|rest| holders.iter().any(|h| rest.contains(h))) && !local {
                wrong.push(format!("{}:{}: {line}", source.path, number + 1));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "state lives in what is handed over, so that two gateways in one process don't meet\n{}",
        wrong.join("\n")
    );
}

#[test]
fn no_test_is_switched_off() {
    forbid("a test that does not run protects nothing", &sources(ALL), code, &["#[ignore", "#[cfg(any())]"], &[]);
}

#[test]
fn one_file_reads_the_environment() {
    let reads = ["env::var", "env::vars", "env::var_os", "env::vars_os", "env::set_var", "option_env!"];
    forbid("ask config::Environment", &sources(&["src", "filters"]), shipped, &reads, &["src/config/env.rs"]);
}

#[test]
fn one_file_implements_the_proxy() {
    // `benches` has a bare proxy to measure against.
    let gateway = sources(&["src", "filters", "demo", "tests"]);
    forbid(
        "proxy is the only place that knows Pingora's hooks",
        &gateway,
        shipped,
        &["ProxyHttp for"],
        &["src/proxy/hooks.rs"],
    );
}

#[test]
fn what_is_pure_knows_no_clock_no_file_and_no_socket() {
    let impure =
        ["SystemTime::now", "Instant::now", "std::fs", "fs::read", "File::open", "tokio::", "TcpStream", "rand::"];
    let pure = sources(&["src/config", "src/router", "src/template", "src/refusal"]);
    forbid("what decides is given what it decides by (src/lib.rs, invariants)", &pure, shipped, &impure, &[]);
    let decide: Vec<Source> = sources(&["src/table"]).into_iter().filter(|s| s.path == "src/table/decide.rs").collect();
    assert_eq!(decide.len(), 1, "src/table/decide.rs has moved");
    forbid("find and judge are pure", &decide, shipped, &impure, &[]);
}

/// Test files with the number of sleeps in them, and why it is no guess about how long something takes.
const SLEEPS: &[(&str, usize, &str)] = &[
    (
        "src/services/tests/scripted.rs",
        2,
        "a service that drips bytes; a condition that sends no event, asked again until it holds",
    ),
    ("src/services/tests/eject.rs", 3, "an ejection that is over at a time of its own, and shows by what is not sent"),
    ("src/identity/keys/tests.rs", 2, "a clock that is paused: it moves when everything waits, and costs no time"),
    ("tests/faults/load/exchange.rs", 2, "clients that are slow on purpose"),
    ("tests/faults/load/mod.rs", 2, "an open load: a request is sent when it is due"),
    ("tests/faults/gateways/hilum.rs", 1, "a condition of another process, asked again until it holds"),
    ("tests/faults/scenarios/overload.rs", 1, "an operator who asks at a pace"),
    ("tests/faults/scenarios/redis.rs", 1, "strangers who come at a pace"),
    ("tests/faults/scenarios/soak.rs", 5, "samples and faults at a pace; a soak lasts as long as it is told to"),
    ("tests/faults/service/answer.rs", 3, "a service that is slow on purpose"),
    ("tests/e2e/guard.rs", 1, "a client that is slow on purpose"),
    ("tests/http2/turns.rs", 1, "a client that pauses in its upload"),
    ("tests/e2e/sessions.rs", 1, "a pause of Redis, which is over at a time of its own and at no event"),
    ("tests/harness/mod.rs", 1, "conditions of another process, asked again until they hold"),
    ("tests/harness/service.rs", 1, "a service that is slow on demand"),
    ("demo/tests/process.rs", 1, "conditions of another process, asked again until they hold"),
];

#[test]
fn tests_wait_for_what_happens_and_not_for_a_time() {
    let mut wrong = Vec::new();
    for source in sources(ALL) {
        let tests = source.tests();
        // A clock that is paused by the test costs no time and hides no race.
        let count = ["sleep(", "sleep_until("]
            .iter()
            .map(|word| tests.lines().filter(|l| has_word(l, word) && !l.contains("fn ")).count())
            .sum::<usize>();
        let allowed = SLEEPS.iter().find(|(file, ..)| *file == source.path).map_or(0, |(_, count, _)| *count);
        if count != allowed {
            wrong.push(format!("{}: {count} sleeps, {allowed} are explained", source.path));
        }
    }
    assert!(wrong.is_empty(), "wait for an event, or ask again until a condition holds\n{}", wrong.join("\n"));
}

#[test]
fn no_file_names_a_machine() {
    let kinds = ["rs", "toml", "yaml", "md", "json", "sh", "expected", "sql"];
    // Written in two pieces, so that this file does not name them either.
    let places = [["/wo", "rk/"], ["/ho", "me/"], ["/ro", "ot/"], ["/Us", "ers/"], ["/tm", "p/target"]]
        .map(|parts| parts.concat());
    let mut wrong = Vec::new();
    let mut seen = 0;
    walk(root(), &mut |path| {
        let named = path.file_name().is_some_and(|name| name == "Makefile");
        if !named && !path.extension().is_some_and(|e| kinds.iter().any(|kind| e == *kind)) {
            return;
        }
        seen += 1;
        let text = std::fs::read_to_string(path).unwrap_or_default();
        for (number, line) in
            text.lines().enumerate().filter(|(_, line)| places.iter().any(|place| line.contains(place.as_str())))
        {
            wrong.push(format!("{}:{}: {}", relative(path), number + 1, line.trim()));
        }
    });
    assert!(seen > 100, "only {seen} files were looked at");
    assert!(wrong.is_empty(), "a path of one machine is of no use on another\n{}", wrong.join("\n"));
}

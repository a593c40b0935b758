//! How `routes.yaml` may be changed, and what a bad one does: nothing but a count and a line in the log.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use nix::sys::signal::Signal;

use crate::harness::{Gateway, eventually};

/// The smallest file that tells which edition it is.
fn routes(edition: &str) -> String {
    format!(
        "version: 1\nroutes:\n  - {{ name: edition, match: GET /, auth: public, respond: {{ text: {edition} }} }}\n"
    )
}

async fn edition(gateway: &Gateway) -> String {
    let answer = gateway.send("GET /").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.text()
}

/// Waits until this edition answers; any other must be `old`.
async fn is_live(gateway: &Gateway, old: &str, new: &str) {
    let since = Instant::now();
    eventually(&format!("edition {new}"), async || {
        let live = edition(gateway).await;
        assert!(live == old || live == new, "{live} is neither {old} nor {new}");
        (live == new).then_some(())
    })
    .await;
    println!("{new}: live after {:?}", since.elapsed());
}

async fn reloads(gateway: &Gateway) -> (f64, f64) {
    let metrics = gateway.metrics().await;
    (
        metrics.sum("hilum_reloads_total", &[("result", "loaded")]),
        metrics.sum("hilum_reloads_total", &[("result", "refused")]),
    )
}

async fn refused(gateway: &Gateway, times: f64) {
    gateway.counts("hilum_reloads_total", &[("result", "refused")], |n| n == times).await;
}

fn path(gateway: &Gateway) -> PathBuf {
    gateway.folder().join("routes.yaml")
}

/// Nothing is reloaded for longer than the gateway needs to notice an edit.
async fn nothing_happens(gateway: &Gateway, what: &str) {
    let before = reloads(gateway).await;
    let mut tick = tokio::time::interval(Duration::from_millis(50));
    for _ in 0..20 {
        tick.tick().await;
        assert_eq!(reloads(gateway).await, before, "{what}");
    }
}

#[tokio::test]
async fn a_broken_file_changes_nothing_and_is_told() {
    let gateway = Gateway::start(&routes("one")).await;
    assert_eq!(reloads(&gateway).await, (0.0, 0.0), "a start is no reload, and both are series from the start");
    let hash = |text: String| text.lines().find(|line| line.starts_with("hilum_table_info")).map(str::to_owned);
    let first = hash(gateway.metrics().await.0);
    let broken = [
        ("version: 1\nroutes: [", "not valid YAML"),
        ("version: 1\nroutes: []\n", "there are no routes"),
        (
            "version: 1\nroutes: [{ match: GET /, auth: { token: nobody }, respond: { text: two } }]\n",
            "no token is called `nobody`",
        ),
        ("", "missing key `version`"),
        (
            "version: 1\nroutes: [{ match: GET /, auth: public, respond: { text: \"${NOBODY_SET_IT}\" } }]\n",
            "`NOBODY_SET_IT` is not set",
        ),
    ];
    for (at, (text, why)) in broken.into_iter().enumerate() {
        gateway.edit(text);
        refused(&gateway, (at + 1) as f64).await;
        gateway.said(why).await;
        assert_eq!(edition(&gateway).await, "one", "{why}");
    }
    assert!(gateway.stderr().contains("routes.yaml:2:"), "the place is told");
    assert_eq!(hash(gateway.metrics().await.0), first, "the running file is told as before");
    gateway.edit(&routes("two"));
    is_live(&gateway, "one", "two").await;
    assert_eq!(reloads(&gateway).await, (1.0, 5.0));
    let second = hash(gateway.metrics().await.0);
    assert!(second.is_some() && second != first, "{second:?}");
    // What was running before the mistake is no news to the file, but it is to the gateway.
    gateway.edit("version: 1\n");
    refused(&gateway, 6.0).await;
    gateway.edit(&routes("one"));
    is_live(&gateway, "two", "one").await;
}

#[tokio::test]
async fn a_file_that_is_gone_for_a_moment_is_no_edit() {
    let gateway = Gateway::start(&routes("one")).await;
    let aside = gateway.folder().join("aside.yaml");
    fs::rename(path(&gateway), &aside).expect("a file of our own");
    nothing_happens(&gateway, "the file is gone").await;
    assert_eq!(edition(&gateway).await, "one");
    fs::rename(&aside, path(&gateway)).expect("a file of our own");
    nothing_happens(&gateway, "the same file is back").await;
    fs::remove_file(path(&gateway)).expect("a file of our own");
    fs::write(path(&gateway), routes("two")).expect("a file of our own");
    is_live(&gateway, "one", "two").await;
}

#[tokio::test]
async fn half_a_file_is_never_a_table() {
    let gateway = Gateway::start(&routes("one")).await;
    // A writer that pauses in the middle: what is there is judged, refused, and no harm is done.
    let new = routes("two");
    let (first, rest) = new.split_at(new.find("respond").expect("it is there") + 3);
    fs::write(path(&gateway), first).expect("a file of our own");
    refused(&gateway, 1.0).await;
    assert_eq!(edition(&gateway).await, "one");
    let append = || fs::OpenOptions::new().append(true).open(path(&gateway)).expect("a file of our own");
    append().write_all(rest.as_bytes()).expect("a file of our own");
    is_live(&gateway, "one", "two").await;
}

/// A writer that goes on and on: each state on the way would be a good file, and none is taken.
#[tokio::test]
async fn a_file_is_taken_when_it_holds_still() {
    // Two looks are 100 ms apart. Where the machine lets the writer wait for that long, the file did hold still; that proves
    // nothing, and is tried again.
    for attempt in 1.. {
        let gateway = Gateway::start(&routes("one")).await;
        let mut tick = tokio::time::interval(Duration::from_millis(10));
        fs::write(path(&gateway), routes("two")).expect("a file of our own");
        let mut file = fs::OpenOptions::new().append(true).open(path(&gateway)).expect("a file of our own");
        let (mut written, mut pause, mut early) = (Instant::now(), Duration::ZERO, None);
        for line in 0..80 {
            writeln!(file, "  - {{ match: GET /{line}, auth: public, respond: {{ text: x }} }}")
                .expect("a file of our own");
            pause = pause.max(written.elapsed());
            written = Instant::now();
            tick.tick().await;
            if early.is_none() && edition(&gateway).await == "two" {
                early = Some(line);
            }
        }
        pause = pause.max(written.elapsed());
        if pause > Duration::from_millis(80) && attempt < 5 {
            continue;
        }
        assert_eq!(early, None, "half a file was taken, and the longest pause was {pause:?}");
        is_live(&gateway, "one", "two").await;
        assert_eq!(gateway.send("GET /79").await.status, 200, "all of it was taken");
        assert_eq!(reloads(&gateway).await, (1.0, 0.0), "and at once");
        return;
    }
}

#[tokio::test]
async fn every_way_to_replace_a_file_works() {
    let gateway = Gateway::start(&routes("one")).await;
    gateway.edit(&routes("renamed"));
    is_live(&gateway, "one", "renamed").await;
    fs::write(path(&gateway), routes("truncated")).expect("a file of our own");
    is_live(&gateway, "renamed", "truncated").await;
    // The same length, and a time in the past: neither alone tells that it is another file.
    fs::write(path(&gateway), routes("detacnurt")).expect("a file of our own");
    let file = fs::File::options().write(true).open(path(&gateway)).expect("a file of our own");
    file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000)).expect("a file of our own");
    is_live(&gateway, "truncated", "detacnurt").await;
    assert_eq!(reloads(&gateway).await, (3.0, 0.0));
}

/// As Kubernetes mounts a ConfigMap: `routes.yaml` → `..data/routes.yaml`, `..data` → a folder, and the link is swapped.
#[tokio::test]
async fn a_swapped_link_is_an_edit() {
    use std::os::unix::fs::symlink;
    let gateway = Gateway::start(&routes("one")).await;
    let folder = gateway.folder();
    let swap = |to: &str, link: &str| {
        let new = folder.join("new-link");
        symlink(to, &new).expect("a link");
        fs::rename(&new, folder.join(link)).expect("the link is put in place");
    };
    for (at, edition) in ["first", "second", "third"].iter().enumerate() {
        fs::create_dir(folder.join(format!("..{at}"))).expect("a folder");
        fs::write(folder.join(format!("..{at}/routes.yaml")), routes(edition)).expect("a file of our own");
    }
    swap("..0", "..data");
    swap("..data/routes.yaml", "routes.yaml");
    is_live(&gateway, "one", "first").await;
    swap("..1", "..data");
    is_live(&gateway, "first", "second").await;
    swap("..2", "..data");
    is_live(&gateway, "second", "third").await;
    // Back to a folder whose file is older.
    swap("..0", "..data");
    is_live(&gateway, "third", "first").await;
    // A link to nowhere is a file that is gone.
    swap("..nowhere", "..data");
    nothing_happens(&gateway, "the link leads nowhere").await;
    assert_eq!(edition(&gateway).await, "first");
}

#[tokio::test]
async fn a_file_that_says_the_same_is_not_loaded_again() {
    let gateway = Gateway::start(&routes("one")).await;
    let file = fs::File::options().write(true).open(path(&gateway)).expect("a file of our own");
    file.set_modified(SystemTime::now()).expect("a file of our own");
    nothing_happens(&gateway, "touched").await;
    fs::write(path(&gateway), routes("one")).expect("a file of our own");
    nothing_happens(&gateway, "written with the same text").await;
    gateway.edit("version: 1\n");
    refused(&gateway, 1.0).await;
    gateway.edit("version: 1\n");
    nothing_happens(&gateway, "a refused file is told once").await;
}

#[tokio::test]
async fn who_asks_for_a_reload_gets_it_at_once() {
    let gateway = Gateway::start(&routes("one")).await;
    for text in ["two", "three", "four"] {
        gateway.edit(&routes(text));
        let answer = gateway.reload().await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!((&answer.json()["result"], &answer.json()["routes"]), (&"loaded".into(), &1.into()));
        assert_eq!(edition(&gateway).await, text, "live before the answer is there");
        let hash = answer.json()["hash"].as_str().expect("a hash").to_owned();
        assert!(gateway.metrics().await.has("hilum_table_info", &[("hash", &hash)]));
    }
    fs::write(path(&gateway), "version: 1\nroutes: [{ math: GET / }]\n").expect("a file of our own");
    let answer = gateway.reload().await;
    assert_eq!(answer.status, 422, "{answer:?}");
    assert_eq!(answer.json()["result"], "refused");
    assert!(answer.json()["problems"].as_str().is_some_and(|p| p.contains("did you mean `match`?")), "{answer:?}");
    assert_eq!(edition(&gateway).await, "four");
    fs::remove_file(path(&gateway)).expect("a file of our own");
    let answer = gateway.reload().await;
    assert_eq!(answer.status, 422, "{answer:?}");
    assert!(answer.text().contains("routes.yaml can't be read"), "{answer:?}");

    fs::write(path(&gateway), routes("five")).expect("a file of our own");
    gateway.signal(Signal::SIGHUP);
    is_live(&gateway, "four", "five").await;
    // Asked, it loads what it has already, too: who asks wants to know.
    let before = reloads(&gateway).await;
    gateway.signal(Signal::SIGHUP);
    gateway.counts("hilum_reloads_total", &[("result", "loaded")], |n| n == before.0 + 1.0).await;
    // Ten at a time are all answered.
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..10 {
        let admin = gateway.admin();
        let request = format!("POST /reload\nHost: {admin}\nContent-Length: 0\nConnection: close");
        asking.spawn(async move { crate::harness::Client::connect(admin).await.send(&request).await.status });
    }
    assert_eq!(asking.join_all().await, [200; 10]);
}

//! Clients that are slow on purpose, silent, gone or too many, by the thousand: each is closed in its time, nobody else notices, and
//! what they took is given back. A binary of its own, one test after the other: these take the whole machine.

#![allow(clippy::large_futures, reason = "a test runs once")]

#[path = "../harness/mod.rs"]
mod harness;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, interval_at};

use harness::*;

static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());

/// Every deadline here: of a head, of silence, of a request with its body, of a client that does not read.
const DEADLINE: Duration = Duration::from_secs(8);
const CONF: &str = "connections: { total: 9000, per_client: 9000, header: 8s, idle: 8s, stall: 8s }";
const ROUTES: &str = r#"
version: 1
services: { s: { peers: ["${S}"] } }
defaults: { auth: public }
routes:
  - { name: canary, match: GET /canary, respond: { text: canary } }
  - { name: buffered, match: "/b/{rest...}", forward: { service: s, path: "/{rest}" }, limits: { time: 8s }, reply: { 418: { json: {} } } }
  - { name: streamed, match: "/s/{rest...}", forward: { service: s, path: "/{rest}" }, limits: { time: none } }
"#;
const CLIENTS: usize = 5000;
/// Faster than this is no worse.
const FLOOR: Duration = Duration::from_millis(if cfg!(debug_assertions) { 20 } else { 5 });
/// In which all of them come: when the last one does, the first is still there.
const ARRIVAL: Duration = Duration::from_secs(6);

/// How a client is slow: a byte every two seconds, of this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Head,
    ChunkSize,
    Body,
    /// Takes so much of an answer that a service gives.
    Reader,
    Silent,
}

const KINDS: [Kind; 5] = [Kind::Head, Kind::ChunkSize, Kind::Body, Kind::Reader, Kind::Silent];

impl Kind {
    fn begin(self) -> Vec<u8> {
        match self {
            Kind::Head => b"GET /canary HTTP/1.1\r\nHost: hilum.test\r\nX-Slow: ".to_vec(),
            Kind::ChunkSize => message("POST /b/echo\nTransfer-Encoding: chunked"),
            Kind::Body => message("POST /b/echo\nContent-Length: 1000"),
            Kind::Reader => message("GET /s/much\nX-Request-ID: reader"),
            Kind::Silent => Vec::new(),
        }
    }
}

async fn connect(number: usize, to: SocketAddr, kind: Kind) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    if kind == Kind::Reader {
        socket.set_recv_buffer_size(4096)?;
    }
    let last = 2 + u8::try_from(number % 32).expect("less than 32");
    socket.bind(([127, 0, 0, last], 0).into())?;
    socket.connect(to).await
}

/// How long it was let be, from its first byte on.
async fn attack(number: usize, to: SocketAddr, kind: Kind) -> Duration {
    let stream = within("a connection", connect(number, to, kind)).await.expect("a connection");
    let since = Instant::now();
    let begin = kind.begin();
    assert_eq!(stream.try_write(&begin).unwrap_or_default(), begin.len(), "the system takes so little at once");
    let mut drip = interval(Duration::from_secs(2));
    drip.tick().await;
    loop {
        let mut piece = [0; 512];
        tokio::select! {
            _ = drip.tick() => match kind {
                Kind::Silent => {}
                Kind::Reader => drop(stream.try_read(&mut piece[..1])),
                _ => drop(stream.try_write(b"0")),
            },
            _ = stream.readable(), if kind != Kind::Reader => match stream.try_read(&mut piece) {
                Ok(1..) => {}
                Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => {}
                _ => return since.elapsed(),
            },
        }
    }
}

/// Clients that behave, with 50 requests a second: when each was due, and how long after that it was answered.
fn canaries(to: SocketAddr) -> Canary<Vec<(Instant, Duration)>> {
    Canary::start(move |stops| async move {
        let clients: JoinSet<_> = (0..5).map(|n| canary(to, n, stops.clone())).collect();
        clients.join_all().await.concat()
    })
}

async fn canary(to: SocketAddr, number: u64, stop: Arc<AtomicBool>) -> Vec<(Instant, Duration)> {
    let mut client = Client::connect(to).await;
    let mut due =
        interval_at(tokio::time::Instant::now() + Duration::from_millis(20 * number), Duration::from_millis(100));
    due.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut took = Vec::new();
    while !stop.load(SeqCst) {
        let due: Instant = due.tick().await.into();
        expect("canary", &client.send("GET /canary").await, "200\n= canary");
        took.push((due, due.elapsed()));
    }
    took
}

fn of_hundred(mut of: Vec<Duration>, percent: usize) -> Duration {
    of.sort_unstable();
    of[(of.len() * percent / 100).min(of.len() - 1)]
}

/// What half of the requests in this time took at most, and 99 of 100.
fn half_and_most(took: &[(Instant, Duration)], when: &Range<Instant>) -> [Duration; 2] {
    let part: Vec<_> = took.iter().filter(|(due, _)| when.contains(due)).map(|(_, took)| *took).collect();
    assert!(part.len() >= 50, "{} requests of the canary", part.len());
    [50, 99].map(|percent| of_hundred(part.clone(), percent))
}

/// Asked of the system: to count thousands of open files for its metrics takes the gateway milliseconds, which others would notice.
fn kilobytes(gateway: &Gateway) -> f64 {
    gateway.memory() as f64 / 1024.0
}

/// For how long each thread of a process was kept from running, though it had something to do: the machine was busy with others.
fn kept_waiting(process: u32) -> BTreeMap<std::ffi::OsString, Duration> {
    let threads = std::fs::read_dir(format!("/proc/{process}/task")).expect("a process that is there");
    let of = |thread: std::fs::DirEntry| {
        let text = std::fs::read_to_string(thread.path().join("schedstat")).ok()?;
        Some((thread.file_name(), Duration::from_nanos(text.split(' ').nth(1)?.parse().ok()?)))
    };
    threads.filter_map(|thread| of(thread.ok()?)).collect()
}

/// The longest of these since then.
fn kept_waiting_since(process: u32, then: &BTreeMap<std::ffi::OsString, Duration>) -> Duration {
    let since = |(thread, all): (std::ffi::OsString, Duration)| all - then.get(&thread).copied().unwrap_or_default();
    kept_waiting(process).into_iter().map(since).max().unwrap_or_default()
}

async fn nothing_is_left(gateway: &Gateway, connections: f64) {
    for (gauge, left) in [("hilum_connections", connections), ("hilum_requests_in_flight", 0.0)] {
        gateway.counts(gauge, &[], |n| n <= left).await;
    }
    gateway.counts("hilum_peer_in_flight", &[], |n| n == 0.0).await;
}

/// What became of an attack.
struct Attacked {
    begun: Instant,
    ended: Instant,
    /// How many were connected when all had come.
    at_once: f64,
    /// Memory of the gateway, in KiB.
    most: f64,
    lasted: BTreeMap<Kind, Vec<Duration>>,
    /// How long the gateway and this process were kept from running meanwhile. It excuses what is late.
    starved: Duration,
}

/// All clients come, and are waited for until the gateway has closed them. `others`: who is connected besides them.
async fn attacked(gateway: &Gateway, others: f64) -> Attacked {
    let (begun, to, logged) = (Instant::now(), gateway.address(), gateway.access_log().len());
    let processes = [gateway.id(), std::process::id()].map(|process| (process, kept_waiting(process)));
    let (mut attackers, mut readers) = (JoinSet::new(), JoinSet::new());
    // Evenly: it is slow clients that are measured and no storm of connections.
    let mut arrive = interval(ARRIVAL.div_f64(CLIENTS as f64 / 5.0));
    for number in 0..CLIENTS {
        if number % 5 == 0 {
            arrive.tick().await;
        }
        let kind = KINDS[number % KINDS.len()];
        match kind {
            Kind::Reader => drop(readers.spawn(attack(number, to, kind))),
            _ => drop(attackers.spawn(async move { (kind, attack(number, to, kind).await) })),
        }
    }
    let at_once = gateway.metrics().await.sum("hilum_connections", &[]);
    let mut most = kilobytes(gateway);
    let mut lasted: BTreeMap<Kind, Vec<Duration>> = BTreeMap::new();
    while let Some(ended) = within("the slow clients to be closed", attackers.join_next()).await {
        let (kind, after) = ended.expect("an attacker");
        lasted.entry(kind).or_default().push(after);
        if lasted.values().map(Vec::len).sum::<usize>().is_multiple_of(500) {
            most = most.max(kilobytes(gateway));
        }
    }
    nothing_is_left(gateway, others).await;
    let ended = Instant::now();
    // A reader can't see that nobody will send it more; the log says when it was left, a moment after it is counted.
    let left = async || {
        let lines = gateway.access_log().into_iter().skip(logged).filter(|line| line["request_id"] == "reader");
        Some(lines.collect::<Vec<_>>()).filter(|lines| lines.len() >= CLIENTS / KINDS.len())
    };
    for line in eventually("a line for each reader", left).await {
        assert_eq!(line["reason"], "client_too_slow", "{line}");
        let took = Duration::from_secs_f64(line["ms"].as_f64().expect("a number") / 1000.0);
        lasted.entry(Kind::Reader).or_default().push(took);
    }
    let starved = processes.iter().map(|(process, then)| kept_waiting_since(*process, then)).sum();
    Attacked { begun, ended, at_once, most, lasted, starved }
}

impl Attacked {
    /// Each kind of client had its time, and no more.
    fn expect_closed_in_time(&self) {
        for (kind, lasted) in &self.lasted {
            let [first, half, last] = [0, 50, 100].map(|percent| of_hundred(lasted.clone(), percent));
            println!("{kind:?}: {} closed after {first:?} to {last:?}, half of them by {half:?}", lasted.len());
        }
        let tick = Duration::from_secs(1);
        let time = DEADLINE - tick..DEADLINE + tick + self.starved;
        for kind in KINDS {
            let lasted = &self.lasted[&kind];
            assert_eq!(lasted.len(), CLIENTS / KINDS.len(), "{kind:?}");
            assert!(lasted.iter().all(|lasted| time.contains(lasted)), "{kind:?}: not within {time:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_thousand_slow_clients_are_closed_in_time_and_nobody_else_notices() {
    let _alone = ONE_AT_A_TIME.lock().await;
    let (_, files) = getrlimit(Resource::RLIMIT_NOFILE).expect("a limit");
    setrlimit(Resource::RLIMIT_NOFILE, files, files).expect("up to the hard limit");
    assert!(files >= 10_000, "5,000 clients and 1,000 answers of the service need more than {files} open files");
    // Made before, since the service must not be slow itself.
    let much = Reply::new().answer(200, &[], vec![b'x'; 300_000]);
    let service = Service::start(move |seen| if seen.target == "/much" { much.clone() } else { puppet(seen) }).await;
    let gateway = Gateway::with(ROUTES).env("S", service.url()).conf(CONF).start().await;
    // Nobody attacks this one: what its clients notice is the machine, which the slow clients share.
    let bystander = Gateway::with(ROUTES).env("S", service.url()).conf(CONF).start().await;
    for _ in 0..50 {
        assert_eq!(gateway.send("GET /s/echo").await.status, 200);
    }
    let (canary, spared) = (canaries(gateway.address()), canaries(bystander.address()));
    gateway.counts("hilum_requests_total", &[("route", "canary")], |n| n >= 100.0).await;
    let (before, memory_before) = (gateway.metrics().await, kilobytes(&gateway));
    // Five of the canary.
    let attacked = attacked(&gateway, 5.0).await;
    gateway.counts("hilum_requests_total", &[("route", "canary")], |n| n >= 700.0).await;
    let (took, spared) = (canary.stop(), spared.stop());
    gateway.counts("hilum_connections", &[], |n| n == 0.0).await;
    let (after, memory_after) = (gateway.metrics().await, kilobytes(&gateway));

    let before_it = attacked.begun - Duration::from_secs(60)..attacked.begun;
    let calm = half_and_most(&took, &before_it);
    let [busy, spared] = [&took, &spared].map(|took| half_and_most(took, &(attacked.begun..attacked.ended)));
    let (at_once, grew) = (attacked.at_once, attacked.most - memory_before);
    println!("{at_once} at once; half and 99 of 100 requests of others took at most {calm:?} before and {busy:?} then");
    println!("of a gateway beside it {spared:?} then");
    println!("both processes were kept from running for {:?}", attacked.starved);
    println!("KiB of memory: {memory_before}, at most {grew} more, then {memory_after}");
    attacked.expect_closed_in_time();
    // Twice as slow at most, of before or of what the machine does to everybody then. Below the floor it is its other users that are
    // measured. `make bench` has the machine for itself; elsewhere others may keep the gateway from running, and that is no fault.
    let excused = if cfg!(debug_assertions) { attacked.starved } else { Duration::ZERO };
    for ((calm, spared), busy) in calm.into_iter().zip(spared).zip(busy) {
        let most = (calm.max(spared) * 2).max(FLOOR) + excused;
        assert!(busy <= most, "{calm:?} before, {spared:?} beside it, {busy:?} then: more than {most:?}");
    }
    // What is sent and not taken, and the buffers and state of an exchange with a service.
    assert!(grew / at_once < 256.0, "{} KiB for each", grew / at_once);
    // An allocator keeps some; what it kept before it was chosen for giving back was four fifths.
    assert!(memory_after - memory_before < 0.4 * grew, "{} KiB of {grew} are kept", memory_after - memory_before);
    let more = after.sum("process_open_fds", &[]) - before.sum("process_open_fds", &[]);
    assert!(more <= 8.0, "{more} descriptors more");
    assert_eq!(after.sum("hilum_panics_total", &[]), 0.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_over_all_places_hurts_nobody_who_has_one() {
    let _alone = ONE_AT_A_TIME.lock().await;
    let service = Service::start(puppet).await;
    let conf = "connections: { total: 100, per_client: 60 }";
    let gateway = Gateway::with(ROUTES).env("S", service.url()).conf(conf).start().await;
    let to = gateway.address();
    let canary = canaries(to);
    gateway.counts("hilum_requests_total", &[("route", "canary")], |n| n >= 20.0).await;
    let mut flood = JoinSet::new();
    for number in 0..2000 {
        flood.spawn(async move {
            // Who is refused may learn it before the connection is there.
            connect(number, to, Kind::Silent).await.ok()
        });
    }
    let answer = within("the admin listener", gateway.ask_admin("GET /health/ready")).await;
    assert_eq!(answer.status, 200);
    let came: Vec<TcpStream> = flood.join_all().await.into_iter().flatten().collect();
    let refused = gateway.counts("hilum_connections_refused_total", &[("cause", "total")], |n| n >= 1905.0).await;
    let is_open =
        |stream: &TcpStream| matches!(stream.try_read(&mut [0]), Err(e) if e.kind() == std::io::ErrorKind::WouldBlock);
    // Who was let in stays, and says nothing. The last ones are closed a moment after they are counted.
    let open = || came.iter().filter(|stream| is_open(stream)).count();
    eventually("all others are closed", async || (open() <= 95).then_some(())).await;
    let held: Vec<TcpStream> = came.into_iter().filter(is_open).collect();
    println!("{} of 2,000 are held, {refused} were refused", held.len());
    assert_eq!((held.len(), refused), (95, 1905.0), "five are the canary's");
    assert_eq!(gateway.metrics().await.sum("hilum_connections", &[]), 100.0);
    // Who is refused may learn it at any moment: before its connection is there, while it asks, or when it waits for the answer.
    let mut answer = None;
    if let Ok(mut one_more) = Client::try_connect(to).await {
        one_more.try_write(&message("GET /canary")).await;
        answer = one_more.try_read(false).await;
    }
    assert!(answer.is_none(), "one more than there are places for: {answer:?}");
    drop(held);
    gateway.counts("hilum_connections", &[], |n| n == 5.0).await;
    expect("it has recovered", &gateway.send("GET /canary").await, "200");
    assert!(canary.stop().len() > 20, "and none of the canary's requests failed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_of_resets_leaves_nothing_behind() {
    let _alone = ONE_AT_A_TIME.lock().await;
    let service = Service::start(puppet).await;
    let gateway = Gateway::with(ROUTES).env("S", service.url()).conf(CONF).start().await;
    let to = gateway.address();
    for _ in 0..20 {
        assert_eq!(gateway.send("GET /s/echo").await.status, 200);
    }
    let before = gateway.metrics().await;
    let parts: [&[u8]; 5] = [
        b"",
        b"GET /canary HTTP/1.1\r\nHo",
        b"GET /canary HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /s/slow-head/100 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"POST /s/echo HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf",
    ];
    let mut storms = JoinSet::new();
    for storm in 0..25 {
        storms.spawn(async move {
            for number in 0..200 {
                let stream = connect(storm, to, Kind::Head).await.expect("a connection");
                let _ = stream.try_write(parts[number % parts.len()]);
                let _ = stream.set_zero_linger();
            }
        });
    }
    storms.join_all().await;
    nothing_is_left(&gateway, 0.0).await;
    service.is_left_alone().await;
    let after = gateway.metrics().await;
    let grew = |name: &str| after.sum(name, &[]) - before.sum(name, &[]);
    println!(
        "5,000 resets: {} descriptors, {} KiB more",
        grew("process_open_fds"),
        grew("process_resident_memory_bytes") / 1024.0
    );
    assert!(grew("process_open_fds") <= 8.0, "{} descriptors more", grew("process_open_fds"));
    assert!(grew("process_resident_memory_bytes") < 64.0 * 1024.0 * 1024.0);
    assert_eq!(after.sum("hilum_panics_total", &[]), 0.0);
    expect("as before", &gateway.send("GET /s/echo").await, "200");
}

#[tokio::test]
async fn a_client_that_has_said_its_last_word_is_answered_or_left() {
    let _alone = ONE_AT_A_TIME.lock().await;
    let service = Service::start(puppet).await;
    let gateway = Gateway::with(ROUTES).env("S", service.url()).conf(CONF).start().await;
    for (path, is_ready) in [("/canary", true), ("/b/echo", false), ("/s/slow-head/500", false)] {
        let mut client = gateway.connect().await;
        client.write(&message(&format!("GET {path}\nX-Request-ID: {path}"))).await;
        client.finish().await;
        let answer = client.try_read(false).await;
        assert!(
            answer.as_ref().map_or(!is_ready, |answer| answer.status == 200 && answer.complete),
            "{path}: {answer:?}"
        );
        let line = gateway.logged_id(path).await;
        assert!(line["status"] == 200 || line["reason"] == "client_gone", "{line}");
    }
    nothing_is_left(&gateway, 0.0).await;
}

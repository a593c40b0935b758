//! A new process takes over from the one that runs: whatever happens on the way, no request is lost and nobody is refused.

mod changed;
mod failed;
mod spoken;
mod systemd;

use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::sync::oneshot::error::TryRecvError;
use tokio::task::JoinSet;

use crate::harness::{Authority, Builder, Client, Gateway, Service, eventually, message, puppet};
use crate::load::Load;

const ROUTES: &str = r#"
version: 1
services: { s: { peers: ["${S}"] } }
defaults: { auth: public, limits: { time: none } }
routes:
  - { name: hello, match: GET /hello, respond: { text: hello } }
  - { name: service, match: "/**", forward: { service: s } }
"#;
const UPGRADE: &str = "upgrade: { socket: ../run/upgrade, within: 20s }";
/// Where that is, in the folder of the gateway.
const SOCKET: &str = "run/upgrade";

async fn before(conf: &str) -> (Gateway, Service) {
    let service = Service::start(puppet).await;
    let gateway = gateway(&service, conf).start().await;
    (gateway, service)
}

fn gateway(service: &Service, conf: &str) -> Builder {
    Gateway::with(ROUTES).env("S", service.url()).conf(conf)
}

/// 500 requests a second: half of them on kept-alive connections, each of the others on one of its own.
struct Loads([Load; 2]);

impl Loads {
    fn start(gateway: &Gateway) -> Loads {
        let (pace, close) = (Duration::from_millis(40), "\nConnection: close");
        let fresh = ["GET /hello", "GET /echo"].map(|line| format!("{line}{close}"));
        let kept = Load::start(gateway.address(), 10, pace, &["GET /hello", "GET /echo"]);
        Loads([kept, Load::start(gateway.address(), 10, pace, &fresh.each_ref().map(String::as_str))])
    }

    async fn chapter(&self) {
        for load in &self.0 {
            load.chapter().await;
        }
    }

    /// Waits until each half has had so many more answers.
    async fn go_on(&self, requests: usize) {
        self.chapter().await;
        for load in &self.0 {
            load.has_answered(requests).await;
        }
    }

    /// Ends them; every request must have been answered, and well. Gives how many there were.
    async fn expect_all_good(self, what: &str) -> usize {
        let mut sent = 0;
        for (load, kind) in self.0.into_iter().zip(["kept", "fresh"]) {
            let chapters = load.stop().await;
            // The last one may have ended before anything was sent in it.
            for tally in chapters.iter().filter(|tally| tally.sent + tally.refused > 0) {
                tally.expect_all_good(&format!("{what}, {kind}"));
                assert_eq!(tally.refused, 0, "{what}, {kind}: connections were refused");
                sent += tally.sent;
            }
        }
        println!("{what}: {sent} requests, none lost, nobody refused");
        sent
    }
}

/// A successor that the gateway has started itself. Dropped, it is killed.
struct Heir(Pid);

impl Heir {
    /// The one that was started as the `number`th, counted from 0.
    async fn of(gateway: &Gateway, number: usize) -> Heir {
        let id =
            eventually("a successor to be started", async || started(&gateway.stderr()).get(number).copied()).await;
        Heir(Pid::from_raw(id))
    }

    fn signal(&self, signal: Signal) {
        kill(self.0, signal).expect("a process of our own");
    }

    /// Waits until it has ended, whoever asks the system for it then.
    async fn ended(&self) {
        eventually("a successor to end", async || has_ended(self.0).then_some(())).await;
    }
}

impl Drop for Heir {
    fn drop(&mut self) {
        if !has_ended(self.0) {
            let _ = kill(self.0, Signal::SIGKILL);
        }
    }
}

/// The numbers of all processes that the log says were started.
fn started(log: &str) -> Vec<i32> {
    let numbers = log.split("a successor was started, process ").skip(1).filter_map(|rest| rest.split_once('\n'));
    numbers.map(|(number, _)| number.parse().expect("a number")).collect()
}

fn has_ended(process: Pid) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    status.lines().find(|line| line.starts_with("State:")).is_none_or(|line| line.contains('Z'))
}

/// Waits until so many processes have said on the log of the first that they are ready.
async fn ready(gateway: &Gateway, processes: usize) {
    said(gateway, "ready listeners=", processes).await;
}

/// Waits until the log has said this so many times.
async fn said(gateway: &Gateway, text: &str, times: usize) {
    eventually(text, async || (gateway.stderr().matches(text).count() >= times).then_some(())).await;
}

/// What it says of a successor that has come and gone.
const GOES_ON: &str = "a successor does not take over, this process goes on: ";

/// A connection with one request on its way to the service, whose answer is still to come.
async fn asking(gateway: &Gateway, service: &Service, request: &str) -> Client {
    let mut client = gateway.connect().await;
    client.write(&message(request)).await;
    let target = request.split_whitespace().nth(1).expect("a target");
    eventually("the service to be asked", async || {
        service.seen().iter().any(|seen| seen.target == target).then_some(())
    })
    .await;
    client
}

const WEBSOCKET: &str = "GET /socket\nConnection: Upgrade\nUpgrade: websocket\nSec-WebSocket-Version: 13\n\
     Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upgrade_loses_nothing_under_load() {
    let (mut old, service) = before(UPGRADE).await;
    let loads = Loads::start(&old);
    loads.go_on(150).await;
    // Operators look all the time, and always see a gateway that is ready.
    let admin = old.admin();
    let (stop, mut stopped) = tokio::sync::oneshot::channel::<()>();
    let looking = tokio::spawn(async move {
        let mut looks = 0;
        while stopped.try_recv() == Err(TryRecvError::Empty) {
            let asked = format!("GET /health/ready\nHost: {admin}\nConnection: close");
            let answer = Client::connect(admin).await.send(&asked).await;
            assert_eq!((answer.status, answer.text().as_str()), (200, "ready\n"), "after {looks} looks");
            looks += 1;
        }
        looks
    });
    let mut slow = asking(&old, &service, "GET /slow-head/1800").await;
    // 800 bytes, one each millisecond or more.
    let mut download = asking(&old, &service, "GET /drip/800/1").await;
    let mut socket = asking(&old, &service, WEBSOCKET).await;
    assert_eq!(socket.head().await.status, 101);

    let told = Instant::now();
    let mut new = old.successor().await;
    let took = told.elapsed();
    assert_eq!((new.address(), new.admin()), (old.address(), old.admin()), "port 0 is the same one again");
    old.said("draining").await;
    loads.go_on(300).await;
    let slow = slow.read(false).await;
    assert!(slow.status == 200 && slow.complete && slow.text() == "late", "{slow:?}");
    let download = download.read(false).await;
    assert!(download.status == 200 && download.complete && download.body.len() == 800, "{} bytes", download.body.len());
    for text in ["hello", &"x".repeat(100_000)] {
        socket.write(text.as_bytes()).await;
        socket.until(text).await;
    }
    drop(socket);
    assert_eq!(old.ended().await.code(), Some(0), "{}", old.stderr());
    println!("the successor served after {took:?}, the old process ended after {:?}", told.elapsed());
    assert!(old.stderr().contains("sessions are kept in memory and end with this process"), "{}", old.stderr());
    loads.go_on(100).await;
    drop(stop);
    let looks = looking.await.expect("always ready");
    assert!(looks > 10, "{looks} looks");
    let sent = loads.expect_all_good("an upgrade").await;
    assert_eq!(new.metrics().await.sum("hilum_panics_total", &[]), 0.0);
    assert_eq!(new.stop().await.code(), Some(0));
    let lines = new.access_log();
    assert_eq!(lines.len(), sent + 3, "each answer of both processes has its line");
    assert!(lines.iter().all(|line| line["status"] == 200 || line["status"] == 101));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_in_flight_over_http2_is_answered() {
    let (ca, service) = (Authority::new(), Service::start(puppet).await);
    let issued = ca.issue(&["a.test"]);
    let listeners = "[{ address: \"127.0.0.1:0\", tls: { cert: a.pem, key: a.key } }]";
    let started = gateway(&service, UPGRADE).listeners(listeners).file("conf/a.pem", &issued.cert);
    let mut old = started.file("conf/a.key", &issued.key).start().await;
    let dialer = ca.dialer(&["h2"]);
    let mut connection = dialer.http2(old.address(), "a.test").await;
    let mut in_flight = JoinSet::new();
    for number in 0..20 {
        let path = format!("GET /slow-head/{}", 1500 + number);
        let mut sender = dialer.http2(old.address(), "a.test").await;
        in_flight.spawn(async move { sender.send("a.test", &path).await });
    }
    service.has_seen(20).await;
    let mut new = old.successor().await;
    old.said("draining").await;
    // One that was open and is used only now, and one that is new.
    for connection in [&mut connection, &mut dialer.http2(new.address(), "a.test").await] {
        let answer = connection.send("a.test", "GET /hello").await.expect("an answer");
        assert_eq!((answer.status, answer.text().as_str()), (200, "hello"));
    }
    while let Some(answer) = in_flight.join_next().await {
        let answer = answer.expect("a client does not panic").expect("an answer");
        assert_eq!((answer.status, answer.text().as_str()), (200, "late"));
    }
    assert_eq!(old.ended().await.code(), Some(0), "{}", old.stderr());
    let answer = dialer.http2(new.address(), "a.test").await.send("a.test", "GET /hello").await;
    assert_eq!(answer.expect("an answer").status, 200);
    assert_eq!(new.stop().await.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigquit_starts_a_successor_again_and_again() {
    let (mut first, _service) = before(UPGRADE).await;
    let loads = Loads::start(&first);
    loads.go_on(50).await;
    first.signal(Signal::SIGQUIT);
    let mut heirs = vec![Heir::of(&first, 0).await];
    ready(&first, 2).await;
    assert_eq!(first.ended().await.code(), Some(0), "{}", first.stderr());
    for number in 1..3 {
        loads.go_on(50).await;
        heirs[number - 1].signal(Signal::SIGQUIT);
        heirs.push(Heir::of(&first, number).await);
        ready(&first, number + 2).await;
        heirs[number - 1].ended().await;
    }
    loads.go_on(50).await;
    loads.expect_all_good("three upgrades").await;
    let last = &heirs[2];
    last.signal(Signal::SIGTERM);
    last.ended().await;
    // Each of the four was ready once and has ended well.
    let log = first.stderr();
    assert_eq!((log.matches("ready listeners=").count(), log.matches(" drained").count()), (4, 4), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_of_signals_has_one_winner() {
    let (mut old, _service) = before(UPGRADE).await;
    let loads = Loads::start(&old);
    loads.go_on(50).await;
    // Until it drains, and while it does.
    let mut signals = 0;
    while !old.stderr().contains("draining") {
        old.signal(Signal::SIGQUIT);
        signals += 1;
        tokio::task::yield_now().await;
    }
    (0..20).for_each(|_| old.signal(Signal::SIGQUIT));
    let heir = Heir::of(&old, 0).await;
    ready(&old, 2).await;
    assert_eq!(old.ended().await.code(), Some(0), "{}", old.stderr());
    loads.go_on(50).await;
    loads.expect_all_good(&format!("{signals} signals")).await;
    let log = old.stderr();
    assert_eq!((started(&log).len(), log.matches("ready listeners=").count()), (1, 2), "{log}");
    assert!(log.contains("a successor is on its way already"), "{log}");
    heir.signal(Signal::SIGTERM);
    heir.ended().await;
}

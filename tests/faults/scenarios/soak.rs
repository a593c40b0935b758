//! A mild load for a long time, with a fault each minute, sessions that come and go, and paths that nobody has: nothing grows.
//!
//! Each fault happens once before anything is measured, so that what it needs for the first time, such as a series of a metric, is there.

use std::path::Path;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use super::redis::{lasting, put, sign, start};
use super::trend::Trend;
use crate::gateways::{Files, Hilum, Kind, Subject};
use crate::harness::{Client, Redis, message};
use crate::load::{Class, Load, Plan};
use crate::report::{Figure, Form};
use crate::services::Service;

const ROUTES: &str = include_str!("../conf/soak.yaml");
const LOAD: &str = include_str!("../loads/soak.txt");
const QUICK: &str = include_str!("../services/quick.txt");

const SHORT: Duration = Duration::from_secs(120);
/// From here on a trend of memory tells something of an hour.
const LONG: Duration = Duration::from_secs(600);
/// How many times as many requests there are in the minute before.
const RUSH: f64 = 20.0;
/// As many tokens as the gateway remembers, and some more.
const TOKENS: usize = 110_000;
/// Between the faults of the round that is not measured.
const HURRY: Duration = Duration::from_secs(5);
/// How often it is looked what the process holds.
const SAMPLE: Duration = Duration::from_secs(2);
/// Memory may grow by so much in an hour, in MB, if it grows at all.
const GROWTH: f64 = 0.5;
/// A short soak tells nothing of an hour. It may end with so many MB more than it began with, which a leak of 1 KiB a request would exceed.
const MORE_MEMORY: f64 = 8.0;
/// Connections to services that are kept are open at one time and not at another.
const MORE_DESCRIPTORS: f64 = 32.0;
/// Threads that read files come when one is reloaded, and go after a while.
const MORE_THREADS: f64 = 2.0;

#[derive(Clone, Copy, Debug)]
enum Fault {
    Kill,
    Freeze,
    Cut,
    Redis,
    Reload,
    BrokenReload,
}

const FAULTS: [Fault; 6] = [Fault::Kill, Fault::Freeze, Fault::Cut, Fault::Redis, Fault::Reload, Fault::BrokenReload];

/// What the process holds at one moment.
struct Held {
    when: f64,
    memory: f64,
    descriptors: f64,
    threads: f64,
    series: f64,
}

/// What the faults are done to.
struct World {
    services: Vec<Service>,
    redis: Redis,
    subject: Subject,
    edition: usize,
}

pub(crate) async fn run(_: Form, _: Kind) -> Vec<Figure> {
    soak(SHORT).await
}

pub(crate) async fn soak(time: Duration) -> Vec<Figure> {
    let dir = tempfile::tempdir().expect("a folder");
    let services: Vec<Service> = (0..3).map(|_| Service::start(QUICK)).collect();
    let redis = lasting(&dir).await;
    let token = sign("who stays");
    put(&redis, &token).await;
    let hilum = start(&Files::of_hilum(ROUTES), &services, &redis).await;
    let to = hilum.gateway.address();
    let mut world = World { services, redis, subject: Subject::Hilum(Box::new(hilum)), edition: 0 };
    let plan = Plan::parse(LOAD, &[("token", &token)]);
    if time >= LONG {
        many(to, "stranger", look, 401).await;
        // What is known of a session takes more room than that there is none; at ten guests a second that would take hours to show.
        many(to, "visitor", visit, 200).await;
        // At a mild pace the allocator needs hours until it holds what it will ever hold: some megabytes, and no more after 300,000 requests.
        let rush = Load::start(to, plan.clone().times(RUSH));
        rush.goes_on(Duration::from_secs(60)).await;
        rush.stop().await;
    }
    let load = Load::start(to, plan);
    let sessions = tokio::spawn(come_and_go(to));

    let (begun, mut sent, mut lost) = (Instant::now(), 0, String::new());
    let mut count = |load: &Load| {
        let records = load.take();
        sent += records.sent();
        // Amid an answer a peer may be killed; no answer at all, or a wrong one, is the gateway's fault.
        let bad = records.those(|record| record.is_lost() && !record.is(Class::HalfAnswer));
        lost.push_str(&bad.told());
    };
    for fault in FAULTS {
        sleep(HURRY).await;
        world.suffer(fault).await;
    }
    sleep(HURRY).await;
    let every = if time > SHORT { Duration::from_secs(60) } else { Duration::from_secs(12) };
    let (mut next, mut held) = (Instant::now() + every, Vec::new());
    let mut faults = FAULTS.iter().cycle();
    while begun.elapsed() < time {
        held.push(Held::of(world.hilum(), begun).await);
        count(&load);
        sleep_until(Instant::now() + SAMPLE).await;
        if Instant::now() >= next && begun.elapsed() + every / 2 < time {
            world.suffer(*faults.next().expect("it goes round")).await;
            next += every;
        }
    }
    sessions.abort();
    let records = load.stop().await;
    sent += records.sent();
    let panics = world.hilum().gateway.metrics().await.sum("hilum_panics_total", &[]);
    figures(time, &held, sent, &lost, panics)
}

impl World {
    fn hilum(&self) -> &Hilum {
        self.subject.hilum().expect("it is Hilum")
    }

    /// Does it, and undoes it.
    async fn suffer(&mut self, fault: Fault) {
        println!("    {fault:?}");
        let for_a_while = || sleep(Duration::from_millis(1500));
        match fault {
            Fault::Kill => {
                self.services[0].kill();
                for_a_while().await;
                self.services[0].restart();
            }
            Fault::Freeze => {
                self.services[1].freeze();
                for_a_while().await;
                self.services[1].thaw();
            }
            Fault::Cut => {
                self.services[2].tell("cut");
                for_a_while().await;
                self.services[2].tell("well");
            }
            Fault::Redis => {
                self.redis.kill().await;
                self.redis.restart().await;
            }
            Fault::Reload => {
                self.edition += 1;
                self.subject.reload(self.edition).await;
            }
            Fault::BrokenReload => self.subject.refuses_a_broken_file(self.edition).await,
        }
    }
}

impl Held {
    async fn of(hilum: &Hilum, begun: Instant) -> Held {
        let folder = format!("/proc/{}", hilum.id());
        let descriptors = std::fs::read_dir(format!("{folder}/fd")).map_or(0, Iterator::count);
        let metrics = hilum.gateway.metrics().await.0;
        let status = status(Path::new(&folder));
        let number = |name: &str| -> f64 {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("the kernel tells it");
            line.trim().trim_end_matches(" kB").parse().expect("a number")
        };
        Held {
            when: begun.elapsed().as_secs_f64(),
            memory: number("VmRSS:") / 1024.0,
            descriptors: descriptors as f64,
            threads: number("Threads:"),
            series: metrics.lines().filter(|line| !line.starts_with('#')).count() as f64,
        }
    }
}

fn status(folder: &Path) -> String {
    std::fs::read_to_string(folder.join("status")).expect("a process of our own")
}

/// Somebody signs in, looks around and signs out, ten times a second.
async fn come_and_go(to: std::net::SocketAddr) {
    for number in 0_u64.. {
        sleep(Duration::from_millis(100)).await;
        for request in visit(&sign(&format!("guest-{number}"))) {
            let Ok(mut client) = Client::try_connect(to).await else { continue };
            if client.try_write(&message(&request)).await {
                client.try_read(false).await;
            }
        }
    }
}

/// Somebody signs in, is there, and signs out.
fn visit(token: &str) -> Vec<String> {
    vec![
        format!("POST /login\nContent-Type: application/json\n\n{{\"token\":\"{token}\"}}"),
        format!("GET /session\nCookie: jwt={token}"),
        format!("POST /logout\nCookie: jwt={token}\nSec-Fetch-Site: same-origin\nContent-Length: 0"),
    ]
}

/// A token that is good and has no session.
fn look(token: &str) -> Vec<String> {
    vec![format!("GET /session\nCookie: jwt={token}")]
}

/// Fills the memory for tokens with those of strangers or guests, so that each further one takes the place of another of its kind:
/// until then it would grow, and should.
async fn many(to: std::net::SocketAddr, who: &'static str, requests: fn(&str) -> Vec<String>, status: u16) {
    const AT_ONCE: usize = 16;
    let mut asking = JoinSet::new();
    for first in 0..AT_ONCE {
        asking.spawn(async move {
            let mut client = Client::connect(to).await;
            for number in (first..TOKENS).step_by(AT_ONCE) {
                for request in requests(&sign(&format!("{who}-{number}"))) {
                    let answer = client.send(&request).await;
                    assert_eq!(answer.status, status, "{answer:?}");
                    if answer.header("connection").is_some_and(|value| value == "close") {
                        client = Client::connect(to).await;
                    }
                }
            }
        });
    }
    asking.join_all().await;
}

fn figures(time: Duration, held: &[Held], sent: usize, lost: &str, panics: f64) -> Vec<Figure> {
    let of = |what: fn(&Held) -> f64| held.iter().map(|held| (held.when / 3600.0, what(held))).collect::<Vec<_>>();
    let tenth = held.len().div_ceil(10).max(3);
    // What it was at the begin and at the end: the middle of some samples.
    let ends = |what: fn(&Held) -> f64| (median(&held[..tenth], what), median(&held[held.len() - tenth..], what));
    let told = |(before, after): (f64, f64)| format!("{before:.1}, {after:.1}");
    let memory = Trend::of(&of(|held| held.memory));
    let (before, after) = ends(|held| held.memory);
    let slope = Figure::new(
        "growth of memory, MB an hour, 95 % sure",
        format!("{:+.2} ({:+.2} to {:+.2})", memory.slope, memory.low, memory.high),
    );
    let (threads, descriptors, series) =
        (ends(|held| held.threads), ends(|held| held.descriptors), ends(|held| held.series));
    vec![
        Figure::new(
            "requests without an answer",
            if lost.is_empty() { format!("0 of {sent}") } else { lost.to_owned() },
        )
        .must("0", lost.is_empty() && sent > 0),
        // Over two minutes the interval is as wide as an hour is long.
        if time >= LONG {
            slope.must(format!("0 is in it, or at most {GROWTH}"), memory.low <= 0.0 || memory.slope <= GROWTH)
        } else {
            slope
        },
        Figure::new("memory at the begin and at the end, MB", told((before, after)))
            .must(format!("at most {MORE_MEMORY} more"), after - before <= MORE_MEMORY),
        Figure::new("descriptors", told(descriptors))
            .must(format!("at most {MORE_DESCRIPTORS} more"), descriptors.1 - descriptors.0 <= MORE_DESCRIPTORS),
        Figure::new("threads", told(threads))
            .must(format!("at most {MORE_THREADS} more"), threads.1 - threads.0 <= MORE_THREADS),
        Figure::new("series of metrics", told(series)).must("at most 10 more", series.1 - series.0 <= 10.0),
        Figure::new("panics", panics).must("0", panics == 0.0),
    ]
}

fn median(held: &[Held], what: fn(&Held) -> f64) -> f64 {
    let mut all: Vec<f64> = held.iter().map(what).collect();
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}

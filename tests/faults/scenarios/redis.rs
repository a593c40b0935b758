//! Redis is killed, frozen and restarted under a mixed load. Who needs no session does not notice; who needs one is told the truth, soon,
//! and keeps his cookie; and it is over when Redis is back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

use hilum_demo::token::{Claims, Key};
use tempfile::TempDir;

use crate::gateways::{Files, Hilum, Kind};
use crate::harness::{Client, Redis, message};
use crate::load::{Class, Load, Plan, Record, Records};
use crate::report::{Figure, Form, ms};
use crate::services::Service;

const ROUTES: &str = include_str!("../conf/redis.yaml");
const LOAD: &str = include_str!("../loads/redis.txt");
const QUICK: &str = include_str!("../services/quick.txt");
const SECRET: &str = "a secret of the tests that is long enough";

const SOON: Duration = Duration::from_millis(if cfg!(debug_assertions) { 500 } else { 250 });
/// `max_staleness` of the file, and what a busy machine adds.
const STALE: Duration = Duration::from_millis(2250);
const BACK: Duration = Duration::from_millis(if cfg!(debug_assertions) { 2000 } else { 1000 });

#[derive(Clone, Copy, Debug)]
enum Outage {
    Killed,
    Frozen,
    Restarted,
}

pub(crate) async fn run(form: Form, _: Kind) -> Vec<Figure> {
    let mut figures = Vec::new();
    for outage in [Outage::Killed, Outage::Frozen, Outage::Restarted] {
        figures.extend(one(form, outage).await);
    }
    figures
}

/// A Redis that remembers what was there before it was killed, as one does that is operated.
pub(super) async fn lasting(dir: &TempDir) -> Redis {
    let dir = dir.path().display().to_string();
    let words = ["--appendonly", "yes", "--appendfsync", "always", "--dir", &dir].map(str::to_owned);
    Redis::start_with(|_| words.to_vec()).await
}

pub(super) fn sign(user: &str) -> String {
    Key::new(SECRET).sign(&Claims::new(user, "patient", "u@example.org"))
}

/// Hilum before these services and this Redis, once Redis tells it of changes.
pub(super) async fn start(files: &Files, services: &[Service], redis: &Redis) -> Hilum {
    let url = redis.url();
    let hilum = Hilum::start_with(files, services, |builder| {
        builder.conf("sessions: \"${REDIS_URL}\"").env("REDIS_URL", url).env("SECRET", SECRET)
    })
    .await;
    hilum.gateway.counts("hilum_session_stream_up", &[], |up| up == 1.0).await;
    hilum
}

pub(super) async fn put(redis: &Redis, token: &str) {
    redis.run::<()>(&["SETEX", &format!("access_token:{token}"), "900", token]).await;
}

async fn one(form: Form, outage: Outage) -> Vec<Figure> {
    let (dir, services) = (tempfile::tempdir().expect("a folder"), [Service::start(QUICK)]);
    let mut redis = lasting(&dir).await;
    let hilum = start(&Files::of_hilum(ROUTES), &services, &redis).await;
    let (known, plain) = (sign("known"), sign("plain"));
    put(&redis, &known).await;
    let plan = Plan::parse(LOAD, &[("token", &plain), ("cached", &known)]);
    let load = Load::start(hilum.gateway.address(), plan);
    load.goes_on(Duration::from_secs(1)).await;
    let stranger = Stranger::start(&hilum);
    let gone = load.now();
    match outage {
        Outage::Frozen => redis.freeze(),
        Outage::Killed | Outage::Restarted => redis.kill().await,
    }
    let lasts = STALE + form.either(Duration::from_secs(1), Duration::from_secs(3));
    if !matches!(outage, Outage::Restarted) {
        load.goes_on(lasts).await;
    }
    // While it is gone nobody is there to be found; what strangers are told after this has another cause.
    let told = stranger.stop().await;
    match outage {
        Outage::Frozen => redis.thaw(),
        Outage::Killed | Outage::Restarted => redis.restart().await,
    }
    let healed = load.now();
    load.goes_on(BACK + Duration::from_secs(1)).await;
    let records = load.stop().await;
    figures(outage, &records, gone, healed, &told)
}

fn figures(outage: Outage, records: &Records, gone: Duration, healed: Duration, told: &[Told]) -> Vec<Figure> {
    let name = format!("{outage:?}").to_lowercase();
    println!("    {name}: {}", records.told());
    let cached = records.named("cached");
    // Who was still waiting when it came back was told what is true then.
    let last_good =
        cached.due(gone..healed).those(|record| record.is(Class::Good) && record.due + record.took < healed);
    let stale = last_good.0.iter().map(|record| record.due).max().map_or(Duration::ZERO, |due| due - gone);
    let bad = cached.due(healed..Duration::MAX).those(|record| !record.is(Class::Good));
    let back = bad.0.iter().map(|record| record.due).max().map_or(Duration::ZERO, |due| due - healed);
    let signed_out = cached.count(|record| record.outcome.status == 401 || record.outcome.sets_cookie)
        + told.iter().filter(|told| told.status == 401 || told.sets_cookie).count();
    let is_true = |record: &Record| match record.outcome.class {
        Class::Good => true,
        Class::Shed => record.outcome.reason == "store_unavailable",
        _ => false,
    };
    let other = cached.due(gone..healed).count(|record| !is_true(record));
    // On a machine that stands still everybody waits, and beside other tests it does.
    let anybody = records.named("public").due(gone..healed).took(1.0);
    let soon = if cfg!(debug_assertions) { SOON + anybody } else { SOON };
    let slowest = told.iter().map(|told| told.took).max().unwrap_or_default();
    let unavailable = told.iter().filter(|told| told.reason == "store_unavailable" && told.status == 503).count();
    let mut figures: Vec<Figure> = ["public", "token"]
        .iter()
        .map(|kind| {
            let of = records.named(kind);
            Figure::new(format!("{name}: errors of {kind} routes"), format!("{} of {}", of.bad(), of.sent()))
                .must("0", of.bad() == 0 && of.sent() > 0)
        })
        .collect();
    figures.extend([
        Figure::new(format!("{name}: 401 or a changed cookie"), signed_out).must("0", signed_out == 0),
        Figure::new(format!("{name}: known sessions told something else"), other).must("0", other == 0),
        Figure::new(format!("{name}: last error after it is back"), ms(back)).must(ms(BACK), back <= BACK),
    ]);
    if !matches!(outage, Outage::Restarted) {
        figures.extend([
            Figure::new(format!("{name}: a known session is believed for"), ms(stale)).must(ms(STALE), stale <= STALE),
            Figure::new(
                format!("{name}: strangers told store_unavailable"),
                format!("{unavailable} of {}", told.len()),
            )
            .must("all", unavailable == told.len() && unavailable > 0),
            Figure::new(
                format!("{name}: slowest answer to a stranger, on public routes"),
                format!("{}, {}", ms(slowest), ms(anybody)),
            )
            .must(ms(soon), slowest <= soon),
        ]);
    }
    figures
}

/// Who comes with a good token that the gateway has never seen, one after the other.
struct Stranger {
    stop: Arc<AtomicBool>,
    asking: tokio::task::JoinHandle<Vec<Told>>,
}

struct Told {
    status: u16,
    reason: String,
    sets_cookie: bool,
    took: Duration,
}

impl Stranger {
    fn start(hilum: &Hilum) -> Stranger {
        let (to, stop) = (hilum.gateway.address(), Arc::new(AtomicBool::new(false)));
        let stops = stop.clone();
        let asking = tokio::spawn(async move {
            let mut told = Vec::new();
            for number in 0.. {
                if stops.load(SeqCst) {
                    break;
                }
                // The first comes when Redis is already gone.
                tokio::time::sleep(Duration::from_millis(50)).await;
                let request =
                    format!("GET /session\nConnection: close\nCookie: jwt={}", sign(&format!("stranger-{number}")));
                let asked = Instant::now();
                let mut client = Client::connect(to).await;
                client.write(&message(&request)).await;
                let answer = client.read(false).await;
                told.push(Told {
                    status: answer.status,
                    reason: answer.reason(),
                    sets_cookie: answer.header("set-cookie").is_some(),
                    took: asked.elapsed(),
                });
            }
            told
        });
        Stranger { stop, asking }
    }

    async fn stop(self) -> Vec<Told> {
        self.stop.store(true, SeqCst);
        self.asking.await.expect("a stranger is answered")
    }
}

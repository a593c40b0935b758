//! More comes than a service can do. It goes on doing what it can, what is critical is done first, the others are told to come again at
//! once, and it is over when it is over.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

use crate::gateways::{Kind, Subject, files};
use crate::harness::Client;
use crate::load::{Class, Load, Plan, Record, Records};
use crate::report::{Figure, Form, ms};
use crate::service::Spec;
use crate::services::Service;

const LOAD: &str = include_str!("../loads/overload.txt");
const LIMITED: &str = include_str!("../services/limited.txt");
const LIMITED_SHORT: &str = include_str!("../services/limited_short.txt");

/// An answer that comes later than this after it was due is of no use.
const USEFUL: Duration = Duration::from_millis(if cfg!(debug_assertions) { 500 } else { 250 });
/// Who is not let into the queue is told at once.
const AT_ONCE: Duration = Duration::from_millis(5);
const ADMIN_SOON: Duration = Duration::from_millis(100);
const BACK: Duration = Duration::from_secs(2);
/// What begins before this belongs to the begin of the overload, and not to the overload.
const BEGIN: Duration = Duration::from_secs(1);

pub(crate) async fn run(form: Form, kind: Kind) -> Vec<Figure> {
    // A debug build can be asked less.
    let text = if cfg!(debug_assertions) { LIMITED_SHORT } else { LIMITED };
    let spec = Spec::parse(text);
    let (in_flight, queue) = (spec.workers + spec.workers.div_ceil(5), spec.workers * 8 / 5);
    let files = files!("overload").with("in_flight", in_flight).with("queue", queue).with("limit", in_flight + queue);
    let services = [Service::start(text)];
    let subject = kind.start(&files, &services).await;
    // Who waits and has to give way to a more important one has waited for no longer than the queue is.
    let queue = Duration::from_secs_f64((in_flight + queue) as f64 / spec.capacity());
    let mut figures = Vec::new();
    for (times, bound) in [(2.0, 0.9), (4.0, 0.8)] {
        figures.extend(one(form, &subject, (spec.capacity(), queue), times, bound).await);
    }
    figures
}

async fn one(form: Form, subject: &Subject, (capacity, queue): (f64, Duration), times: f64, bound: f64) -> Vec<Figure> {
    let part = |of: f64| Plan::parse(LOAD, &[]).times(capacity * of / 100.0);
    let calm = Load::start(subject.address(), part(0.5));
    calm.goes_on(Duration::from_secs(1)).await;
    calm.stop().await;

    let admin = Operator::start(subject);
    let load = Load::start(subject.address(), part(times));
    let over = load.goes_on(BEGIN + form.either(Duration::from_secs(3), Duration::from_secs(10))).await;
    let calm = Load::start(subject.address(), part(0.5));
    let (records, _) = tokio::join!(load.stop(), calm.goes_on(BACK + Duration::from_secs(1)));
    let after = calm.stop().await;
    let slowest = match admin {
        Some(admin) => Some(admin.stop().await),
        None => None,
    };

    let records = records.due(BEGIN..over);
    println!("    {times} times: {}", records.told());
    let useful = |record: &Record| record.is(Class::Good) && record.took <= USEFUL;
    let goodput = records.count(useful) as f64 / (over - BEGIN).as_secs_f64() / capacity;
    let critical = records.named("critical");
    let critical_part = critical.count(useful) as f64 / critical.sent() as f64;
    let shed = records.those(|record| record.is(Class::Shed));
    let untold = records.count(|record| !record.is(Class::Good) && !record.is(Class::Shed));
    let name = format!("{times} C");
    let (soon, at_last) = (AT_ONCE * Form::SLACK, queue + AT_ONCE * Form::SLACK);
    let (p50, p99) = (shed.took(0.5), shed.took(0.99));
    let last = last_bad(&after, useful);
    let mut figures = vec![
        Figure::new(format!("{name}: goodput, of C"), percent(goodput))
            .must(format!("at least {}", percent(bound)), goodput >= bound),
        Figure::new(format!("{name}: critical and good"), format!("{} of {}", percent(critical_part), critical.sent()))
            .must("at least 99.9 %", critical_part >= 0.999),
        Figure::new(format!("{name}: neither good nor told to come again"), format!("{untold} of {}", records.sent()))
            .must("0", untold == 0),
        Figure::new(
            format!("{name}: told to come again: number, p50, p99"),
            format!("{}, {}, {}", shed.sent(), ms(p50), ms(p99)),
        )
        .must(format!("{}, {}", ms(soon), ms(at_last)), p50 <= soon && p99 <= at_last),
        Figure::new(
            format!("{name}: p99 of what is good"),
            ms(records.those(|record| record.is(Class::Good)).took(0.99)),
        ),
        Figure::new(format!("{name}: last error after it ends"), ms(last)).must(ms(BACK), last <= BACK),
    ];
    if let Some(slowest) = slowest {
        let soon = ADMIN_SOON * Form::SLACK;
        figures.push(
            Figure::new(format!("{name}: slowest answer to an operator"), ms(slowest)).must(ms(soon), slowest <= soon),
        );
    }
    figures
}

fn last_bad(records: &Records, useful: impl Fn(&Record) -> bool) -> Duration {
    records.0.iter().filter(|record| !useful(record)).map(|record| record.due).max().unwrap_or_default()
}

fn percent(part: f64) -> String {
    format!("{:.1} %", part * 100.0)
}

/// Somebody who looks at the admin listener ten times a second, and tells the slowest answer.
struct Operator {
    stop: Arc<AtomicBool>,
    looking: tokio::task::JoinHandle<Duration>,
}

impl Operator {
    fn start(subject: &Subject) -> Option<Operator> {
        let (admin, stop) = (subject.hilum()?.gateway.admin(), Arc::new(AtomicBool::new(false)));
        let stops = stop.clone();
        let looking = tokio::spawn(async move {
            let mut slowest = Duration::ZERO;
            while !stops.load(SeqCst) {
                for path in ["/health/live", "/metrics"] {
                    let asked = Instant::now();
                    let answer = Client::connect(admin)
                        .await
                        .send(&format!("GET {path}\nHost: {admin}\nConnection: close"))
                        .await;
                    assert_eq!(answer.status, 200, "{path}: {answer:?}");
                    slowest = slowest.max(asked.elapsed());
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            slowest
        });
        Some(Operator { stop, looking })
    }

    async fn stop(self) -> Duration {
        self.stop.store(true, SeqCst);
        self.looking.await.expect("an operator is answered")
    }
}

//! All peers are gone, or all of them answer nothing: that is told at once, the services are not asked more often than before, and it is
//! over when they are back.

use std::time::Duration;

use crate::gateways::{Kind, Subject, files};
use crate::load::{Class, Load, Plan, Records};
use crate::report::{Figure, Form, ms};
use crate::services::Service;

const LOAD: &str = include_str!("../loads/no_peer.txt");
const QUICK: &str = include_str!("../services/quick.txt");

/// Until a peer is not sent requests any more: two checks.
const FOUND_OUT: Duration = Duration::from_millis(1500);
const AT_ONCE: Duration = Duration::from_millis(5);
const BACK: Duration = Duration::from_secs(2);
/// The budget of retries allows a fifth more than there are requests.
const TRIES: f64 = 1.2;
/// And so many more for the moment in which something goes wrong, once.
const SAVED: f64 = 50.0;

async fn before(kind: &Kind) -> (Vec<Service>, Subject) {
    let services: Vec<Service> = (0..3).map(|_| Service::start(QUICK)).collect();
    let subject = kind.start(&files!("no_peer"), &services).await;
    if let Some(hilum) = subject.hilum() {
        for service in &services {
            hilum.peer_is(service, true).await;
        }
    }
    (services, subject)
}

pub(crate) async fn run(form: Form, kind: Kind) -> Vec<Figure> {
    let mut figures = dead(form, &kind).await;
    figures.extend(resetting(form, &kind).await);
    figures
}

async fn dead(form: Form, kind: &Kind) -> Vec<Figure> {
    let (mut services, subject) = before(kind).await;
    let load = Load::start(subject.address(), Plan::parse(LOAD, &[]));
    load.goes_on(Duration::from_secs(1)).await;
    services.iter_mut().for_each(Service::kill);
    let known = load.goes_on(FOUND_OUT).await;
    let until = load.goes_on(form.either(Duration::from_secs(2), Duration::from_secs(5))).await;
    services.iter_mut().for_each(Service::restart);
    let healed = load.now();
    load.goes_on(BACK + Duration::from_secs(1)).await;
    let records = load.stop().await;
    let gone = records.due(known..until);
    println!("    all dead: {}", gone.told());
    let p99 = gone.took(0.99);
    let bound = AT_ONCE * Form::SLACK * if cfg!(debug_assertions) { 2 } else { 1 };
    let told = gone.count(|record| record.is(Class::Shed) && record.outcome.status == 503);
    vec![
        Figure::new("all killed: told 503 with Retry-After", format!("{told} of {}", gone.sent()))
            .must("all", told == gone.sent() && told > 0),
        Figure::new("all killed: p99 until that is told", ms(p99)).must(ms(bound), p99 <= bound),
        back("all killed", &records, healed),
    ]
}

/// Peers that take a connection and a request and then reset are the worst for who tries again: each try costs them a request.
async fn resetting(form: Form, kind: &Kind) -> Vec<Figure> {
    let (mut services, subject) = before(kind).await;
    for service in &mut services {
        service.tell("lying");
        service.tell("slam");
    }
    // By then what was saved is spent, and only the part of each request is left.
    let (saved, at_first) = tries(&subject, &services, Duration::from_millis(1500)).await;
    let (each, sent) = tries(&subject, &services, form.either(Duration::from_secs(3), Duration::from_secs(10))).await;
    println!("    all resetting: {}", sent.told());
    let load = Load::start(subject.address(), Plan::parse(LOAD, &[]));
    load.goes_on(Duration::from_millis(500)).await;
    services.iter_mut().for_each(|service| service.tell("well"));
    let healed = load.now();
    load.goes_on(BACK + Duration::from_secs(1)).await;
    let records = load.stop().await;
    vec![
        Figure::new("all reset: tries of the first requests", format!("{saved} for {}", at_first.sent()))
            .must(format!("{TRIES} times as many and {SAVED}"), saved <= TRIES * at_first.sent() as f64 + SAVED),
        Figure::new("all reset: tries of the requests after them", format!("{each} for {}", sent.sent()))
            .must(format!("{TRIES} times as many"), each <= TRIES * sent.sent() as f64 + 1.0),
        Figure::new("all reset: requests without an answer", format!("{} of {}", sent.lost(), sent.sent()))
            .must("0", sent.lost() == 0),
        back("all reset", &records, healed),
    ]
}

/// How often the services saw the requests of a load, and what became of these.
async fn tries(subject: &Subject, services: &[Service], time: Duration) -> (f64, Records) {
    let seen = || services.iter().map(|service| service.seen("GET").len()).sum::<usize>();
    let before = seen();
    let load = Load::start(subject.address(), Plan::parse(LOAD, &[]));
    load.goes_on(time).await;
    let sent = load.stop().await;
    ((seen() - before) as f64, sent)
}

/// How long after they were back the last request went wrong.
fn back(what: &str, records: &Records, healed: Duration) -> Figure {
    let after = records.due(healed..Duration::MAX);
    let bad = after.those(|record| !record.is(Class::Good));
    let last = bad.0.iter().map(|record| record.due).max().map_or(Duration::ZERO, |due| due - healed);
    let is_over = last <= BACK * if cfg!(debug_assertions) { 2 } else { 1 } && after.good() > 0;
    Figure::new(format!("{what}: last error after they are back"), ms(last)).must("within 2 s", is_over)
}

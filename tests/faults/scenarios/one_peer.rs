//! One of three peers goes wrong, in each way in which a peer can. A read has its answer all the same, once the gateway has found out; a
//! write is never sent twice.

use std::time::Duration;

use crate::gateways::{Files, Kind, Subject, files};
use crate::load::{Load, Plan, Records};
use crate::report::{Figure, Form, ms};
use crate::services::{Service, twice};

const LOAD: &str = include_str!("../loads/one_peer.txt");
const QUICK: &str = include_str!("../services/quick.txt");

/// How long it may take to find out: two checks 200 ms apart that fail after 200 ms each, or five requests that wait for 500 ms; and what a
/// busy machine adds.
const FOUND_OUT: Duration = Duration::from_millis(if cfg!(debug_assertions) { 2000 } else { 1200 });
/// How long after it is well again it may be left alone: the time of an ejection, two checks, and what a busy machine adds.
const BACK: Duration = Duration::from_millis(if cfg!(debug_assertions) { 4500 } else { 3000 });
/// What the p99 of reads moves by without any fault; tests that run beside a debug build stop all of it for a tenth of a second.
const NOISE: Duration = Duration::from_millis(if cfg!(debug_assertions) { 100 } else { 10 });

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Killed,
    Frozen,
    BlackHole,
    Cut,
    Garbage,
    /// Only requests find out, and after an ejection they have to find out again.
    CutAndLying,
}

impl Fault {
    fn name(self) -> &'static str {
        match self {
            Fault::Killed => "killed",
            Fault::Frozen => "frozen",
            Fault::BlackHole => "black hole",
            Fault::Cut => "resets amid answers",
            Fault::Garbage => "answers garbage",
            Fault::CutAndLying => "resets amid answers, health lies",
        }
    }

    fn inject(self, peer: &mut Service) {
        match self {
            Fault::Killed => peer.kill(),
            Fault::Frozen => peer.freeze(),
            Fault::BlackHole => peer.tell("blackhole"),
            Fault::Cut => peer.tell("cut"),
            Fault::Garbage => peer.tell("garbage"),
            Fault::CutAndLying => {
                peer.tell("lying");
                peer.tell("cut");
            }
        }
    }

    fn heal(self, peer: &mut Service) {
        match self {
            Fault::Killed => peer.restart(),
            Fault::Frozen => peer.thaw(),
            Fault::BlackHole => peer.tell("see"),
            Fault::Cut | Fault::Garbage | Fault::CutAndLying => peer.tell("well"),
        }
    }
}

const ALL: [Fault; 6] =
    [Fault::Killed, Fault::Frozen, Fault::BlackHole, Fault::Cut, Fault::Garbage, Fault::CutAndLying];

pub(crate) async fn run(form: Form, kind: Kind) -> Vec<Figure> {
    let mut figures = Vec::new();
    for fault in ALL {
        figures.extend(one(form, &kind, fault).await);
    }
    figures
}

async fn one(form: Form, kind: &Kind, fault: Fault) -> Vec<Figure> {
    let files: Files = files!("one_peer");
    let mut services: Vec<Service> = (0..3).map(|_| Service::start(QUICK)).collect();
    let subject = kind.start(&files, &services).await;
    if let Some(hilum) = subject.hilum() {
        for service in &services {
            hilum.peer_is(service, true).await;
        }
    }
    let load = Load::start(subject.address(), Plan::parse(LOAD, &[]));
    let injected = load.goes_on(form.either(Duration::from_secs(1), Duration::from_secs(3))).await;
    fault.inject(&mut services[1]);
    let found = is(&subject, &services[1], false).await;
    // From here on it is known.
    let known = injected + FOUND_OUT;
    let wrong_until = known + form.either(Duration::from_secs(1), Duration::from_secs(3));
    load.goes_on(wrong_until.saturating_sub(load.now())).await;
    fault.heal(&mut services[1]);
    let back = match fault {
        // It may be between two ejections just now.
        Fault::CutAndLying => None,
        _ => is(&subject, &services[1], true).await,
    };
    load.goes_on(Duration::from_secs(1)).await;
    let records = load.stop().await;
    let sent_twice = twice(services.iter().flat_map(|service| service.seen("POST")).collect::<Vec<_>>().iter());
    figures(fault, &records, [injected, known, wrong_until], (found, back), sent_twice)
}

/// How long it took until the gateway sent requests to this peer, or none any more; only Hilum tells.
async fn is(subject: &Subject, peer: &Service, is_up: bool) -> Option<Duration> {
    match subject.hilum() {
        Some(hilum) => Some(hilum.peer_is(peer, is_up).await),
        None => None,
    }
}

fn figures(
    fault: Fault,
    records: &Records,
    [injected, known, wrong_until]: [Duration; 3],
    (found, back): (Option<Duration>, Option<Duration>),
    sent_twice: usize,
) -> Vec<Figure> {
    let (gets, posts, name) = (records.named("get"), records.named("post"), fault.name());
    let (before, first) = (gets.due(Duration::ZERO..injected), gets.due(injected..known));
    let (wrong, after) = (gets.due(known..wrong_until), gets.due(wrong_until..Duration::MAX));
    if records.bad() > 0 {
        println!("    {name}, at first: {}", records.due(injected..known).told());
        println!("    {name}, later: {}", records.due(known..Duration::MAX).told());
    }
    let later = wrong.bad() + after.bad();
    // A part of an answer cannot be taken back, so each time that an ejection ends a few reads find out again that nothing is better.
    let may_fail = match fault {
        Fault::CutAndLying => 10 * ((wrong_until - known).as_secs_f64() / 2.0).ceil() as usize,
        _ => 0,
    };
    let (p99_before, p99_wrong) = (before.took(0.99), wrong.took(0.99));
    let noise = p99_before * 2 + NOISE;
    let mut figures = vec![
        Figure::new(format!("{name}: GET errors before it is known"), format!("{} of {}", first.bad(), first.sent()))
            .must("40 %: at most its share", first.bad() * 10 <= first.sent() * 4),
        Figure::new(format!("{name}: GET errors afterwards"), format!("{later} of {}", wrong.sent() + after.sent()))
            .must(format!("at most {may_fail}"), later <= may_fail && before.bad() == 0),
        Figure::new(format!("{name}: POST sent twice"), format!("{sent_twice} of {}", posts.sent()))
            .must("0", sent_twice == 0),
        Figure::new(format!("{name}: POST errors"), format!("{} of {}", posts.bad(), posts.sent())),
        Figure::new(
            format!("{name}: p99 of GET before, with it known"),
            format!("{}, {}", ms(p99_before), ms(p99_wrong)),
        )
        .must(format!("twice and {} more", ms(NOISE)), p99_wrong <= noise),
    ];
    if let Some(found) = found {
        figures.push(Figure::new(format!("{name}: known after"), ms(found)).must(ms(FOUND_OUT), found <= FOUND_OUT));
    }
    if let Some(back) = back {
        figures.push(Figure::new(format!("{name}: used again after"), ms(back)).must(ms(BACK), back <= BACK));
    }
    figures
}

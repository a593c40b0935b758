//! Nothing is lost when the file changes, when the gateway ends, and when another process takes its place: at 500 requests a second, half
//! of them on kept-alive connections, with uploads, downloads and WebSockets on their way.

use std::time::Duration;

use crate::gateways::{Files, Kind, files};
use crate::load::{Class, Load, Plan, Records};
use crate::report::{Figure, Form, ms};
use crate::services::Service;

const LOAD: &str = include_str!("../loads/changes.txt");
const QUICK: &str = include_str!("../services/quick.txt");

fn plan(form: Form) -> Plan {
    let (upload, download) = (form.either("1s", "2s"), form.either("2s", "5s"));
    Plan::parse(LOAD, &[("upload", upload), ("download", download), ("socket", form.either("1s", "3s"))])
}

fn before() -> (Files, Vec<Service>) {
    (files!("changes"), (0..3).map(|_| Service::start(QUICK)).collect())
}

/// `what` was done so often while these were asked for.
fn figures(what: &str, times: usize, records: &Records) -> Vec<Figure> {
    let refused = records.count(|record| record.is(Class::Refused));
    let (sent, lost) = (records.sent() - refused, records.lost());
    // Who is refused a connection has sent nothing; that is the way out.
    let not_good = records.count(|record| !record.is(Class::Good) && !record.is(Class::Refused) && !record.is_lost());
    if records.bad() > 0 {
        println!("    {what}: {}", records.told());
    }
    vec![
        Figure::new(format!("requests lost over {what}"), format!("{lost} of {sent} ({times} times)"))
            .must("0", lost == 0 && sent > 0),
        Figure::new(format!("answered with an error over {what}"), not_good).must("0", not_good == 0),
        Figure::new(format!("p99 of reads over {what}"), ms(records.named("reads").took(0.99))),
    ]
}

pub(crate) async fn reload(form: Form, kind: Kind) -> Vec<Figure> {
    let (files, services) = before();
    let mut subject = kind.start(&files, &services).await;
    let load = Load::start(subject.address(), plan(form));
    load.goes_on(Duration::from_secs(1)).await;
    let (times, mut edition) = (form.either(5, 20), 0);
    for number in 1..=times {
        if number % 4 == 0 {
            subject.refuses_a_broken_file(edition).await;
        } else {
            edition = number;
            subject.reload(edition).await;
        }
        load.goes_on(Duration::from_millis(300)).await;
    }
    let records = load.stop().await;
    let mut figures = figures("reloads", times, &records);
    let refused = records.count(|record| record.is(Class::Refused));
    figures.push(Figure::new("connections refused over reloads", refused).must("0", refused == 0));
    figures
}

pub(crate) async fn drain(form: Form, kind: Kind) -> Vec<Figure> {
    let (files, services) = before();
    // The others show how they do it; that needs no twenty times.
    let times = if kind.is_hilum() { form.either(3, 20) } else { 5 };
    let mut all = Records::default();
    for _ in 0..times {
        let mut subject = kind.start(&files, &services).await;
        let load = Load::start(subject.address(), plan(form));
        load.goes_on(Duration::from_millis(1200)).await;
        subject.drain();
        subject.ended().await;
        all.0.extend(load.stop().await.0);
    }
    figures("drains", times, &all)
}

pub(crate) async fn upgrade(form: Form, kind: Kind) -> Vec<Figure> {
    let (mut files, services) = before();
    files.conf = "upgrade: { socket: ../upgrade/socket, within: 30s }";
    let mut subject = kind.start(&files, &services).await;
    let load = Load::start(subject.address(), plan(form));
    let times = form.either(2, 5);
    for _ in 0..times {
        load.goes_on(Duration::from_secs(1)).await;
        subject.upgrade().await;
    }
    load.goes_on(Duration::from_secs(1)).await;
    let records = load.stop().await;
    let mut figures = figures("upgrades", times, &records);
    let refused = records.count(|record| record.is(Class::Refused));
    figures.push(Figure::new("connections refused over upgrades", refused).must("0", refused == 0));
    figures
}

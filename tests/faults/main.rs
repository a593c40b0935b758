//! What operators, networks and machines do to a gateway: peers die in every way, Redis goes away, files change, processes are replaced,
//! and more comes than can be served. Everything is counted, and one table at the end tells what became of it.
//!
//! ```text
//! faults [FILTER]              each scenario in a short form, Hilum only: what `cargo test` runs
//! faults full [FILTER] [--nginx PROGRAM] [--haproxy PROGRAM]     `make faults`
//! faults soak TIME             one gateway under a mild load for so long, and another fault each minute: `make soak`
//! faults service …             a service, which the others start; see service/
//! ```
//!
//! ```text
//! scenarios/   what is done and what must hold        conf/      the files of the gateways
//! gateways/    Hilum, nginx, HAProxy as processes      loads/     what is asked for
//! load/        an open load that tells every end apart services/  what the services are able to do; mod.rs starts and stops them
//! service/     what runs in a service's process        report.rs  figures and the table
//! ```

#![allow(clippy::large_futures, reason = "a test runs once")]

mod gateways;
#[path = "../harness/mod.rs"]
mod harness;
mod load;
mod report;
mod scenarios;
mod service;
mod services;
mod wire;

use std::process::ExitCode;
use std::time::Instant;

use gateways::Kind;
use report::{Form, Report};
use scenarios::{ALL, Scenario};

/// What the command line asks for.
#[derive(Default)]
struct Wanted {
    is_full: bool,
    filter: Option<String>,
    nginx: Option<String>,
    haproxy: Option<String>,
    only_names: bool,
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if words.first().is_some_and(|word| word == "service") {
        service::main(&words[1..]);
        return ExitCode::SUCCESS;
    }
    let wanted = Wanted::read(&words);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let mut report = Report::default();
    if let [word, time] = words.as_slice()
        && word == "soak"
    {
        report.add("soak", 0, runtime.block_on(scenarios::soak::soak(service::time(time))));
        return conclude(&report, &[""; report::COLUMNS.len()]);
    }
    let is_wanted =
        |scenario: &&Scenario| wanted.filter.as_ref().is_none_or(|part| scenario.name.contains(part.as_str()));
    let scenarios: Vec<&Scenario> = ALL.iter().filter(is_wanted).collect();
    if wanted.only_names {
        scenarios.iter().for_each(|scenario| println!("{}: test", scenario.name));
        return ExitCode::SUCCESS;
    }
    for scenario in scenarios {
        for (column, kind) in wanted.kinds(scenario).into_iter().enumerate() {
            let Some(kind) = kind else { continue };
            let (begun, form) = (Instant::now(), Form { is_full: wanted.is_full });
            // On a task of its own, so that a scenario that panics is one that failed, and the others are measured still.
            match runtime.block_on(runtime.spawn((scenario.run)(form, kind))) {
                Ok(figures) => report.add(scenario.name, column, figures),
                Err(_) => report.failed(scenario.name, column),
            }
            println!(
                "test {} ({}) ended after {:.1} s",
                scenario.name,
                report::COLUMNS[column],
                begun.elapsed().as_secs_f64()
            );
        }
    }
    let missing = |program: &Option<String>| if program.is_some() { "" } else { "not here" };
    conclude(&report, &["", missing(&wanted.nginx), missing(&wanted.haproxy)])
}

fn conclude(report: &Report, missing: &[&str; report::COLUMNS.len()]) -> ExitCode {
    report.print(missing);
    report.broken().iter().for_each(|broken| println!("BROKEN {broken}"));
    ExitCode::from(u8::from(!report.broken().is_empty()))
}

impl Wanted {
    fn read(words: &[String]) -> Wanted {
        let (mut wanted, mut words) = (Wanted::default(), words.iter());
        while let Some(word) = words.next() {
            match word.as_str() {
                "full" => wanted.is_full = true,
                "--nginx" => wanted.nginx = words.next().cloned(),
                "--haproxy" => wanted.haproxy = words.next().cloned(),
                "--list" => wanted.only_names = true,
                // What `cargo test` may be given for the other tests.
                "--test-threads" | "--skip" | "--format" | "--color" | "--logfile" => {
                    words.next();
                }
                word if word.starts_with('-') => {}
                word => wanted.filter = Some(word.to_owned()),
            }
        }
        wanted
    }

    /// The gateway of each column, where there is one to measure.
    fn kinds(&self, scenario: &Scenario) -> [Option<Kind>; report::COLUMNS.len()] {
        let other = |program: &Option<String>, kind: fn(std::path::PathBuf) -> Kind| {
            program.as_ref().filter(|_| scenario.has_peers).map(|program| kind(program.into()))
        };
        [Some(Kind::Hilum), other(&self.nginx, Kind::Nginx), other(&self.haproxy, Kind::HaProxy)]
    }
}

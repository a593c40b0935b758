//! A text as `routes.yaml`, or with a `#` in front as `conf/hilum.yaml` → a table or settings, or problems.

use std::cell::Cell;

use super::world;
use crate::config::{Report, Source, as_written, conf, env, yaml};
use crate::server::{Load, Loader};

/// What no problem may tell.
const HELD: &str = "held-by-a-variable";

/// Services and tokens leave series behind in metrics, so a new process is pretended now and then.
const FRESH: u32 = 2000;

thread_local! {
    static LOADER: Cell<(u32, Option<Loader>)> = const { Cell::new((0, None)) };
}

fn variables() -> [(&'static str, &'static str); 3] {
    [("A", "http://127.0.0.1:1"), ("SECRET", world::SECRET), ("V", HELD)]
}

/// Every problem has a place, and tells no variable.
pub fn config(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    // A file from the disk of the machine that fuzzes is no part of the input, and may have no end.
    if text.len() > 8192 || ["/dev", "/proc", "/sys", ".."].iter().any(|path| text.contains(path)) {
        return;
    }
    let problems = if text.starts_with('#') { settings(text) } else { routes(text) };
    let Some(report) = problems else { return };
    // YAML ends lines in three ways.
    let lines = text.replace("\r\n", "\n").split(['\n', '\r']).count() as u64;
    let shown = report.to_string();
    assert!(text.contains(HELD) || !shown.contains(HELD), "{shown}");
    let mut count = 0;
    for row in report.rows() {
        let line = row["line"].as_u64().expect("a number");
        assert!((1..=lines).contains(&line), "{row} in a text of {lines} lines");
        count += 1;
    }
    assert!(count > 0, "refused without a problem");
}

fn routes(text: &str) -> Option<Report> {
    let (uses, loader) = LOADER.take();
    let loader = loader.filter(|_| uses % FRESH != 0).unwrap_or_else(|| world::loader(&variables()));
    let report = match loader.compile(text) {
        Load::Table(_) => None,
        Load::Problems(report, _) => Some(report),
    };
    LOADER.set((uses.wrapping_add(1), Some(loader)));
    report
}

fn settings(text: &str) -> Option<Report> {
    let mut problems = Vec::new();
    match yaml::parse(text) {
        Err(found) => problems = found,
        Ok(mut node) => {
            env::expand(&mut node, &crate::config::Environment::of(&variables()), &mut problems);
            let conf = conf::read(&node, &mut problems);
            as_written(&node, &mut problems);
            if let Some(conf) = conf.filter(|_| problems.is_empty()) {
                // Whatever was read can be asked.
                let _ = (conf.listeners(), conf.admin(), conf.redis(), conf.trusted_proxies(), conf.threads());
                let _ = (conf.connections().header(), conf.drain(), conf.log().level());
                return None;
            }
        }
    }
    Some(Report::new(Source::new("conf/hilum.yaml", text), problems))
}

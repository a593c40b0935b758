//! `hilum run`: serve until told to stop.

use std::process::ExitCode;
use std::sync::Arc;

use hilum_filters::api::{LineOrMap, Registration};

use super::Paths;
use super::load::{Stop, prepare, tell};
use crate::config::conf::{AccessLine, Log};
use crate::proxy::Gateway;
use crate::server::{self, Load, Settings};
use crate::telemetry::{AccessLog, Destination, start_log};

pub(super) fn run(paths: &Paths, filters: &[&'static [Registration]]) -> anyhow::Result<ExitCode> {
    let loaded = match prepare(paths, filters) {
        Ok(loaded) => loaded,
        Err(stop) => return tell(stop, false),
    };
    let conf = &loaded.conf;
    let log = conf.log();
    start_log(log.level.as_ref().map_or(log::LevelFilter::Info, |level| level.value.0));
    let metrics = loaded.loader.metrics.clone();
    server::count_panics(&metrics);
    let table = match loaded.loader.load()? {
        Load::Table(table) => table,
        Load::Problems(report) => return tell(Stop::Problems(report), false),
    };
    for token in table.tokens.iter().filter(|token| token.has_weak_secret()) {
        log::warn!(
            "the secret of the token `{}` is too short to be safe: whoever guesses it can be anybody",
            token.name()
        );
    }
    metrics.loaded(&table.hash);
    let access_log =
        Arc::new(AccessLog::start(&destination(&log, &loaded.conf_dir), metrics.access_log_dropped.clone())?);
    let fleet = loaded.loader.fleet.clone();
    let gateway = Gateway::new(*table, fleet, metrics, access_log, conf.trusted_proxies());
    let settings = Settings {
        listeners: conf.listeners(),
        admin: conf.admin(),
        threads: conf.threads(),
        header: conf.connections().header(),
        idle: conf.connections().idle(),
        drain: conf.drain(),
    };
    server::run(&settings, &gateway, loaded.loader, loaded.memory)?;
    Ok(ExitCode::SUCCESS)
}

fn destination(log: &Log, base: &std::path::Path) -> Destination {
    match &log.access {
        None => Destination::Stdout,
        Some(LineOrMap::Line(line)) => match line.value {
            AccessLine::Stdout => Destination::Stdout,
            AccessLine::Off => Destination::Off,
        },
        Some(LineOrMap::Map(map)) => Destination::File(base.join(&map.file)),
    }
}

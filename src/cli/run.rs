//! `hilum run`: serve until told to stop.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use hilum_filters::api::Registration;

use super::Paths;
use super::load::{Loaded, load, tell};
use crate::config::conf::{Access, Log};
use crate::proxy::Gateway;
use crate::server::{self, Settings};
use crate::telemetry::{AccessLog, Destination, start_log};

pub(super) fn run(paths: &Paths, filters: &[&'static [Registration]]) -> anyhow::Result<ExitCode> {
    let Loaded { conf, listeners, table, text, loader } = match load(paths, filters)? {
        Ok(loaded) => loaded,
        Err(reports) => return tell(&reports, false),
    };
    let log = conf.log();
    start_log(log.level());
    let metrics = loader.metrics.clone();
    server::count_panics(&metrics);
    for token in table.tokens.iter().filter(|token| token.has_weak_secret()) {
        log::warn!(
            "the secret of the token `{}` is too short to be safe: whoever guesses it can be anybody",
            token.name()
        );
    }
    metrics.running(&table.hash);
    let access_log = Arc::new(AccessLog::start(
        &destination(&log, paths.conf.parent().unwrap_or(Path::new(""))),
        metrics.access_log_dropped.clone(),
    )?);
    let fleet = loader.fleet.clone();
    let gateway = Gateway::new(*table, fleet, metrics, access_log, conf.trusted_proxies());
    let settings = Settings {
        listeners,
        admin: conf.admin(),
        admin_token: conf.admin_token(),
        threads: conf.threads(),
        header: conf.connections().header(),
        idle: conf.connections().idle(),
        drain: conf.drain(),
    };
    server::run(&settings, &gateway, loader, text)?;
    Ok(ExitCode::SUCCESS)
}

fn destination(log: &Log, base: &Path) -> Destination {
    match log.access() {
        Access::Stdout => Destination::Stdout,
        Access::Off => Destination::Off,
        Access::File(file) => Destination::File(base.join(file)),
    }
}

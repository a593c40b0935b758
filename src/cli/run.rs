//! `hilum run`: serve until told to stop.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::bail;
use hilum_filters::api::Registration;

use super::Paths;
use super::load::{Loaded, load, tell};
use crate::config::conf::{Access, Conf, Log};
use crate::proxy::Gateway;
use crate::proxy::guard::Deadlines;
use crate::server::upgrade::{Program, Upgrade};
use crate::server::{self, Settings};
use crate::telemetry::audit::{Audit, AuditOptions, Key};
use crate::telemetry::{AccessLog, Destination, start_log};

pub(super) fn run(paths: &Paths, takes_over: bool, filters: &[&'static [Registration]]) -> anyhow::Result<ExitCode> {
    server::pages::small();
    let Loaded { conf, listeners, table, text, loader } = match load(paths, filters)? {
        Ok(loaded) => loaded,
        Err(reports) => return tell(&reports, false),
    };
    let upgrade = upgrade(&conf, paths.conf.parent().unwrap_or(Path::new("")), takes_over)?;
    if takes_over && upgrade.is_none() {
        bail!(
            "`--upgrade` takes over from a running gateway, and {} has no `upgrade: {{ socket: PATH }}`",
            paths.conf.display()
        );
    }
    let log = conf.log();
    let metrics = loader.metrics.clone();
    start_log(log.level(), metrics.log_left_out.clone());
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
    let audit = match audit(&conf, paths.conf.parent().unwrap_or(Path::new(""))) {
        Some(options) => Some(Audit::start(&options, &metrics.registry, &table.hash)?),
        None => None,
    };
    let gateway = Gateway::new(*table, fleet, metrics, (access_log, audit), conf.trusted_proxies());
    let connections = conf.connections();
    let settings = Settings {
        listeners,
        admin: conf.admin(),
        admin_token: conf.admin_token(),
        threads: conf.threads(),
        total: connections.total(),
        per_client: connections.per_client(),
        requests: connections.requests(),
        deadlines: Deadlines { header: connections.header(), idle: connections.idle(), stall: connections.stall() },
        drain: conf.drain(),
        shared_sessions: conf.redis().is_some(),
        upgrade,
    };
    let served = server::run(&settings, &gateway, loader, text);
    if served.is_err() {
        // What kept it from serving kept nobody from writing: both logs end as they do after a stop.
        gateway.finish_logs();
    }
    served.map(|()| ExitCode::SUCCESS)
}

fn upgrade(conf: &Conf, base: &Path, takes_over: bool) -> anyhow::Result<Option<Upgrade>> {
    let Some((socket, within)) = conf.upgrade() else { return Ok(None) };
    let program = Program::of_this_process()?;
    Ok(Some(Upgrade { socket: base.join(socket), within, program, takes_over }))
}

fn audit(conf: &Conf, base: &Path) -> Option<AuditOptions> {
    let audit = conf.audit()?;
    let key = Key::new(audit.key()?.text());
    Some(AuditOptions { file: base.join(audit.file()), key, rotate: audit.rotate() })
}

fn destination(log: &Log, base: &Path) -> Destination {
    match log.access() {
        Access::Stdout => Destination::Stdout,
        Access::Off => Destination::Off,
        Access::File(file) => Destination::File(base.join(file)),
    }
}

//! Both files, read; and what a table is built with.

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use anyhow::Context;
use hilum_filters::api::{Problem, Registration};
use hilum_filters::units::Span;

use super::Paths;
use crate::config::conf::{self, Conf, Listener};
use crate::config::{Environment, Report, Source, as_written, env, yaml};
use crate::identity::SessionStore;
use crate::identity::keys::KeySets;
use crate::identity::memory::MemoryStore;
use crate::identity::metrics::SessionMetrics;
use crate::identity::redis::RedisStore;
use crate::identity::token::TokenCaches;
use crate::proxy::Entrance;
use crate::rates::Rates;
use crate::rates::shared::{RedisRates, SharedRates};
use crate::records::Records;
use crate::server::{ClientListener, Load, Loader, Tls};
use crate::services::Fleet;
use crate::table::Table;
use crate::telemetry::Metrics;

/// What both files became, and what lives as long as the process.
pub(super) struct Loaded {
    pub(super) conf: Conf,
    pub(super) listeners: Vec<ClientListener>,
    pub(super) table: Box<Table>,
    /// What the table was made of.
    pub(super) text: String,
    pub(super) loader: Loader,
}

/// Reads both files. The problems of both are in the error, so that one run tells all of them.
///
/// # Errors
/// A file that can't be read at all.
pub(super) fn load(paths: &Paths, filters: &[&'static [Registration]]) -> anyhow::Result<Result<Loaded, Vec<Report>>> {
    let environment = Arc::new(Environment::process());
    let base = paths.conf.parent().unwrap_or(Path::new(""));
    let conf = read_conf(&paths.conf, &environment, |conf, problems| listeners(conf, base, problems))?;
    let metrics = Arc::new(Metrics::new().context("metrics can't be registered")?);
    let fleet = Fleet::new(&metrics.registry, None)?;
    let session_metrics = SessionMetrics::register(&metrics.registry)?;
    let redis = conf.as_ref().ok().and_then(|(conf, _)| conf.redis());
    let (store, shared): (Arc<dyn SessionStore>, Option<Arc<dyn SharedRates>>) = match &redis {
        Some(options) => {
            let store = RedisStore::new(options, &metrics.registry)?;
            let shared = RedisRates::new(store.place(), options.timeout);
            (store, Some(Arc::new(shared)))
        }
        None => (Arc::new(MemoryStore::new(MemoryStore::DEFAULT_MAX_SESSIONS, session_metrics.clone())), None),
    };
    let key_sets = KeySets::new(&metrics.registry)?;
    let rates = Rates::new(&metrics.registry, shared)?;
    let (path, filters, records) = (paths.routes.clone(), filters.to_vec(), Records::default());
    // Where conf can't be read, its own problems are enough.
    let has_audit_log = conf.as_ref().map_or(true, |(conf, _)| conf.audit().is_some());
    let loader = Loader {
        path,
        environment,
        fleet,
        store,
        metrics,
        session_metrics,
        key_sets,
        token_caches: TokenCaches::default(),
        rates,
        records,
        has_audit_log,
        filters,
    };
    let (routes, text) = loader.load()?;
    Ok(match (conf, routes) {
        (Ok((conf, listeners)), Load::Table(table)) => Ok(Loaded { conf, listeners, table, text, loader }),
        (Ok(_), Load::Problems(routes, _)) => Err(vec![routes]),
        (Err(conf), Load::Table(_)) => Err(vec![conf]),
        (Err(conf), Load::Problems(routes, _)) => Err(vec![conf, routes]),
    })
}

/// The settings, and what `with` makes of them: their problems are told together.
pub(super) fn read_conf<T>(
    path: &Path,
    environment: &Environment,
    with: impl FnOnce(&Conf, &mut Vec<Problem>) -> T,
) -> anyhow::Result<Result<(Conf, T), Report>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("{} can't be read", path.display()))?;
    let source = Source::new(path.display().to_string(), &text);
    let mut problems = Vec::new();
    let conf = match yaml::parse(&text) {
        Err(found) => {
            problems = found;
            None
        }
        Ok(mut node) => {
            env::expand(&mut node, environment, &mut problems);
            // A value whose variable is missing can't be read either; one problem at one place is enough.
            let missing: Vec<_> = problems.iter().map(|p| p.at).collect();
            let mut more = Vec::new();
            let read = conf::read(&node, &mut more).map(|conf| {
                let made = with(&conf, &mut more);
                (conf, made)
            });
            problems.extend(more.into_iter().filter(|p| !missing.contains(&p.at)));
            as_written(&node, &mut problems);
            read
        }
    };
    Ok(match conf {
        Some(conf) if problems.is_empty() => Ok(conf),
        _ => Err(Report::new(source, problems)),
    })
}

fn listeners(conf: &Conf, base: &Path, problems: &mut Vec<Problem>) -> Vec<ClientListener> {
    let listener = |it: &Listener| ClientListener {
        address: it.address.value.0,
        proxy_protocol: it.proxy_protocol().is_some(),
        tls: Tls::load(it, base, SystemTime::now(), problems).map(Arc::new),
        entrance: Entrance::new(it.hsts().map(Span::get), it.redirect_to_https().map(|port| port.value)),
    };
    conf.listeners().map(listener).collect()
}

/// Tells every problem: for people on standard error, or as one JSON array on standard output.
pub(super) fn tell(reports: &[Report], json: bool) -> anyhow::Result<std::process::ExitCode> {
    if json {
        let all: Vec<serde_json::Value> = reports.iter().flat_map(Report::rows).collect();
        super::print(&serde_json::to_string_pretty(&all)?)?;
    } else {
        for report in reports {
            eprint!("{report}");
        }
    }
    Ok(std::process::ExitCode::FAILURE)
}

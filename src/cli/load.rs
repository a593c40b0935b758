//! Both files, read; and what a table is built with.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use hilum_filters::api::Registration;

use super::Paths;
use crate::config::conf::{self, Conf, Sessions};
use crate::config::{Environment, Report, Source, env, yaml};
use crate::identity::SessionStore;
use crate::identity::memory::MemoryStore;
use crate::identity::metrics::SessionMetrics;
use crate::server::Loader;
use crate::services::Fleet;
use crate::telemetry::Metrics;

/// What lives as long as the process.
pub(super) struct Loaded {
    pub(super) conf: Conf,
    pub(super) memory: Arc<MemoryStore>,
    pub(super) loader: Loader,
    pub(super) conf_dir: std::path::PathBuf,
}

/// What stands in the way of a start.
pub(super) enum Stop {
    /// A file that can't be read at all.
    Error(anyhow::Error),
    Problems(Report),
}

impl From<anyhow::Error> for Stop {
    fn from(error: anyhow::Error) -> Self {
        Stop::Error(error)
    }
}

/// Reads `conf` and prepares everything to read `routes` with.
pub(super) fn prepare(paths: &Paths, filters: &[&'static [Registration]]) -> Result<Loaded, Stop> {
    let environment = Arc::new(Environment::process());
    let conf = read_conf(&paths.conf, &environment)?;
    let metrics = Arc::new(Metrics::new().context("metrics can't be registered")?);
    let fleet = Fleet::new(&metrics.registry, None)?;
    let session_metrics = SessionMetrics::register(&metrics.registry)?;
    let memory = match conf.sessions() {
        Sessions::Memory => Arc::new(MemoryStore::new(MemoryStore::DEFAULT_MAX_SESSIONS, session_metrics.clone())),
    };
    let store: Arc<dyn SessionStore> = memory.clone();
    let loader = Loader {
        path: paths.routes.clone(),
        environment,
        fleet,
        store,
        metrics,
        session_metrics,
        filters: filters.to_vec(),
    };
    let conf_dir = paths.conf.parent().map(Path::to_path_buf).unwrap_or_default();
    Ok(Loaded { conf, memory, loader, conf_dir })
}

fn read_conf(path: &Path, environment: &Environment) -> Result<Conf, Stop> {
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
            conf::read(&node, &mut problems)
        }
    };
    match conf {
        Some(conf) if problems.is_empty() => Ok(conf),
        _ => Err(Stop::Problems(Report::new(source, problems))),
    }
}

/// Tells what stands in the way; the exit code is the same for both.
pub(super) fn tell(stop: Stop, json: bool) -> anyhow::Result<std::process::ExitCode> {
    match stop {
        Stop::Error(error) => Err(error),
        Stop::Problems(report) => {
            if json {
                super::print(&report.json())?
            } else {
                eprint!("{report}")
            }
            Ok(std::process::ExitCode::FAILURE)
        }
    }
}

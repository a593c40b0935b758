//! `routes.yaml` from the disk to a table.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use hilum_filters::api::{Node, Problem, Registration};

use crate::config::{Environment, Report, Source, as_written, env, routes, yaml};
use crate::identity::SessionStore;
use crate::identity::keys::KeySets;
use crate::identity::metrics::SessionMetrics;
use crate::identity::token::TokenCaches;
use crate::rates::Rates;
use crate::records::Records;
use crate::services::Fleet;
use crate::table::{Folder, Parts, Table};
use crate::telemetry::Metrics;

/// What it takes to build a table, at start and at each reload.
pub struct Loader {
    pub path: PathBuf,
    pub environment: Arc<Environment>,
    pub fleet: Arc<Fleet>,
    pub store: Arc<dyn SessionStore>,
    pub metrics: Arc<Metrics>,
    pub session_metrics: SessionMetrics,
    pub key_sets: KeySets,
    pub token_caches: TokenCaches,
    pub rates: Rates,
    pub records: Records,
    /// Whether `conf/hilum.yaml` has an audit log.
    pub has_audit_log: bool,
    pub filters: Vec<&'static [Registration]>,
}

/// What a file became.
pub enum Load {
    Table(Box<Table>),
    /// What is wrong, and the templates that may be what it is about.
    Problems(Report, Option<Folder>),
}

impl Loader {
    /// Reads and compiles; the text comes along, so that a later edit can be told.
    ///
    /// # Errors
    /// A file that can't be read; what is wrong inside of it is a [`Load::Problems`].
    pub fn load(&self) -> anyhow::Result<(Load, String)> {
        let text =
            std::fs::read_to_string(&self.path).with_context(|| format!("{} can't be read", self.path.display()))?;
        Ok((self.compile(&text), text))
    }

    /// Compiles a text as if it stood in the file.
    pub fn compile(&self, text: &str) -> Load {
        self.compile_parsed(text, yaml::parse(text))
    }

    /// The same on a thread that has a stack of [`yaml::STACK`] bytes: all that is freed again is freed by the thread that took it.
    pub fn compile_here(&self, text: &str) -> Load {
        self.compile_parsed(text, yaml::parse_here(text))
    }

    fn compile_parsed(&self, text: &str, parsed: Result<Node, Vec<Problem>>) -> Load {
        let mut problems = Vec::new();
        let table = self.table(text, parsed, &mut problems);
        match table {
            Some(table) if problems.is_empty() => Load::Table(Box::new(table)),
            table => {
                let source = Source::new(self.path.display().to_string(), text);
                Load::Problems(Report::new(source, problems), table.and_then(|table| table.pages))
            }
        }
    }

    fn table(&self, text: &str, parsed: Result<Node, Vec<Problem>>, problems: &mut Vec<Problem>) -> Option<Table> {
        let mut node = match parsed {
            Ok(node) => node,
            Err(found) => {
                problems.extend(found);
                return None;
            }
        };
        env::expand(&mut node, &self.environment, problems);
        // A value whose variable is missing can't be read either; one problem at one place is enough.
        let missing: HashSet<_> = problems.iter().map(|p| p.at).collect();
        let mut more = Vec::new();
        let base_dir = self.path.parent().map(Path::to_path_buf).unwrap_or_default();
        let routes = routes::read(&node, base_dir, &mut more);
        let parts = Parts {
            fleet: &self.fleet,
            store: &self.store,
            metrics: &self.metrics,
            session_metrics: &self.session_metrics,
            key_sets: &self.key_sets,
            token_caches: &self.token_caches,
            rates: &self.rates,
            records: &self.records,
            has_audit_log: self.has_audit_log,
            filters: &self.filters,
        };
        let table = routes.and_then(|routes| Table::compile(&routes, text, &parts, &mut more));
        problems.extend(more.into_iter().filter(|p| !missing.contains(&p.at)));
        as_written(&node, problems);
        table
    }
}

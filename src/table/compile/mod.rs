//! From what the file says to a table. Every semantic problem is found here, beside the reader's.

mod chain;
mod effects;
mod keys;
mod pages;
mod route;
mod services;
#[cfg(test)]
pub(super) mod tests;
mod tokens;
mod verify;

use std::collections::HashMap;
use std::sync::Arc;

use hilum_filters::api::{At, Placed, Problem, Registration};

use chain::registrations;
use route::{Routing, hashes, limited};

use super::{Area, Route, Table};
use super::{describe, rates};
use crate::actions::Named;
use crate::config::routes::Routes;
use crate::identity::keys::KeySets;
use crate::identity::metrics::SessionMetrics;
use crate::identity::token::TokenCaches;
use crate::identity::{SessionStore, Token};
use crate::rates::Rates;
use crate::records::Records;
use crate::refusal::Catalog;
use crate::router::Router;
use crate::services::{Fleet, Pool};
use crate::telemetry::Metrics;

/// What outlives a table and is built into it.
pub struct Parts<'p> {
    pub fleet: &'p Arc<Fleet>,
    pub store: &'p Arc<dyn SessionStore>,
    pub metrics: &'p Metrics,
    pub session_metrics: &'p SessionMetrics,
    pub key_sets: &'p KeySets,
    pub token_caches: &'p TokenCaches,
    pub rates: &'p Rates,
    pub records: &'p Records,
    /// Whether `conf/hilum.yaml` has an audit log.
    pub has_audit_log: bool,
    pub filters: &'p [&'static [Registration]],
}

impl Table {
    /// Compiles the file. `None` only together with problems; a table beside problems must not be used.
    pub fn compile(routes: &Routes, text: &str, parts: &Parts<'_>, problems: &mut Vec<Problem>) -> Option<Table> {
        let pools = services::pools(routes, parts, problems);
        let (tokens, key_pools) = tokens::tokens(routes, &pools, parts, problems);
        let filter_reasons: Vec<&'static str> = registrations(parts).flat_map(|r| r.reasons.iter().copied()).collect();
        let own_headers: Vec<_> =
            tokens.built().flat_map(|token| token.own_headers().cloned().collect::<Vec<_>>()).collect();
        let (pages, folder) = pages::pages(routes, problems);
        let mut routing = Routing {
            routes,
            pages: pages.as_ref(),
            parts,
            pools: &pools,
            tokens: &tokens,
            own_headers: own_headers.clone(),
            hashes: hashes(routes),
            errors: Catalog::new(filter_reasons, pages.clone()),
            rate_effects: rates::Effects::default(),
            problems,
        };
        let compiled: Vec<_> =
            routes.routes.iter().filter_map(|written| Some((written, Arc::new(routing.route(written)?)))).collect();
        let Routing { rate_effects, mut errors, .. } = routing;
        if compiled.len() == routes.routes.len() {
            rate_effects.tell(problems);
        }
        names_are_unique(routes, problems);
        unused(routes, &pools, &tokens, problems);
        let areas = routes.areas.iter().map(|area| Area {
            prefix: area.prefix.as_ref().map(ToString::to_string),
            errors: errors.errors(&area.shared, problems),
        });
        let areas = areas.collect();
        let rules = compiled.iter().filter_map(|(written, route)| {
            Some((limited(&written.rule.as_ref()?.value, &route.action), route.clone()))
        });
        let (router, ties) = Router::new(rules.collect());
        let places: HashMap<*const Route, At> = match ties.is_empty() {
            true => HashMap::new(),
            false => compiled.iter().filter_map(|(w, route)| Some((Arc::as_ptr(route), w.rule.as_ref()?.at))).collect(),
        };
        for tie in ties {
            let place = |route: &Arc<Route>| places.get(&Arc::as_ptr(route)).copied().unwrap_or_default();
            let (first, second) = (place(&tie.first), place(&tie.second));
            let text =
                format!("`{}` takes the same requests as `{}` in line {}", tie.second.name, tie.first.name, first.line);
            problems
                .push(Problem::new(second, text).help("let them differ in path, method, host, a header or the query"));
        }
        effects::circles(&router, &compiled, problems);
        effects::roles(routes, problems);
        effects::records(routes, problems);
        effects::claims_to_choose_by(routes, &compiled, problems);
        let tokens: Vec<_> = tokens.built().collect();
        let compiled: Vec<_> = compiled.into_iter().map(|(_, route)| route).collect();
        if let Some(pages) = pages.filter(|pages| pages.show_the_gateway()) {
            pages.tell(describe::gateway(&compiled, &routes.source, registrations(parts)));
        }
        Some(Table {
            router,
            routes: compiled,
            areas,
            pools: pools.built().chain(key_pools).collect(),
            own_headers,
            key_sets: tokens.iter().filter_map(|token| token.key_set().cloned()).collect(),
            own_cookies: tokens.iter().flat_map(|t| t.own_cookies()).map(Into::into).collect(),
            tokens,
            pages: folder,
            hash: hash(text),
        })
    }
}

fn names_are_unique(routes: &Routes, problems: &mut Vec<Problem>) {
    let mut places = HashMap::new();
    for written in &routes.routes {
        if let Some(first) = places.insert(&written.name.value, written.at()) {
            let text = format!("a route in line {} is called `{}` as well", first.line, written.name.value);
            let help = "give one of them another `name`: logs and metrics tell them apart by it";
            problems.push(Problem::new(written.at(), text).help(help));
        }
    }
}

fn unused(routes: &Routes, pools: &Named<Pool>, tokens: &Named<Token>, problems: &mut Vec<Problem>) {
    let mut say = |name: &Placed<String>, used: bool, what: &str| {
        if !used {
            problems.push(Problem::new(name.at, format!("the {what} `{}` is used by no route", name.value)));
        }
    };
    routes.services.0.iter().for_each(|(name, _)| say(name, pools.is_used(&name.value), "service"));
    routes.tokens.0.iter().for_each(|(name, _)| say(name, tokens.is_used(&name.value), "token"));
}

/// The first 12 hex digits of the SHA-256 of the text: enough to tell two files apart.
pub fn hash(text: &str) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
    digest.as_ref()[..6].iter().map(|byte| format!("{byte:02x}")).collect()
}

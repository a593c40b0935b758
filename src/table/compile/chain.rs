//! `cors` and `filters:` → the filters of a route, the fixed slots first.

use std::sync::Arc;

use hilum_filters::api::{Chain, Env, Kind, Link, Node, Problem, Registration, did_you_mean};

use super::Parts;
use crate::config::route::Shared;

pub(super) fn registrations<'p>(parts: &Parts<'p>) -> impl Iterator<Item = &'static Registration> + use<'p> {
    parts.filters.iter().flat_map(|list| list.iter()).chain([&hilum_filters::CORS])
}

/// The fixed slots, then the route's own filters; and how many slots there are.
pub(super) fn chain(shared: &Shared, env: &Env, parts: &Parts<'_>, problems: &mut Vec<Problem>) -> (Chain, usize) {
    let mut links: Vec<Arc<dyn Link>> = Vec::new();
    links.extend(shared.cors.as_ref().and_then(|options| (hilum_filters::CORS.build)(options, env, problems)));
    let slots = links.len();
    let written = shared.filters.as_ref().map_or(&[][..], |f| &f.value);
    links.extend(written.iter().filter_map(|node| filter(node, env, parts, problems)));
    if links.len() >= 255 {
        problems.push(Problem::new(
            shared.filters.as_ref().map(|f| f.at).unwrap_or_default(),
            "a route has at most 254 filters",
        ));
        links.clear();
    }
    (Chain::new(links), slots)
}

/// `name: options`, or just the name.
fn filter(node: &Node, env: &Env, parts: &Parts<'_>, problems: &mut Vec<Problem>) -> Option<Arc<dyn Link>> {
    // Reads as "no options", whatever form a filter's options have.
    let nothing = Node { at: node.at, kind: Kind::Null, written: None };
    let (name, at, options) = match &node.kind {
        Kind::Scalar { text, .. } => (text.as_str(), node.at, &nothing),
        Kind::Map(entries) if entries.len() == 1 => (entries[0].key.as_str(), entries[0].at, &entries[0].value),
        _ => {
            problems.push(Problem::new(node.at, "expected a filter: `- name` or `- name: { options }`"));
            return None;
        }
    };
    let known = || parts.filters.iter().flat_map(|list| list.iter());
    if let Some(registration) = known().find(|r| r.name == name) {
        return (registration.build)(options, env, problems);
    }
    let mut problem = Problem::new(at, format!("no filter is called `{name}`"));
    if name == hilum_filters::CORS.name {
        problem = Problem::new(at, "`cors` has a fixed place before all filters")
            .help("write it as a key of the route: `cors: { origins: [...] }`");
    } else if let Some(near) = did_you_mean(name, known().map(|r| r.name)) {
        problem = problem.help(format!("did you mean `{near}`?"));
    }
    problems.push(problem);
    None
}

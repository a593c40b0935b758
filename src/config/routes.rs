//! `routes.yaml`: services, tokens, defaults and routes as they are written. Groups and `defaults` are merged in here.

use std::path::PathBuf;

use hilum_filters::api::{At, Entries, Entry, Kind, Node, Placed, Problem, Try, did_you_mean};
use schemars::JsonSchema;
use serde::Deserialize;

use super::inherit::inherit;
use super::route::{self, Route, Shared};
use super::service::Service;
use super::token::Token;
use crate::router::Pattern;

/// The whole file, read. What could not be read is left out; its problems are in the list.
#[derive(Debug)]
pub struct Routes {
    pub services: Entries<Try<Service>>,
    pub tokens: Entries<Try<Token>>,
    /// Where templates are, if the file says so.
    pub pages: Option<Placed<Pages>>,
    pub routes: Vec<Route>,
    /// The parts of the file that own a path prefix, the defaults first: they decide how a 404 there looks.
    pub areas: Vec<Area>,
    /// The folder that paths in the file are relative to.
    pub base_dir: PathBuf,
    /// The file as it was read: what is shown to others is redacted by it, so that no value of a variable is among it.
    pub source: Node,
}

/// Where the templates of pages are.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Pages {
    /// The folder, relative to this file. Default `static/pages`.
    pub root: Placed<PathBuf>,
}

/// What a path prefix has in common.
#[derive(Debug)]
pub struct Area {
    pub prefix: Option<Pattern>,
    pub shared: Shared,
}

/// The only version there is.
#[derive(Debug, Clone, Copy)]
pub struct Version;

impl std::str::FromStr for Version {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        (text == "1").then_some(Version).ok_or_else(|| format!("this Hilum reads version 1, found `{text}`"))
    }
}

super::conf::written_as_text!(Version);

/// The top of the file. `routes` and `defaults` are read by hand, since groups are merged first.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    #[allow(dead_code, reason = "that it can be read is all there is to know")]
    version: Version,
    #[serde(default)]
    services: Entries<Try<Service>>,
    #[serde(default)]
    tokens: Entries<Try<Token>>,
    /// Where the templates of pages are.
    #[serde(default)]
    pages: Option<Placed<Try<Pages>>>,
    #[serde(default)]
    defaults: Option<Node>,
    routes: Placed<Vec<Node>>,
}

/// Reads the file after `${VAR}` was expanded in it.
pub fn read(node: &Node, base_dir: PathBuf, problems: &mut Vec<Problem>) -> Option<Routes> {
    let file: File = node.read(problems)?;
    let nothing = Node { at: node.at, kind: Kind::Map(Vec::new()), written: None };
    let defaults = file.defaults.unwrap_or(nothing);
    let mut walk = Walk { routes: Vec::new(), areas: Vec::new(), rates: Vec::new(), groups: Vec::new(), problems };
    walk.rates.extend(rate_of(&defaults, || "the defaults".to_owned()));
    walk.area(None, &defaults);
    let defaults = handed_down(&defaults);
    for route in &file.routes.value {
        walk.entry(route, None, &defaults);
    }
    let Walk { routes, areas, .. } = walk;
    if file.routes.value.is_empty() {
        problems.push(Problem::new(file.routes.at, "there are no routes, so every request would be a 404"));
    }
    let pages = file.pages.and_then(|pages| Some(Placed { at: pages.at, value: pages.value.0? }));
    Some(Routes { services: file.services, tokens: file.tokens, pages, routes, areas, base_dir, source: node.clone() })
}

struct Walk<'p> {
    routes: Vec<Route>,
    areas: Vec<Area>,
    /// Where the `rate` of each part around stands, and what that part is, the innermost last.
    rates: Vec<(At, String)>,
    /// The groups around, the innermost last.
    groups: Vec<String>,
    problems: &'p mut Vec<Problem>,
}

impl Walk<'_> {
    fn area(&mut self, prefix: Option<Pattern>, shared: &Node) {
        if let Some(shared) = shared.read(self.problems) {
            self.areas.push(Area { prefix, shared });
        }
    }

    /// A route, or a group with routes.
    fn entry(&mut self, node: &Node, prefix: Option<&Pattern>, inherited: &Node) {
        let Kind::Map(entries) = &node.kind else {
            self.problems.push(Problem::new(node.at, "expected a route or a group: a map with `match` or `routes`"));
            return;
        };
        match entries.iter().any(|e| e.key == "group" || e.key == "routes") {
            true => self.group(node, entries, prefix, inherited),
            false => self.route(node, prefix, inherited),
        }
    }

    fn group(&mut self, node: &Node, entries: &[Entry], prefix: Option<&Pattern>, inherited: &Node) {
        let (own, shared) = split(node, entries, &["group", "path", "routes"]);
        self.unknown_keys(&shared, &["group", "path", "routes"]);
        let Some(group) = own.read::<Group>(self.problems) else { return };
        let path = match group.path.map(|p| (p.at, p.value)) {
            Some((at, path)) if path.has_rest() => {
                self.problems
                    .push(Problem::new(at, "the path of a group is a prefix: it has no `**` and no `{name...}`"));
                return;
            }
            Some((_, path)) => Some(prefix.map_or(path.clone(), |prefix| path.below(prefix))),
            None => prefix.cloned(),
        };
        self.keys_without_effect(&shared, &group.routes.value);
        self.nothing_to_take_away(&shared, inherited);
        let mut merged = handed_down(&shared);
        inherit(&mut merged, inherited, route::DEEP_KEYS);
        self.area(path.clone(), &merged);
        if group.routes.value.is_empty() {
            self.problems
                .push(Problem::new(group.routes.at, format!("the group `{}` has no routes", group.group.value)));
        }
        let around = self.rates.len();
        let name =
            || format!("group {} {}", group.group.value, path.as_ref().map(ToString::to_string).unwrap_or_default());
        self.rates.extend(rate_of(&shared, name));
        self.groups.push(group.group.value);
        for route in &group.routes.value {
            self.entry(route, path.as_ref(), &merged);
        }
        self.groups.pop();
        self.rates.truncate(around);
    }

    fn route(&mut self, node: &Node, prefix: Option<&Pattern>, inherited: &Node) {
        let mut merged = node.clone();
        inherit(&mut merged, inherited, route::DEEP_KEYS);
        self.unknown_keys(&merged, &[]);
        self.nothing_to_take_away(node, inherited);
        if let Some(mut route) = route::read(&merged, prefix, self.problems) {
            route.own_limits = places(node.get("limits"));
            if let Kind::Map(entries) = &node.kind {
                route.own_keys = entries.iter().map(|entry| entry.key.clone()).collect();
            }
            let around = route.shared.rate.as_ref().map(|rate| rate.at).filter(|_| !route.says("rate"));
            route.rate_of = match self.rates.iter().rev().find(|(at, _)| Some(*at) == around) {
                Some((_, of)) => of.clone(),
                None => format!("route {}", route.name.value),
            };
            route.group = self.groups.last().cloned();
            self.routes.push(route);
        }
    }

    /// Keys are told apart by hand here, since a route's own keys and the inherited ones are read separately.
    fn unknown_keys(&mut self, node: &Node, more: &[&str]) {
        let Kind::Map(entries) = &node.kind else { return };
        let known = || route::OWN_KEYS.iter().chain(route::SHARED_KEYS).chain(more).copied();
        for entry in entries.iter().filter(|e| !known().any(|k| k == e.key)) {
            let mut problem = Problem::new(entry.at, format!("unknown key `{}`", entry.key));
            if let Some(near) = did_you_mean(&entry.key, known()) {
                problem = problem.help(format!("did you mean `{near}`?"));
            }
            self.problems.push(problem);
        }
    }

    /// `audit: off` where nothing is handed down.
    fn nothing_to_take_away(&mut self, node: &Node, inherited: &Node) {
        let is_off =
            |audit: &&Node| matches!(&audit.kind, Kind::Scalar { text, .. } if text.parse::<route::Off>().is_ok());
        if let Some(off) = node.get("audit").filter(is_off)
            && inherited.get("audit").is_none_or(|audit| is_off(&audit))
        {
            let problem = Problem::new(off.at, "`audit: off` has no effect: no group around says `audit`");
            self.problems.push(problem.help("leave it out"));
        }
    }

    /// A key of a group that every child overrides is never read, so a slip in it would stay hidden for ever.
    fn keys_without_effect(&mut self, shared: &Node, routes: &[Node]) {
        let Kind::Map(entries) = &shared.kind else { return };
        for entry in entries.iter().filter(|e| !route::DEEP_KEYS.contains(&e.key.as_str())) {
            if route::OWN_KEYS.contains(&entry.key.as_str()) {
                let problem = Problem::new(entry.at, format!("`{}` belongs to one route, not to a group", entry.key));
                self.problems.push(problem);
            } else if !routes.is_empty() && routes.iter().all(|r| r.get(&entry.key).is_some()) {
                let problem = Problem::new(
                    entry.at,
                    format!("`{}` has no effect: every route of the group has its own", entry.key),
                );
                self.problems.push(problem);
            }
        }
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Group {
    group: Placed<String>,
    /// Put before the path of every route in it.
    #[serde(default)]
    path: Option<Placed<Pattern>>,
    routes: Placed<Vec<Node>>,
}

/// What of a group or the defaults their routes get. The other keys were told where they stand, once.
fn handed_down(node: &Node) -> Node {
    match &node.kind {
        Kind::Map(entries) => split(node, entries, route::SHARED_KEYS).0,
        _ => node.clone(),
    }
}

/// Where the `rate` of a group or the defaults stands, with its name.
fn rate_of(node: &Node, name: impl FnOnce() -> String) -> Option<(At, String)> {
    node.get("rate").map(|rate| (rate.at, name()))
}

/// Where the values of a map stand.
fn places(map: Option<&Node>) -> Vec<At> {
    match map.map(|map| &map.kind) {
        Some(Kind::Map(entries)) => entries.iter().map(|entry| entry.value.at).collect(),
        _ => Vec::new(),
    }
}

/// One map as two: the entries with these keys, and the others.
pub(super) fn split(node: &Node, entries: &[Entry], keys: &[&str]) -> (Node, Node) {
    let (own, rest): (Vec<Entry>, Vec<Entry>) = entries.iter().cloned().partition(|e| keys.contains(&e.key.as_str()));
    let map = |entries| Node { at: node.at, kind: Kind::Map(entries), written: None };
    (map(own), map(rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::yaml;

    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        let mut problems = Vec::new();
        read(&yaml::parse(text).expect("YAML"), PathBuf::new(), &mut problems);
        let told: Vec<_> = problems.iter().map(|p| format!("{}:{} {}", p.at.line, p.at.col, p.message)).collect();
        let fit = told.iter().zip(expected).all(|(told, expected)| told.starts_with(expected));
        assert!(fit && told.len() == expected.len(), "{text}: {told:#?}");
    }

    #[test]
    fn a_slip_in_the_name_of_an_action_is_one_problem() {
        let of = |key: &str| format!("version: 1\nroutes:\n- {{ match: /, auth: public, {key}: {{ text: x }} }}");
        check(&of("respnd"), &["3:29 unknown key `respnd`"]);
        check(&of("lmits"), &["3:29 unknown key `lmits`", "3:3 this route does nothing"]);
    }

    #[test]
    fn what_belongs_to_one_route_is_told_once_where_it_stands() {
        let route = "{ match: /, auth: public, respond: { text: x } }";
        check(
            &format!("version: 1\ndefaults: {{ forward: {{ service: a }}, lmits: 1 }}\nroutes: [{route}, {route}]"),
            &["2:13 unknown key `forward`", "2:38 unknown key `lmits`"],
        );
        check(
            &format!(
                "version: 1\nroutes:\n- group: g\n  respond: {{ text: x }}\n  lmits: 1\n  routes: [{route}, {route}]"
            ),
            &["5:3 unknown key `lmits`", "4:3 `respond` belongs to one route, not to a group"],
        );
    }

    #[test]
    fn every_value_of_a_service_and_a_token_that_can_not_be_is_told() {
        let service = |more: &str| {
            format!("version: 1\nservices:\n s: {{ peers: [], {more} }}\nroutes: [{{ match: /, respond: {{}} }}]")
        };
        check(
            &service("health: { path: x, every: 0s, timeout: 1, down_after: 0, up_after: -1 }"),
            &[
                "3:44 with 0s nothing would ever succeed",
                "3:57 expected a duration",
                "3:72 expected how many in a row, 1 or more, found `0`",
                "3:85 expected how many in a row, 1 or more, found `-1`",
            ],
        );
        check(
            &service("timeouts: { connect: 0ms, response: soon, idle: 5 }"),
            &["3:39 with 0ms nothing", "3:54 expected a duration", "3:66 expected a duration"],
        );
        check(&service("timeouts: { connect: 1ms, response: 1s, idle: 0s }"), &[]);
        let verify = "verify: { algorithms: [HS256], secret: x, leeway: 1, max_lifetime: 0s }";
        check(
            &format!("version: 1\ntokens:\n t: {{ from: [], {verify} }}\nroutes: [{{ match: /, respond: {{}} }}]"),
            &["3:67 expected a duration", "3:84 with 0s nothing"],
        );
    }
}

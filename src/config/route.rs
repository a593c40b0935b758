//! One route as it is written: what it matches, who may call it, what is done, and what it inherits.

use hilum_filters::api::{At, Entries, Entry, Kind, LineOrMap, Node, Placed, Problem, Try, did_you_mean};
use hilum_filters::units::{Positive, Size, Span};
use http::Method;
use schemars::JsonSchema;
use serde::Deserialize;

use super::action::{Action, Files, Forward, Health, Page, Redirect, Respond, Session};
use super::audit::Audit;
use super::auth::{Auth, Public};
use super::combine::Combine;
use super::rate::Limit;
use super::require::Requirement;
use super::routes::split;
use super::service::HeaderText;
use super::shapes::{ErrorShape, ReplyShape};
use super::validate::Check;
use crate::router::host::Host;
use crate::router::{Condition, Methods, Pattern, Rule};
use crate::services::Priority;

/// The keys of one route alone. Exactly one of those after `endpoint` is the action.
pub const OWN_KEYS: &[&str] =
    &["name", "match", "endpoint", "forward", "respond", "redirect", "files", "page", "session", "health", "combine"];
/// The keys that groups and `defaults` hand down.
pub const SHARED_KEYS: &[&str] = &[
    "auth",
    "require",
    "limits",
    "errors",
    "messages",
    "reply",
    "cors",
    "csrf",
    "cache_control",
    "rate",
    "validate",
    "filters",
    "audit",
    "priority",
];
/// Of those, the ones merged by their first key; the others are replaced whole.
pub const DEEP_KEYS: &[&str] = &["limits", "errors", "messages"];

/// A route, its inherited keys merged in.
#[derive(Debug)]
pub struct Route {
    pub name: Placed<String>,
    /// What `url_for` calls it in templates.
    pub endpoint: Option<Placed<String>>,
    /// `None` when `match` could not be read; the route then takes part in nothing but further checks.
    pub rule: Option<Placed<Rule>>,
    pub action: Option<Placed<Action>>,
    pub shared: Shared,
    /// Where the limits stand that the route says itself, as against those that it inherits.
    pub own_limits: Vec<At>,
    /// The keys that the route says itself.
    pub own_keys: Vec<String>,
    /// What its `rate` is written on: the route itself, or the group that hands it down.
    pub rate_of: String,
    /// The innermost group that it is in.
    pub group: Option<String>,
}

/// What groups and `defaults` hand down.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Shared {
    /// `public`, or the token a caller must bring. A route without it anywhere above is a problem.
    #[serde(default)]
    pub auth: Option<Placed<Try<LineOrMap<Public, Auth>>>>,
    /// What must hold besides, in this order.
    #[serde(default)]
    pub require: Option<Placed<Vec<Try<Requirement>>>>,
    #[serde(default)]
    pub limits: Try<Limits>,
    /// How refusals look, by reason, class (`upstream`), status, or `else`.
    #[serde(default)]
    pub errors: Entries<Try<ErrorShape>>,
    /// The texts of refusals, by reason, class or `else`.
    #[serde(default)]
    pub messages: Entries<Placed<String>>,
    /// How answers look, by the status of the service or action, or `else`; an unlisted status passes unchanged.
    #[serde(default)]
    pub reply: Option<Placed<Entries<Try<ReplyShape>>>>,
    /// Which origins' pages may read the answers.
    #[serde(default)]
    pub cors: Option<Node>,
    /// `off`: requests that change state need not come from an own page. For APIs that no browser uses with a cookie.
    #[serde(default)]
    pub csrf: Option<Placed<Off>>,
    /// `Cache-Control` of every answer. Default: `private, no-store` where a token is needed, else what the service says.
    #[serde(default)]
    pub cache_control: Option<Placed<CacheControl>>,
    /// How often: `- { allow: 5/1m, key: client }`. The routes of a group share a limit that is written on the group.
    #[serde(default)]
    pub rate: Option<Placed<Vec<Placed<Try<Limit>>>>>,
    /// What the client's body must be, in this order; the first entry that does not hold refuses the request.
    #[serde(default)]
    pub validate: Option<Placed<Vec<Placed<Try<Check>>>>>,
    /// `- name: options`, outermost first.
    #[serde(default)]
    pub filters: Option<Placed<Vec<Node>>>,
    /// What the audit log records of every use: `{ resource: "patient/{patient_id}", action: read }`. `off` takes away what a group
    /// hands down.
    #[serde(default)]
    pub audit: Option<Placed<Try<LineOrMap<Off, Audit>>>>,
    /// Who goes first where a service has more to do than it can: `critical`, `normal` or `bulk`. Default normal.
    #[serde(default)]
    pub priority: Option<Placed<PriorityName>>,
}

/// The name of a priority.
#[derive(Debug, Clone, Copy)]
pub struct PriorityName(pub Priority);

impl std::str::FromStr for PriorityName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let named = [Priority::Critical, Priority::Normal, Priority::Bulk].into_iter().zip(Priority::LABELS);
        let found = named.into_iter().find(|(_, name)| *name == text).map(|(priority, _)| PriorityName(priority));
        found.ok_or_else(|| format!("expected one of {}, found `{text}`", Priority::LABELS.join(", ")))
    }
}

/// Switches something off that is on by itself.
#[derive(Debug, Clone, Copy)]
pub struct Off;

impl std::str::FromStr for Off {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // YAML 1.1 reads `off` as a boolean, and editors that know it write one.
        ["off", "false"].contains(&text).then_some(Off).ok_or_else(|| format!("expected `off`, found `{text}`"))
    }
}

/// The text of a `Cache-Control` (RFC 9111, 5.2).
#[derive(Debug, Clone)]
pub struct CacheControl(pub http::HeaderValue);

impl std::str::FromStr for CacheControl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(value) if !text.trim().is_empty() => Ok(CacheControl(value)),
            _ => Err("expected what `Cache-Control` shall say, such as `private, max-age=60`".to_owned()),
        }
    }
}

#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// The largest request body. Default 1MiB.
    #[serde(default)]
    pub body: Option<Try<Size>>,
    /// The largest answer of a service that is read whole. Default 8MiB.
    #[serde(default)]
    pub reply: Option<Try<Placed<Positive<Size>>>>,
    /// The whole request, or `none` for streams that stay open. Default 30s.
    #[serde(default)]
    pub time: Option<Try<Placed<Time>>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Time {
    None,
    Within(Positive<Span>),
}

impl std::str::FromStr for Time {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "none" { Ok(Time::None) } else { text.parse().map(Time::Within) }
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Own {
    #[serde(default)]
    name: Option<Placed<String>>,
    #[serde(rename = "match")]
    matches: Placed<Try<LineOrMap<MatchLine, MatchMap>>>,
    /// What `url_for` calls this route in templates.
    #[serde(default)]
    endpoint: Option<Placed<String>>,
    #[serde(default)]
    forward: Option<Placed<Try<Forward>>>,
    #[serde(default)]
    respond: Option<Placed<Try<Respond>>>,
    #[serde(default)]
    redirect: Option<Placed<Try<Redirect>>>,
    #[serde(default)]
    files: Option<Placed<Try<Files>>>,
    #[serde(default)]
    page: Option<Placed<Try<Page>>>,
    #[serde(default)]
    session: Option<Placed<Try<Session>>>,
    #[serde(default)]
    health: Option<Placed<Try<Health>>>,
    #[serde(default)]
    combine: Option<Placed<Try<Combine>>>,
}

/// `GET /path`, `GET,POST /path`, or `/path` for every method.
#[derive(Debug, Clone)]
pub struct MatchLine {
    methods: Methods,
    path: Pattern,
}

impl std::str::FromStr for MatchLine {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (methods, path) = match text.trim().split_once(' ') {
            Some((methods, path)) => (methods.parse()?, path.trim()),
            None => (Methods::Any, text.trim()),
        };
        Ok(MatchLine { methods, path: path.parse()? })
    }
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct MatchMap {
    path: Placed<Pattern>,
    #[serde(default)]
    methods: Option<Vec<Placed<String>>>,
    #[serde(default)]
    host: Option<Placed<Host>>,
    /// Header values; `*` is any.
    #[serde(default)]
    headers: Entries<Placed<String>>,
    /// Query values; `*` is any.
    #[serde(default)]
    query: Entries<Placed<String>>,
}

super::conf::written_as_text!(Off, CacheControl, Time, Pattern, Host, PriorityName);

/// Reads a route whose inherited keys are merged in already.
pub(super) fn read(node: &Node, prefix: Option<&Pattern>, problems: &mut Vec<Problem>) -> Option<Route> {
    let Kind::Map(entries) = &node.kind else { return None };
    let (own, rest) = split(node, entries, OWN_KEYS);
    let (shared, unknown) = match &rest.kind {
        Kind::Map(entries) => split(node, entries, SHARED_KEYS),
        _ => return None,
    };
    let shared: Option<Shared> = shared.read(problems);
    let actions: Vec<_> = entries.iter().filter(|e| OWN_KEYS[3..].contains(&e.key.as_str())).collect();
    let is_slip = |e: &Entry| did_you_mean(&e.key, OWN_KEYS[3..].iter().copied()).is_some();
    match actions.as_slice() {
        // Its action is misspelled, which was told at that key: one mistake is one problem.
        [] if matches!(&unknown.kind, Kind::Map(entries) if entries.iter().any(is_slip)) => {}
        [] => {
            let known = OWN_KEYS[3..].join("`, `");
            problems.push(Problem::new(node.at, "this route does nothing").help(format!("give it one of `{known}`")));
        }
        [first, more @ ..] => {
            for entry in more {
                let text = format!(
                    "`{}` is a second action; the first is `{}` in line {}",
                    entry.key, first.key, first.at.line
                );
                problems.push(Problem::new(entry.at, text));
            }
        }
    }
    let own: Own = own.read(problems)?;
    let rule = rule(&own.matches, prefix, problems);
    let name = own.name.unwrap_or_else(|| Placed { at: own.matches.at, value: default_name(rule.as_ref()) });
    let action = action(own.forward, Action::Forward)
        .or(action(own.respond, Action::Respond))
        .or(action(own.redirect, Action::Redirect))
        .or(action(own.files, Action::Files))
        .or(action(own.page, Action::Page))
        .or(action(own.session, Action::Session))
        .or(action(own.health, Action::Health))
        .or(action(own.combine, Action::Combine));
    Some(Route {
        name,
        endpoint: own.endpoint,
        rule,
        action,
        shared: shared?,
        own_limits: Vec::new(),
        own_keys: Vec::new(),
        rate_of: String::new(),
        group: None,
    })
}

fn action<T>(written: Option<Placed<Try<T>>>, make: fn(T) -> Action) -> Option<Placed<Action>> {
    let written = written?;
    written.value.0.map(|value| Placed { at: written.at, value: make(value) })
}

fn default_name(rule: Option<&Placed<Rule>>) -> String {
    rule.map_or_else(String::new, |rule| match &rule.value.methods {
        Methods::Any => rule.value.path.to_string(),
        Methods::These(these) => {
            format!("{} {}", these.iter().map(|m| m.as_str()).collect::<Vec<_>>().join(","), rule.value.path)
        }
    })
}

fn rule(
    written: &Placed<Try<LineOrMap<MatchLine, MatchMap>>>,
    prefix: Option<&Pattern>,
    problems: &mut Vec<Problem>,
) -> Option<Placed<Rule>> {
    let at = written.at;
    let (path_at, mut rule) = match written.value.0.as_ref()? {
        LineOrMap::Line(line) => {
            let mut rule = Rule::new(line.value.path.clone());
            rule.methods = line.value.methods.clone();
            (line.at, rule)
        }
        LineOrMap::Map(map) => (map.path.at, rule_of_map(map, problems)),
    };
    if let Some(prefix) = prefix {
        rule.path = rule.path.below(prefix);
    }
    if let Some(name) = rule.path.repeated_param() {
        problems.push(Problem::new(path_at, format!("`{{{name}}}` stands twice in `{}`", rule.path)));
    }
    Some(Placed { at, value: rule })
}

fn rule_of_map(map: &MatchMap, problems: &mut Vec<Problem>) -> Rule {
    let mut rule = Rule::new(map.path.value.clone());
    rule.host = map.host.as_ref().map(|h| h.value.clone());
    if let Some(methods) = &map.methods {
        let text = methods.iter().map(|m| m.value.as_str()).collect::<Vec<_>>().join(",");
        match text.parse() {
            Ok(methods) => rule.methods = methods,
            Err(why) => problems.push(Problem::new(methods.first().map_or(map.path.at, |m| m.at), why)),
        }
    }
    for (name, value) in &map.headers.0 {
        match name.value.parse::<HeaderText>() {
            Ok(header) => rule.headers.push((header.0, Condition::from(value.value.as_str()))),
            Err(why) => problems.push(Problem::new(name.at, why)),
        }
    }
    rule.query =
        map.query.0.iter().map(|(name, value)| (name.value.clone(), Condition::from(value.value.as_str()))).collect();
    rule
}

impl Route {
    /// Whether the route says this key itself, as against inheriting it from where other routes need it.
    pub fn says(&self, key: &str) -> bool {
        self.own_keys.iter().any(|own| own == key)
    }

    /// It matches only methods whose requests have no body.
    pub fn only_reads(&self) -> bool {
        let rule = self.rule.as_ref().map(|rule| &rule.value.methods);
        matches!(rule, Some(Methods::These(these)) if these.iter().all(|method| READING.contains(method)))
    }

    /// Where it stands, for problems about the whole of it.
    pub fn at(&self) -> At {
        self.name.at
    }
}

/// Methods whose requests have no body (RFC 9110, 9.3.1: content of a GET has no meaning).
pub const READING: [Method; 3] = [Method::GET, Method::HEAD, Method::OPTIONS];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::yaml;

    #[test]
    fn values_that_can_never_work_are_refused_each_at_its_place() {
        let cases = [
            ("limits: { time: 0s, reply: 0B }", &["1:17 with 0s nothing", "1:28 with 0B nothing"][..]),
            ("limits: { body: 1, time: 5, reply: x }", &["1:17 expected a size", "1:26 expected", "1:36 expected"]),
            // Nothing but requests without a body: some routes want that.
            ("limits: { body: 0B, time: none }", &[]),
            ("errors: { else: { status: 204 } }", &["1:27 an answer with status 204 has no body"]),
            ("reply: { 200: { status: 304, json: 1 } }", &["1:25 an answer with status 304 has no body"]),
            ("reply: { 204: { status: 200, json: 1 } }", &[]),
            ("errors: { else: { status: 200 } }", &[]),
        ];
        for (text, expected) in cases {
            let mut problems = Vec::new();
            yaml::parse(text).expect("YAML").read::<Shared>(&mut problems);
            let told: Vec<_> = problems.iter().map(|p| format!("{}:{} {}", p.at.line, p.at.col, p.message)).collect();
            let fit = told.iter().zip(expected).all(|(told, expected)| told.starts_with(expected));
            assert!(fit && told.len() == expected.len(), "{text}: {told:?}");
        }
    }
}

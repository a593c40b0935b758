//! A route in words: what `hilum routes` prints, and what pages show of the gateway. It is public there, so it names services, never
//! their addresses, and has nothing of a token, a header or a condition but names.

use std::sync::Arc;
use std::time::Duration;

use hilum_filters::api::{Node, Registration};
use hilum_filters::units::Rate;
use minijinja::Value;
use serde::Serialize;

use super::{Access, Limits, Route};
use crate::actions::Action;
use crate::rates::{Count, Key, Limit};
use crate::refusal::Reason;
use crate::services::Pool;
use crate::template::GatewayNames;

/// A route, described.
#[derive(Debug, Serialize)]
pub struct Description {
    #[serde(flatten)]
    pub line: Line,
    pub group: Option<Box<str>>,
    /// As the file names them: GET has HEAD with it. None are all that are served.
    pub methods: Vec<String>,
    pub path: String,
    pub access: Who,
    /// What must hold besides.
    pub require: Vec<Required>,
    /// The services that it talks to; those that are asked about a caller stand in `access` and `require`.
    pub services: Vec<String>,
    pub buffered: bool,
    pub limits: Bounds,
    pub rates: Vec<Often>,
    /// What the audit log records of it.
    pub audit: Option<Recorded>,
}

/// The most important in one line.
#[derive(Debug, Serialize)]
pub struct Line {
    pub name: String,
    #[serde(rename = "match")]
    pub rule: String,
    pub auth: String,
    pub action: &'static str,
    pub does: String,
}

/// Who may call.
#[derive(Debug, Serialize)]
pub struct Who {
    public: bool,
    token: Option<String>,
    /// Who brings no token may as well.
    optional: bool,
    /// `user_type=patient level=1|2`
    claims: String,
    /// One of these.
    roles: Vec<String>,
    /// One of these.
    own: Vec<Owned>,
}

/// Callers with these claims, whose `claim` is the path's `param`, or for whom `service` says yes.
#[derive(Debug, Serialize)]
pub struct Owned {
    claims: String,
    param: Option<Box<str>>,
    claim: Option<String>,
    service: Option<String>,
}

#[derive(Debug, Serialize)]
pub struct Required {
    service: Option<String>,
    reason: &'static str,
    status: u16,
}

#[derive(Debug, Serialize)]
pub struct Bounds {
    body: String,
    reply: String,
    /// `none` for streams that stay open.
    time: String,
}

#[derive(Debug, Serialize)]
pub struct Often {
    allow: String,
    key: String,
    count: &'static str,
}

#[derive(Debug, Serialize)]
pub struct Recorded {
    resource: Box<str>,
    required: bool,
}

/// One reason for a refusal. Those of filters have no status of their own.
#[derive(Debug, Serialize)]
struct Why {
    reason: &'static str,
    status: Option<u16>,
    class: Option<&'static str>,
    message: &'static str,
    filter: Option<&'static str>,
}

impl Line {
    pub fn of(route: &Route) -> Line {
        let (name, rule) = (route.name.to_string(), route.rule.clone());
        Line { name, rule, auth: auth(route), action: route.action.name(), does: does(route) }
    }
}

impl Description {
    pub fn of(route: &Route) -> Description {
        let rates = &route.rates;
        let rates = rates.by_head.iter().chain(&rates.by_caller).chain(&rates.by_body);
        let required = route.require.iter().map(|entry| {
            let (reason, status) = entry.refuses_with();
            let service = entry.ask().map(|ask| ask.pool.name().to_string());
            Required { service, reason: reason.name(), status: status.as_u16() }
        });
        Description {
            line: Line::of(route),
            group: route.group.clone(),
            methods: route.methods.names().map(str::to_owned).collect(),
            path: route.path.clone(),
            access: who(route),
            require: required.collect(),
            services: services(&route.action),
            buffered: route.is_buffered(),
            limits: bounds(&route.limits),
            rates: rates.map(often).collect(),
            audit: route
                .audit
                .as_ref()
                .map(|audit| Recorded { resource: audit.written.clone(), required: audit.required }),
        }
    }
}

/// What templates read of these routes and of every reason. `source` is the file: where a value of a variable would be shown, the
/// variable is shown in its place, but in what clients ask for.
pub(super) fn gateway<'f>(
    routes: &[Arc<Route>],
    source: &Node,
    filters: impl Iterator<Item = &'f Registration>,
) -> GatewayNames {
    let routes = routes.iter().map(|route| Description::of(route));
    let mut routes: Vec<serde_json::Value> =
        routes.map(|route| serde_json::to_value(route).expect("texts and flags are JSON")).collect();
    let shown = serde_json::Value::from(routes.clone()).to_string();
    if source.redact(shown.clone()) != shown {
        routes.iter_mut().for_each(|route| redact(route, source));
    }
    let own = Reason::all().map(|reason| Why {
        reason: reason.name(),
        status: Some(reason.status().as_u16()),
        class: reason.class(),
        message: reason.message(),
        filter: None,
    });
    let of_filters = filters.flat_map(|filter| {
        let why = |reason| Why { reason, status: None, class: None, message: "", filter: Some(filter.name) };
        filter.reasons.iter().copied().map(why)
    });
    let reasons: Vec<Why> = own.chain(of_filters).collect();
    GatewayNames { routes: in_templates(&routes), reasons: in_templates(&reasons) }
}

fn in_templates(list: &impl Serialize) -> Value {
    let json = serde_json::to_value(list).expect("texts and flags are JSON");
    serde_json::from_value(json).expect("templates take any JSON")
}

fn redact(value: &mut serde_json::Value, source: &Node) {
    use serde_json::Value::{Array, Object, String};
    match value {
        String(text) => *text = source.redact(std::mem::take(text)),
        Array(items) => items.iter_mut().for_each(|item| redact(item, source)),
        // What clients ask for is no secret, and they have to know it as it is.
        Object(entries) => {
            let others = entries.iter_mut().filter(|(name, _)| !["match", "path"].contains(&name.as_str()));
            others.for_each(|(_, entry)| redact(entry, source));
        }
        _ => {}
    }
}

fn auth(route: &Route) -> String {
    let mut words = match &route.access {
        Access::Public => "public".to_owned(),
        Access::Token { token, optional, claims, .. } => match claims.to_string() {
            _ if *optional => format!("{} or nobody", token.name()),
            claims if claims.is_empty() => token.name().to_owned(),
            claims => format!("{} {claims}", token.name()),
        },
    };
    if let Access::Token { roles, own, .. } = &route.access {
        if let Some(roles) = roles {
            words += &format!(" roles={}", roles.names().collect::<Vec<_>>().join("|"));
        }
        if !own.is_empty() {
            words += " own";
        }
    }
    if !route.require.is_empty() {
        words += " require";
    }
    words
}

fn does(route: &Route) -> String {
    let how = if route.is_buffered() && matches!(route.action, Action::Forward(_)) { " (buffered)" } else { "" };
    match &route.action {
        Action::Forward(forward) => format!("forward {}{how}", forward.pool.name()),
        Action::Combine(_) => format!("combine {}", services(&route.action).join(", ")),
        Action::Session(session) => format!("session {}", session.name()),
        action => action.name().to_owned(),
    }
}

fn services(action: &Action) -> Vec<String> {
    let name = |pool: &Arc<Pool>| pool.name().to_string();
    let mut names: Vec<String> = match action {
        Action::Forward(forward) => vec![name(&forward.pool)],
        Action::Combine(combine) => combine.parts.iter().map(|part| name(&part.pool)).collect(),
        Action::Session(session) => session.service().map(name).into_iter().collect(),
        Action::Health(health) => health.services().map(name).collect(),
        Action::Respond(_) | Action::Redirect(_) | Action::Files(_) | Action::Page(_) => Vec::new(),
    };
    names.dedup();
    names
}

fn who(route: &Route) -> Who {
    let Access::Token { token, optional, claims, roles, own, .. } = &route.access else {
        let (claims, roles, own) = (String::new(), Vec::new(), Vec::new());
        return Who { public: true, token: None, optional: false, claims, roles, own };
    };
    let own = own.iter().map(|owner| Owned {
        claims: owner.claims().to_string(),
        param: owner.equal().and_then(|(place, _)| route.params.get(place).cloned()),
        claim: owner.equal().map(|(_, claim)| claim.to_string()),
        service: owner.ask().map(|ask| ask.pool.name().to_string()),
    });
    Who {
        public: false,
        token: Some(token.name().to_owned()),
        optional: *optional,
        claims: claims.to_string(),
        roles: roles.iter().flat_map(|roles| roles.names()).map(str::to_owned).collect(),
        own: own.collect(),
    }
}

fn bounds(limits: &Limits) -> Bounds {
    let time = limits.time.map_or_else(|| "none".to_owned(), span);
    Bounds { body: size(limits.body), reply: size(limits.reply), time }
}

fn often(limit: &Limit) -> Often {
    let key = match &limit.key {
        Key::Client => "client".to_owned(),
        Key::Header(name) => format!("header {name}"),
        Key::Claim(path) => format!("claim {path}"),
        Key::Body(path) => format!("body {path}"),
    };
    let count = match limit.count {
        Count::All => "all",
        Count::Failures => "failures",
    };
    Often { allow: rate(limit.allow), key, count }
}

fn rate(rate: Rate) -> String {
    format!("{}/{}", rate.count(), span(rate.per()))
}

/// In the largest unit that needs no fraction, as people write it.
fn span(span: Duration) -> String {
    in_unit(span.as_millis(), &[("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)])
}

fn size(bytes: u64) -> String {
    in_unit(bytes.into(), &[("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)])
}

fn in_unit(amount: u128, units: &[(&str, u128)]) -> String {
    let fits = |unit: &&(&str, u128)| amount >= unit.1 && amount.is_multiple_of(unit.1);
    let (name, one) = units.iter().find(fits).or(units.last()).expect("there are units");
    format!("{}{name}", amount / one)
}

#[cfg(test)]
mod tests;

//! One route of the file → one [`Route`], each of its keys held against the others.

use std::sync::Arc;
use std::time::Duration;

use hilum_filters::api::{Env, Kind, LineOrMap, Node, Problem};
use hilum_filters::units::{Origin, Size};
use http::HeaderValue;

use super::super::access::{Access, token_of};
use super::super::audit::Audit;
use super::super::csrf::Csrf;
use super::super::rates::{self, RouteRates};
use super::super::require;
use super::super::validate::Validate;
use super::super::{Limits, Route};
use super::chain::chain;
use super::{Parts, effects, tokens};
use crate::actions::reply::Reply;
use crate::actions::session::Session;
use crate::actions::{Action, Build, Named};
use crate::config::route::{self, Shared, Time};
use crate::config::routes::Routes;
use crate::identity::Token;
use crate::refusal::Errors;
use crate::router::{Methods, Rule};
use crate::services::Pool;
use crate::template::{Names, Pages};

/// What every route is compiled with.
pub(super) struct Routing<'c> {
    pub(super) routes: &'c Routes,
    pub(super) pages: Option<&'c Arc<Pages>>,
    pub(super) parts: &'c Parts<'c>,
    pub(super) pools: &'c Named<Pool>,
    pub(super) tokens: &'c Named<Token>,
    pub(super) own_headers: Vec<http::HeaderName>,
    pub(super) filter_reasons: Vec<&'static str>,
    pub(super) rate_effects: rates::Effects,
    pub(super) problems: &'c mut Vec<Problem>,
}

impl Routing<'_> {
    /// Every problem is pushed.
    pub(super) fn route(&mut self, written: &route::Route) -> Option<Route> {
        let rule = written.rule.as_ref().map(|r| &r.value);
        let shared = &written.shared;
        if shared.auth.is_none() {
            let problem =
                Problem::new(written.at(), format!("the route `{}` does not say who may call it", written.name.value));
            self.problems
                .push(problem.help("write `auth: public`, or `auth: { token: NAME }`, here or in a group above"));
        }
        let auth = token_of(shared);
        let auth_token = auth.and_then(|auth| self.tokens.find(&auth.token, "token", self.problems));
        let roles =
            auth.and_then(|auth| tokens::roles(self.routes, &auth.token.value)).map(|roles| roles.value.clone());
        let path = rule.map_or_else(|| "/".parse().expect("a good path"), |rule| rule.path.clone());
        let mut build = Build {
            problems: self.problems,
            pools: self.pools,
            tokens: self.tokens,
            path: &path,
            own_headers: &self.own_headers,
            has_claims: auth.is_some(),
            admits_nobody: auth.is_some_and(|auth| auth.optional.value),
            has_body: !written.only_reads(),
            reads_body: shared.validate.is_some(),
            base_dir: &self.routes.base_dir,
            pages: self.pages,
            records: self.parts.records,
        };
        let audit = Audit::compile(shared, self.parts.has_audit_log, &mut build);
        let access = Access::compile(shared, auth_token.clone(), roles, &mut build);
        let require = shared.require.as_ref().map_or(Some(Box::default()), |list| require::compile(list, &mut build));
        let action = written.action.as_ref().and_then(|action| Action::compile(action, &mut build));
        let action = action.map(|action| with_hash(action, self.routes));
        let validate = Validate::compile(written, action.as_ref(), &mut build);
        let names = reply_names(action.as_ref(), auth.is_some());
        let reply = shared.reply.as_ref().map(|reply| (reply.at, Reply::compile(reply, names, build.problems)));
        if let Some(action) = &action {
            effects::limits(written, action, build.problems);
            effects::methods(written, action, build.problems);
            effects::priority(written, action, build.problems);
            effects::time_of_parts(written, build.problems);
            effects::sent_bodies(written, build.problems);
            effects::session_tokens(written, build.problems);
        }
        if let (
            Some((at, _)),
            Some(action @ (Action::Respond(_) | Action::Redirect(_) | Action::Files(_) | Action::Page(_))),
        ) = (&reply, &action)
        {
            let text = format!("`reply` has no effect on `{}`", action.name());
            build.problems.push(Problem::new(*at, text).help("it shapes the answers of services, sessions and health"));
        }
        let errors = Errors::compile(shared, &self.filter_reasons, self.pages, build.problems);
        let env = Env { base_dir: self.routes.base_dir.clone(), own_headers: self.own_headers.clone() };
        let (chain, slots) = chain(shared, &env, self.parts, build.problems);
        let session_token = match &action {
            Some(Action::Session(session)) => Some(session.token().clone()),
            _ => None,
        };
        let csrf = csrf(shared, auth_token.as_ref().or(session_token.as_ref()), session_token.is_some());
        if let Some(off) = &shared.csrf
            && let Some(why) = unforgeable(written, auth_token.as_ref().or(session_token.as_ref()))
        {
            self.problems.push(Problem::new(off.at, format!("`csrf: off` has no effect: {why}")));
        }
        if let (Some(said), Some(Action::Files(_)), true) =
            (&shared.cache_control, &action, written.says("cache_control"))
        {
            let problem = Problem::new(said.at, "`cache_control` has no effect on `files`");
            self.problems.push(problem.help("say how long a file may be kept with `files: { cache: 1h }`"));
        }
        if let (Some(said), Some(Action::Session(Session::HandOut(_))), true) =
            (&shared.cache_control, &action, written.says("cache_control"))
        {
            let text = "`cache_control` has no effect on `hand_out`: a token is kept by nobody";
            self.problems.push(Problem::new(said.at, text));
        }
        rates::own_headers(written, &self.own_headers, self.problems);
        let name: Arc<str> = written.name.value.as_str().into();
        let (action, access) = (action?, access?);
        let claims = (!access.is_public(), access.asks_claims());
        let rates = RouteRates::compile(written, &action, claims, self.parts.rates, &mut self.rate_effects);
        let taken = rule.map(|rule| limited(rule, &action));
        Some(Route {
            audit,
            metrics: self.parts.metrics.route(&name),
            name,
            path: path.to_string(),
            methods: taken.as_ref().map_or(Methods::Any, |rule| rule.methods.clone()),
            rule: taken.as_ref().map(rule_text).unwrap_or_default(),
            group: written.group.as_deref().map(Into::into),
            params: path.params().map(Into::into).collect(),
            token: auth_token.or(session_token),
            chain,
            slots,
            has_cors: shared.cors.is_some(),
            cache_control: cache_control(shared, &access, &action),
            csrf,
            access,
            require: require?,
            rates,
            validate: validate?,
            action,
            reply: reply.map(|(_, reply)| reply),
            errors,
            limits: limits(shared),
            priority: shared.priority.as_ref().map(|priority| priority.value.0).unwrap_or_default(),
        })
    }
}

/// What is asked of requests that change state.
fn csrf(shared: &Shared, token: Option<&Arc<Token>>, is_session: bool) -> Csrf {
    let is_credentialed = |cors: &&Node| cors.get("credentials").and_then(scalar) == Some("true");
    let origins = shared.cors.as_ref().filter(is_credentialed).and_then(|cors| cors.get("origins"));
    let texts: Vec<&str> = match origins.map(|node| &node.kind) {
        Some(Kind::Scalar { text, .. }) => text.split(',').collect(),
        Some(Kind::List(items)) => items.iter().filter_map(scalar).collect(),
        _ => Vec::new(),
    };
    // What is no origin was told by `cors` itself.
    let origins =
        texts.iter().filter_map(|text| text.trim().parse::<Origin>().ok()).map(|o| o.header_value()).collect();
    // Without a cookie there is nothing that a browser adds by itself, and no sign-in that a foreign page could make it keep.
    let by_cookie = token.is_some_and(|token| token.comes_by_cookie());
    Csrf { off: shared.csrf.is_some() || !by_cookie, is_session, origins }
}

fn scalar(node: &Node) -> Option<&str> {
    match &node.kind {
        Kind::Scalar { text, .. } => Some(text),
        _ => None,
    }
}

/// Why no request to this route could be forged, if none could.
fn unforgeable(written: &route::Route, token: Option<&Arc<Token>>) -> Option<&'static str> {
    match token {
        _ if !written.says("csrf") => None,
        None => Some("the route is public"),
        Some(token) if !token.comes_by_cookie() => Some("its token comes by no cookie"),
        Some(_) => None,
    }
}

fn cache_control(shared: &Shared, access: &Access, action: &Action) -> Option<HeaderValue> {
    // One person's answer, which no cache may hand to another (RFC 9111, 7.1); what a sign-in answers holds a token (RFC 6749, 5.1).
    let is_private = !access.is_public() || matches!(action, Action::Session(_));
    match &shared.cache_control {
        _ if matches!(action, Action::Session(Session::HandOut(_))) => Some(PRIVATE),
        Some(said) => Some(said.value.0.clone()),
        None => is_private.then_some(PRIVATE),
    }
}

const PRIVATE: HeaderValue = HeaderValue::from_static("private, no-store");

/// What a service's `hash` is made of is written with the service, but made of a request, which only the action sees.
fn with_hash(action: Action, routes: &Routes) -> Action {
    let Action::Forward(mut forward) = action else { return action };
    let service = routes.services.0.iter().find(|(name, _)| *name.value == **forward.pool.name());
    let balance = service.and_then(|(_, s)| s.0.as_ref()?.balance.as_ref()?.0.as_ref());
    forward.hash = match balance {
        Some(LineOrMap::Map(balance)) => Some(balance.hash.value.clone()),
        _ => None,
    };
    Action::Forward(forward)
}

pub(super) fn limits(shared: &Shared) -> Limits {
    let written = shared.limits.0.as_ref();
    Limits {
        body: written.and_then(|l| l.body?.0).map_or(1024 * 1024, Size::get),
        reply: written.and_then(|l| l.reply?.0).map_or(8 * 1024 * 1024, |reply| reply.get()),
        time: match written.and_then(|l| l.time?.0).map(|time| time.value) {
            None => Some(Duration::from_secs(30)),
            Some(Time::None) => None,
            Some(Time::Within(span)) => Some(span.get()),
        },
    }
}

/// A rule without methods takes those that its action has a meaning for: files and parts are read, and a sign-in is sent.
pub(super) fn limited(rule: &Rule, action: &Action) -> Rule {
    let only = match action {
        Action::Files(_) | Action::Page(_) => "GET",
        Action::Session(Session::Login(_)) => "POST",
        Action::Combine(combine) if combine.changes() => "POST",
        Action::Combine(_) => "GET",
        _ => return rule.clone(),
    };
    let mut rule = rule.clone();
    if rule.methods == Methods::Any {
        rule.methods = only.parse().expect("a good method");
    }
    rule
}

/// The names that mean something in the `reply:` of a route.
fn reply_names(action: Option<&Action>, has_claims: bool) -> Names {
    const NO_BODY: &str = "only a forward and a sign-in read it";
    let names = match action {
        Some(Action::Session(Session::HandOut(_))) => Names::HAND_OUT.without_body(NO_BODY),
        Some(Action::Session(Session::Logout(_) | Session::Show(_)) | Action::Health(_) | Action::Combine(_)) => {
            Names::REPLY.without_body(NO_BODY)
        }
        // The action has a problem of its own, which must not make others of names that it would bring.
        None => Names::HAND_OUT,
        _ => Names::REPLY,
    };
    // A session action knows the caller whatever `auth` says.
    match has_claims || matches!(action, None | Some(Action::Session(_))) {
        true => names,
        false => names.without_claims("the route is public"),
    }
}

fn rule_text(rule: &Rule) -> String {
    let methods = match &rule.methods {
        Methods::Any => "*".to_owned(),
        these => these.names().collect::<Vec<_>>().join(","),
    };
    let host = rule.host.as_ref().map(|h| format!(" host={h}")).unwrap_or_default();
    format!("{methods} {}{host}", rule.path)
}

//! The two decisions, pure: which route, and whether it may be done. Nothing is decided elsewhere.

use std::sync::Arc;

use hilum_filters::api::Claims;
use http::{HeaderValue, Method, StatusCode, header};

use super::ask::{Answers, Question};
use super::csrf::Sent;
use super::{Access, Route, Table, owner, require};
use crate::actions::Action;
use crate::actions::forward::Onward;
use crate::identity::Caller;
use crate::refusal::{Reason, Refusal, known};
use crate::router::{Found, Head, Values};
use crate::template::Filling;

/// The route of a request.
#[derive(Debug)]
pub struct Match<'t, 'p> {
    pub route: &'t Arc<Route>,
    pub values: Values<'p>,
    /// A browser asks whether it may ask: the route of the asked method, answered by its `cors` slot without a token.
    pub preflight: bool,
}

/// What is known beside the head.
#[derive(Debug)]
pub struct Facts<'a> {
    pub caller: &'a Caller,
    /// The authority that the browser asked: the request's own, or the one that a trusted proxy was asked.
    pub host: &'a str,
    /// The client's connection is TLS, as far as is known.
    pub secure: bool,
    /// Seconds since 1970.
    pub now: u64,
    /// What services said about this request.
    pub answers: &'a Answers,
}

/// What is done.
#[derive(Debug)]
pub enum Verdict {
    Refuse(Refusal),
    /// A service must be asked first; then it is judged again, with the answer.
    Ask(Question),
    Forward(Onward),
    Redirect {
        status: StatusCode,
        to: HeaderValue,
    },
    /// Path and query of each part.
    Combine(Box<[String]>),
    /// The rest of the path, below the root of the route's files.
    Files(String),
    /// Nothing had to be filled in: the route's own action is all there is to know.
    Act,
}

/// Why it does not go on.
#[derive(Debug)]
pub(super) enum Stop {
    Refuse(Reason, Box<Refusal>),
    Ask(Question),
}

impl From<Reason> for Stop {
    fn from(reason: Reason) -> Self {
        Stop::Refuse(reason, Box::new(reason.into()))
    }
}

/// Which route?
///
/// # Errors
/// `no_route`, or `method_not_allowed` with `Allow`.
pub fn find<'t, 'p>(table: &'t Table, head: &Head<'p>) -> Result<Match<'t, 'p>, Refusal> {
    if let Some(asked) = asked_by_preflight(head)
        && let Found::Rule { target, values } = table.router.find_for(&asked, head)
        && target.has_cors
    {
        return Ok(Match { route: target, values, preflight: true });
    }
    match table.router.find(head) {
        Found::Rule { target, values } => Ok(Match { route: target, values, preflight: false }),
        Found::MethodNotAllowed { allow } => {
            Err(Refusal::from(Reason::MethodNotAllowed).with_header(header::ALLOW, allow))
        }
        Found::Nothing => Err(Reason::NoRoute.into()),
    }
}

/// The method that a CORS preflight asks for (Fetch, 4.8).
fn asked_by_preflight(head: &Head<'_>) -> Option<Method> {
    if *head.method != Method::OPTIONS || !head.headers.contains_key(header::ORIGIN) {
        return None;
    }
    Method::from_bytes(head.headers.get(header::ACCESS_CONTROL_REQUEST_METHOD)?.as_bytes()).ok()
}

/// Whether the caller may, and what is done then, with every template filled in.
pub fn judge(found: &Match<'_, '_>, head: &Head<'_>, facts: &Facts<'_>) -> Verdict {
    let route = found.route;
    let claims = claims_of(facts.caller);
    let filling = Filling { params: &found.values, query: head.query, claims };
    match admit(route, facts, &filling).and_then(|()| require::check(found, head, facts, &filling)) {
        Ok(()) => {}
        Err(Stop::Ask(question)) => return Verdict::Ask(question),
        Err(Stop::Refuse(reason, refusal)) => {
            return Verdict::Refuse(or_redirect(route, reason, *refusal, facts.caller, &filling));
        }
    }
    let sent = Sent { method: head.method, headers: head.headers, host: facts.host, secure: facts.secure };
    if !route.csrf.admits(&sent, facts.caller.by()) {
        return Verdict::Refuse(refuse(route, Reason::CsrfRejected, facts.caller, &filling));
    }
    let verdict = match &route.action {
        Action::Forward(forward) => forward.aim(head, &filling).map(Verdict::Forward),
        Action::Redirect(redirect) => {
            redirect.location(&filling).map(|to| Verdict::Redirect { status: redirect.status, to })
        }
        Action::Combine(combine) => combine.aim(&filling).map(Verdict::Combine),
        Action::Files(_) => Ok(Verdict::Files(found.values.last().copied().unwrap_or_default().to_owned())),
        Action::Respond(_) | Action::Page(_) | Action::Session(_) | Action::Health(_) => Ok(Verdict::Act),
    };
    verdict.unwrap_or_else(|missing| Verdict::Refuse(refuse(route, missing.into(), facts.caller, &filling)))
}

/// Whether `auth` lets the caller in.
fn admit(route: &Route, facts: &Facts<'_>, filling: &Filling<'_>) -> Result<(), Stop> {
    let Access::Token { optional, claims, roles, own, .. } = &route.access else { return Ok(()) };
    if *optional && matches!(facts.caller, Caller::Missing) {
        return Ok(());
    }
    let theirs = &known(facts.caller)?.claims;
    if !claims.fit(theirs) {
        return Err(Reason::ClaimMismatch.into());
    }
    if roles.as_ref().is_some_and(|roles| !roles.fit(theirs)) {
        return Err(Reason::RoleMissing.into());
    }
    owner::check(own, theirs, facts.answers, filling)
}

fn refuse(route: &Route, reason: Reason, caller: &Caller, filling: &Filling<'_>) -> Refusal {
    or_redirect(route, reason, reason.into(), caller, filling)
}

/// A refusal, or the redirect that the file wants in its place. `Set-Cookie` is left to the engine, which knows the connection.
fn or_redirect(route: &Route, reason: Reason, refusal: Refusal, caller: &Caller, filling: &Filling<'_>) -> Refusal {
    match route.access.denial(reason, refusal.status, filling) {
        Some((to, clear_cookie)) => {
            let mut refusal = refusal.with_status(StatusCode::FOUND).with_header(header::LOCATION, to);
            // Only a cookie that was sent and refused: a good one of another user type stays.
            refusal.clears_cookie =
                clear_cookie && matches!(caller, Caller::Refused { by: crate::identity::By::Cookie, .. });
            refusal
        }
        None => refusal,
    }
}

/// The claims of a caller who proved who they are.
pub fn claims_of(caller: &Caller) -> Option<&Claims> {
    match caller {
        Caller::Known { identity, .. } => Some(&identity.claims),
        _ => None,
    }
}

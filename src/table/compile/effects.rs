//! What is well written and would still be a mistake, because it has no effect or can never work.

use std::path::Path;
use std::sync::Arc;

use hilum_filters::api::{At, LineOrMap, Placed, Problem};
use http::{HeaderMap, Method, StatusCode};

use crate::actions::Action;
use crate::actions::session::Session;
use crate::config::action;
use crate::config::rate::KeyOf;
use crate::config::route::{self, READING, Time};
use crate::config::routes::Routes;
use crate::config::service::HashKey;
use crate::router::{Found, Head, Methods, Router};
use crate::table::Route;
use crate::table::access::token_of;

/// A route as it is written, and what it became.
type Compiled<'r> = (&'r route::Route, Arc<Route>);

/// A limit that a route says itself and that nothing of it is measured by. Inherited ones are there for other routes.
pub(super) fn limits(written: &route::Route, action: &Action, problems: &mut Vec<Problem>) {
    let Some(limits) = &written.shared.limits.0 else { return };
    let is_own = |at: At| written.own_limits.contains(&at);
    let reads_body = written.shared.rate.iter().flat_map(|rate| &rate.value).any(|limit| {
        let key = limit.value.0.as_ref().and_then(|limit| limit.key.value.0.as_ref());
        matches!(key, Some(LineOrMap::Map(KeyOf::Body(_))))
    });
    let writes_body =
        matches!(written.action.as_ref().map(|it| &it.value), Some(action::Action::Forward(it)) if it.body.is_some());
    let shaped = written.shared.reply.is_some() || written.shared.validate.is_some() || writes_body || reads_body;
    if let Some(time) = limits.time.and_then(|time| time.0)
        && time.value == Time::None
        && is_own(time.at)
    {
        let why = match action {
            Action::Files(_) => None,
            Action::Forward(_) if !shaped => None,
            Action::Forward(_) => {
                Some("where `reply`, `validate`, `body` or a rate by the body is, an answer is read whole".to_owned())
            }
            other => Some(format!("`{}` streams nothing", other.name())),
        };
        if let Some(why) = why {
            let problem = Problem::new(time.at, format!("`time: none` has no effect: {why}"));
            problems.push(problem.help("it is for `files`, and for a `forward` without `reply`"));
        }
    }
    let reads_whole = match action {
        Action::Forward(_) => shaped,
        Action::Session(Session::Login(_)) | Action::Combine(_) => true,
        _ => false,
    } || asks(&written.shared);
    if let Some(reply) = limits.reply.and_then(|reply| reply.0)
        && !reads_whole
        && is_own(reply.at)
    {
        let problem = Problem::new(reply.at, "this limit has no effect: no answer of a service is read whole here");
        problems
            .push(problem.help("it is for a `forward` with `reply`, for `ask`, `combine` and `session: { login }`"));
    }
}

fn asks(shared: &route::Shared) -> bool {
    let required = shared.require.iter().flat_map(|list| &list.value);
    let owners = token_of(shared).and_then(|auth| auth.own.as_ref());
    required.filter_map(|entry| entry.0.as_ref()).any(|entry| entry.ask.is_some())
        || owners.iter().flat_map(|own| &own.value).any(|owner| owner.0.as_ref().is_some_and(|o| o.ask.is_some()))
}

/// A priority of a route that asks no service.
pub(super) fn priority(written: &route::Route, action: &Action, problems: &mut Vec<Problem>) {
    let Some(priority) = written.shared.priority.as_ref().filter(|_| written.says("priority")) else { return };
    let asks_service = matches!(action, Action::Forward(_) | Action::Combine(_) | Action::Session(Session::Login(_)))
        || asks(&written.shared);
    if !asks_service {
        let text = "`priority` has no effect here: this route asks no service";
        problems
            .push(Problem::new(priority.at, text).help("it decides who goes first where a service has too much to do"));
    }
}

/// A time for the parts of a `combine` that the request as a whole does not have.
pub(super) fn time_of_parts(written: &route::Route, problems: &mut Vec<Problem>) {
    let Some(Placed { value: action::Action::Combine(combine), .. }) = &written.action else { return };
    let Some(time) = combine.time.and_then(|time| time.0) else { return };
    if let Some(whole) = super::route::limits(&written.shared).time
        && time.value.get() > whole
    {
        let text = format!("this time has no effect: the whole request has only {whole:?}");
        problems.push(Problem::new(time.at, text).help("make it shorter, or `limits: { time }` longer"));
    }
}

/// A method that the action has no meaning for.
pub(super) fn methods(written: &route::Route, action: &Action, problems: &mut Vec<Problem>) {
    let Some(Placed { at, value: rule }) = &written.rule else { return };
    let Methods::These(these) = &rule.methods else { return };
    let (good, why) = match action {
        Action::Files(_) | Action::Page(_) => (&[Method::GET, Method::HEAD][..], "files and pages are only read"),
        Action::Session(Session::Login(_)) => (&[Method::POST, Method::PUT, Method::PATCH][..], "a sign-in has a body"),
        // Nobody looks at where a GET comes from: a page of somebody else could have it sent (RFC 9110, 9.2.1).
        Action::Combine(combine) if combine.changes() => {
            (&[Method::POST, Method::PUT, Method::PATCH, Method::DELETE][..], "a part with POST may change something")
        }
        Action::Combine(_) => (&[Method::GET, Method::HEAD][..], "the parts are only read"),
        _ => return,
    };
    if let Some(wrong) = these.iter().find(|method| !good.contains(method)) {
        let good = good.iter().map(Method::as_str).collect::<Vec<_>>().join(" or ");
        problems.push(Problem::new(*at, format!("`{wrong}` has no meaning here: {why}")).help(format!("write {good}")));
    }
}

/// A body of our own with a method that has none.
pub(super) fn sent_bodies(written: &route::Route, problems: &mut Vec<Problem>) {
    let Some(action::Action::Forward(forward)) = written.action.as_ref().map(|action| &action.value) else { return };
    let (Some(body), Some(rule)) = (&forward.body, &written.rule) else { return };
    let own = forward.method.as_ref().and_then(|method| method.value.parse::<Methods>().ok());
    let without = match own.as_ref().unwrap_or(&rule.value.methods) {
        Methods::Any => Some(Method::GET),
        Methods::These(these) => these.iter().find(|method| READING.contains(method)).cloned(),
    };
    if let Some(method) = without {
        let text = format!("`body` can't be sent with every request: a {method} has none");
        let help = "add `method: POST` to the forward, or match only methods that have a body";
        problems.push(Problem::new(body.at, text).help(help));
    }
}

/// Another token than the one that the caller brings.
pub(super) fn session_tokens(written: &route::Route, problems: &mut Vec<Problem>) {
    let Some(action::Action::Session(session)) = written.action.as_ref().map(|action| &action.value) else { return };
    let (action::Session::Show(named) | action::Session::HandOut(named)) = session else { return };
    if let Some(auth) = token_of(&written.shared)
        && auth.token.value != named.token.value
    {
        let text = format!("`{}` has no effect: the caller is known by `{}`", named.token.value, auth.token.value);
        let problem = Problem::new(named.token.at, text);
        problems
            .push(problem.help("name the same token as `auth`, or write `auth: public`: it is asked for all the same"));
    }
}

/// A redirect whose target is the same route again.
pub(super) fn circles(router: &Router<Arc<Route>>, compiled: &[Compiled<'_>], problems: &mut Vec<Problem>) {
    for (written, route) in compiled {
        let Some(rule) = written.rule.as_ref().map(|rule| &rule.value) else { continue };
        let own = match written.action.as_ref().map(|action| &action.value) {
            // These two are followed with the same method, the others with GET (RFC 9110, 15.4).
            Some(action::Action::Redirect(redirect)) => {
                let status = redirect.status.as_ref().map(|status| status.value.0);
                let same = [StatusCode::TEMPORARY_REDIRECT, StatusCode::PERMANENT_REDIRECT].map(Some).contains(&status);
                let method = match &rule.methods {
                    Methods::These(these) if same => these.first().cloned(),
                    _ => None,
                };
                Some((&redirect.to, method.unwrap_or(Method::GET)))
            }
            _ => None,
        };
        let denied = token_of(&written.shared).map(|auth| &auth.when_denied.0[..]).unwrap_or_default();
        // Who comes back without the cookie is refused for another reason, which may have another target.
        let denied = denied.iter().filter_map(|(_, denied)| denied.0.as_ref()).filter(|it| !it.clear_cookie.value);
        let targets = own.into_iter().chain(denied.map(|denied| (&denied.redirect, Method::GET)));
        for (to, method) in targets.filter(|(to, _)| !to.value.contains('{')) {
            let (path, query) =
                to.value.split_once('?').map_or((&*to.value, None), |(path, query)| (path, Some(query)));
            let host = rule.host.as_ref().map(ToString::to_string).unwrap_or_default();
            let head = Head { method: &method, host: &host, path, query, headers: &HeaderMap::new() };
            if let Found::Rule { target, .. } = router.find(&head)
                && Arc::ptr_eq(target, route)
            {
                let text = format!("`{}` is this route itself, so a client would go in circles", to.value);
                Problem::new(to.at, text).record(problems);
            }
        }
    }
}

/// A service whose peers are chosen by a claim, when nobody who is forwarded to it has claims.
pub(super) fn claims_to_choose_by(routes: &Routes, compiled: &[Compiled<'_>], problems: &mut Vec<Problem>) {
    if compiled.len() < routes.routes.len() {
        // A route that could not be compiled may be the one with the token.
        return;
    }
    for (name, service) in &routes.services.0 {
        let balance = service.0.as_ref().and_then(|service| service.balance.as_ref()?.0.as_ref());
        let Some(LineOrMap::Map(balance)) = balance else { continue };
        let HashKey::Claim(claim) = &balance.hash.value else { continue };
        let of_this = |route: &Route| matches!(&route.action, Action::Forward(to) if **to.pool.name() == *name.value);
        let mut forwarding = compiled.iter().filter(|(_, route)| of_this(route)).peekable();
        if forwarding.peek().is_some() && forwarding.all(|(_, route)| route.access.is_public()) {
            let text =
                format!("no route that forwards to `{}` has a token, so nobody has the claim `{claim}`", name.value);
            let problem = Problem::new(balance.hash.at, text);
            problems.push(problem.help("choose by a header or cookie, or give the routes a token"));
        }
    }
}

/// A record in a folder that is served: everybody could read what others sent.
pub(super) fn records(routes: &Routes, problems: &mut Vec<Problem>) {
    let actions = || routes.routes.iter().filter_map(|route| Some(&route.action.as_ref()?.value));
    let real = |path: &Path| routes.base_dir.join(path).join(".").canonicalize().ok();
    let served = actions().filter_map(|action| match action {
        action::Action::Files(files) => Some((&files.root, real(&files.root.value)?)),
        _ => None,
    });
    let served: Vec<_> = served.collect();
    for action in actions() {
        let action::Action::Respond(action::Respond { record: Some(record), .. }) = action else { continue };
        let folder = record.file.value.parent().and_then(&real);
        let inside = served.iter().find(|(_, root)| folder.as_ref().is_some_and(|folder| folder.starts_with(root)));
        if let Some((root, _)) = inside {
            let text = format!("`{}` is in `{}`, which is served", record.file.value.display(), root.value.display());
            let problem = Problem::new(record.file.at, text);
            problem.help("write it where no `files` looks").record(problems);
        }
    }
}

/// A token that says where its roles are, when nobody asks for roles.
pub(super) fn roles(routes: &Routes, problems: &mut Vec<Problem>) {
    for (name, _) in &routes.tokens.0 {
        let Some(roles) = super::tokens::roles(routes, &name.value) else { continue };
        let asks = |route: &route::Route| {
            token_of(&route.shared).is_some_and(|auth| auth.token.value == name.value && auth.roles.is_some())
        };
        if !routes.routes.iter().any(asks) {
            let text = format!("`roles` has no effect: no route asks for roles of the token `{}`", name.value);
            problems.push(
                Problem::new(roles.at, text).help("ask with `auth: { token, roles: [doctor] }`, or leave it out"),
            );
        }
    }
}

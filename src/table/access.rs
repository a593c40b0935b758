//! Who may call a route: everyone, or callers whose token and claims fit; and where pages send the others.

use std::sync::Arc;

use hilum_filters::api::{LineOrMap, Problem};
use http::StatusCode;

use super::owner::Owner;
use super::roles::Roles;
use crate::actions::Build;
use crate::actions::redirect::{location, own_path};
use crate::config::auth;
use crate::config::route::Shared;
use crate::identity::rules::ClaimRules;
use crate::identity::{ClaimPath, Token};
use crate::refusal::Reason;
use crate::template::{Filling, Line};

/// Who may call.
#[derive(Debug)]
pub enum Access {
    Public,
    Token {
        token: Arc<Token>,
        /// Who brings no token may as well, as nobody.
        optional: bool,
        claims: ClaimRules,
        /// One of these, if they are asked for.
        roles: Option<Roles>,
        /// One of these must fit, unless there is none.
        own: Box<[Owner]>,
        denials: Vec<Denial>,
    },
}

/// Where a refused caller of a page is sent.
#[derive(Debug)]
pub struct Denial {
    /// `None` is `else`.
    reason: Option<Reason>,
    to: Line,
    pub clear_cookie: bool,
}

impl Access {
    /// Compiles `auth:`. The route's token is looked up by the caller, since other things depend on whether there is one, and so is
    /// the claim that holds its roles.
    pub(super) fn compile(
        shared: &Shared,
        token: Option<Arc<Token>>,
        roles: Option<ClaimPath>,
        build: &mut Build<'_>,
    ) -> Option<Access> {
        match shared.auth.as_ref()?.value.0.as_ref()? {
            LineOrMap::Line(_) => Some(Access::Public),
            LineOrMap::Map(auth) => {
                let claims = ClaimRules::compile(&auth.claims, build.problems);
                let denials = auth.when_denied.0.iter().filter_map(|(key, denied)| {
                    let denied = denied.0.as_ref()?;
                    let reason = denial_reason(key, build);
                    let clear_cookie = clears_cookie(denied, token.as_deref(), build);
                    let to = own_path(&denied.redirect, build);
                    Some(Denial { reason: reason?, to: to?, clear_cookie })
                });
                let denials = denials.collect();
                let (roles, own) = (Roles::compile(auth, roles, build), own(auth, build));
                nobody_has_claims(auth, build);
                let optional = auth.optional.value;
                Some(Access::Token { token: token?, optional, claims, roles: roles?, own: own?, denials })
            }
        }
    }

    /// Whether a caller who is known may be refused for what the token's claims are.
    pub(super) fn asks_claims(&self) -> bool {
        matches!(self, Access::Token { claims, .. } if !claims.is_empty())
    }

    pub fn is_public(&self) -> bool {
        matches!(self, Access::Public)
    }

    /// Where this refusal sends the caller. A target that can't be filled is passed over: the refusal itself is shown then.
    pub(super) fn denial(
        &self,
        reason: Reason,
        status: StatusCode,
        with: &Filling<'_>,
    ) -> Option<(http::HeaderValue, bool)> {
        let Access::Token { denials, .. } = self else { return None };
        // Only "who are you?" and "you may not": an outage must not look like a sign-out.
        if ![401, 403].contains(&status.as_u16()) {
            return None;
        }
        let by_reason = denials.iter().find(|d| d.reason == Some(reason));
        let candidates = by_reason.into_iter().chain(denials.iter().find(|d| d.reason.is_none()));
        candidates.filter_map(|d| Some((location(&d.to, with).ok()?, d.clear_cookie))).next()
    }
}

fn own(auth: &auth::Auth, build: &mut Build<'_>) -> Option<Box<[Owner]>> {
    let Some(written) = &auth.own else { return Some(Box::default()) };
    if written.value.is_empty() {
        let problem = Problem::new(written.at, "nobody is an owner here, so nobody could call the route");
        build.problems.push(problem.help("write `- { param: patient_id, claim: user_id }`"));
    }
    let owners: Vec<_> =
        written.value.iter().map(|owner| Owner::compile(owner.0.as_ref()?, written.at, build)).collect();
    owners.into_iter().collect()
}

/// Who needs no token needs no claims either: a rule about them would let in nobody without a token.
fn nobody_has_claims(auth: &auth::Auth, build: &mut Build<'_>) {
    if !auth.optional.value {
        return;
    }
    let claims = auth.claims.0.first().map(|(key, _)| ("claims", key.at));
    let roles = auth.roles.as_ref().map(|roles| ("roles", roles.at));
    let own = auth.own.as_ref().map(|own| ("own", own.at));
    for (key, at) in claims.into_iter().chain(roles).chain(own) {
        let problem = Problem::new(at, format!("`{key}` beside `optional: true`: who has no token has no claims"));
        build.problems.push(problem.help("leave `optional` out, or decide by `require`"));
    }
}

#[allow(clippy::option_option, reason = "outer: could be read; inner: a reason or `else`")]
fn denial_reason(key: &hilum_filters::api::Placed<String>, build: &mut Build<'_>) -> Option<Option<Reason>> {
    if key.value == "else" {
        return Some(None);
    }
    // Whether a sign-in is refused is known only after the caller was admitted.
    let denials = || Reason::all().filter(|r| [401, 403].contains(&r.status().as_u16()) && *r != Reason::LoginRefused);
    if let Some(reason) = denials().find(|r| r.name() == key.value) {
        return Some(Some(reason));
    }
    let known = denials().map(Reason::name).collect::<Vec<_>>().join(", ");
    build.problems.push(Problem::new(key.at, format!("expected `else` or one of {known}, found `{}`", key.value)));
    None
}

fn clears_cookie(denied: &auth::Denied, token: Option<&Token>, build: &mut Build<'_>) -> bool {
    let wanted = denied.clear_cookie;
    if wanted.value && token.is_some_and(|token| token.clear_cookie(false).is_none()) {
        let problem = Problem::new(wanted.at, "`clear_cookie` has no effect: the token has no `cookie`");
        problem.help("give the token a `cookie: { name: … }`, or leave this out").record(build.problems);
    }
    wanted.value
}

/// The token that `auth:` names.
pub(super) fn token_of(shared: &Shared) -> Option<&auth::Auth> {
    match shared.auth.as_ref()?.value.0.as_ref()? {
        LineOrMap::Map(auth) => Some(auth),
        LineOrMap::Line(_) => None,
    }
}

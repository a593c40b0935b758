//! What the audit log is told of an exchange.
//!
//! On a route whose audit is `required` it is written *before* the action that somebody is about to do it, and the request waits until
//! that is on the disk: a change never happens unrecorded, and nothing of a service's answer goes out unrecorded. What became of it is
//! written afterwards and not waited for. A change that has happened can't be taken back by a 503, which would only say that it had
//! not, and invite to try it again.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::SystemTime;

use http::StatusCode;

use super::Ctx;
use crate::actions::Action;
use crate::actions::session::Session;
use crate::identity::claims::scalar_text;
use crate::identity::{Caller, Identity};
use crate::refusal::Reason;
use crate::router::Head;
use crate::table::decide::{Match, claims_of};
use crate::telemetry::audit::{Event, Outcome, Record};
use crate::telemetry::{Time, shown};
use crate::template::Filling;

/// What is known for the audit log while an exchange goes on.
#[derive(Default)]
pub(super) struct Audited {
    /// What it is about; `None`: it is not recorded as an access.
    resource: Option<Resource>,
    /// It was recorded that it is about to be done.
    is_intended: bool,
    /// Why somebody may not.
    denied: Option<&'static str>,
    /// Who has signed in by it.
    pub(super) signed_in: Option<Arc<Identity>>,
}

/// The name by which the file calls it, filled in; what it is about can't be told where a value is missing.
struct Resource(Option<String>);

/// Notes what a request is about, once its caller is known.
pub(super) fn note(ctx: &mut Ctx, found: &Match<'_, '_>, head: &Head<'_>) {
    let Some(audit) = &found.route.audit else { return };
    let filling = Filling { params: &found.values, query: head.query, claims: claims_of(&ctx.caller) };
    let mut name = String::with_capacity(48);
    let filled = audit.resource.fill(&filling, &mut name);
    ctx.audited.resource = Some(Resource(filled.ok().map(|()| name)));
}

/// Notes that somebody may not. A refusal that the file turns into a redirect is one all the same.
pub(super) fn note_refusal(ctx: &mut Ctx, reason: &'static str, status: StatusCode) {
    let of_reason = Reason::all().find(|r| std::ptr::eq(r.name(), reason)).map(Reason::status);
    let denies = |status: StatusCode| {
        [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN, StatusCode::TOO_MANY_REQUESTS].contains(&status)
    };
    ctx.audited.denied = (denies(status) || of_reason.is_some_and(denies)).then_some(reason);
}

/// Where the route's audit is required: records that this is about to be done.
///
/// # Errors
/// It can't be recorded, so it must not be done.
pub(super) async fn intend(ctx: &mut Ctx) -> Result<(), Reason> {
    let Some(audit) = ctx.gateway.audit().cloned() else { return Ok(()) };
    if ctx.audited.resource.is_none()
        || !ctx.route.as_ref().is_some_and(|r| r.audit.as_ref().is_some_and(|a| a.required))
    {
        return Ok(());
    }
    let written = record(ctx, event(ctx), Outcome::Intended, None, |record| audit.written(record));
    match tokio::time::timeout_at(ctx.call_deadline(), written).await {
        Ok(Ok(Ok(()))) => {
            ctx.audited.is_intended = true;
            Ok(())
        }
        _ => Err(Reason::AuditUnavailable),
    }
}

/// Records an exchange that is over.
pub(super) fn tell(ctx: &Ctx, status: u16) {
    let Some(audit) = ctx.gateway.audit() else { return };
    let event = event(ctx);
    let outcome = match ctx.audited.denied {
        Some(_) => Outcome::Refused,
        None => Outcome::of(status),
    };
    if let Some(reason) = ctx.audited.denied
        && event != Event::SignIn
        && !ctx.audited.is_intended
    {
        let route = ctx.route.as_ref().map(|route| &route.name);
        if audit.denied(ctx.facts.client, route, reason) {
            record(ctx, Event::Denied, outcome, Some(status), |record| audit.write(record));
        }
    } else if event != Event::Access || ctx.audited.resource.is_some() {
        record(ctx, event, outcome, Some(status), |record| audit.write(record));
    }
    if ctx.new_cookie.is_some() {
        record(ctx, Event::Refresh, Outcome::Success, None, |record| audit.write(record));
    }
}

/// A sign-in that was refused for a wrong password is one, and so is that of somebody of another kind; who asked too often or from
/// elsewhere did not even try.
fn event(ctx: &Ctx) -> Event {
    let tried = ctx
        .audited
        .denied
        .is_none_or(|reason| [Reason::LoginRefused, Reason::ClaimMismatch].iter().any(|of| of.name() == reason));
    match ctx.route.as_ref().map(|route| &route.action) {
        Some(Action::Session(Session::Login(_))) if tried => Event::SignIn,
        Some(Action::Session(Session::Logout(_))) => Event::SignOut,
        _ => Event::Access,
    }
}

/// Makes the record of an exchange as it is now. Borrowed from end to end: nothing is copied but into the line itself.
fn record<R>(ctx: &Ctx, event: Event, outcome: Outcome, status: Option<u16>, then: impl FnOnce(&Record<'_>) -> R) -> R {
    let route = ctx.route.as_deref();
    let identity = match (&ctx.audited.signed_in, &ctx.caller) {
        (Some(identity), _) | (None, Caller::Known { identity, .. }) => Some(identity),
        _ => None,
    };
    let claim = |name: &str| identity.and_then(|identity| scalar_text(identity.claims.get(name)?));
    let user_id: Option<Cow<'_, str>> = claim("user_id").or_else(|| claim("sub"));
    let user_type = claim("user_type");
    let key = ctx.gateway.audit().map(|audit| audit.key());
    then(&Record {
        time: Time(SystemTime::now()),
        event,
        outcome,
        status,
        reason: ctx.reason.filter(|_| outcome != Outcome::Intended),
        route: route.map(|route| &*route.name),
        method: shown(ctx.method()),
        action: route.and_then(|route| Some(route.audit.as_ref()?.action(ctx.method(), &route.action))),
        resource: ctx.audited.resource.as_ref().and_then(|resource| resource.0.as_deref()),
        user_id: user_id.as_deref(),
        user_type: user_type.as_deref(),
        session: key.zip(identity).map(|(key, identity)| key.session(&identity.token)),
        client: Some(ctx.facts.client),
        request_id: ctx.facts.request_id.as_str(),
        service: ctx.service.as_deref(),
        config: &ctx.table.hash,
    })
}

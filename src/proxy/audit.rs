//! What the audit log is told of an exchange.
//!
//! On a route whose audit is `required` it is written *before* the action that somebody is about to do it, and the request waits until
//! that is on the disk: a change never happens unrecorded, and nothing of a service's answer goes out unrecorded. What became of it is
//! written afterwards and not waited for. A change that has happened can't be taken back by a 503, which would only say that it had
//! not, and invite to try it again.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use hilum_filters::api::RequestId;
use http::{Method, StatusCode};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::Ctx;
use crate::actions::Action;
use crate::actions::session::Session;
use crate::identity::token::Told;
use crate::identity::{Caller, Identity, Mark};
use crate::refusal::Reason;
use crate::router::Head;
use crate::table::decide::{Match, claims_of};
use crate::table::{Route, Table};
use crate::telemetry::audit::{Audit, Event, Outcome, Record, Session as Tag, Unwritten};
use crate::telemetry::{Time, shown};
use crate::template::{Filling, Missing};

/// How long a request waits for its record; a disk that takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(2);

/// What is known for the audit log while an exchange goes on.
#[derive(Default)]
pub(super) struct Audited {
    /// What it is about, by the name that the file gives it, or why that can't be told; `None`: it is not recorded as an access.
    resource: Option<Result<String, Missing>>,
    /// What its records have in common, which no client chooses. 0: none was given yet.
    exchange: u64,
    /// It was recorded that it is about to be done.
    is_intended: bool,
    /// Why somebody may not.
    denied: Option<&'static str>,
    /// Who has signed in by it.
    pub(super) signed_in: Option<Arc<Identity>>,
}

/// Notes what a request is about, once its caller is known.
pub(super) fn note(ctx: &mut Ctx, found: &Match<'_, '_>, head: &Head<'_>) {
    let Some(audit) = &found.route.audit else { return };
    let filling = Filling { params: &found.values, query: head.query, claims: claims_of(&ctx.caller) };
    let mut name = String::with_capacity(48);
    let filled = audit.resource.fill(&filling, &mut name);
    ctx.audited.resource = Some(filled.map(|()| name));
}

/// Notes that somebody may not. A refusal that the file turns into a redirect is one all the same.
pub(super) fn note_refusal(ctx: &mut Ctx, reason: &'static str, status: StatusCode) {
    let denies = |status: StatusCode| {
        [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN, StatusCode::TOO_MANY_REQUESTS].contains(&status)
    };
    ctx.audited.denied = (denies(status) || status_of(reason).is_some_and(denies)).then_some(reason);
}

/// The status of a reason of our own. A filter that gives the same name means the same.
fn status_of(reason: &str) -> Option<StatusCode> {
    Reason::all().find(|of| of.name() == reason).map(Reason::status)
}

/// Where the route's audit is required: records that this is about to be done.
///
/// # Errors
/// It can't be recorded, or not what it is about, so it must not be done.
pub(super) async fn intend(ctx: &mut Ctx) -> Result<(), Reason> {
    let Some(audit) = ctx.gateway.audit().cloned() else { return Ok(()) };
    let is_required = ctx.route.as_ref().is_some_and(|r| r.audit.as_ref().is_some_and(|a| a.required));
    match &ctx.audited.resource {
        Some(Err(missing)) if is_required => return Err((*missing).into()),
        Some(_) if is_required => {}
        _ => return Ok(()),
    }
    ctx.audited.exchange = audit.exchange();
    let written = record(ctx, event(ctx), Outcome::Intended, None, |record| audit.written(record));
    ctx.audited.is_intended = is_written(written, ctx.call_deadline()).await;
    if ctx.audited.is_intended { Ok(()) } else { Err(Reason::AuditUnavailable) }
}

/// Whether the record is on the disk in time. Where there is no writer any more the answer is no, and comes at once.
async fn is_written(written: oneshot::Receiver<Result<(), Unwritten>>, deadline: Instant) -> bool {
    let until = deadline.min(Instant::now() + PATIENCE);
    matches!(tokio::time::timeout_at(until, written).await, Ok(Ok(Ok(()))))
}

/// Records an exchange that is over.
pub(super) fn tell(ctx: &Ctx, status: u16) {
    let Some(audit) = ctx.gateway.audit() else { return };
    let event = event(ctx);
    let outcome = match ctx.audited.denied {
        Some(_) => Outcome::Refused,
        None => outcome(status, ctx.reason),
    };
    if event == Event::SignOut && outcome == Outcome::Success && identity(ctx).is_none() {
        // Nobody has left, and whoever is nobody could have as many records as he likes.
        return;
    }
    if let Some(reason) = ctx.audited.denied
        && event != Event::SignIn
        && !ctx.audited.is_intended
    {
        let route = ctx.route.as_ref().map(|route| &route.name);
        let session = identity(ctx).map(|identity| Tag(mark(audit, identity).session));
        if audit.denied(ctx.facts.client, session, route, reason) {
            record(ctx, Event::Denied, outcome, Some(status), |record| audit.write(record));
        }
    } else if event != Event::Access || ctx.audited.resource.is_some() {
        record(ctx, event, outcome, Some(status), |record| audit.write(record));
    }
}

/// How it went. A good status says it only where nothing went wrong besides: an answer that was cut off had a good one, and the file
/// can give one to any failure.
fn outcome(status: u16, reason: Option<&str>) -> Outcome {
    match (Outcome::of(status), reason) {
        (Outcome::Success, Some(reason)) => match status_of(reason).is_some_and(|status| status.is_server_error()) {
            true => Outcome::Failed,
            false => Outcome::Unknown,
        },
        (outcome, _) => outcome,
    }
}

/// What is recorded when the session of a caller has its next token: once, by whoever had it made, whether anybody still waits for it
/// or not. `None`: there is no audit log.
pub(super) fn of_refresh(ctx: &Ctx) -> Option<Told> {
    let refresh = Refresh {
        audit: ctx.gateway.audit()?.clone(),
        table: ctx.table.clone(),
        route: ctx.route.clone()?,
        method: ctx.method().clone(),
        client: ctx.facts.client,
        request_id: ctx.facts.request_id,
    };
    Some(Box::new(move |old, new| refresh.tell(old, new)))
}

/// What a record of a refresh needs of the exchange by which it was begun, and which may be over by then.
struct Refresh {
    audit: Arc<Audit>,
    table: Arc<Table>,
    route: Arc<Route>,
    method: Method,
    client: IpAddr,
    request_id: RequestId,
}

impl Refresh {
    fn tell(&self, old: &Identity, new: &Identity) {
        let [who, new] = [old, new].map(|identity| mark(&self.audit, identity));
        self.audit.write(&Record {
            time: Time(SystemTime::now()),
            event: Event::Refresh,
            outcome: Outcome::Success,
            status: None,
            reason: None,
            route: Some(&self.route.name),
            method: shown(&self.method),
            action: None,
            resource: None,
            user_id: who.user_id.as_deref(),
            user_type: who.user_type.as_deref(),
            session: Some(Tag(who.session)),
            new_session: Some(Tag(new.session)),
            client: Some(self.client),
            request_id: self.request_id.as_str(),
            exchange: self.audit.exchange(),
            service: None,
            config: &self.table.hash,
        });
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

/// Who is asking, or has just signed in.
fn identity(ctx: &Ctx) -> Option<&Arc<Identity>> {
    match (&ctx.audited.signed_in, &ctx.caller) {
        (Some(identity), _) | (None, Caller::Known { identity, .. }) => Some(identity),
        _ => None,
    }
}

/// What the records say of somebody. For it a token of some hundred bytes is hashed, so it is not made again for each of its requests.
fn mark<'i>(audit: &Audit, identity: &'i Identity) -> &'i Mark {
    identity.mark(|token| audit.key().session(token).0)
}

/// Makes the record of an exchange as it is now. Borrowed from end to end: nothing is copied but into the line itself.
fn record<R>(ctx: &Ctx, event: Event, outcome: Outcome, status: Option<u16>, then: impl FnOnce(&Record<'_>) -> R) -> R {
    let route = ctx.route.as_deref();
    let audit = ctx.gateway.audit();
    let who = audit.zip(identity(ctx)).map(|(audit, identity)| mark(audit, identity));
    then(&Record {
        time: Time(SystemTime::now()),
        event,
        outcome,
        status,
        reason: ctx.reason.filter(|_| outcome != Outcome::Intended),
        route: route.map(|route| &*route.name),
        method: shown(ctx.method()),
        action: route.and_then(|route| Some(route.audit.as_ref()?.action(ctx.method(), &route.action))),
        resource: ctx.audited.resource.as_ref().and_then(|resource| resource.as_deref().ok()),
        user_id: who.and_then(|who| who.user_id.as_deref()),
        user_type: who.and_then(|who| who.user_type.as_deref()),
        session: who.map(|who| Tag(who.session)),
        new_session: None,
        client: Some(ctx.facts.client),
        request_id: ctx.facts.request_id.as_str(),
        exchange: match (ctx.audited.exchange, audit) {
            (0, Some(audit)) => audit.exchange(),
            (exchange, _) => exchange,
        },
        service: ctx.service.as_deref(),
        config: &ctx.table.hash,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_failed_is_no_success_whatever_its_status() {
        let cases = [
            (200, None, Outcome::Success),
            (302, None, Outcome::Success),
            (200, Some("peer_reset"), Outcome::Failed),
            (200, Some("client_gone"), Outcome::Unknown),
            (200, Some("client_too_slow"), Outcome::Unknown),
            (200, Some("a filter's own"), Outcome::Unknown),
            (404, Some("no_route"), Outcome::Refused),
            (503, Some("overloaded"), Outcome::Failed),
            (0, Some("client_gone"), Outcome::Unknown),
        ];
        for (status, reason, expected) in cases {
            assert_eq!(outcome(status, reason), expected, "{status} {reason:?}");
        }
    }

    #[test]
    fn a_reason_is_known_by_its_name_wherever_it_lies() {
        let copy = String::from("not_owner");
        assert_eq!(status_of(&copy), Some(StatusCode::FORBIDDEN));
        assert_eq!(status_of("a filter's own"), None);
    }

    #[tokio::test]
    async fn a_disk_that_hangs_is_not_waited_for_as_long_as_a_request_may_take() {
        let begun = Instant::now();
        let (hangs, written) = oneshot::channel();
        assert!(!is_written(written, begun + Duration::from_secs(300)).await);
        assert!((PATIENCE..PATIENCE * 10).contains(&begun.elapsed()), "{:?}", begun.elapsed());
        drop(hangs);
        // And where nobody writes any more, or the request has no time left, not at all.
        let begun = Instant::now();
        let (gone, written) = oneshot::channel();
        drop(gone);
        assert!(!is_written(written, begun + Duration::from_secs(300)).await);
        let (_hangs, written) = oneshot::channel();
        assert!(!is_written(written, begun).await);
        assert!(begun.elapsed() < PATIENCE);
    }
}

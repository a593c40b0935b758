//! One request from its head to its answer: find, look at the caller, judge, filter, act.

use std::sync::Arc;

use bytes::Bytes;
use hilum_filters::api::{Chunk, Flow, Phase, Reply};
use http::{HeaderValue, Method, header};
use pingora_error::Result;
use pingora_http::RequestHeader;
use pingora_proxy::Session;

use super::failure::Failure;
use super::respond::{self, By};
use super::{Ctx, ask, audit, body, combine, forward, framing, front_door, guard, rates, tunnel};
use crate::actions::forward::{Forward, Onward};
use crate::actions::session::{Attempt, LOGIN_BODY, Session as SessionAction, hand_out, logout, show};
use crate::actions::{Action, Answer};
use crate::identity::Caller;
use crate::refusal::{Reason, Refusal};
use crate::services::{Asking, Attempts, Call, CallError, call};
use crate::table::Route;
use crate::table::decide::{self, Match, Verdict};
use crate::template::{Body, Filling, Scope, decoded};

/// What is done with a request after everything was decided.
enum Decided {
    /// A filter answered.
    Reply(Box<Reply>),
    Do(Verdict),
}

/// Answers the request, or says that Pingora shall go on with it to the peer of `ctx.attempts`.
pub(super) async fn request(session: &mut Session, ctx: &mut Ctx) -> Result<bool> {
    if !session.is_http2() {
        let head = session.as_downstream().to_h1_raw();
        if let Err(reason) = guard::body_follows(&head, framing::of(&head)) {
            // What follows may be the body or the next request: nobody reads on.
            session.set_keepalive(None);
            return respond::refuse(session, ctx, reason.into(), By::Engine).await.map(|()| true);
        }
    }
    let admitted = front_door::admit(session.req_header_mut()).map_err(Refusal::from);
    if let Err(refusal) = admitted.and_then(|()| front_door::check_connection(&session.req_header().headers)) {
        return respond::refuse(session, ctx, refusal, By::Engine).await.map(|()| true);
    }
    if let Some(answer) = ctx.entrance.clone().elsewhere(session.req_header()) {
        return match answer {
            Ok(answer) => respond::send(session, ctx, answer, By::Engine).await.map(|()| true),
            Err(reason) => respond::refuse(session, ctx, reason.into(), By::Engine).await.map(|()| true),
        };
    }
    let decided = match decide(session.req_header(), ctx).await {
        Ok(decided) => decided?,
        Err(refusal) => return respond::refuse(session, ctx, refusal, By::Engine).await.map(|()| true),
    };
    let verdict = match decided {
        Decided::Do(verdict) => verdict,
        Decided::Reply(reply) => return by_filter(session, ctx, *reply).await.map(|()| true),
    };
    let route = ctx.route.clone().expect("a verdict is about a route");
    if let Err(reason) = audit::intend(ctx).await {
        return respond::refuse(session, ctx, reason.into(), By::Engine).await.map(|()| true);
    }
    if let (Action::Forward(forward), Verdict::Forward(onward)) = (&route.action, &verdict)
        && !route.is_buffered()
    {
        rates::settle(ctx).await;
        if body::announced(session).is_some_and(|length| length > route.limits.body) {
            return respond::refuse(session, ctx, Reason::BodyTooLarge.into(), By::Engine).await.map(|()| true);
        }
        if session.is_http2() && body::announced(session) == Some(0) {
            // For Pingora it ends here. More may come all the same, and then it is no request (RFC 9113, 8.1.1).
            if let Err(refusal) = body::read(session, ctx, 0).await {
                return respond::refuse(session, ctx, refusal, By::Engine).await.map(|()| true);
            }
        }
        let asking = Asking {
            key: onward.key,
            priority: route.priority,
            is_idempotent: forward.method.as_ref().unwrap_or(&session.req_header().method).is_idempotent(),
            deadline: ctx.deadline,
            is_complete: session.as_downstream_mut().is_body_done(),
        };
        match Attempts::begin(&forward.pool, asking).await {
            Ok(attempts) => ctx.attempts = Some(attempts),
            Err(why) => {
                return respond::refuse(session, ctx, Reason::from(why).into(), By::Engine).await.map(|()| true);
            }
        }
        ctx.service = Some(forward.pool.name().clone());
        let Verdict::Forward(onward) = verdict else { unreachable!("it was one a line ago") };
        ctx.onward = onward;
        if tunnel::is_asked_for(session) {
            return tunnel::run(session, ctx, forward).await.map(|()| true);
        }
        // Any other upgrade is not for Hilum to give: the request goes on as an ordinary one (RFC 9110, 7.8).
        session.req_header_mut().remove_header(&header::UPGRADE);
        return Ok(false);
    }
    match act(session, ctx, &route, verdict).await {
        Ok(answer) => respond::send(session, ctx, answer, By::Engine).await?,
        Err(refusal) => respond::refuse(session, ctx, refusal, By::Engine).await?,
    }
    Ok(true)
}

/// Find, the slots before the caller, the caller, judge, the route's filters. Reads the head alone.
async fn decide(head: &RequestHeader, ctx: &mut Ctx) -> Result<Result<Decided>, Refusal> {
    let table = ctx.table.clone();
    let seen = front_door::head_of(head);
    let found = decide::find(&table, &seen)?;
    let route = found.route.clone();
    enter(ctx, head, &route);
    let chain = &route.chain;
    let mut depth = ctx.depth;
    let flow = chain.request(0..route.slots, head, &mut ctx.facts, &mut ctx.states, &mut depth).await;
    ctx.depth = depth;
    match flow {
        Ok(Flow::Continue) => {}
        Ok(Flow::Reply(reply)) => return Ok(Ok(Decided::Reply(reply))),
        Err(e) => return Ok(Err(e)),
    }
    if found.preflight {
        // A `cors` slot answers every preflight; without it the method that was asked is not this one.
        return Err(Reason::MethodNotAllowed.into());
    }
    rates::before_the_caller(ctx, &route, &head.headers).await?;
    ctx.caller = caller(&route, head, ctx).await;
    audit::note(ctx, &found, &seen);
    rates::of_the_caller(ctx, &route).await?;
    if let Caller::Known { identity, .. } = &ctx.caller {
        ctx.facts.claims = Some(identity.claims.clone());
    }
    let verdict = match ask::judge(&found, &seen, head, ctx).await {
        Verdict::Refuse(refusal) => return Err(refusal),
        verdict => verdict,
    };
    note_params(ctx, &found);
    // A sign-in or a sign-out decides about the cookie itself.
    if !matches!(route.action, Action::Session(SessionAction::Login(_) | SessionAction::Logout(_))) {
        let told = || audit::of_refresh(ctx);
        ctx.refreshing = route.token.as_ref().and_then(|token| token.refresh(&ctx.caller, ctx.now, told));
    }
    let flow = chain.request(route.slots..chain.len(), head, &mut ctx.facts, &mut ctx.states, &mut depth).await;
    ctx.depth = depth;
    Ok(match flow {
        Ok(Flow::Continue) => Ok(Decided::Do(verdict)),
        Ok(Flow::Reply(reply)) => Ok(Decided::Reply(reply)),
        Err(e) => Err(e),
    })
}

/// From here on the route's names, limits and filters hold.
fn enter(ctx: &mut Ctx, head: &RequestHeader, route: &Arc<Route>) {
    ctx.facts.route = route.name.clone();
    ctx.states = route.chain.states();
    ctx.deadline = route.limits.time.map(|time| ctx.facts.started + time);
    guard::deadline(ctx.deadline);
    ctx.head = route.chain.takes_part(Phase::Log).then(|| Box::new(head.clone()));
    ctx.route = Some(route.clone());
}

async fn caller(route: &Route, head: &RequestHeader, ctx: &Ctx) -> Caller {
    let Some(token) = &route.token else { return Caller::Missing };
    match token.identify_now(&head.headers, ctx.now) {
        Some(caller) => caller,
        None => token.identify(&head.headers, ctx.now).await,
    }
}

/// Parameters by name are only for templates of JSON; the others took them by place.
fn note_params(ctx: &mut Ctx, found: &Match<'_, '_>) {
    let route = found.route;
    if route.is_buffered() || !matches!(route.action, Action::Forward(_) | Action::Files(_) | Action::Redirect(_)) {
        let named = route.params.iter().zip(&found.values).filter(|(name, _)| !name.is_empty());
        ctx.params = named.map(|(name, value)| (name.to_string(), decoded(value).into_owned())).collect();
        ctx.values = found.values.iter().map(|v| Box::from(*v)).collect();
    }
}

/// A filter's answer: a refusal looks as the route says, anything else as the filter made it.
async fn by_filter(session: &mut Session, ctx: &mut Ctx, reply: Reply) -> Result<()> {
    let refuses = !reply.reason.is_empty();
    let Some(body) = reply.body.or_else(|| (!refuses).then(Bytes::new)) else {
        let mut refusal = Refusal::by_filter(reply.status, reply.reason);
        refusal.headers.extend(reply.headers);
        return respond::refuse(session, ctx, refusal, By::Filter).await;
    };
    let mut answer = Answer::new(reply.status);
    answer.headers.extend(reply.headers);
    if refuses {
        ctx.reason = Some(reply.reason);
        audit::note_refusal(ctx, reply.reason, reply.status);
        ctx.gateway.metrics().rejected(reply.reason);
        answer.headers.insert("x-hilum-reason", HeaderValue::from_static(reply.reason));
    }
    answer.content = crate::actions::Content::Bytes(body);
    respond::send(session, ctx, answer, By::Filter).await
}

/// Everything that Hilum answers itself.
async fn act(session: &mut Session, ctx: &mut Ctx, route: &Route, verdict: Verdict) -> Result<Answer, Refusal> {
    match (&route.action, verdict) {
        (_, Verdict::Refuse(refusal)) => Err(refusal),
        (_, Verdict::Redirect { status, to }) => {
            let mut answer = Answer::new(status);
            answer.headers.insert(header::LOCATION, to);
            Ok(answer)
        }
        (Action::Files(_), Verdict::Files(rest)) => files(session.req_header(), ctx, rest).await,
        (Action::Forward(forward), Verdict::Forward(onward)) => buffered(session, ctx, route, forward, onward).await,
        (Action::Respond(respond), _) => {
            let (body, scope) = match route.reads_body() {
                true => good_body(session, ctx, route, route.limits.body).await?,
                false => (Bytes::new(), scope(session.req_header(), ctx)),
            };
            let scope = Arc::new(scope);
            let answer = respond.answer(&scope)?;
            if let Some(record) = &respond.record {
                let line = record.line(&session.req_header().headers, &body, &scope)?;
                // Too late is as good as not at all: the client is told that there may be no record.
                let recorded = tokio::time::timeout_at(ctx.call_deadline(), record.append(&line)).await;
                recorded.unwrap_or(Err(Reason::RecordUnavailable))?;
            }
            Ok(answer)
        }
        (Action::Page(page), _) => {
            let scope = scope(session.req_header(), ctx);
            Ok(page.answer(&Arc::new(scope))?)
        }
        (Action::Health(health), _) => {
            let scope = scope(session.req_header(), ctx);
            shape(route, health.answer(), scope)
        }
        (Action::Combine(parts), Verdict::Combine(targets)) => {
            let scope = || scope(session.req_header(), ctx);
            let (for_json, for_reply) = (scope(), scope());
            // Boxed, since most requests combine nothing and should not carry the room for it.
            let answer =
                Box::pin(combine::answer(session.req_header(), ctx, route, (parts, &targets), for_json)).await?;
            shape(route, answer, for_reply)
        }
        (Action::Session(action), _) => {
            let (answer, scope) = session_answer(session, ctx, route, action).await?;
            shape(route, answer, scope)
        }
        (action, verdict) => unreachable!("judge gives {} no {verdict:?}", action.name()),
    }
}

async fn files(head: &RequestHeader, ctx: &Ctx, rest: String) -> Result<Answer, Refusal> {
    let route = ctx.route.clone().expect("files are a route's");
    let (method, headers) = (head.method.clone(), head.headers.clone());
    let answer = tokio::task::spawn_blocking(move || match &route.action {
        Action::Files(files) => files.answer(&rest, &method, &headers),
        _ => Err(Reason::Internal.into()),
    });
    answer.await.unwrap_or_else(|_| Err(Reason::Internal.into()))
}

/// Read whole, asked whole, shaped whole: a bad body is refused before a peer is chosen, a bad answer becomes our own 502.
async fn buffered(
    session: &mut Session,
    ctx: &mut Ctx,
    route: &Route,
    forward: &Forward,
    onward: Onward,
) -> Result<Answer, Refusal> {
    ctx.onward = onward;
    let mut head = own_head(session.req_header(), ctx)?;
    aim(&mut head, forward, &ctx.onward)?;
    if head.method == Method::HEAD {
        head.set_method(Method::GET);
    }
    let (sent, scope) = good_body(session, ctx, route, route.limits.body).await?;
    let scope = Arc::new(scope);
    let body = forward.fill_body(&session.req_header().headers, sent, &scope)?;
    if forward.body.is_some() {
        forward::replace_body(&mut head);
    }
    let question = Call { head, body, reply_limit: route.limits.reply, priority: route.priority };
    ctx.service = Some(forward.pool.name().clone());
    let answer = call(&forward.pool, ctx.onward.key, &question, ctx.call_deadline()).await;
    ctx.called = called(&answer);
    let answer = answer.map_err(Reason::from)?;
    let mut headers = answer.headers;
    for name in [header::ETAG, header::LAST_MODIFIED, header::CONTENT_LENGTH, header::ACCEPT_RANGES] {
        headers.remove(name);
    }
    forward::clean(ctx, &mut headers);
    let answer = Answer { status: answer.status, headers, content: crate::actions::Content::Bytes(answer.body) };
    shape(route, answer, Arc::unwrap_or_clone(scope))
}

/// Who was asked, and how often.
pub(super) fn called(answer: &Result<crate::services::Answer, CallError>) -> Option<(std::net::SocketAddr, u32)> {
    match answer {
        Ok(answer) => Some((answer.peer, answer.attempts)),
        Err(failed) => Some((failed.peer()?, failed.attempts())),
    }
}

/// The head of a request of our own, filters included.
pub(super) fn own_head(client: &RequestHeader, ctx: &mut Ctx) -> Result<RequestHeader, Reason> {
    let mut head = forward::own_head(client);
    let written = forward::to_service(ctx, client, &mut head);
    written.map_err(|e| Failure::of(&e, ctx).reason().unwrap_or(Reason::Internal))?;
    Ok(head)
}

/// Path, query and method of a forward.
pub(super) fn aim(head: &mut RequestHeader, forward: &Forward, onward: &Onward) -> Result<(), Reason> {
    if let Some(target) = &onward.target {
        head.set_uri(target.parse().map_err(|_| Reason::PathRejected)?);
    }
    if let Some(method) = &forward.method {
        head.set_method(method.clone());
    }
    Ok(())
}

/// The whole body, after the filters that see bodies.
async fn read_body(session: &mut Session, ctx: &mut Ctx, route: &Route, limit: u64) -> Result<Bytes, Refusal> {
    let body = body::read(session, ctx, limit).await?;
    if !route.chain.takes_part(Phase::RequestBody) {
        return Ok(body);
    }
    let mut body = Some(body);
    let mut chunk = Chunk { bytes: &mut body, last: true };
    let seen = route.chain.request_body(ctx.depth, session.req_header(), &mut ctx.facts, &mut ctx.states, &mut chunk);
    seen.map_err(|e| Failure::of(&e, ctx).reason().unwrap_or(Reason::Internal))?;
    Ok(body.unwrap_or_default())
}

/// The whole body and what templates may read, after `validate` found nothing wrong with it and no rate by the body was used up.
async fn good_body(session: &mut Session, ctx: &mut Ctx, route: &Route, limit: u64) -> Result<(Bytes, Scope), Refusal> {
    let sent = read_body(session, ctx, route, limit).await?;
    let head = session.req_header();
    let mut scope = Scope { request_body: Some(Body::new(sent.clone())), ..scope(head, ctx) };
    if !route.validate.is_empty() {
        let shared = Arc::new(scope);
        route.validate.check(&head.headers, &sent, &shared)?;
        scope = Arc::unwrap_or_clone(shared);
    }
    rates::of_the_body(ctx, route, &session.req_header().method, &sent).await?;
    Ok((sent, scope))
}

async fn session_answer(
    session: &mut Session,
    ctx: &mut Ctx,
    route: &Route,
    action: &SessionAction,
) -> Result<(Answer, Scope), Refusal> {
    match action {
        SessionAction::Show(_) => {
            let answer = show(&ctx.caller)?;
            Ok((answer, scope(session.req_header(), ctx)))
        }
        SessionAction::HandOut(_) => {
            let (answer, token) = hand_out(&ctx.caller)?;
            Ok((answer, Scope { token: Some(token), ..scope(session.req_header(), ctx) }))
        }
        SessionAction::Logout(token) => {
            let scope = scope(session.req_header(), ctx);
            Ok((logout(token, &session.req_header().headers, ctx.facts.secure, ctx.now).await?, scope))
        }
        SessionAction::Login(login) => {
            // Whoever signs in is nobody yet, whatever token came along.
            ctx.caller = Caller::Missing;
            ctx.facts.claims = None;
            ctx.service = Some(login.service().clone());
            let head = own_head(session.req_header(), ctx)?;
            let (sent, scope) = good_body(session, ctx, route, route.limits.body.min(LOGIN_BODY)).await?;
            let client = session.req_header();
            let values: Vec<&str> = ctx.values.iter().map(|v| &**v).collect();
            let attempt = Attempt {
                head,
                client_headers: &client.headers,
                body: sent,
                filling: Filling { params: &values, query: client.uri.query(), claims: None },
                scope: scope.clone(),
                priority: route.priority,
                secure: ctx.facts.secure,
                reply_limit: route.limits.reply,
                deadline: ctx.call_deadline(),
            };
            let (answer, identity) = login.answer(attempt).await?;
            let claims = Some(identity.values.clone());
            ctx.audited.signed_in = Some(identity);
            let scope = Scope { claims, ..scope };
            Ok((answer, scope))
        }
    }
}

fn shape(route: &Route, answer: Answer, scope: Scope) -> Result<Answer, Refusal> {
    match &route.reply {
        Some(reply) => Ok(reply.shape(answer, scope)?),
        None => Ok(answer),
    }
}

fn scope(head: &RequestHeader, ctx: &Ctx) -> Scope {
    Scope {
        params: ctx.params.clone(),
        query: head.uri.query().map(Into::into),
        claims: match &ctx.caller {
            Caller::Known { identity, .. } => Some(identity.values.clone()),
            _ => None,
        },
        now: ctx.now.unix,
        ..Scope::default()
    }
}

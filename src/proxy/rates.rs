//! The slots in which a request is held against the route's limits, and what becomes of it there.

use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderValue, Method, header};

use super::Ctx;
use crate::identity::Caller;
use crate::rates::{Count, Key, Limit, Value};
use crate::refusal::{Reason, Refusal};
use crate::table::Route;

/// By client or header: before anything is asked about the caller.
pub(super) async fn before_the_caller(ctx: &mut Ctx, route: &Route, headers: &HeaderMap) -> Result<(), Refusal> {
    let client = ctx.facts.client;
    take(ctx, &route.rates.by_head, |key| match key {
        Key::Header(name) => Value::of_header(headers, name),
        _ => Value::of_client(client),
    })
    .await
}

/// By claim. Who is let in without a token has none, and shares the count of all who have none; whoever else proved nothing is
/// refused for that.
pub(super) async fn of_the_caller(ctx: &mut Ctx, route: &Route) -> Result<(), Refusal> {
    let identity = match &ctx.caller {
        Caller::Known { identity, .. } => Some(identity.clone()),
        Caller::Missing => None,
        _ => return Ok(()),
    };
    take(ctx, &route.rates.by_caller, |key| match (key, &identity) {
        (Key::Claim(path), Some(identity)) => Value::of_claim(&identity.claims, path),
        _ => Value::Absent,
    })
    .await
}

/// By a field of the body, now that it is here. A request that only reads has none, and leaves nothing out.
pub(super) async fn of_the_body(ctx: &mut Ctx, route: &Route, method: &Method, body: &[u8]) -> Result<(), Refusal> {
    if [Method::GET, Method::HEAD, Method::OPTIONS].contains(method) {
        return Ok(());
    }
    take(ctx, &route.rates.by_body, |key| match key {
        Key::Body(path) => Value::of_body(body, path),
        _ => Value::Absent,
    })
    .await
}

/// What counts failures was counted before it was known whether this is one, so that a hundred wrong passwords at the same time are
/// not each the first. Now it is known.
pub(super) async fn settle(ctx: &mut Ctx) {
    let failed = [Reason::LoginRefused, Reason::ClaimMismatch].map(|reason| Some(reason.name())).contains(&ctx.reason);
    // What one limit refuses was no request to the others.
    let limited = ctx.reason == Some(Reason::RateLimited.name());
    let now = Instant::now();
    for (taken, count) in std::mem::take(&mut ctx.taken) {
        if limited || (count == Count::Failures && !failed) {
            taken.give_back(now).await;
        }
    }
}

async fn take<'r>(ctx: &mut Ctx, limits: &[Limit], value: impl Fn(&Key) -> Value<'r>) -> Result<(), Refusal> {
    if limits.is_empty() {
        return Ok(());
    }
    // Not the time of the head: a body that comes late counts when it comes.
    let now = Instant::now();
    for limit in limits {
        let taken = limit.take(&value(&limit.key), now).await.map_err(refused)?;
        ctx.taken.push((taken, limit.count));
    }
    Ok(())
}

/// Whole seconds, rounded up: who comes back then is let in.
fn refused(wait: Duration) -> Refusal {
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    Refusal::from(Reason::RateLimited).with_header(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)))
}

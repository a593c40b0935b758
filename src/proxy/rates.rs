//! The slots in which a request is held against the route's limits, and what becomes of it there.

use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderValue, header};

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

/// By claim. Who proved nothing has none, and is refused for that.
pub(super) async fn of_the_caller(ctx: &mut Ctx, route: &Route) -> Result<(), Refusal> {
    let Caller::Known { identity, .. } = &ctx.caller else { return Ok(()) };
    let identity = identity.clone();
    take(ctx, &route.rates.by_caller, |key| match key {
        Key::Claim(path) => Value::of_claim(&identity.claims, path),
        _ => Value::Absent,
    })
    .await
}

/// By a field of the body, now that it is here.
pub(super) async fn of_the_body(ctx: &mut Ctx, route: &Route, body: &[u8]) -> Result<(), Refusal> {
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
    for taken in std::mem::take(&mut ctx.taken) {
        if !failed {
            taken.give_back().await;
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
        if limit.count == Count::Failures {
            ctx.taken.push(taken);
        }
    }
    Ok(())
}

/// Whole seconds, rounded up: who comes back then is let in.
fn refused(wait: Duration) -> Refusal {
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    Refusal::from(Reason::RateLimited).with_header(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)))
}

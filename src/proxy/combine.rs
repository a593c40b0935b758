//! Asks the parts of a `combine` side by side. One deadline holds for all of them; where a part fails that must not, the others are
//! given up at once.

use bytes::Bytes;
use futures_util::future::try_join_all;
use http::{HeaderValue, header};
use pingora_http::RequestHeader;
use tokio::time::Instant;

use super::Ctx;
use super::act::{called, own_head};
use crate::actions::Answer;
use crate::actions::combine::{Combine, Heard, Part};
use crate::refusal::{Reason, Refusal};
use crate::services::{Call, call};
use crate::table::Route;
use crate::template::{Body, Scope};

/// The answer of all parts together; `targets` are their paths and queries, in order.
pub(super) async fn answer(
    client: &RequestHeader,
    ctx: &mut Ctx,
    route: &Route,
    (combine, targets): (&Combine, &[String]),
    scope: Scope,
) -> Result<Answer, Refusal> {
    let head = head_of(client, ctx)?;
    let deadline = ctx.call_deadline().min(Instant::now() + combine.time);
    let asked = combine.parts.iter().zip(targets).map(async |(part, target)| {
        let mut head = head.clone();
        head.set_method(part.method.clone());
        head.set_uri(target.parse().map_err(|_| (part, Heard::failed(Reason::PathRejected)))?);
        let question = Call { head, body: Bytes::new(), reply_limit: route.limits.reply, priority: route.priority };
        let heard = Box::pin(ask(part, &question, deadline)).await;
        if let Err(reason) = heard.body {
            // Told to an operator who looks for it: in an outage it would be a line for every request.
            log::debug!("route={} part={} failed: {}", route.name, part.name, reason.name());
        }
        // An error here ends the others.
        if heard.body.is_err() && part.is_required() { Err((part, heard)) } else { Ok((part, heard)) }
    });
    let heard = match try_join_all(asked).await {
        Ok(heard) => heard,
        Err((part, heard)) => {
            note(ctx, part, &heard);
            return Err(heard.body.err().unwrap_or(Reason::PartFailed).into());
        }
    };
    if let Some((part, heard)) = heard.iter().find(|(_, heard)| heard.body.is_err()) {
        note(ctx, part, heard);
    }
    let heard: Vec<Heard> = heard.into_iter().map(|(_, heard)| heard).collect();
    Ok(combine.answer(&heard, scope)?)
}

async fn ask(part: &Part, question: &Call, deadline: Instant) -> Heard {
    let answer = call(&part.pool, None, question, deadline).await;
    let called = called(&answer);
    match answer {
        Ok(answer) => {
            Heard { status: Some(answer.status), body: part.read(answer.status, Body::new(answer.body)), called }
        }
        Err(failed) => Heard { status: None, body: Err(failed.into()), called },
    }
}

/// The access log says who failed.
fn note(ctx: &mut Ctx, part: &Part, heard: &Heard) {
    ctx.service = Some(part.pool.name().clone());
    ctx.called = heard.called;
}

/// A head of our own for every part, filters included. It asks for JSON, and it has no body that anything of the client's could be about.
fn head_of(client: &RequestHeader, ctx: &mut Ctx) -> Result<RequestHeader, Reason> {
    let mut head = own_head(client, ctx)?;
    for name in [header::CONTENT_TYPE, header::CONTENT_ENCODING, header::CONTENT_LANGUAGE, header::CONTENT_LOCATION] {
        head.remove_header(&name);
    }
    let json = HeaderValue::from_static("application/json");
    head.insert_header(header::ACCEPT, json).map_err(|_| Reason::Internal)?;
    Ok(head)
}

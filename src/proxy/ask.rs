//! Puts the questions without which it can't be decided, and has it judged again with their answers.

use std::time::Instant;

use bytes::Bytes;
use http::{HeaderValue, Method, header};
use pingora_http::RequestHeader;

use super::act::called;
use super::{Ctx, forward};
use crate::identity::Caller;
use crate::refusal::Reason;
use crate::router::Head;
use crate::services::{Call, call};
use crate::table::ask::{Answers, Question, Said};
use crate::table::decide::{self, Facts, Match, Verdict};
use crate::template::Body;

/// The verdict about a request, all that must be asked for it asked, in order.
pub(super) async fn judge(found: &Match<'_, '_>, seen: &Head<'_>, head: &RequestHeader, ctx: &mut Ctx) -> Verdict {
    let mut answers = Answers::default();
    loop {
        let facts = Facts {
            caller: &ctx.caller,
            host: forward::asked_host(ctx, head),
            secure: ctx.facts.secure,
            now: ctx.now.unix,
            answers: &answers,
        };
        match decide::judge(found, seen, &facts) {
            Verdict::Ask(question) => {
                // Boxed, since most requests ask nothing and should not carry the room for it.
                let said = Box::pin(ask(&question, head, ctx)).await;
                answers.note(question.ask, said);
            }
            verdict => {
                if !matches!(&verdict, Verdict::Refuse(refusal) if refusal.reason == Reason::AskFailed.name()) {
                    (ctx.service, ctx.called) = (None, None);
                }
                return verdict;
            }
        }
    }
}

/// What the service says, or has said to the same question not long ago.
async fn ask(question: &Question, client: &RequestHeader, ctx: &mut Ctx) -> Said {
    let ask = &question.ask;
    let caller = match &ctx.caller {
        Caller::Known { identity, .. } => Some(identity.token.clone()),
        _ => None,
    };
    let key = (caller, question.target.clone());
    let asked = Instant::now();
    if let Some(said) = ask.recall(&key, asked) {
        return said;
    }
    let Some(head) = head_of(question, client, ctx) else { return Said::Failed };
    let (limit, priority) = ctx.route.as_ref().map(|r| (r.limits.reply, r.priority)).unwrap_or_default();
    let question = Call { head, body: Bytes::new(), reply_limit: limit, priority };
    let answer = call(&ask.pool, None, &question, ctx.call_deadline()).await;
    let (said, size) = match &answer {
        Ok(answer) => (ask.read(answer.status, &Body::new(answer.body.clone())), answer.body.len()),
        Err(_) => (Said::Failed, 0),
    };
    if matches!(said, Said::Failed) {
        // Told where the request ends here: the access log then says who did not answer.
        ctx.service = Some(ask.pool.name().clone());
        ctx.called = called(&answer);
    }
    ask.keep(key, &said, size, asked);
    said
}

/// A request in the caller's name with nothing of the client's own: it decides what the caller may, and is kept for the caller.
fn head_of(question: &Question, client: &RequestHeader, ctx: &Ctx) -> Option<RequestHeader> {
    let mut head = RequestHeader::build(Method::GET, question.target.as_bytes(), None).ok()?;
    for (name, value) in [(header::ACCEPT, "application/json"), (header::ACCEPT_ENCODING, "identity")] {
        head.insert_header(name, HeaderValue::from_static(value)).ok()?;
    }
    forward::speak(ctx, client, &mut head);
    Some(head)
}

//! Whether an attempt of a streamed forward is followed by another one, as Pingora's hooks ask it. The rules are the service's
//! ([`Attempts`](crate::services::Attempts)); here is what only the session knows: what has come of the body, and what has gone out.

use hilum_filters::api::Phase;
use pingora_error::{Error, ErrorSource, ErrorType};
use pingora_http::ResponseHeader;
use pingora_proxy::Session;

use super::failure::Failure;
use super::{Ctx, guard};
use crate::services::{End, Fault, retry_after};

/// What ends an attempt whose answer is not passed on.
const AGAIN: ErrorType = ErrorType::Custom("another attempt");

pub(super) fn error() -> Box<Error> {
    Error::new(AGAIN)
}

/// Nothing of the request was sent.
pub(super) fn after_connecting(session: &Session, ctx: &mut Ctx, error: &Error) -> bool {
    let fault = Failure::of(error, ctx).fault().unwrap_or(Fault::Refused);
    is_open(session) && goes_on(session, ctx, End::Unsent(fault))
}

/// An answer has come; whether it is one that another attempt may do better than.
pub(super) fn after_answer(session: &Session, ctx: &mut Ctx, head: &ResponseHeader) -> bool {
    let is_wanted = ctx.attempts.as_ref().is_some_and(|attempts| attempts.is_wanted_again(head.status));
    is_wanted && is_open(session) && goes_on(session, ctx, End::Answered(head.status, retry_after(&head.headers)))
}

/// The exchange broke.
pub(super) fn after_sending(session: &Session, ctx: &mut Ctx, error: &Error, is_kept: bool) -> bool {
    if *error.etype() == AGAIN {
        return true;
    }
    // A client that left asks nothing any more.
    let (true, Some(fault)) = (*error.esource() == ErrorSource::Upstream, Failure::of(error, ctx).fault()) else {
        return false;
    };
    if !is_open(session) {
        return false;
    }
    // A kept connection that was closed already: the peer has most likely not seen the request.
    let is_stale = is_kept && Fault::of(error) == Fault::Reset && is_whole(session, ctx);
    is_stale && ctx.attempts.as_mut().is_some_and(crate::services::Attempts::renews)
        || goes_on(session, ctx, End::Broken(fault))
}

/// The client has seen nothing of an answer, and its time is not over.
fn is_open(session: &Session) -> bool {
    session.response_written().is_none() && guard::overdue().is_none()
}

fn goes_on(session: &Session, ctx: &mut Ctx, end: End) -> bool {
    let is_whole = is_whole(session, ctx);
    ctx.attempts.as_mut().is_some_and(|attempts| attempts.goes_on_after(end, is_whole))
}

/// All that has come of the body can be sent again. Pingora keeps the first 64 KiB of it; a filter that has seen some has counted it.
fn is_whole(session: &Session, ctx: &Ctx) -> bool {
    let reads_body = || ctx.route.as_ref().is_some_and(|route| route.chain.takes_part(Phase::RequestBody));
    !session.as_ref().retry_buffer_truncated() && (ctx.received == 0 || !reads_body())
}

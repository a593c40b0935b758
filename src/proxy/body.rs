//! The request's body where Hilum reads it itself, and what becomes of it when the answer comes first.

use std::time::Instant;

use bytes::{Bytes, BytesMut};
use http::header;
use pingora_error::ErrorType;
use pingora_proxy::Session;
use tokio::time::timeout_at;

use super::respond::{LINGER, linger_until};
use super::{Ctx, guard};
use crate::refusal::{Reason, Refusal};

/// A body up to this is read to its end, and the connection kept (design §7).
const SMALL: u64 = 64 * 1024;

/// Reads the whole body.
///
/// # Errors
/// Too large, too slow, cut off, or framed in a way that can't be read.
pub(super) async fn read(session: &mut Session, ctx: &mut Ctx, limit: u64) -> Result<Bytes, Refusal> {
    if announced(session).is_some_and(|length| length > limit) {
        return Err(Reason::BodyTooLarge.into());
    }
    if expects_continue(session)
        && session.req_header().version >= http::Version::HTTP_11
        && !session.as_downstream_mut().is_body_done()
    {
        // Pingora leaves this to whoever reads the body (RFC 9110, 10.1.1).
        session.as_downstream_mut().write_continue_response().await.map_err(|_| Reason::Malformed)?;
    }
    let mut body = BytesMut::new();
    let deadline = ctx.call_deadline();
    loop {
        let piece = match timeout_at(deadline, session.read_request_body()).await {
            Err(_) => return Err(Reason::ClientTooSlow.into()),
            Ok(Err(e)) if *e.etype() == ErrorType::ReadTimedout || guard::overdue().is_some() => {
                return Err(Reason::ClientTooSlow.into());
            }
            Ok(Err(_)) if guard::is_ill_framed() => return Err(Reason::FramingRejected.into()),
            Ok(Err(_)) => return Err(Reason::Malformed.into()),
            Ok(Ok(piece)) => piece,
        };
        let Some(piece) = piece else {
            guard::is_uploaded();
            return Ok(body.freeze());
        };
        if (body.len() + piece.len()) as u64 > limit {
            return Err(Reason::BodyTooLarge.into());
        }
        ctx.received += piece.len() as u64;
        guard::received(piece.len());
        body.extend_from_slice(&piece);
    }
}

/// The piece that completes the announced length waits for the end of the stream. Until then more may come, and the body be none
/// (RFC 9113, 8.1.1), while a service over HTTP/1 would have had a whole request. Over HTTP/1 the length is the end.
pub(super) fn hold_back(session: &Session, ctx: &mut Ctx, body: &mut Option<Bytes>, end: bool) {
    if !session.is_http2() {
    } else if end {
        let held = ctx.held.take();
        *body = body.take().filter(|last| !last.is_empty()).or(held);
    } else if body.as_ref().is_some_and(|piece| !piece.is_empty()) && Some(ctx.received) == announced(session) {
        ctx.held = body.take();
    }
}

/// The length that the client says its body has.
pub(super) fn announced(session: &Session) -> Option<u64> {
    session.req_header().headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

pub(super) fn expects_continue(session: &Session) -> bool {
    session.req_header().headers.get(header::EXPECT).is_some_and(|v| v.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

/// What is left of the body when the answer is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rest {
    Nothing,
    /// Pingora reads it to its end and keeps the connection.
    Small,
    /// Read for a while, so that the client is still there for the answer; then the connection is closed.
    Large,
}

/// Decides before the answer is written, since the answer says whether the connection stays.
pub(super) fn before_answer(session: &mut Session) -> Rest {
    if session.as_downstream_mut().is_body_done() {
        return Rest::Nothing;
    }
    match announced(session) {
        // A client that waits for `100 Continue` may never send the body once it has the answer.
        Some(length) if length <= SMALL && !expects_continue(session) => {
            session.as_downstream_mut().set_close_on_response_before_downstream_finish(false);
            session.as_downstream_mut().set_total_drain_timeout(Some(LINGER.0));
            Rest::Small
        }
        _ => Rest::Large,
    }
}

/// An early close would reset the connection, and the client might lose the answer with it.
pub(super) async fn after_answer(session: &mut Session, rest: Rest) {
    if rest != Rest::Large || expects_continue(session) {
        return;
    }
    let until: Instant = linger_until();
    let mut read = 0;
    while read < LINGER.1 {
        match timeout_at(until.into(), session.read_request_body()).await {
            Ok(Ok(Some(piece))) => read += piece.len() as u64,
            _ => return,
        }
    }
}

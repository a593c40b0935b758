//! Writes the answers that Hilum makes itself: they pass the response hooks, keep the connection, and know HEAD and 304.
//!
//! Pingora's own error writer always closes the connection, and its response hook is not called for what is written here.

use std::io::Read;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hilum_filters::api::{Chunk, Phase};
use http::{HeaderValue, Method, StatusCode, header};
use pingora_error::{ErrorType, OrErr, Result};
use pingora_http::ResponseHeader;
use pingora_proxy::Session;

use super::{Ctx, audit, body, forward, rates};
use crate::actions::{Answer, Content};
use crate::refusal::Refusal;

/// Which filters see an answer on its way back.
#[derive(Clone, Copy, Debug)]
pub(super) enum By {
    /// The engine made it: all filters of the route.
    Engine,
    /// A filter made it: those outside of it.
    Filter,
}

/// Refuses as the route, or the part of the file that owns the path, says.
pub(super) async fn refuse(session: &mut Session, ctx: &mut Ctx, mut refusal: Refusal, by: By) -> Result<()> {
    ctx.reason = Some(refusal.reason);
    audit::note_refusal(ctx, refusal.reason, refusal.status);
    ctx.gateway.metrics().rejected(refusal.reason);
    if refusal.clears_cookie
        && let Some(cookie) =
            ctx.route.as_ref().and_then(|r| r.token.as_ref()).and_then(|t| t.clear_cookie(ctx.facts.secure))
    {
        refusal.headers.push((header::SET_COOKIE, cookie));
    }
    let mut answer = if refusal.has(&header::LOCATION) {
        Answer::new(refusal.status)
    } else {
        let values = match &ctx.caller {
            crate::identity::Caller::Known { identity, .. } => Some(&identity.values),
            _ => None,
        };
        let errors = match &ctx.route {
            Some(route) => &route.errors,
            None => ctx.table.errors_at(session.req_header().uri.path()),
        };
        let page = errors.page(&refusal, values, &ctx.facts.request_id);
        if page.status == StatusCode::SERVICE_UNAVAILABLE && !refusal.has(&header::RETRY_AFTER) {
            // RFC 9110, 15.6.4: an outage is passing, and a client that comes back at once makes it longer.
            refusal.headers.push((header::RETRY_AFTER, HeaderValue::from_static("1")));
        }
        if page.status == StatusCode::UNAUTHORIZED {
            // RFC 9110, 11.6.1: a 401 says how to sign in.
            refusal.headers.push((header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")));
        }
        Answer::bytes(page.status, page.content_type, page.body)
    };
    answer.headers.extend(refusal.headers);
    answer.headers.insert("x-hilum-reason", HeaderValue::from_static(refusal.reason));
    send(session, ctx, answer, by).await
}

/// Writes an answer.
pub(super) async fn send(session: &mut Session, ctx: &mut Ctx, mut answer: Answer, by: By) -> Result<()> {
    // Before the client learns how it went: the next request already sees it.
    rates::settle(ctx).await;
    let content = std::mem::take(&mut answer.content);
    let mut head = ResponseHeader::build_no_case(answer.status, Some(answer.headers.len() + 6))?;
    for (name, value) in &answer.headers {
        head.append_header(name.clone(), value.clone())?;
    }
    ctx.settle().await;
    forward::to_client(ctx, &mut head)?;
    let passed = match by {
        By::Engine => u8::MAX,
        By::Filter => ctx.depth.passed,
    };
    let route = ctx.route.clone();
    let chain = route.as_ref().map(|r| &r.chain);
    if let Some(chain) = chain {
        chain.response(passed, session.req_header(), &mut ctx.facts, &mut ctx.states, &mut head)?;
    }
    let changes_body = chain.is_some_and(|chain| chain.takes_part(Phase::ResponseBody));
    let mut content = content;
    if changes_body && let Content::Bytes(bytes) = &mut content {
        let mut whole = Some(std::mem::take(bytes));
        let mut chunk = Chunk { bytes: &mut whole, last: true };
        if let Some(chain) = chain {
            chain.response_body(passed, session.req_header(), &mut ctx.facts, &mut ctx.states, &mut chunk)?;
        }
        *bytes = whole.unwrap_or_default();
    }
    let bodiless = head.status == StatusCode::NO_CONTENT || head.status == StatusCode::NOT_MODIFIED;
    let length = match &content {
        Content::None => Some(0),
        Content::Bytes(bytes) => Some(bytes.len() as u64),
        Content::File { len, .. } => (!changes_body).then_some(*len),
    };
    match length {
        _ if bodiless => {}
        Some(length) => head.insert_header(header::CONTENT_LENGTH, length)?,
        None => head.insert_header(header::TRANSFER_ENCODING, "chunked")?,
    }
    let rest = body::before_answer(session);
    if ctx.gateway.is_draining() {
        session.set_keepalive(None);
    }
    let no_body = bodiless || session.req_header().method == Method::HEAD || length == Some(0);
    ctx.written = head.status.as_u16();
    session.write_response_header(Box::new(head), no_body).await?;
    if !no_body {
        match content {
            Content::None => {}
            Content::Bytes(bytes) => session.write_response_body(Some(bytes), true).await?,
            Content::File { file, len } => send_file(session, ctx, file, len, passed).await?,
        }
    }
    body::after_answer(session, rest).await;
    Ok(())
}

/// In pieces, read on a thread that may wait for a disk.
async fn send_file(session: &mut Session, ctx: &mut Ctx, file: std::fs::File, len: u64, passed: u8) -> Result<()> {
    let mut file = file.take(len);
    let route = ctx.route.clone();
    let mut left = len;
    loop {
        let read = tokio::task::spawn_blocking(move || {
            let mut piece = Vec::with_capacity(64 * 1024);
            let read = file.by_ref().take(64 * 1024).read_to_end(&mut piece);
            read.map(|_| (file, piece))
        });
        let piece: Vec<u8>;
        (file, piece) = read
            .await
            .or_err(ErrorType::InternalError, "a file's reader")?
            .or_err(ErrorType::FileReadError, "reading a file")?;
        // A file that was cut while it was sent can't be told as a whole one: the connection ends short of its length.
        if piece.is_empty() && left > 0 {
            return pingora_error::Error::e_explain(
                ErrorType::FileReadError,
                "a file became shorter while it was sent",
            );
        }
        left -= piece.len() as u64;
        let mut piece = Some(Bytes::from(piece));
        if let Some(route) = &route {
            let mut chunk = Chunk { bytes: &mut piece, last: left == 0 };
            route.chain.response_body(passed, session.req_header(), &mut ctx.facts, &mut ctx.states, &mut chunk)?;
        }
        session.write_response_body(Some(piece.unwrap_or_default()), left == 0).await?;
        if left == 0 {
            return Ok(());
        }
    }
}

/// How long and how much is read of a request that is answered already, so that the client gets to see the answer.
pub(super) const LINGER: (Duration, u64) = (Duration::from_secs(2), 1024 * 1024);

/// Whether the time for lingering is over.
pub(super) fn linger_until() -> Instant {
    Instant::now() + LINGER.0
}

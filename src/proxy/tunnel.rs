//! WebSockets: the client's connection and the peer's, joined.

use http::{HeaderValue, Method, StatusCode, header};
use pingora_error::Result;
use pingora_proxy::Session;
use tokio::time::Instant;

use super::ctx::Asked;
use super::respond::{self, By};
use super::{Ctx, act, body, forward, guard};
use crate::actions::forward::Forward;
use crate::actions::{Answer, Content};
use crate::refusal::{Reason, Refusal};
use crate::services::{Fault, Upgrade, upgrade};

/// Whether the client asks for a WebSocket (RFC 6455, 4.1): nothing else is switched to.
pub(super) fn is_asked_for(session: &Session) -> bool {
    let head = session.req_header();
    let websocket = head.headers.get(header::UPGRADE).is_some_and(|v| v.as_bytes().eq_ignore_ascii_case(b"websocket"));
    websocket && session.is_upgrade_req() && head.method == Method::GET && body::announced(session).unwrap_or(0) == 0
}

/// Asks the peer in `ctx.asked` and joins both ends when it switches; any other answer of its is passed on.
pub(super) async fn run(session: &mut Session, ctx: &mut Ctx, forward: &Forward) -> Result<()> {
    match ask(session, ctx, forward).await {
        Err(reason) => respond::refuse(session, ctx, Refusal::from(reason), By::Engine).await,
        Ok(peer) if peer.is_done() => join(session, ctx, peer).await,
        Ok(peer) => match pass_on(ctx, peer).await {
            Ok(answer) => respond::send(session, ctx, answer, By::Engine).await,
            Err(reason) => respond::refuse(session, ctx, Refusal::from(reason), By::Engine).await,
        },
    }
}

async fn ask(session: &Session, ctx: &mut Ctx, forward: &Forward) -> Result<Upgrade, Reason> {
    let mut head = act::own_head(session.req_header(), ctx, forward.passes_cookies)?;
    act::aim(&mut head, forward, &ctx.onward)?;
    let Some(Asked { picked, response, since, .. }) = &ctx.asked else { return Err(Reason::Internal) };
    let authority = picked.peer.authority().clone();
    let fixed = [
        (header::HOST, authority),
        (header::CONNECTION, HeaderValue::from_static("Upgrade")),
        (header::UPGRADE, HeaderValue::from_static("websocket")),
    ];
    for (name, value) in fixed {
        head.insert_header(name, value).map_err(|_| Reason::Internal)?;
    }
    let due = ctx.deadline.into_iter().chain([std::time::Instant::now() + *response]).min().map(Instant::from);
    let (peer, since) = (picked.peer.clone(), *since);
    match upgrade(&forward.pool, &peer, head, due.unwrap_or_else(Instant::now)).await {
        Ok(answer) => {
            if let Some(asked) = &mut ctx.asked {
                asked.answered = Some((answer.head.status, since.elapsed()));
            }
            Ok(answer)
        }
        Err(fault) => {
            let fault = if ctx.is_late() { Fault::Deadline } else { fault };
            ctx.fault = Some(fault);
            Err(fault.into())
        }
    }
}

/// Bytes both ways until one side ends. Without a deadline of the route it lasts as long as both like.
async fn join(session: &mut Session, ctx: &mut Ctx, mut peer: Upgrade) -> Result<()> {
    guard::due_at(ctx.deadline);
    session.as_downstream_mut().set_read_timeout(None);
    let mut head = peer.head.clone();
    forward::from_service(&ctx.table, &mut head);
    forward::to_client(ctx, &mut head)?;
    ctx.written = StatusCode::SWITCHING_PROTOCOLS.as_u16();
    session.write_response_header(head, false).await?;
    loop {
        tokio::select! {
            read = peer.read() => match read {
                Ok(Some(bytes)) => session.write_response_body(Some(bytes), false).await?,
                Ok(None) => return session.write_response_body(None, true).await,
                Err(fault) => {
                    ctx.fault = Some(fault);
                    ctx.reason = Some(Reason::from(fault).name());
                    return session.write_response_body(None, true).await;
                }
            },
            read = session.read_request_body() => match read? {
                None => return Ok(()),
                Some(bytes) => if let Err(fault) = peer.write(&bytes).await {
                    ctx.fault = Some(fault);
                    ctx.reason = Some(Reason::from(fault).name());
                    return session.write_response_body(None, true).await;
                },
            },
        }
    }
}

/// The peer said no: its answer, whole.
async fn pass_on(ctx: &mut Ctx, mut peer: Upgrade) -> Result<Answer, Reason> {
    let limit = ctx.route.as_ref().map_or(0, |route| route.limits.reply);
    let mut body = bytes::BytesMut::new();
    let deadline = ctx.call_deadline();
    loop {
        let read = tokio::time::timeout_at(deadline, peer.read()).await.unwrap_or(Err(Fault::Deadline));
        match read {
            Ok(None) => break,
            Ok(Some(bytes)) if (body.len() + bytes.len()) as u64 <= limit => body.extend_from_slice(&bytes),
            Ok(Some(_)) => return Err(Reason::PeerGarbage),
            Err(fault) => {
                ctx.fault = Some(fault);
                return Err(fault.into());
            }
        }
    }
    let mut headers = peer.head.headers.clone();
    headers.remove(header::CONTENT_LENGTH);
    forward::clean(&ctx.table, &mut headers);
    Ok(Answer { status: peer.head.status, headers, content: Content::Bytes(body.freeze()) })
}

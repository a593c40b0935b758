//! WebSockets: the client's connection and the peer's, joined.

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use http::{HeaderValue, Method, StatusCode, header};
use pingora_error::Result;
use pingora_proxy::Session;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{sleep_until, timeout, timeout_at};

use super::respond::{self, By, LINGER};
use super::{Ctx, act, body, forward, guard};
use crate::actions::forward::Forward;
use crate::actions::{Answer, Content};
use crate::identity::{self, Caller, Refused};
use crate::refusal::{Reason, Refusal};
use crate::services::{ATTEMPTS, End, Fault, Upgrade, upgrade};

/// Whether the client asks for a WebSocket (RFC 6455, 4.1): nothing else is switched to.
pub(super) fn is_asked_for(session: &Session) -> bool {
    let head = session.req_header();
    let websocket = head.headers.get(header::UPGRADE).is_some_and(|v| v.as_bytes().eq_ignore_ascii_case(b"websocket"));
    websocket && session.is_upgrade_req() && head.method == Method::GET && body::announced(session).unwrap_or(0) == 0
}

/// Asks the peer of `ctx.attempts` and joins both ends when it switches; any other answer of its is passed on.
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
    let mut head = act::own_head(session.req_header(), ctx)?;
    act::aim(&mut head, forward, &ctx.onward)?;
    let fixed = [(header::CONNECTION, "Upgrade"), (header::UPGRADE, "websocket")];
    for (name, value) in fixed {
        head.insert_header(name, HeaderValue::from_static(value)).map_err(|_| Reason::Internal)?;
    }
    let response = forward.pool.options().timeouts.response;
    loop {
        let Some(attempts) = &mut ctx.attempts else { return Err(Reason::Internal) };
        let mut head = head.clone();
        head.insert_header(header::HOST, attempts.peer().authority().clone()).map_err(|_| Reason::Internal)?;
        if attempts.number() > 1 {
            head.insert_header(ATTEMPTS, attempts.number()).map_err(|_| Reason::Internal)?;
        }
        let (now, peer) = (std::time::Instant::now(), attempts.peer().clone());
        let due = ctx.deadline.map_or(now + response, |deadline| deadline.min(now + response));
        let failed = match upgrade(&forward.pool, &peer, head, due.into()).await {
            Ok(answer) => {
                attempts.answer(answer.head.status);
                return Ok(answer);
            }
            Err(failed) => failed,
        };
        if !attempts.goes_on_after(failed, true) {
            let fault = match failed {
                _ if ctx.is_late() => Fault::Deadline,
                End::Unsent(fault) | End::Broken(fault) => fault,
                End::Answered(..) => Fault::Garbage,
            };
            ctx.fault = Some(fault);
            return Err(fault.into());
        }
        attempts.pause().await;
    }
}

/// Bytes both ways until one side ends. Without a deadline of the route it lasts as long as both like.
async fn join(session: &mut Session, ctx: &mut Ctx, peer: Upgrade) -> Result<()> {
    guard::is_uploaded();
    // The head goes out as any other; from there on nobody but this function keeps time.
    guard::deadline(None);
    let mut head = peer.head.clone();
    forward::from_service(ctx, &mut head);
    forward::to_client(ctx, &mut head)?;
    ctx.written = StatusCode::SWITCHING_PROTOCOLS.as_u16();
    session.write_response_header(head, false).await?;
    let mut from_client = Vec::new();
    let lent = guard::lend(async || {
        while let Some(bytes) = session.read_request_body().await? {
            from_client.extend_from_slice(&bytes);
        }
        Ok(())
    });
    // HTTP/2 asks for tunnels in another way (RFC 8441), which is never offered.
    let Some(client) = lent.await? else { return Err(super::failure::error(Reason::Internal)) };
    let (from_peer, peer) = peer.into_stream().await;
    let (client, peer) = (tokio::io::split(client), tokio::io::split(peer));
    let (up, down, stall) = (AtomicU64::new(0), AtomicU64::new(0), guard::stall().unwrap_or(Duration::MAX));
    let ended = {
        let upward = pin!(carry(from_client, client.0, peer.1, &up, stall));
        let downward = pin!(carry(from_peer, peer.0, client.1, &down, stall));
        let both = async {
            // A side that has said its last word may still listen, but nobody waits for it for long.
            match select(upward, downward).await {
                Either::Left(rest) => drop(timeout(LINGER.0, rest).await),
                Either::Right(rest) => drop(timeout(LINGER.0, rest).await),
            }
        };
        let due = async {
            match ctx.deadline {
                Some(at) => sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = both => None,
            () = due => Some(Reason::Deadline),
            why = until_over(ctx) => Some(why.into()),
        }
    };
    if let Some(reason) = ended {
        ctx.reason = Some(reason.name());
    }
    ctx.received = up.into_inner();
    ctx.tunneled = down.into_inner();
    Ok(())
}

/// Comes when the token or the session is over with which a browser opened the tunnel. A program that sent its token in a header is
/// left alone, as what was begun with a good token may end.
async fn until_over(ctx: &Ctx) -> Refused {
    match (ctx.route.as_ref().and_then(|route| route.token.as_ref()), &ctx.caller) {
        (Some(token), Caller::Known { identity, by: identity::By::Cookie }) => token.until_over(identity).await,
        _ => std::future::pending().await,
    }
}

/// What goes on when one of two has ended: the other.
enum Either<A, B> {
    Left(B),
    Right(A),
}

async fn select<A: Future<Output = ()> + Unpin, B: Future<Output = ()> + Unpin>(mut a: A, mut b: B) -> Either<A, B> {
    tokio::select! {
        () = &mut a => Either::Left(b),
        () = &mut b => Either::Right(a),
    }
}

/// Carries bytes one way until they end or break. Each way has its own buffer and waits for nobody but its own two ends.
async fn carry(
    early: Vec<u8>,
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    count: &AtomicU64,
    stall: Duration,
) {
    let mut buffer = early;
    let mut len = buffer.len();
    loop {
        if len > 0 {
            let written = timeout(stall, async {
                to.write_all(&buffer[..len]).await?;
                to.flush().await
            });
            match written.await {
                Ok(Ok(())) => count.fetch_add(len as u64, Relaxed),
                // Broken, or not taken for so long that nobody listens any more.
                _ => return,
            };
        }
        if buffer.len() < BUFFER {
            buffer.resize(BUFFER, 0);
        }
        len = match from.read(&mut buffer).await {
            Ok(len) if len > 0 => len,
            _ => {
                // The other end learns that no more will come; that it has gone already is no matter.
                let _ = to.shutdown().await;
                return;
            }
        };
    }
}

/// Bytes of each way of a tunnel.
const BUFFER: usize = 16 * 1024;

/// The peer said no: its answer, whole.
async fn pass_on(ctx: &mut Ctx, mut peer: Upgrade) -> Result<Answer, Reason> {
    let limit = ctx.route.as_ref().map_or(0, |route| route.limits.reply);
    let mut body = bytes::BytesMut::new();
    let deadline = ctx.call_deadline();
    loop {
        let read = timeout_at(deadline, peer.read()).await.unwrap_or(Err(Fault::Deadline));
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
    forward::clean(ctx, &mut headers);
    Ok(Answer { status: peer.head.status, headers, content: Content::Bytes(body.freeze()) })
}

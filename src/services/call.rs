//! Requests of our own to a service: the same pools, health, deadline and metrics as those that are passed on.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::header::{CONNECTION, CONTENT_LENGTH, EXPECT, HOST, HeaderName, TE, TRAILER, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Version};
use log::debug;
use pingora_core::connectors::TransportConnector;
use pingora_core::protocols::Stream;
use pingora_core::protocols::http::v1::client::HttpSession;
use pingora_core::upstreams::peer::Peer as _;
use pingora_http::RequestHeader;
use tokio::time::{Instant, timeout_at};

use super::attempts::{ATTEMPTS, Asking, Attempts};
use super::fault::{CallError, Doing, Fault};
use super::gate::Priority;
use super::peer::Peer;
use super::pool::Pool;
use super::retry::{End, retry_after};

/// Fields of a head that belong to the connection (RFC 9110, 7.6.1) or to how a body is framed. The call frames its
/// own body and never waits for a `100`.
const NOT_OURS: [HeaderName; 9] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
    EXPECT,
    CONTENT_LENGTH,
];

/// What is asked.
#[derive(Debug, Clone)]
pub struct Call {
    /// Method, path with query, and the end-to-end fields. `Host`, `Content-Length` and what belongs to the
    /// connection are set by the call, whatever stands here.
    pub head: RequestHeader,
    /// Sent whole, with its length.
    pub body: Bytes,
    /// The most bytes that the body of the answer may have.
    pub reply_limit: u64,
    pub priority: Priority,
}

/// What came, complete.
#[derive(Debug, Clone)]
pub struct Answer {
    /// 200 to 599; interim answers are passed over.
    pub status: StatusCode,
    /// As they came, with those that belong to the connection and to the framing.
    pub headers: HeaderMap,
    /// Without its transfer coding; a content coding is still in it.
    pub body: Bytes,
    pub peer: std::net::SocketAddr,
    /// How many it took.
    pub attempts: u32,
}

/// Asks a peer of the service, and another one where the service's `retry` says so. `deadline` bounds all of it: waiting for a place,
/// connecting, sending and the whole answer, of all attempts.
///
/// There is one case of a second try within an attempt, on a fresh connection to the same peer: a kept connection turned out to be
/// closed before a head came back. The peer has then most likely closed it before it saw the request, but it may have
/// acted on it, so this needs an idempotent method (RFC 9110, 9.2.2), unless not even our head could be written.
pub async fn call(pool: &Arc<Pool>, key: Option<u64>, call: &Call, deadline: Instant) -> Result<Answer, CallError> {
    if Instant::now() >= deadline {
        return Err(CallError::Failed { fault: Fault::Deadline, doing: Doing::Connecting, peer: None, attempts: 0 });
    }
    let (is_idempotent, until) = (call.head.method.is_idempotent(), Some(deadline.into_std()));
    let asking = Asking { key, priority: call.priority, is_idempotent, deadline: until, is_complete: true };
    let mut attempts = Attempts::begin(pool, asking).await?;
    loop {
        let (peer, mut doing) = (attempts.peer().clone(), Doing::Connecting);
        let exchange = exchange(pool.connector(), &peer, call, attempts.number(), &mut doing);
        let result = timeout_at(deadline, Box::pin(exchange)).await.unwrap_or(Err(Fault::Deadline));
        let end = match &result {
            Ok(answer) => End::Answered(answer.status, retry_after(&answer.headers)),
            Err(fault) if doing == Doing::Connecting => End::Unsent(*fault),
            Err(fault) => End::Broken(*fault),
        };
        if !attempts.goes_on_after(end, true) {
            let attempts = attempts.number();
            return match result {
                Ok(answer) => Ok(answer),
                Err(fault) => Err(CallError::Failed { fault, doing, peer: Some(peer.address()), attempts }),
            };
        }
        attempts.pause().await;
    }
}

/// Why a conversation failed, and whether the same may be asked again on a fresh connection.
struct Broken {
    fault: Fault,
    again: bool,
}

async fn exchange(
    connector: &TransportConnector,
    peer: &Peer,
    call: &Call,
    number: u32,
    doing: &mut Doing,
) -> Result<Answer, Fault> {
    if let Some(kept) = connector.reused_stream(peer.template()).await {
        match converse(connector, kept, peer, call, number, doing).await {
            Ok(answer) => return Ok(answer),
            Err(Broken { fault, again: false }) => return Err(fault),
            Err(_) => debug!("peer={} had closed a kept connection, asking on a fresh one", peer.label()),
        }
        *doing = Doing::Connecting;
    }
    let fresh = connector.new_stream(peer.template()).await.map_err(|e| Fault::of(&e))?;
    converse(connector, fresh, peer, call, number, doing).await.map_err(|broken| broken.fault)
}

async fn converse(
    connector: &TransportConnector,
    stream: Stream,
    peer: &Peer,
    call: &Call,
    number: u32,
    doing: &mut Doing,
) -> Result<Answer, Broken> {
    let template = peer.template();
    let mut session = HttpSession::new_with_options(stream, template);
    session.read_timeout = template.options.read_timeout;
    session.write_timeout = template.options.write_timeout;

    *doing = Doing::Sending;
    let written = session.write_request_header(head_for(call, peer, number)).await;
    // The kernel took less than the whole head, so the peer cannot have understood a request.
    written.map_err(|e| broken(&e, true))?;
    let sent = send_body(&mut session, &call.body).await.map_err(|e| broken(&e, false))?;

    *doing = Doing::Waiting;
    let mut interim = false;
    let status = loop {
        let read = session.read_response().await;
        read.map_err(|e| broken(&e, call.head.method.is_idempotent() && !interim))?;
        match session.get_status() {
            // Upgrades are not asked for, so nobody may switch (RFC 9110, 15.2.2).
            Some(StatusCode::SWITCHING_PROTOCOLS) | None => return Err(Broken::finally(Fault::Garbage)),
            Some(status) if status.is_informational() => interim = true,
            Some(status) if status.as_u16() > 599 => return Err(Broken::finally(Fault::Garbage)),
            Some(status) => break status,
        }
    };

    *doing = Doing::Reading;
    let body = read_body(&mut session, call, status).await.map_err(Broken::finally)?;
    let head = session.resp_header().ok_or(Broken::finally(Fault::Garbage))?;
    let answer = Answer { status, headers: head.headers.clone(), body, peer: peer.address(), attempts: number };
    // Only a connection on which both messages are complete can carry another one.
    session.respect_keepalive();
    if sent
        && session.will_keepalive()
        && let Some(stream) = session.reuse().await
    {
        connector.release_stream(stream, template.reuse_hash(), template.options.idle_timeout);
    }
    Ok(answer)
}

/// Whether all of it was sent. A peer that refuses a body answers and closes without reading it; the answer is then
/// there to be read although writing failed (RFC 9112, 9.5).
async fn send_body(session: &mut HttpSession, body: &Bytes) -> pingora_error::Result<bool> {
    if !body.is_empty() {
        match session.write_body(body).await {
            Ok(_) => {}
            Err(e) if Fault::of(&e) == Fault::Reset => return Ok(false),
            Err(e) => return Err(e),
        }
    }
    session.finish_body().await?;
    Ok(true)
}

async fn read_body(session: &mut HttpSession, call: &Call, status: StatusCode) -> Result<Bytes, Fault> {
    let headers = &session.resp_header().ok_or(Fault::Garbage)?.headers;
    // Pingora takes any other coding for a body that ends with the connection; we asked for none (RFC 9112, 6.1).
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let foreign = codings.next().is_some_and(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"chunked"));
    if foreign || codings.next().is_some() {
        return Err(Fault::Garbage);
    }
    // These announce a body that does not follow (RFC 9110, 8.6).
    let bodiless = call.head.method == Method::HEAD || status == StatusCode::NOT_MODIFIED;
    let announced = headers.get(CONTENT_LENGTH).and_then(|v| v.to_str().ok()).and_then(|v| v.parse::<u64>().ok());
    if !bodiless && announced.is_some_and(|length| length > call.reply_limit) {
        return Err(Fault::ReplyTooLarge);
    }
    let mut body = BytesMut::new();
    while let Some(chunk) = session.read_body_ref().await.map_err(|e| Fault::of(&e))? {
        if (body.len() + chunk.len()) as u64 > call.reply_limit {
            return Err(Fault::ReplyTooLarge);
        }
        body.extend_from_slice(chunk);
    }
    Ok(body.freeze())
}

fn head_for(call: &Call, peer: &Peer, number: u32) -> Box<RequestHeader> {
    let mut head = Box::new(call.head.clone());
    head.set_version(Version::HTTP_11);
    for name in &NOT_OURS {
        head.remove_header(name);
    }
    let set = "names and values are made already";
    head.insert_header(HOST, peer.authority().clone()).expect(set);
    if number > 1 {
        head.insert_header(ATTEMPTS, HeaderValue::from(number)).expect(set);
    }
    // A method that expects content says that there is none (RFC 9110, 8.6).
    if !call.body.is_empty() || [Method::POST, Method::PUT, Method::PATCH].contains(&head.method) {
        head.insert_header(CONTENT_LENGTH, HeaderValue::from(call.body.len())).expect(set);
    }
    head
}

fn broken(error: &pingora_error::Error, again: bool) -> Broken {
    let fault = Fault::of(error);
    Broken { fault, again: again && fault == Fault::Reset }
}

impl Broken {
    fn finally(fault: Fault) -> Broken {
        Broken { fault, again: false }
    }
}

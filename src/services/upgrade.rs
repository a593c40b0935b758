//! A conversation that leaves HTTP: the peer is asked to switch protocols, and bytes go both ways if it does.
//!
//! Pingora's proxy can do this by itself, but takes the end of the request for the end of the conversation when the peer's 101 is
//! there first (its issue 946): about one in forty of a quick service's WebSockets ended before it began. Here nothing is sent
//! beside the head before the answer, so there is no such race.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

use bytes::Bytes;
use http::StatusCode;
use pingora_core::protocols::Stream;
use pingora_core::protocols::http::v1::client::HttpSession;
use pingora_http::{RequestHeader, ResponseHeader};
use tokio::time::{Instant, timeout_at};

use super::fault::Fault;
use super::peer::Peer;
use super::pool::Pool;
use super::retry::End;

/// What the peer answered, and the connection to it.
pub struct Upgrade {
    session: HttpSession,
    pub head: Box<ResponseHeader>,
}

/// Asks a peer to switch. `head` says to what; `deadline` bounds connecting and the head of the answer.
///
/// # Errors
/// How the attempt ended.
pub async fn upgrade(pool: &Pool, peer: &Peer, head: RequestHeader, deadline: Instant) -> Result<Upgrade, End> {
    let late = Err(Fault::Timeout);
    // Always a connection of its own: it never goes back to the others.
    let connecting = timeout_at(deadline, pool.connector().new_stream(peer.template()));
    let stream = connecting.await.map_or(late, |connected| connected.map_err(|e| Fault::of(&e)));
    let stream = stream.map_err(End::Unsent)?;
    let answer = timeout_at(deadline, Box::pin(ask(stream, peer, head))).await;
    answer.unwrap_or(Err(Fault::Timeout)).map_err(End::Broken)
}

async fn ask(stream: Stream, peer: &Peer, head: RequestHeader) -> Result<Upgrade, Fault> {
    let fault = |e: Box<pingora_error::Error>| Fault::of(&e);
    let mut session = HttpSession::new_with_options(stream, peer.template());
    session.write_request_header(Box::new(head)).await.map_err(fault)?;
    loop {
        session.read_response().await.map_err(fault)?;
        let head = session.resp_header().ok_or(Fault::Garbage)?;
        if head.status == StatusCode::SWITCHING_PROTOCOLS && !says_websocket(head) {
            // To something else, or in a version of HTTP that can't (RFC 9110, 15.2.2).
            return Err(Fault::Garbage);
        }
        if head.status == StatusCode::SWITCHING_PROTOCOLS || !head.status.is_informational() {
            let head = Box::new(head.clone());
            // From here on the peer may write what it likes, or nothing.
            session.maybe_upgrade_body_writer();
            return Ok(Upgrade { session, head });
        }
    }
}

fn says_websocket(head: &ResponseHeader) -> bool {
    let upgrade = head.headers.get(http::header::UPGRADE);
    head.version >= http::Version::HTTP_11 && upgrade.is_some_and(|v| v.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

impl Upgrade {
    /// Whether the peer has switched.
    pub fn is_done(&self) -> bool {
        self.session.was_upgraded()
    }

    /// The next bytes of an answer that is no switch; `None` at the end.
    ///
    /// # Errors
    /// The connection broke.
    pub async fn read(&mut self) -> Result<Option<Bytes>, Fault> {
        self.session.read_body_bytes().await.map_err(|e| Fault::of(&e))
    }

    /// The connection itself, and what had come of it already.
    pub async fn into_stream(mut self) -> (Vec<u8>, Stream) {
        let mut early = Vec::new();
        // A read that would have to wait is dropped, and has then taken nothing.
        while let Some(Ok(Some(bytes))) = at_once(self.session.read_body_bytes()).await {
            early.extend_from_slice(&bytes);
        }
        (early, self.session.into_inner())
    }
}

/// The result of a future that need not wait; `None`: it would have to.
async fn at_once<T>(work: impl Future<Output = T>) -> Option<T> {
    let mut work = pin!(work);
    poll_fn(|context| match work.as_mut().poll(context) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

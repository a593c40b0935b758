//! Pingora's hooks. Each translates; none decides.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use hilum_filters::api::{Chunk, Phase};
use http::{StatusCode, header};
use pingora_core::modules::http::HttpModules;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_error::{Error, ErrorType, Result};
use pingora_http::{RequestHeader, ResponseHeader};
use pingora_proxy::{FailToProxy, ProxyHttp, ProxyWarnLogContext, Session};

use super::failure::{self, Failure};
use super::respond::{self, By, LINGER};
use super::{CLIENT_GONE, Ctx, Gateway, act, again, body, forward, front_door, guard};
use crate::actions::Action;
use crate::refusal::{Reason, Refusal};
use crate::services::{ATTEMPTS, Fault};

/// Less than the guard's own grace, within which the answer must begin.
const AFTER_THE_GUARD: Duration = Duration::from_millis(200);

#[async_trait]
impl ProxyHttp for Gateway {
    type CTX = Ctx;

    fn new_ctx(&self) -> Ctx {
        Ctx::new(self)
    }

    /// Pingora adds a compression module that is switched off: an allocation for nothing.
    fn init_downstream_modules(&self, _: &mut HttpModules) {}

    async fn early_request_filter(&self, session: &mut Session, ctx: &mut Ctx) -> Result<()> {
        guard::head_is_complete();
        let downstream = session.as_downstream_mut();
        // A client that closes after HTTP/1.0, or was told so, stays closed: only an open keep-alive may be renewed.
        if downstream.get_keepalive().is_some() && ctx.gateway.is_draining() {
            downstream.set_keepalive(None);
        }
        downstream.set_read_timeout(guard::stall());
        if downstream.is_http2() {
            // Elsewhere the guard knows better: a large piece may take a slow client long.
            downstream.set_write_timeout(guard::stall());
        }
        downstream.set_total_drain_timeout(Some(LINGER.0));
        downstream.set_pipelining_enabled(true);
        let peer = downstream.client_addr().and_then(|a| a.as_inet()).map(std::net::SocketAddr::ip);
        let tls = downstream.digest().is_some_and(|d| d.ssl_digest.is_some());
        if session.is_http2() && session.as_downstream_mut().is_body_done() {
            // Over HTTP/1 the guard sees for itself that nobody waits for the client.
            guard::is_uploaded();
        }
        front_door::note_client(ctx, session.req_header(), peer, tls);
        Ok(())
    }

    async fn request_filter(&self, session: &mut Session, ctx: &mut Ctx) -> Result<bool> {
        act::request(session, ctx).await
    }

    async fn upstream_peer(&self, session: &mut Session, ctx: &mut Ctx) -> Result<Box<HttpPeer>> {
        let attempts = ctx.attempts.as_mut().ok_or_else(|| failure::error(Reason::Internal))?;
        if attempts.number() > 1 {
            // Nobody is waited for but the clock.
            guard::patience(None);
            attempts.pause().await;
        }
        let mut peer = attempts.peer().http_peer();
        let (left, response) = (ctx.left(), peer.options.read_timeout);
        if let Some(left) = left {
            let options = &mut peer.options;
            for timeout in
                [&mut options.total_connection_timeout, &mut options.write_timeout, &mut options.read_timeout]
            {
                *timeout = Some(timeout.map_or(left, |t| t.min(left)));
            }
        }
        let is_uploaded = session.as_downstream_mut().is_body_done();
        if session.is_http2() {
            if left.is_none() {
                guard::patience(response);
            }
        } else {
            guard::is_held_back(body::expects_continue(session));
            // Where the service alone is waited for, Pingora's own time ends this attempt, and another peer may be asked.
            guard::patience(response.map(|response| if is_uploaded { response + AFTER_THE_GUARD } else { response }));
        }
        peer.options.read_timeout = backstop(session.is_http2(), is_uploaded, response, left);
        Ok(Box::new(peer))
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        head: &mut RequestHeader,
        ctx: &mut Ctx,
    ) -> Result<()> {
        let route = ctx.route.clone().ok_or_else(|| failure::error(Reason::Internal))?;
        let Action::Forward(forward) = &route.action else { return Err(failure::error(Reason::Internal)) };
        act::aim(head, forward, &ctx.onward).map_err(failure::error)?;
        forward::to_service(ctx, session.req_header(), head)?;
        if let Some(attempts) = &ctx.attempts {
            head.insert_header(header::HOST, attempts.peer().authority().clone())?;
            if attempts.number() > 1 {
                head.insert_header(ATTEMPTS, attempts.number())?;
            }
        }
        if route.chain.takes_part(Phase::RequestBody) && head.headers.contains_key(header::CONTENT_LENGTH) {
            // Its hooks may change the length.
            head.remove_header(&header::CONTENT_LENGTH);
            head.insert_header(header::TRANSFER_ENCODING, "chunked")?;
        }
        // A retry sends the body again from its first byte.
        (ctx.received, ctx.held) = (0, None);
        Ok(())
    }

    async fn request_body_filter(
        &self,
        session: &mut Session,
        body: &mut Option<Bytes>,
        end: bool,
        ctx: &mut Ctx,
    ) -> Result<()> {
        let came = body.as_ref().map_or(0, Bytes::len);
        ctx.received += came as u64;
        guard::received(came);
        if end {
            guard::is_uploaded();
            if let Some(attempts) = &mut ctx.attempts {
                // Before its last piece goes on, so that the service never has the whole of a request that is refused.
                attempts.enter().await.map_err(|why| failure::error(why.into()))?;
            }
        }
        guard::progress();
        let route = ctx.route.clone().ok_or_else(|| failure::error(Reason::Internal))?;
        if ctx.received > route.limits.body {
            return Err(failure::error(Reason::BodyTooLarge));
        }
        body::hold_back(session, ctx, body, end);
        if route.chain.takes_part(Phase::RequestBody) {
            let mut chunk = Chunk { bytes: body, last: end };
            route.chain.request_body(ctx.depth, session.req_header(), &mut ctx.facts, &mut ctx.states, &mut chunk)?;
        }
        // For Pingora nothing is the end of the body, and an empty piece in the middle is not: a chunk whose size is still on its way,
        // or a filter that waits for more. At the end an empty piece would be written as a second last chunk (its issue 935).
        match body {
            None if !end => *body = Some(Bytes::new()),
            Some(bytes) if end && bytes.is_empty() => *body = None,
            _ => {}
        }
        Ok(())
    }

    async fn upstream_response_filter(
        &self,
        session: &mut Session,
        head: &mut ResponseHeader,
        ctx: &mut Ctx,
    ) -> Result<()> {
        guard::is_held_back(false);
        if head.status == StatusCode::SWITCHING_PROTOCOLS {
            // Nothing was asked to switch: upgrades don't come this way.
            ctx.fault = Some(Fault::Garbage);
            return Err(failure::error(Reason::PeerGarbage));
        }
        if !head.status.is_informational() && ctx.attempts.is_some() {
            if again::after_answer(session, ctx, head) {
                return Err(again::error());
            }
            if let Some(attempts) = &mut ctx.attempts {
                attempts.answer(head.status);
            }
            guard::progress();
            if ctx.deadline.is_none() {
                // A stream: its head has come, and from here on it may be quiet for as long as it likes.
                guard::patience(None);
            }
        }
        forward::from_service(ctx, head);
        Ok(())
    }

    async fn response_filter(&self, session: &mut Session, head: &mut ResponseHeader, ctx: &mut Ctx) -> Result<()> {
        if head.status.is_informational() {
            return Ok(());
        }
        ctx.settle().await;
        ctx.written = head.status.as_u16();
        forward::to_client(ctx, head)?;
        // Again, since the drain may have begun while the service worked: a client must not come back to a closed connection.
        if ctx.gateway.is_draining() {
            session.set_keepalive(None);
        }
        let Some(route) = ctx.route.clone() else { return Ok(()) };
        if route.chain.takes_part(Phase::ResponseBody) && head.headers.contains_key(header::CONTENT_LENGTH) {
            // Its hooks may change the length.
            head.remove_header(&header::CONTENT_LENGTH);
            head.insert_header(header::TRANSFER_ENCODING, "chunked")?;
        }
        route.chain.response(u8::MAX, session.req_header(), &mut ctx.facts, &mut ctx.states, head)
    }

    fn response_body_filter(
        &self,
        session: &mut Session,
        body: &mut Option<Bytes>,
        end: bool,
        ctx: &mut Ctx,
    ) -> Result<Option<Duration>> {
        // A service that sends a byte now and then would meet every single timeout, but not the deadline.
        guard::progress();
        if end {
            // What is left is the client's to take.
            guard::patience(None);
        } else if ctx.is_late() {
            return Err(failure::error(Reason::Deadline));
        }
        if let Some(route) = ctx.route.clone()
            && route.chain.takes_part(Phase::ResponseBody)
        {
            let mut chunk = Chunk { bytes: body, last: end };
            route.chain.response_body(u8::MAX, session.req_header(), &mut ctx.facts, &mut ctx.states, &mut chunk)?;
        }
        Ok(None)
    }

    /// No byte of the request was sent, so that any method may be tried again.
    fn fail_to_connect(&self, session: &mut Session, _: &HttpPeer, ctx: &mut Ctx, mut error: Box<Error>) -> Box<Error> {
        error.set_retry(again::after_connecting(session, ctx, &error));
        error
    }

    fn error_while_proxy(
        &self,
        _: &HttpPeer,
        session: &mut Session,
        mut error: Box<Error>,
        ctx: &mut Ctx,
        client_reused: bool,
    ) -> Box<Error> {
        error.set_retry(again::after_sending(session, ctx, &error, client_reused));
        error
    }

    async fn fail_to_proxy(&self, session: &mut Session, error: &Error, ctx: &mut Ctx) -> FailToProxy {
        let failure = Failure::of(error, ctx);
        let status = match failure.reason() {
            Some(reason) => {
                ctx.reason = Some(reason.name());
                self.answer_failure(session, ctx, reason).await
            }
            None => 0,
        };
        FailToProxy { error_code: status, can_reuse_downstream: false }
    }

    async fn logging(&self, session: &mut Session, error: Option<&Error>, ctx: &mut Ctx) {
        let fault = error.and_then(|e| Failure::of(e, ctx).fault());
        let status = session.response_written().map_or(0, |head| head.status.as_u16());
        let sent = session.body_bytes_sent() as u64 + ctx.tunneled;
        if error.is_some() && ctx.reason.is_none() {
            ctx.reason = Some(CLIENT_GONE);
        }
        let head = session.req_header();
        ctx.tell(Some(head), status, sent, fault);
    }

    /// Our access log, metrics and health lines say it, without path, query and raw bytes.
    fn suppress_error_log(&self, _: &Session, _: &Ctx, _: &Error) -> bool {
        true
    }

    fn suppress_proxy_warn_log(&self, _: &Session, _: &Ctx, _: &Error, _: ProxyWarnLogContext) -> bool {
        true
    }

    /// Should a line of Pingora's be written all the same, it names the exchange and nothing of its content.
    fn request_summary(&self, _: &Session, ctx: &Ctx) -> String {
        format!("request {} on route {}", ctx.facts.request_id.as_str(), ctx.facts.route)
    }
}

/// How long Pingora waits for the service at a time. It does so while the client still sends, and in a stream that is quiet by
/// nature; the guard knows whose turn it is, and this is for what the guard can't end with an answer. A moment more than the guard,
/// which knows whose fault it is and must never be second.
fn backstop(is_http2: bool, is_uploaded: bool, response: Option<Duration>, left: Option<Duration>) -> Option<Duration> {
    // A stream: its head is the guard's to wait for.
    let left = left?;
    let wait = match (is_http2, is_uploaded) {
        // The client may pause, and is too slow before the service is.
        (true, false) => response.zip(guard::stall()).map(|(response, stall)| response.max(stall)),
        // Nothing but the service is waited for, and another one may be asked. Nor is the guard heard over HTTP/2, or where the client
        // sends its next request already.
        (_, true) => return Some(response.map_or(left, |response| response.min(left))),
        // For a service that takes nothing: then nobody reads from the client either.
        (false, false) => None,
    };
    Some(wait.map_or(left, |wait| wait.min(left)) + AFTER_THE_GUARD)
}

impl Gateway {
    /// The answer to an exchange that failed on its way, if none was begun. Returns its status.
    async fn answer_failure(&self, session: &mut Session, ctx: &mut Ctx, reason: Reason) -> u16 {
        if session.response_written().is_some() {
            // Half an answer is out: the connection ends short of its length, which no client takes for the whole.
            self.metrics().rejected(reason.name());
            return 0;
        }
        // Pingora closes after a failure, and the answer should say so.
        session.set_keepalive(None);
        let refusal = Refusal::from(reason);
        match respond::refuse(session, ctx, refusal, By::Engine).await {
            Ok(()) => session.response_written().map_or(0, |head| head.status.as_u16()),
            // Whoever it was for has left.
            Err(e) if matches!(e.etype(), ErrorType::WriteError | ErrorType::ConnectionClosed | ErrorType::H2Error) => {
                0
            }
            Err(e) => {
                log::error!(
                    "request {}: the answer to a failure can't be written: {}",
                    ctx.facts.request_id.as_str(),
                    e.etype().as_str()
                );
                0
            }
        }
    }
}

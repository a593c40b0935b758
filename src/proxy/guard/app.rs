//! The layers as Pingora's apps: [`GuardedConnections`] per connection, [`GuardedHttp`] per request.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Poll;
use std::time::Instant;

use async_trait::async_trait;
use pingora_core::apps::{HttpServerApp, HttpServerOptions, ReusedHttpStream, ServerApp};
use pingora_core::protocols::http::ServerSession;
use pingora_core::protocols::http::v2::server::H2Options;
use pingora_core::protocols::{ALPN, Stream};
use pingora_core::server::ShutdownWatch;
use pingora_proxy::HttpProxy;
use std::future::Future;

use super::io::GuardIo;
use super::{Connection, Deadlines, EXCHANGE, Exchange, GRACE, Phase, is_past};
use crate::proxy::Gateway;
use crate::refusal::Reason;

/// Per connection: counts it and wraps its IO.
pub struct GuardedConnections {
    http: Arc<GuardedHttp>,
    deadlines: Deadlines,
}

/// Per request: ends an exchange whose time is over, and counts those that no hook has seen.
pub struct GuardedHttp {
    proxy: Arc<HttpProxy<Gateway>>,
    gateway: Gateway,
}

impl GuardedConnections {
    pub fn new(proxy: HttpProxy<Gateway>, gateway: Gateway, deadlines: Deadlines) -> Self {
        GuardedConnections { http: Arc::new(GuardedHttp { proxy: Arc::new(proxy), gateway }), deadlines }
    }
}

#[async_trait]
impl ServerApp for GuardedConnections {
    async fn process_new(self: &Arc<Self>, io: Stream, shutdown: &ShutdownWatch) -> Option<Stream> {
        let _open = Counted::new(&self.http.gateway.metrics().connections);
        let connection = Arc::new(Connection::default());
        if matches!(io.selected_alpn_proto(), Some(ALPN::H2)) {
            // One connection carries many requests at once; the idle deadline of one head would end all of them.
            connection.enter(Phase::Busy);
        }
        let io: Stream = Box::new(GuardIo::new(io, connection, self.deadlines));
        tokio::select! {
            left = self.http.process_new(io, shutdown) => left,
            // Dropped, so that every exchange of the connection writes its line before the process ends.
            () = self.http.gateway.until_cut() => None,
        }
    }

    async fn cleanup(&self) {
        self.http.http_cleanup().await;
    }
}

#[async_trait]
impl HttpServerApp for GuardedHttp {
    async fn process_new_http(
        self: &Arc<Self>,
        mut session: ServerSession,
        shutdown: &ShutdownWatch,
    ) -> Option<ReusedHttpStream> {
        // H2 has no stream of its own, so it has none of these.
        let connection =
            session.stream().and_then(|s| (**s).as_any().downcast_ref::<GuardIo>()).map(|io| io.connection().clone());
        if let Some(connection) = &connection {
            connection.enter(Phase::Idle);
            connection.received.store(0, Relaxed);
            connection.sent.store(0, Relaxed);
            connection.status.store(0, Relaxed);
            connection.overdue.store(false, Relaxed);
        }
        // Pingora's own wait between requests is per read; ours is exact. 0 switches it off and leaves keep-alive on.
        if session.get_keepalive().is_some() {
            session.set_keepalive(Some(0));
        }
        let exchange = Arc::new(Exchange::new(connection.clone()));
        let mut timer = connection.as_ref().and_then(|c| lock(c).take());
        let mut work = pin!(EXCHANGE.scope(exchange.clone(), self.proxy.process_new_http(session, shutdown)));
        let reused = poll_fn(|context| {
            loop {
                if let Poll::Ready(reused) = work.as_mut().poll(context) {
                    return Poll::Ready(Some(reused));
                }
                if connection.as_ref().is_some_and(|c| c.timed_out.load(Relaxed)) {
                    return Poll::Ready(None);
                }
                match exchange.due() {
                    Some(due) if is_past(&mut timer, due, context) => {}
                    _ => return Poll::Pending,
                }
                match &connection {
                    // Polled again at once, and whoever reads from the client finds the error and answers.
                    Some(connection) if !connection.overdue.swap(true, Relaxed) => {
                        exchange.set_due(Some(Instant::now() + GRACE));
                    }
                    // Nobody read, or it is HTTP/2, where only the stream can be ended.
                    _ => return Poll::Ready(None),
                }
            }
        })
        .await;
        if let Some(connection) = &connection {
            *lock(connection) = timer;
        }
        if !exchange.seen.load(Relaxed) {
            self.count_unseen(&exchange);
        }
        reused.flatten()
    }

    fn h2_options(&self) -> Option<H2Options> {
        self.proxy.h2_options()
    }

    fn server_options(&self) -> Option<&HttpServerOptions> {
        self.proxy.server_options()
    }

    async fn http_cleanup(&self) {
        self.proxy.http_cleanup().await;
    }
}

impl GuardedHttp {
    /// A head that Pingora refused by itself, or that never came to its end, reaches no hook and would be in no log.
    fn count_unseen(&self, exchange: &Exchange) {
        let Some(connection) = &exchange.connection else { return };
        let slow = connection.timed_out.load(Relaxed);
        if connection.received.load(Relaxed) + connection.sent.load(Relaxed) == 0 {
            // It was closed between two requests, by the client or by our idle deadline: nothing was asked.
            return;
        }
        let reason = if slow { Reason::ClientTooSlow } else { Reason::Malformed };
        // Without an answer of Pingora's the client left in the middle of its head, or was too slow.
        let status = connection.status.load(Relaxed);
        // CONNECT is a well-formed head that Pingora refuses by itself.
        let reason = if status == 405 { Reason::MethodNotAllowed } else { reason };
        self.gateway.log_unseen(status, reason);
    }
}

fn lock(connection: &Connection) -> std::sync::MutexGuard<'_, Option<std::pin::Pin<Box<tokio::time::Sleep>>>> {
    connection.timer.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// A gauge that is one higher while this lives, also when a task is cancelled or panics.
pub(crate) struct Counted(prometheus::IntGauge);

impl Counted {
    pub(crate) fn new(gauge: &prometheus::IntGauge) -> Self {
        gauge.inc();
        Counted(gauge.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}

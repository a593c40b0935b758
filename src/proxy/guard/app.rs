//! The layers as Pingora's apps: [`GuardedConnections`] per connection, [`GuardedHttp`] per request.

use std::future::poll_fn;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Poll;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use pingora_core::apps::{HttpServerApp, HttpServerOptions, ReusedHttpStream, ServerApp};
use pingora_core::protocols::http::ServerSession;
use pingora_core::protocols::http::v2::server::H2Options;
use pingora_core::protocols::l4::socket::SocketAddr;
use pingora_core::protocols::{ALPN, Stream};
use pingora_core::server::ShutdownWatch;
use pingora_proxy::HttpProxy;
use std::future::Future;

use super::exchange::{EXCHANGE, Exchange, Overdue};
use super::io::GuardIo;
use super::pace::Pace;
use super::share::Share;
use super::streams::Streams;
use super::{Connection, Deadlines, Fresh, GRACE, Phase, is_past, lock};
use crate::proxy::{Entrance, Gateway};
use crate::refusal::Reason;

/// Per connection: counts it and wraps its IO. Clones share everything.
#[derive(Clone)]
pub struct GuardedConnections {
    http: Arc<GuardedHttp>,
    deadlines: Deadlines,
}

/// A connection that was accepted: it is counted until it ends, and until its first head is complete the end of accepting waits for it.
pub struct Open {
    counted: Counted,
    fresh: Fresh,
    /// What its client may have in flight; `None`: behind it are many clients.
    pub share: Option<Share>,
}

/// Per request: ends an exchange whose time is over, and counts those that no hook has seen.
#[derive(Clone)]
pub struct GuardedHttp {
    proxy: Arc<HttpProxy<Gateway>>,
    gateway: Gateway,
    stall: Duration,
    entrance: Arc<Entrance>,
    /// Requests on one connection.
    requests: u32,
    /// Of the connection, when it is HTTP/2.
    streams: Option<Arc<Streams>>,
}

/// How long the end of accepting waits for connections that are open and have not sent their first head.
const FRESH: Duration = Duration::from_millis(500);
/// How often the count is looked at; a count that told somebody would cost each connection.
const TICK: Duration = Duration::from_millis(5);
const QUIET: u32 = 20;
/// How long a task takes at most from its making to its first step, on a machine that is busy.
const BEGINNING: Duration = Duration::from_millis(50);

impl GuardedConnections {
    /// `requests` is how many a connection of HTTP/2 may have; those of HTTP/1 Pingora counts itself.
    pub fn new(proxy: HttpProxy<Gateway>, gateway: Gateway, deadlines: Deadlines, requests: u32) -> Self {
        let (proxy, stall, entrance) = (Arc::new(proxy), deadlines.stall, Arc::default());
        let http = GuardedHttp { proxy, gateway, stall, entrance, requests, streams: None };
        GuardedConnections { http: Arc::new(http), deadlines }
    }

    /// The same for one listener.
    pub fn at(&self, entrance: Entrance) -> Self {
        let http = GuardedHttp { entrance: Arc::new(entrance), ..(*self.http).clone() };
        GuardedConnections { http: Arc::new(http), deadlines: self.deadlines }
    }

    /// Counts a connection from here on.
    pub fn open(&self) -> Open {
        let gateway = &self.http.gateway;
        Open {
            counted: Counted::new(&gateway.metrics().connections),
            fresh: Fresh::count(gateway.fresh()),
            share: None,
        }
    }

    /// Serves one connection until it ends.
    pub async fn serve(&self, io: Stream, open: Open, shutdown: &ShutdownWatch) {
        let Open { counted: _counted, fresh, share } = open;
        if matches!(io.selected_alpn_proto(), Some(ALPN::H2)) {
            return self.serve_http2(io, fresh, share, shutdown).await;
        }
        let connection = Arc::new(Connection::new(fresh, None));
        let io: Stream = Box::new(GuardIo::new(io, connection, self.deadlines));
        tokio::select! {
            _ = self.http.process_new(io, shutdown) => {}
            // Dropped, so that every exchange of the connection writes its line before the process ends.
            () = self.http.gateway.until_cut() => {}
        }
    }

    /// One connection that carries many requests at once.
    async fn serve_http2(&self, io: Stream, fresh: Fresh, share: Option<Share>, shutdown: &ShutdownWatch) {
        let gateway = &self.http.gateway;
        let client = io.get_socket_digest().and_then(|digest| address(digest.peer_addr()?));
        let streams = Arc::new(Streams::new(self.http.requests, share));
        let connection = Arc::new(Connection::new(fresh, Some(streams.clone())));
        // The idle deadline of one head would end all of them.
        connection.enter(Phase::Busy);
        connection.fresh.is_over();
        let http = Arc::new(GuardedHttp { streams: Some(streams.clone()), ..(*self.http).clone() });
        let io: Stream = Box::new(GuardIo::new(io, connection.clone(), self.deadlines));
        let leaves = streams.watch();
        tokio::select! {
            _ = http.process_new(io, &leaves) => {}
            // Pingora keeps time over an HTTP/2 connection only from its first frame on, and until it says GOAWAY.
            () = preface_is_late(&connection, self.deadlines.header) => gateway.log_unseen(client, 0, Reason::ClientTooSlow),
            () = streams.overstays(shutdown.clone(), self.deadlines.idle) => {}
            () = gateway.until_cut() => {}
        }
        if streams.unseen() > 0 {
            // Each exchange is a task, and the last of them may not have begun.
            tokio::time::sleep(BEGINNING).await;
        }
        for _ in 0..streams.unseen() + u32::from(streams.is_flooded()) {
            gateway.log_unseen(client, 0, Reason::Malformed);
        }
    }

    /// Nobody is accepted any more. Pingora would drop every connection without a request now, those among them whose first one
    /// is on its way: they are given a moment.
    pub async fn end(&self) {
        // Quiet for a while, and not just now: an accepted connection is counted only when its task runs for the first time.
        let (until, mut quiet) = (Instant::now() + FRESH, 0);
        while quiet < QUIET && Instant::now() < until {
            tokio::time::sleep(TICK).await;
            quiet = if self.http.gateway.fresh().load(Relaxed) == 0 { quiet + 1 } else { 0 };
        }
        self.http.http_cleanup().await;
    }
}

/// Whom a connection comes from.
fn address(of: &SocketAddr) -> Option<IpAddr> {
    of.as_inet().map(|address| address.ip().to_canonical())
}

/// What an HTTP/2 client says first, in bytes (RFC 9113, 3.4).
const PREFACE: u64 = 24;

/// Comes when the beginning of an HTTP/2 connection takes longer than the head of a request may.
async fn preface_is_late(connection: &Connection, header: Duration) {
    tokio::time::sleep(header).await;
    if connection.received.load(Relaxed) >= PREFACE {
        std::future::pending().await
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
            connection.begin();
        }
        // Pingora's own wait between requests is per read; ours is exact. 0 switches it off and leaves keep-alive on.
        if session.get_keepalive().is_some() {
            session.set_keepalive(Some(0));
        }
        let client = session.client_addr().and_then(address);
        let _stream = match self.streams.as_ref().map(|streams| streams.begin()) {
            // RFC 9113, 8.7: nothing was done for it, so the client may ask again.
            Some(None) => {
                session.shutdown_with_reason(h2::Reason::REFUSED_STREAM);
                self.gateway.log_unseen(client, 0, Reason::Overloaded);
                return None;
            }
            stream => stream.flatten(),
        };
        let exchange = Arc::new(Exchange::new(connection.clone(), self.stall, self.entrance.clone()));
        let mut pace = Pace::new(self.stall);
        let mut timer = connection.as_ref().and_then(|c| lock(&c.timer).take());
        let mut work = pin!(EXCHANGE.scope(exchange.clone(), self.proxy.process_new_http(session, shutdown)));
        let (mut waited_for_client, mut is_overdue) = (true, false);
        let reused = poll_fn(|context| {
            loop {
                if let Some(connection) = &connection {
                    connection.is_read.store(false, Relaxed);
                }
                if let Poll::Ready(reused) = work.as_mut().poll(context) {
                    return Poll::Ready(Some(reused));
                }
                if connection.as_ref().is_some_and(|c| c.timed_out.load(Relaxed)) {
                    return Poll::Ready(None);
                }
                let waits_for_client = exchange.waits_for_client();
                if waited_for_client && !waits_for_client {
                    exchange.progress();
                }
                waited_for_client = waits_for_client;
                let too_slow = match &connection {
                    // Between two requests and in a head, other deadlines hold.
                    Some(connection) if !connection.is(Phase::Busy) => None,
                    _ if waits_for_client && !is_overdue => {
                        Some((pace.waits(Instant::now(), exchange.moved()), Overdue::Client))
                    }
                    // Most exchanges never wait for their client, and need no clock.
                    _ if pace.is_waiting() => {
                        pace.rests(Instant::now());
                        None
                    }
                    _ => None,
                };
                let why = match exchange.due().into_iter().chain(too_slow).min_by_key(|(due, _)| *due) {
                    Some((due, why)) if is_past(&mut timer, due, context) => why,
                    _ => return Poll::Pending,
                };
                match &connection {
                    // Polled again at once, and whoever reads from the client finds the error and answers.
                    Some(connection) if !is_overdue => {
                        is_overdue = true;
                        connection.overdue.store(why as u8, Relaxed);
                        exchange.give_grace(why, GRACE);
                        if connection.is_blocked.load(Relaxed) {
                            // It does not take what it is given, so there is nothing that it could be told.
                            return Poll::Ready(None);
                        }
                    }
                    // HTTP/2 has no read that could be failed. What waits in a hook has the same deadline and may answer; then the
                    // stream ends.
                    None if !is_overdue => {
                        is_overdue = true;
                        exchange.overdue.store(why as u8, Relaxed);
                        exchange.give_grace(why, GRACE);
                    }
                    // Nobody read.
                    _ => return Poll::Ready(None),
                }
            }
        })
        .await;
        if let Some(connection) = &connection {
            *lock(&connection.timer) = timer;
        }
        if !exchange.seen.load(Relaxed) {
            self.count_unseen(client, &exchange);
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
    fn count_unseen(&self, client: Option<IpAddr>, exchange: &Exchange) {
        let Some(connection) = &exchange.connection else {
            // Of HTTP/2, CONNECT is all that Pingora refuses by itself here.
            return self.gateway.log_unseen(client, 405, Reason::MethodNotAllowed);
        };
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
        self.gateway.log_unseen(client, status, reason);
    }
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

//! What one exchange carries from hook to hook, and what is told of it when it is over.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use hilum_filters::api::{Depth, Facts, Outcome, RequestId, States};
use http::{HeaderValue, Method};
use pingora_http::RequestHeader;

use super::audit::{self, Audited};
use super::guard::{self, Overdue, app::Counted};
use super::{CLIENT_GONE, Entrance, Gateway};
use crate::actions::forward::Onward;
use crate::identity::token::Refreshing;
use crate::identity::{Caller, Now};
use crate::rates::{Count, Taken};
use crate::refusal::Reason;
use crate::services::{Attempts, Fault, Outcome as PeerOutcome};
use crate::table::{Route, Table};
use crate::telemetry::{Line, Millis, Time, TraceParent, shown};

/// One exchange.
pub struct Ctx {
    pub(super) gateway: Gateway,
    /// The listener by which the client came in.
    pub(super) entrance: Arc<Entrance>,
    /// Taken once; a request never sees half of two files.
    pub(super) table: Arc<Table>,
    pub(super) route: Option<Arc<Route>>,
    pub(super) facts: Facts,
    /// The other end of the connection: the client, or a proxy in front of it.
    pub(super) peer: IpAddr,
    pub(super) peer_is_trusted: bool,
    pub(super) now: Now,
    pub(super) states: States,
    pub(super) depth: Depth,
    pub(super) caller: Caller,
    /// The next token of the caller's session, for the answer.
    pub(super) refreshing: Option<Refreshing>,
    /// The cookie of that.
    pub(super) new_cookie: Option<HeaderValue>,
    /// Counted by limits, until it is known whether that is right.
    pub(super) taken: Vec<(Taken, Count)>,
    pub(super) trace: Option<TraceParent>,
    pub(super) deadline: Option<Instant>,
    /// The templates of a streamed forward, filled in.
    pub(super) onward: Onward,
    /// A streamed forward, on its way to a service.
    pub(super) attempts: Option<Attempts>,
    /// The peer of a request of our own, and how many attempts that took.
    pub(super) called: Option<(std::net::SocketAddr, u32)>,
    /// The path's parameters: as they stand in the path, and named and decoded.
    pub(super) values: Vec<Box<str>>,
    pub(super) params: Vec<(String, String)>,
    /// Why Hilum answers itself.
    pub(super) reason: Option<&'static str>,
    /// Bytes of the request's body that went on.
    pub(super) received: u64,
    /// The piece of it that is held back until it is known to be the last.
    pub(super) held: Option<Bytes>,
    /// How the peer failed, where Pingora does not tell.
    pub(super) fault: Option<Fault>,
    /// The service that was asked, in whatever way.
    pub(super) service: Option<Arc<str>>,
    /// The status of the answer that was begun; 0 before.
    pub(super) written: u16,
    /// The client's head, kept when a filter wants to be told of exchanges that are dropped, too.
    pub(super) head: Option<Box<RequestHeader>>,
    /// Bytes of a tunnel that went to the client, which Pingora does not count.
    pub(super) tunneled: u64,
    pub(super) audited: Audited,
    method: Method,
    told: bool,
    _in_flight: Counted,
}

impl Ctx {
    pub(super) fn new(gateway: &Gateway) -> Self {
        let table = gateway.table();
        Ctx {
            facts: Facts {
                request_id: RequestId::random(),
                client: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
                secure: false,
                route: Arc::default(),
                claims: None,
                started: Instant::now(),
            },
            peer: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            peer_is_trusted: false,
            now: Now::read(),
            states: States::default(),
            depth: Depth::default(),
            caller: Caller::Missing,
            refreshing: None,
            new_cookie: None,
            taken: Vec::new(),
            route: None,
            trace: None,
            deadline: None,
            onward: Onward::default(),
            attempts: None,
            called: None,
            values: Vec::new(),
            params: Vec::new(),
            reason: None,
            received: 0,
            held: None,
            fault: None,
            service: None,
            written: 0,
            head: None,
            tunneled: 0,
            audited: Audited::default(),
            method: Method::GET,
            told: false,
            _in_flight: Counted::new(&gateway.metrics().in_flight),
            table,
            entrance: guard::entrance(),
            gateway: gateway.clone(),
        }
    }

    /// What is left of the request's time; `None`: there is no end.
    pub(super) fn left(&self) -> Option<Duration> {
        self.deadline.map(|at| at.saturating_duration_since(Instant::now()))
    }

    pub(super) fn is_late(&self) -> bool {
        self.left() == Some(Duration::ZERO)
    }

    /// The reason for what the guard found overdue, and the fault of the service, if it is one.
    pub(super) fn reason_for(&self, overdue: Overdue) -> (Reason, Option<Fault>) {
        match overdue {
            Overdue::Client => (Reason::ClientTooSlow, None),
            Overdue::Silence => (Reason::PeerTimeout, Some(Fault::Timeout)),
            Overdue::Deadline => (Reason::Deadline, self.attempts.as_ref().map(|_| Fault::Deadline)),
        }
    }

    /// When a call of our own must be over, streams included.
    pub(super) fn call_deadline(&self) -> tokio::time::Instant {
        self.deadline.unwrap_or_else(|| Instant::now() + Duration::from_secs(30)).into()
    }

    /// Before an answer begins: the cookie that shall go with it, if there is one by then.
    pub(super) async fn settle(&mut self) {
        if let Some(refreshing) = self.refreshing.take() {
            // Not to the very end of what the request has left, nor so long that it looks like a service that has fallen silent.
            let silence = self.attempts.as_ref().and_then(|attempts| attempts.peer().patience());
            let most = [self.left(), silence].into_iter().flatten().min().map_or(Duration::MAX, |left| left / 2);
            self.new_cookie = refreshing.cookie(self.facts.secure, most.min(Duration::from_secs(60))).await;
        }
    }

    pub(super) fn remember(&mut self, head: &RequestHeader) {
        self.method = head.method.clone();
    }

    pub(super) fn method(&self) -> &Method {
        &self.method
    }

    /// The exchange is over: peer, route, filters and the access log are told, once.
    pub(super) fn tell(&mut self, head: Option<&RequestHeader>, status: u16, sent: u64, fault: Option<Fault>) {
        self.told = true;
        let took = self.facts.started.elapsed();
        self.tell_peer(fault.or(self.fault));
        audit::tell(self, status);
        let metrics = self.gateway.metrics().clone();
        let of_route = self.route.as_ref().map_or(metrics.unmatched(), |route| &route.metrics);
        of_route.observe(&self.method, status, took);
        let streamed = self.attempts.as_ref().map(|attempts| (attempts.peer().address(), attempts.number()));
        let (peer, attempts) = streamed.or(self.called).unzip();
        let route = self.route.clone();
        let service = self.service.clone();
        let service = service.as_deref();
        if let (Some(route), Some(head)) = (&route, head) {
            let outcome = Outcome { status, reason: self.reason, service, peer, bytes_sent: sent, took };
            route.chain.log(self.depth, head, &mut self.facts, &mut self.states, &outcome);
        }
        self.gateway.0.access_log.write(&Line {
            time: Time(SystemTime::now()),
            request_id: self.facts.request_id.as_str(),
            client: Some(self.facts.client),
            method: shown(&self.method),
            route: route.as_ref().map(|r| &*r.name),
            path: route.as_ref().map(|r| r.path.as_str()),
            status,
            reason: self.reason,
            service,
            peer,
            attempts: attempts.map(u64::from),
            bytes: sent,
            ms: Millis(took),
        });
    }

    fn tell_peer(&mut self, fault: Option<Fault>) {
        let Some(attempts) = &mut self.attempts else { return };
        attempts.end(match (attempts.status(), fault) {
            (_, Some(fault)) => PeerOutcome::Failed(fault),
            (Some(status), None) => PeerOutcome::Answered(status),
            (None, None) => PeerOutcome::Abandoned,
        });
    }
}

/// Dropped whole, so that Pingora's last hook did not run: no exchange is without a line.
impl Drop for Ctx {
    fn drop(&mut self) {
        if self.told {
            return;
        }
        let (reason, fault) = if std::thread::panicking() {
            (Reason::Internal.name(), None)
        } else if let Some(overdue) = guard::overdue() {
            let (reason, fault) = self.reason_for(overdue);
            (reason.name(), fault)
        } else if self.gateway.is_draining() {
            (Reason::Draining.name(), None)
        } else {
            (CLIENT_GONE, None)
        };
        if self.reason.is_none() && reason != CLIENT_GONE {
            self.gateway.metrics().rejected(reason);
        }
        self.reason.get_or_insert(reason);
        // No filter runs during a panic: a second one would end the process.
        let head = self.head.take().filter(|_| !std::thread::panicking());
        self.tell(head.as_deref(), self.written, 0, fault);
    }
}

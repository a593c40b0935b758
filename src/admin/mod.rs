//! The admin listener: metrics, status, health, reload, peers that are drained. On a runtime of its own; on loopback, or for those who show its token.

mod drain;
pub mod reload;
pub mod status;
pub mod token;

use std::time::{Instant, SystemTime};

use async_trait::async_trait;
use http::{HeaderMap, Method, Response, StatusCode, header};
use pingora_core::apps::http_app::ServeHttp;
use pingora_core::protocols::http::ServerSession;
use tokio::sync::watch;

use crate::proxy::Gateway;
use crate::router::host;
use crate::services::PeerState;
use crate::telemetry::Seldom;
use reload::{Reload, Reloaded};
use status::{Process, Reloads};
use token::Token;

/// What operators and Prometheus ask.
pub struct Admin {
    gateway: Gateway,
    reload: Reload,
    process: Process,
    reloads: watch::Receiver<Reloads>,
    /// Whether a successor serves.
    succeeded: watch::Receiver<bool>,
    /// What must be shown for all but the two health checks.
    token: Option<Token>,
    refused: Seldom,
}

const TEXT: &str = "text/plain; charset=utf-8";
const NOT_FOUND: &str = "not found; there are /metrics, /status, /health/live, /health/ready, POST /reload \
                         and POST or DELETE /services/NAME/peers/ADDRESS/drain\n";

fn not_allowed() -> (StatusCode, &'static str, String) {
    (StatusCode::METHOD_NOT_ALLOWED, TEXT, "method not allowed\n".to_owned())
}

impl Admin {
    pub fn new(
        gateway: Gateway,
        reload: Reload,
        process: Process,
        reloads: watch::Receiver<Reloads>,
        succeeded: watch::Receiver<bool>,
        token: Option<Token>,
    ) -> Self {
        Admin { gateway, reload, process, reloads, succeeded, token, refused: Seldom::default() }
    }

    /// Who asks a process that drains while its successor serves asked the gateway, which is ready: the next answer is the successor's.
    fn is_ready(&self) -> bool {
        !self.gateway.is_draining() || *self.succeeded.borrow()
    }

    async fn answer(&self, method: &Method, path: &str, headers: &HeaderMap) -> (StatusCode, &'static str, String) {
        if !self.is_meant(headers) {
            return (StatusCode::FORBIDDEN, TEXT, "this address is not for web pages\n".to_owned());
        }
        let is_open = path == "/health/live" || path == "/health/ready";
        if !is_open && self.token.as_ref().is_some_and(|token| !token.is_shown(headers)) {
            return (StatusCode::UNAUTHORIZED, TEXT, "show the token of operators\n".to_owned());
        }
        let reads = *method == Method::GET || *method == Method::HEAD;
        match path {
            "/metrics" if reads => {
                (StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", self.gateway.metrics().text())
            }
            "/status" if reads => (StatusCode::OK, "application/json", self.status()),
            "/health/live" if reads => (StatusCode::OK, TEXT, "live\n".to_owned()),
            "/health/ready" if reads => match self.is_ready() {
                true => (StatusCode::OK, TEXT, "ready\n".to_owned()),
                false => (StatusCode::SERVICE_UNAVAILABLE, TEXT, "draining\n".to_owned()),
            },
            "/reload" if *method == Method::POST => match self.reload.now().await {
                Some(Reloaded::Loaded { hash, routes }) => {
                    let body = serde_json::json!({ "result": "loaded", "hash": hash, "routes": routes });
                    (StatusCode::OK, "application/json", body.to_string())
                }
                Some(Reloaded::Refused(why)) => {
                    let body = serde_json::json!({ "result": "refused", "problems": why });
                    (StatusCode::UNPROCESSABLE_ENTITY, "application/json", body.to_string())
                }
                None => (StatusCode::SERVICE_UNAVAILABLE, TEXT, "draining\n".to_owned()),
            },
            "/metrics" | "/status" | "/health/live" | "/health/ready" | "/reload" => not_allowed(),
            path => match drain::target(path) {
                Some(target) => self.drain(method, target),
                None => (StatusCode::NOT_FOUND, TEXT, NOT_FOUND.to_owned()),
            },
        }
    }

    /// POST: no new requests are sent to this peer. DELETE: they are again.
    fn drain(&self, method: &Method, (service, address): (&str, &str)) -> (StatusCode, &'static str, String) {
        let is_drained = match *method {
            Method::POST => true,
            Method::DELETE => false,
            _ => return not_allowed(),
        };
        let table = self.gateway.table();
        let pool = table.pools.iter().find(|pool| **pool.name() == *service);
        match pool.is_some_and(|pool| pool.drain(address, is_drained)) {
            true => (StatusCode::OK, TEXT, if is_drained { "drained\n" } else { "not drained\n" }.to_owned()),
            false => (StatusCode::NOT_FOUND, TEXT, "no such peer; /status has those that there are\n".to_owned()),
        }
    }

    /// Who guesses a token, or a page in an operator's browser, is worth a word.
    fn tell_refused(&self, session: &ServerSession) {
        self.gateway.metrics().operators_refused.inc();
        if let Some(times) = self.refused.is_due(Instant::now()) {
            let from = session.client_addr().map_or_else(|| "an unknown address".to_owned(), ToString::to_string);
            log::warn!("the admin listener refused {from}; {times} since this was told last");
        }
    }

    fn status(&self) -> String {
        let (table, metrics) = (self.gateway.table(), self.gateway.metrics());
        let services = table.pools.iter().map(|pool| {
            let peers = pool.peers().into_iter().map(|(peer, _)| {
                let state = pool.state(&peer);
                let (up, state) = (state == PeerState::Up, state.name());
                status::Peer { address: peer.label().to_string(), up, state, in_flight: peer.in_flight() }
            });
            status::Service { name: pool.name().to_string(), peers: peers.collect() }
        });
        let now = status::Now {
            time: SystemTime::now(),
            draining: self.gateway.is_draining(),
            hash: table.hash.clone(),
            routes: table.routes.len(),
            connections: metrics.connections.get(),
            in_flight: metrics.in_flight.get(),
            services: services.collect(),
        };
        status::text(&self.process, *self.reloads.borrow(), &now)
    }

    /// A page in somebody's browser can reach loopback by a name of its own (DNS rebinding) or by a plain form: neither has our
    /// own address as its host and no foreign origin. What other machines reach has names that nobody knows here, and a token.
    fn is_meant(&self, headers: &HeaderMap) -> bool {
        let host = headers.get(header::HOST).and_then(|h| h.to_str().ok()).map(host::name_of);
        let address = self.process.admin.ip().to_string();
        let ours = |name: &str| {
            name == "localhost" || name.trim_matches(['[', ']']) == address || name == "127.0.0.1" || name == "[::1]"
        };
        (!self.process.admin.ip().is_loopback() || host.is_none_or(ours)) && !headers.contains_key(header::ORIGIN)
    }
}

#[async_trait]
impl ServeHttp for Admin {
    async fn response(&self, session: &mut ServerSession) -> Response<Vec<u8>> {
        // A connection is for one question, so that its time can be bounded as a whole.
        session.set_keepalive(None);
        let head = session.req_header();
        let (method, path, headers) = (head.method.clone(), head.uri.path().to_owned(), head.headers.clone());
        let (status, kind, body) = self.answer(&method, &path, &headers).await;
        let mut response = Response::new(Vec::new());
        *response.status_mut() = status;
        if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
            self.tell_refused(session);
        }
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
        headers.insert(header::CONTENT_LENGTH, body.len().into());
        headers.insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-store"));
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, header::HeaderValue::from_static("nosniff"));
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, header::HeaderValue::from_static("Bearer realm=\"hilum\""));
        }
        if method != Method::HEAD {
            *response.body_mut() = body.into_bytes();
        }
        response
    }
}

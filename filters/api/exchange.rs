//! What a hook sees: the request, what is known about the exchange, and the filter's own memory.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use pingora_http::RequestHeader;

use super::request_id::RequestId;

/// Verified claims of the caller's token.
pub type Claims = serde_json::Map<String, serde_json::Value>;

/// What every hook sees. The head that a phase may change is the hook's last argument.
pub struct Exchange<'a, S = ()> {
    /// The client's request, as it came in. What the service gets is changed in `upstream_request` only.
    pub request: &'a RequestHeader,
    /// What engine and filters know about the exchange.
    pub facts: &'a mut Facts,
    /// This filter's memory of this exchange: its `Default` until a hook wrote to it.
    pub state: &'a mut S,
}

/// What is known about the exchange. Filters and engine tell each other things only through these fields.
pub struct Facts {
    /// The name of the request in every log; also sent to the service and to the client.
    pub request_id: RequestId,
    /// The client's address; the one that a trusted proxy reports, when there is one.
    pub client: IpAddr,
    /// The client's connection is TLS (or a trusted proxy says so).
    pub secure: bool,
    /// The name of the route.
    pub route: Arc<str>,
    /// Set by the engine once the caller's token is verified; `None` for an anonymous caller.
    pub claims: Option<Arc<Claims>>,
    /// When the head of the request was complete.
    pub started: Instant,
}

/// A piece of a body. `bytes` may be replaced or taken; `last` marks the end, and may come without bytes.
pub struct Chunk<'a> {
    /// The piece; `None` when there is nothing left but the end, or when a hook held it back.
    pub bytes: &'a mut Option<Bytes>,
    /// Whether no piece follows.
    pub last: bool,
}

/// How the exchange ended, for `log` hooks.
pub struct Outcome<'a> {
    /// The status that the client got; 0 when it left before there was one.
    pub status: u16,
    /// Why Hilum itself answered; `None` when the service answered.
    pub reason: Option<&'a str>,
    /// The name of the service that was asked, if one was.
    pub service: Option<&'a str>,
    /// The peer of the last try.
    pub peer: Option<SocketAddr>,
    /// Bytes of the body sent to the client.
    pub bytes_sent: u64,
    /// From the complete head of the request to the last byte.
    pub took: Duration,
}

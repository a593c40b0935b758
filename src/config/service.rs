//! `services:` as they are written.

use hilum_filters::api::{LineOrMap, Placed, Try};
use hilum_filters::units::{Positive, Ratio, Span};
use schemars::JsonSchema;
use serde::Deserialize;

use super::connections::Many;
use crate::identity::claims::ClaimPath;
use crate::services::PeerOptions;

/// Peers that stand for each other.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// `http://host:port`, or `{ address, weight }`. Names are resolved, and looked up again while running.
    pub peers: Placed<Vec<Try<LineOrMap<PeerOptions, WeightedPeer>>>>,
    /// How a peer is chosen: `round_robin`, `least_requests`, or `hash` of a header, cookie or claim.
    #[serde(default)]
    pub balance: Option<Try<LineOrMap<BalanceName, BalanceHash>>>,
    /// Asks each peer on its own; absent means that every peer counts as healthy.
    #[serde(default)]
    pub health: Option<Try<Health>>,
    /// Stops sending requests to a peer that fails them, for a while; absent means that none is ejected.
    #[serde(default)]
    pub eject: Option<Try<Eject>>,
    /// When a request that failed is sent again.
    #[serde(default)]
    pub retry: Option<Try<Retry>>,
    #[serde(default)]
    pub limits: Try<Limits>,
    #[serde(default)]
    pub timeouts: Try<Timeouts>,
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WeightedPeer {
    pub address: Placed<PeerOptions>,
    /// The share of requests, relative to the other peers. Default 1.
    #[serde(default)]
    pub weight: Option<Placed<u16>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BalanceName {
    RoundRobin,
    LeastRequests,
}

impl std::str::FromStr for BalanceName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "round_robin" => Ok(BalanceName::RoundRobin),
            "least_requests" => Ok(BalanceName::LeastRequests),
            _ => Err(format!("expected `round_robin`, `least_requests` or `{{ hash: … }}`, found `{text}`")),
        }
    }
}

/// `hash:` what the same peer is chosen by.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BalanceHash {
    pub hash: Placed<HashKey>,
}

/// What requests with the same value go to the same peer by.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HashKey {
    Header(HeaderText),
    Cookie(String),
    Claim(ClaimPath),
}

/// A header's name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HeaderText(pub http::HeaderName);

impl std::str::FromStr for HeaderText {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.parse().map(HeaderText).map_err(|_| format!("expected the name of a header, found `{text}`"))
    }
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Health {
    /// Asked with GET; 2xx is healthy. Absent: a TCP connection is enough.
    #[serde(default)]
    pub path: Option<Placed<String>>,
    /// Default 5s.
    #[serde(default)]
    pub every: Option<Try<Positive<Span>>>,
    /// Default 1s.
    #[serde(default)]
    pub timeout: Option<Try<Positive<Span>>>,
    /// Failed checks in a row until a peer is down. Default 3.
    #[serde(default)]
    pub down_after: Option<Try<InARow>>,
    /// Good checks in a row until it is up again. Default 2.
    #[serde(default)]
    pub up_after: Option<Try<InARow>>,
}

/// So many in a row, one at least.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InARow(pub u32);

impl std::str::FromStr for InARow {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = text.parse().ok().filter(|number| *number > 0);
        number.map(InARow).ok_or_else(|| format!("expected how many in a row, 1 or more, found `{text}`"))
    }
}

/// `eject:` when a peer that fails requests gets no more of them.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Eject {
    /// So many requests in a row that the peer did not answer, or answered with a server error. Default 5.
    #[serde(default)]
    pub after: Option<Try<InARow>>,
    /// For so long; then one request at a time shows how it is. Default 10s.
    #[serde(default, rename = "for")]
    pub span: Option<Try<Positive<Span>>>,
    /// The most of the peers that are up; always one, where there are two. Default 50%.
    #[serde(default)]
    pub share: Option<Try<Ratio>>,
    /// When fewer of all peers than this are left, nobody counts as ejected. Default 25%.
    #[serde(default)]
    pub panic: Option<Try<Ratio>>,
}

/// `retry:` when a request is sent again.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Retry {
    /// In all, the first one among them: 1 to 10. Default 3.
    #[serde(default)]
    pub attempts: Option<Try<Placed<u32>>>,
    /// `connect_failed`, and statuses 500, 502, 503, 504, of the service and of ours. Default `[connect_failed, 502, 503, 504]`.
    #[serde(default)]
    pub when: Option<Placed<Vec<Try<RetryCause>>>>,
    /// The longest pause before the second attempt; twice as long before each further one. Default 50ms.
    #[serde(default)]
    pub backoff: Option<Try<Span>>,
    /// How many attempts there may be beyond the first ones, as a part of all requests. Default 20%.
    #[serde(default)]
    pub budget: Option<Try<Ratio>>,
}

/// What another attempt may help against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryCause {
    ConnectFailed,
    Status(u16),
}

impl std::str::FromStr for RetryCause {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match (text, text.parse()) {
            ("connect_failed", _) => Ok(RetryCause::ConnectFailed),
            (_, Ok(status @ (500 | 502 | 503 | 504))) => Ok(RetryCause::Status(status)),
            _ => Err(format!("expected `connect_failed`, 500, 502, 503 or 504, found `{text}`")),
        }
    }
}

/// `limits:` of a service.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Requests that all peers together work on. Default 512.
    #[serde(default)]
    pub in_flight: Option<Try<Many>>,
    /// How many more may wait for a place. Default 64.
    #[serde(default)]
    pub queue: Option<Try<Placed<u32>>>,
    /// How long a peer that joins others, or comes back, gets less than its share. Default 10s.
    #[serde(default)]
    pub slow_start: Option<Try<Span>>,
}

#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Timeouts {
    /// TCP and TLS. Default 1s.
    #[serde(default)]
    pub connect: Option<Try<Positive<Span>>>,
    /// Until the head of the answer, and between two pieces of its body; with `time: none` until its head. Default 10s.
    #[serde(default)]
    pub response: Option<Try<Positive<Span>>>,
    /// How long an unused connection is kept. Default 50s.
    #[serde(default)]
    pub idle: Option<Try<Span>>,
}

super::conf::written_as_text!(BalanceName, HeaderText, InARow, PeerOptions, RetryCause);

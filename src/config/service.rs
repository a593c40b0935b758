//! `services:` as they are written.

use hilum_filters::api::{LineOrMap, Placed, Try};
use hilum_filters::units::{Positive, Span};
use schemars::JsonSchema;
use serde::Deserialize;

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

/// So many checks in a row, one at least.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InARow(pub u32);

impl std::str::FromStr for InARow {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = text.parse().ok().filter(|number| *number > 0);
        number.map(InARow).ok_or_else(|| format!("expected a number of checks, 1 or more, found `{text}`"))
    }
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

super::conf::written_as_text!(BalanceName, HeaderText, InARow, PeerOptions);

//! `connections:` as it is written: how many clients may be connected, and how long each may take.

use std::time::Duration;

use hilum_filters::api::Try;
use hilum_filters::units::{Positive, Span};
use schemars::JsonSchema;
use serde::Deserialize;

/// Limits of clients' connections.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Connections {
    /// Open at once, of all clients together; one more is closed unread. Default 10000.
    #[serde(default)]
    pub total: Option<Try<Many>>,
    /// Open at once of one address, of an IPv6 address its /64. `trusted_proxies` are exempt. Default 256.
    #[serde(default)]
    pub per_client: Option<Try<Many>>,
    /// Requests on one connection; the last answer says `Connection: close`, HTTP/2 says GOAWAY. Default 10000.
    #[serde(default)]
    pub requests: Option<Try<Many>>,
    /// From the first byte of a request head to its last. Default 10s.
    #[serde(default)]
    pub header: Option<Try<Positive<Span>>>,
    /// Without a request, before the first one and between two. Default 60s.
    #[serde(default)]
    pub idle: Option<Try<Positive<Span>>>,
    /// How long a client is waited for in the middle of its body or of an answer; each 240 bytes that it sends or takes earn one
    /// second of it back. Default 30s.
    #[serde(default)]
    pub stall: Option<Try<Positive<Span>>>,
}

/// So many, one at least.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Many(pub u32);

impl std::str::FromStr for Many {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = text.parse().ok().filter(|number| *number > 0);
        number.map(Many).ok_or_else(|| format!("expected a number, 1 or more, found `{text}`"))
    }
}

super::conf::written_as_text!(Many);

impl Connections {
    pub fn total(&self) -> u32 {
        many(self.total, 10_000)
    }

    pub fn per_client(&self) -> u32 {
        many(self.per_client, 256)
    }

    pub fn requests(&self) -> u32 {
        many(self.requests, 10_000)
    }

    pub fn header(&self) -> Duration {
        span(self.header, 10)
    }

    pub fn idle(&self) -> Duration {
        span(self.idle, 60)
    }

    pub fn stall(&self) -> Duration {
        span(self.stall, 30)
    }
}

fn many(written: Option<Try<Many>>, default: u32) -> u32 {
    written.and_then(|many| many.0).map_or(default, |many| many.0)
}

fn span(written: Option<Try<Positive<Span>>>, seconds: u64) -> Duration {
    written.and_then(|span| span.0).map_or(Duration::from_secs(seconds), |span| span.get())
}

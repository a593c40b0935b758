//! Connections that are not served: each is counted, and the log tells of them now and then. A line for each would be what an
//! attacker writes.

use std::net::IpAddr;
use std::time::Instant;

use prometheus::{IntCounter, IntCounterVec, Opts, Registry};

use crate::telemetry::Seldom;

/// Why a connection is not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// All places are taken.
    Total,
    /// The client has all of its places.
    Client,
    /// It had to name its client and did not, or may not.
    ProxyProtocol,
}

/// Counts by cause.
pub(super) struct Refused {
    causes: [(IntCounter, Seldom); 3],
}

impl Cause {
    const ALL: [Cause; 3] = [Cause::Total, Cause::Client, Cause::ProxyProtocol];

    fn label(self) -> &'static str {
        match self {
            Cause::Total => "total",
            Cause::Client => "client",
            Cause::ProxyProtocol => "proxy_protocol",
        }
    }

    fn text(self) -> &'static str {
        match self {
            Cause::Total => "as many as `connections.total` are open",
            Cause::Client => {
                "its address has as many as `connections.per_client`; if it is a proxy, name it in `trusted_proxies`"
            }
            Cause::ProxyProtocol => "it sent no good header of the PROXY protocol, or is not in `trusted_proxies`",
        }
    }
}

impl Refused {
    pub(super) fn new(registry: &Registry) -> anyhow::Result<Refused> {
        let name = Opts::new("hilum_connections_refused_total", "Connections that were closed unserved, by cause.");
        let counters = IntCounterVec::new(name, &["cause"])?;
        registry.register(Box::new(counters.clone()))?;
        let causes = Cause::ALL.map(|cause| (counters.with_label_values(&[cause.label()]), Seldom::default()));
        Ok(Refused { causes })
    }

    pub(super) fn tell(&self, cause: Cause, address: IpAddr) {
        let (counter, seldom) = &self.causes[cause as usize];
        counter.inc();
        if let Some(times) = seldom.is_due(Instant::now()) {
            log::warn!(
                "connections are refused: {}; {times} since this was told last, the last one from {address}",
                cause.text()
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cause_is_counted_from_the_start() {
        let registry = Registry::new();
        let refused = Refused::new(&registry).unwrap();
        for (at, cause) in Cause::ALL.into_iter().enumerate() {
            (0..=at).for_each(|_| refused.tell(cause, [127, 0, 0, 1].into()));
        }
        let text = prometheus::TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
        for line in ["{cause=\"total\"} 1", "{cause=\"client\"} 2", "{cause=\"proxy_protocol\"} 3"] {
            assert!(text.contains(line), "{text}");
        }
    }
}

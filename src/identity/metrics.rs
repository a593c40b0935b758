//! What is counted about sessions and the cache of verified tokens. No session goes without a count and a reason.

use anyhow::Context;
use prometheus::{IntCounter, IntCounterVec, Opts, Registry};

/// The counters, resolved once: counting a request looks up no label.
#[derive(Clone, Debug)]
pub struct SessionMetrics {
    /// A login stored a session.
    pub opened: IntCounter,
    /// A logout ended a session.
    pub ended: IntCounter,
    /// A session of the store in memory reached its end and was dropped.
    pub expired: IntCounter,
    /// A login was refused because the store held `max_sessions` living sessions.
    pub refused_full: IntCounter,
    /// A token that was about to run out got its next one.
    pub refreshed: IntCounter,
    /// It got none.
    pub refresh_failed: IntCounter,
    /// A question to the store got no answer.
    pub store_down: IntCounter,
    /// A token was found in the cache.
    pub hit: IntCounter,
    /// A token had to be verified.
    pub miss: IntCounter,
}

impl SessionMetrics {
    /// Registers `hilum_sessions_total{event}` and `hilum_session_cache_total{result}`; an error if they are there
    /// already.
    pub fn register(registry: &Registry) -> anyhow::Result<Self> {
        let sessions = counters(registry, "hilum_sessions_total", "Sessions by what happened to them.", "event")?;
        let cache = counters(registry, "hilum_session_cache_total", "Look-ups of verified tokens.", "result")?;
        Ok(Self {
            opened: sessions.with_label_values(&["opened"]),
            ended: sessions.with_label_values(&["ended"]),
            expired: sessions.with_label_values(&["expired"]),
            refused_full: sessions.with_label_values(&["refused_full"]),
            refreshed: sessions.with_label_values(&["refreshed"]),
            refresh_failed: sessions.with_label_values(&["refresh_failed"]),
            store_down: sessions.with_label_values(&["store_down"]),
            hit: cache.with_label_values(&["hit"]),
            miss: cache.with_label_values(&["miss"]),
        })
    }
}

fn counters(registry: &Registry, name: &str, help: &str, label: &str) -> anyhow::Result<IntCounterVec> {
    let counters = IntCounterVec::new(Opts::new(name, help), &[label]).with_context(|| format!("making {name}"))?;
    registry.register(Box::new(counters.clone())).with_context(|| format!("registering {name}"))?;
    Ok(counters)
}

#[cfg(test)]
mod tests {
    use prometheus::TextEncoder;

    use super::*;

    #[test]
    fn every_counter_is_seen_from_the_start() {
        let registry = Registry::new();
        let metrics = SessionMetrics::register(&registry).unwrap();
        metrics.opened.inc();
        metrics.hit.inc_by(2);
        let text = TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
        let values: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(
            values,
            [
                "hilum_session_cache_total{result=\"hit\"} 2",
                "hilum_session_cache_total{result=\"miss\"} 0",
                "hilum_sessions_total{event=\"ended\"} 0",
                "hilum_sessions_total{event=\"expired\"} 0",
                "hilum_sessions_total{event=\"opened\"} 1",
                "hilum_sessions_total{event=\"refresh_failed\"} 0",
                "hilum_sessions_total{event=\"refreshed\"} 0",
                "hilum_sessions_total{event=\"refused_full\"} 0",
                "hilum_sessions_total{event=\"store_down\"} 0",
            ]
        );
        assert!(SessionMetrics::register(&registry).is_err());
    }
}

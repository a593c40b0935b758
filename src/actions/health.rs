//! `health`: whether the gateway runs, and whether the services it needs have a healthy peer.

use std::sync::Arc;

use http::StatusCode;

use super::{Answer, Build};
use crate::config::action;
use crate::services::Pool;

/// The services that count.
#[derive(Debug)]
pub struct Health {
    pools: Vec<Arc<Pool>>,
}

impl Health {
    pub(super) fn compile(written: &action::Health, build: &mut Build<'_>) -> Option<Health> {
        let pools = written.services.iter().map(|name| build.pools.find(name, "service", build.problems));
        Some(Health { pools: pools.collect::<Vec<_>>().into_iter().collect::<Option<_>>()? })
    }

    pub fn services(&self) -> impl Iterator<Item = &Arc<Pool>> {
        self.pools.iter()
    }

    /// 200, or 503 when a service has no healthy peer. Figures only, no addresses.
    pub fn answer(&self) -> Answer {
        let mut services = serde_json::Map::new();
        let mut good = true;
        for pool in &self.pools {
            let health = pool.health();
            good &= health.up > 0;
            let status = if health.up > 0 { "healthy" } else { "unhealthy" };
            services.insert(
                pool.name().to_string(),
                serde_json::json!({ "status": status, "peers": health.total, "up": health.up }),
            );
        }
        let status = if good { "healthy" } else { "unhealthy" };
        let mut body = serde_json::json!({ "status": status });
        if !services.is_empty() {
            body["services"] = services.into();
        }
        Answer::json(if good { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, body.to_string())
    }
}

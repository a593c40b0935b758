//! A service for tests of whoever decides about services and calls none.

use std::sync::Arc;

use super::{Balance, Fleet, LimitOptions, Pool, RetryOptions, ServiceOptions, Timeouts};

/// The service of that name; it has no peers.
pub(crate) fn deserted(name: &str) -> Arc<Pool> {
    Fleet::new(&prometheus::Registry::new(), None).expect("a new registry").pool(&ServiceOptions {
        name: name.into(),
        peers: Vec::new(),
        balance: Balance::RoundRobin,
        health: None,
        eject: None,
        retry: RetryOptions::default(),
        limits: LimitOptions::default(),
        timeouts: Timeouts::default(),
        resolve_every: ServiceOptions::RESOLVE_EVERY,
    })
}

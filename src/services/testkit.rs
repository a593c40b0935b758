//! A service for tests of whoever decides about services and calls none.

use std::sync::Arc;

use super::{Balance, Fleet, Pool, ServiceOptions, Timeouts};

/// The service of that name; it has no peers.
pub(crate) fn deserted(name: &str) -> Arc<Pool> {
    Fleet::new(&prometheus::Registry::new(), None).expect("a new registry").pool(&ServiceOptions {
        name: name.into(),
        peers: Vec::new(),
        balance: Balance::RoundRobin,
        health: None,
        timeouts: Timeouts::default(),
        resolve_every: ServiceOptions::RESOLVE_EVERY,
    })
}

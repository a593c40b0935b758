//! What is done to a gateway, one scenario a file, in the order of the table.

mod changes;
mod no_peer;
mod one_peer;
mod overload;
mod redis;
pub(crate) mod soak;
mod trend;

use std::future::Future;
use std::pin::Pin;

use crate::gateways::Kind;
use crate::report::{Figure, Form};

pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    /// Whether other gateways can be measured in the same way.
    pub(crate) has_peers: bool,
    pub(crate) run: fn(Form, Kind) -> Pin<Box<dyn Future<Output = Vec<Figure>> + Send>>,
}

macro_rules! scenario {
    ($name:literal, $has_peers:literal, $run:path) => {
        Scenario { name: $name, has_peers: $has_peers, run: |form, kind| Box::pin($run(form, kind)) }
    };
}

pub(crate) const ALL: &[Scenario] = &[
    scenario!("reload", true, changes::reload),
    scenario!("drain", true, changes::drain),
    scenario!("upgrade", true, changes::upgrade),
    scenario!("one_peer", true, one_peer::run),
    scenario!("no_peer", true, no_peer::run),
    scenario!("overload", true, overload::run),
    scenario!("redis", false, redis::run),
    scenario!("soak", false, soak::run),
];

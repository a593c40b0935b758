//! Hilum: a pluggable API gateway on Pingora, the edge proxy of a health platform.
//!
//! # Map
//!
//! ```text
//! cli        one file per command
//! server     listeners, signals, drain, upgrade, reload    admin      metrics, status, health, reload
//!   └ proxy    the only place that knows Pingora's session; `guard` keeps time around it
//!       └ table    what routes.yaml says, ready to run; `decide` = find + judge, pure
//!           ├ actions    what a route does, one file each
//!           ├ refusal    why Hilum says no, and how that looks
//!           ├ template   paths, headers, JSON and pages with holes
//!           ├ identity   who is calling? tokens, sessions
//!           ├ services   which peer? pools, health, ejection, attempts, places, requests of our own
//!           ├ records    lines that are on the disk before anybody is told
//!           ├ rates      how often? one number for each key, here or in Redis
//!           ├ router     which route? pure
//!           └ config     text to values; every problem with its place
//! telemetry  metrics, access log, audit log, trace ids
//! filters    (crate hilum-filters) the contract a third party reads, and one file per filter
//! ```
//!
//! # Life of a request
//!
//! ```text
//! accept ─ places           so many connections in all, so many of one client; a proxy names its client
//!   └ guard                first byte, head, idle, whoever is waited for: each has its deadline
//!   └ front door            one form of target, path, host, client address, request id
//!      └ decide::find       host + canonical path + method → one route
//!         └ filters         the fixed slots before the caller: cors; then rates by client or header
//!            └ identity     the caller's token, from the cache or verified; then rates by claim
//!               └ decide::judge   may they, and what exactly is done: every template filled in; `ask`: a service is asked, and judged again
//!                  └ filters      the route's own list, outermost first
//!                     └ action    forward → peer, or an answer of our own; rates by body where it is read
//!         ┌ filters         response hooks in reverse, for our own answers and for failures too
//!   ┌ telling               one access-log line, one metrics update, an audit record where the route asks for it
//! ```
//!
//! # Invariants
//!
//! * `config`, `router`, `template`, `refusal`, `table::decide` are pure: they know no socket, no file, no clock of their own.
//! * A `Table` is never changed. A request takes it once and keeps it to its log line.
//! * Only `proxy` knows Pingora's session. Only `refusal` turns a failure into a reason and a status. Only `config::env` reads the
//!   environment. No `static` holds state.
//! * Identity headers are written in one place, after Pingora removed what the client's `Connection` named.
//! * What must be recorded is on the disk before it is done; what could not be recorded is counted.
//! * No exchange is without a log line and a count: what reaches no hook is counted by the guard, what is dropped tells itself.

#![allow(
    rustdoc::private_intra_doc_links,
    reason = "`make lint` documents private items too: the reader is a developer"
)]
#![allow(unreachable_pub, reason = "the modules of a binary's library; what is public is decided by the modules below")]

mod actions;
mod admin;
mod cli;
mod config;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
// Seen from outside by the benches alone.
#[doc(hidden)]
pub mod identity;
mod proxy;
mod rates;
mod records;
mod refusal;
mod router;
mod server;
mod services;
mod table;
mod telemetry;
mod template;
#[cfg(test)]
mod tests;

use std::process::ExitCode;

use hilum_filters::api::Registration;

/// The whole program, with these filters. The binary of the project gives its own; a third party adds a list:
///
/// ```no_run
/// use hilum_filters::api::{register, Registration};
/// fn main() -> std::process::ExitCode {
///     hilum::main(&[hilum_filters::FILTERS])
/// }
/// ```
pub fn main(filters: &[&'static [Registration]]) -> ExitCode {
    identity::provider::install();
    cli::main(filters)
}

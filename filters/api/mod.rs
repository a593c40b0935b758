//! The contract between the engine and its filters: all that somebody who writes one has to know.
//!
//! A filter is a value with hooks. It sees heads, pieces of bodies and [`Facts`]; never a socket, a peer or the session
//! store. What needs one of those is a key of the route, and the engine's work.
//!
//! # Phases
//!
//! ```text
//!                    a    →    b    →    c    →  service
//!  request           1         2         3
//!  upstream_request  4         5         6
//!  request_body      7         8         9              each piece
//!  response          12        11        10
//!  response_body     15        14        13             each piece
//!  log               18        17        16
//! ```
//!
//! | hook | sees | may |
//! |---|---|---|
//! | `request`, `request_step` | the client's head | let it on, answer with a [`Reply`], fail; `request_step` may wait |
//! | `upstream_request` | the head for the service | change it |
//! | `request_body` | each piece of the client's body | change it, hold it back, or fail |
//! | `response` | the head for the client | change it |
//! | `response_body` | each piece of the answer's body | change it, hold it back, or fail |
//! | `log` | the [`Outcome`] | count and write |
//!
//! A filter says in [`Filter::phases`] which hooks it has, given its options. A hook that was not set costs nothing.
//!
//! # Rules
//!
//! 1. A `request` hook reads and decides. What the service gets is changed in `upstream_request` only.
//! 2. `upstream_request` runs again, on a fresh head, each time the request is tried again: it changes the head in the
//!    same way each time, and counts nothing.
//! 3. **A filter's own reply** flows back through the `response` hooks of the filters outside it only. The filters
//!    inside it never hear of the exchange, and the filter itself writes its reply as it shall be.
//! 4. **An answer that the engine makes** (a 401, a 404 of a file, a 502) flows through the `response` hooks of all
//!    filters of the route, also of those that the request did not reach: those find the `Default` of their state. So
//!    an error answer carries what `security_headers` and `cors` have to say.
//! 5. `log` runs for each filter that the request reached, the one that ended it included, exactly once; also when the
//!    client left.
//! 6. Heads with a status of 1xx are not shown, nor are bytes after a 101: they are no HTTP (RFC 9110, 15.2.2).
//! 7. A hook never panics, never blocks, and allocates only what it has to. Names and values of headers are made in
//!    [`Filter::new`].
//! 8. An error of a hook ends the exchange; the engine decides what the client gets.
//!
//! Filters tell each other things through [`Facts`] only. The engine's fixed places (sign-in, rates and so on) stand
//! before the route's own filters; it runs a chain in two ranges, with its own work between them.
//!
//! # Options
//!
//! Options are a [`Node`], a tree that knows its places, and are read by [`Node::read`]. Fields have types from
//! [`units`](crate::units), [`Placed`] where a rule must point at a value, [`Try`] where one failure shall not hide the
//! next.

mod chain;
mod exchange;
mod filter;
mod link;
mod node;
mod phases;
mod placed;
mod problem;
mod read;
mod registration;
mod reply;
mod request_id;

pub use chain::{Chain, Depth};
pub use exchange::{Chunk, Claims, Exchange, Facts, Outcome};
pub use filter::{Env, Filter};
pub use link::{Link, States, Wire};
pub use node::{At, Entry, Kind, Node};
pub use phases::{Phase, Phases};
pub use placed::{Entries, LineOrMap, Placed, Try};
pub use problem::{Problem, did_you_mean};
pub use registration::{Build, Registration, install, register};
pub use reply::{BoxFuture, Flow, Reply, Step};
pub use request_id::RequestId;

//! Which peer? The services behind the gateway: their addresses, their health, who takes the next request, and
//! requests of our own to them.
//!
//! ```text
//! ServiceOptions ──Fleet::pool──▶ Pool ──Attempts::begin──▶ Attempts ──▶ Peer ──http_peer──▶ the proxy's connector
//!   (what the file says)           │     (a place, a peer)      └ goes_on_after(end): whether there is another attempt
//!                                  └──call──▶ Answer          (a request of our own, with one deadline over all attempts)
//! Fleet::run ─ per pool: names looked up again and again, per peer: one health check after the other
//! Service ─ what outlives all pools of a name: places in the gate, the retry budget, the conduct of each peer
//! ```
//!
//! A table holds `Arc<Pool>`s and is thrown away on reload; the [`Fleet`] outlives it. It hands out the same pool for
//! the same options, and what is known about a peer (health, requests in flight, addresses of a name) is carried
//! over to a pool with other options. Everything a request touches is ready made: [`Pool::pick`] reads one published
//! line-up that already holds only the peers that are up, and is arranged anew when health or addresses change.

mod address;
mod attempts;
mod balance;
mod budget;
mod call;
mod conduct;
mod fault;
mod fleet;
mod gate;
mod health;
mod lineup;
mod metrics;
mod names;
mod options;
mod peer;
mod pool;
mod retry;
mod service;
mod share;
#[cfg(test)]
pub(crate) mod testkit;
#[cfg(test)]
mod tests;
mod upgrade;

pub use address::PeerOptions;
pub use attempts::{ATTEMPTS, Asking, Attempts};
pub use balance::hash_key;
pub use call::{Answer, Call, call};
pub use conduct::EjectOptions;
pub use fault::{CallError, Fault, Outcome};
pub use fleet::Fleet;
pub use gate::{LimitOptions, Priority};
pub use lineup::PeerState;
#[cfg(test)]
pub use names::Resolve;
pub use options::{Balance, HealthOptions, NotAPath, ServiceOptions, Timeouts};
#[cfg(test)]
pub use pool::Health;
pub use pool::Pool;
pub use retry::{Causes, End, MOST_ATTEMPTS, RetryOptions, retry_after};
pub use share::Share;
pub use upgrade::{Upgrade, upgrade};

/// Locks, whatever happened to a thread that held the lock: what these locks guard is replaced whole, never left half
/// changed.
fn lock<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

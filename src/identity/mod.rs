//! Who is calling? A [`token::Token`] is everything `routes.yaml` says under one name in `tokens:`: where the token is
//! looked for ([`source`]), how it is verified ([`verify`]; by keys that its issuer publishes: [`keys`]), which session must exist for it ([`store`], in this process
//! ([`memory`]) or in a Redis that gateways share ([`redis`])), which headers a service is told the caller by ([`caller`]),
//! and how a session goes on when its token runs out ([`refresh`]).
//!
//! ```text
//! headers ─ source::find ─ cache ─ (miss: Verifier::verify ─ Identity) ─ over? ─ session in the store? ─ Caller
//! ```
//!
//! What holds whatever happens:
//! - Nothing a client sent is believed before the signature is good, and only then does anything enter the cache.
//! - A cached token costs no cryptography and no allocation; its end is looked at on every request.
//! - A session that was ended here is unknown to every request that starts afterwards; one that was ended elsewhere, within
//!   `max_staleness` at the latest.
//! - A store that does not answer is [`caller::Caller::StoreDown`], and keys that can't be had are
//!   [`caller::Caller::KeysDown`]: never a refused caller.
//! - No text made here, `Debug` included, holds a token or a secret.

pub mod caller;
pub mod claims;
pub mod cookie;
pub mod key;
pub mod keys;
mod lineage;
pub mod memory;
pub mod metrics;
pub mod now;
pub mod provider;
pub mod redis;
pub mod refresh;
pub mod rules;
pub mod source;
pub mod standing;
pub mod store;
pub mod token;
pub mod unique;
pub mod verify;

#[cfg(test)]
pub(crate) mod testkit;

pub use caller::{Caller, Identity, Mark};
pub use claims::ClaimPath;
pub use now::Now;
pub use source::{By, Presented};
pub use store::SessionStore;
pub use token::Token;
pub use verify::Refused;

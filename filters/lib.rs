//! The filter contract of Hilum ([`api`]), what users write in options ([`units`]), and the built-in filters: one
//! file each, private, reached through [`FILTERS`] only, so the engine can't treat one of them in a special way.
#![allow(
    clippy::needless_pass_by_value,
    reason = "a hook gets its exchange by value: what it does with it is its own affair"
)]

pub mod api;
#[cfg(feature = "testkit")]
pub mod testkit;
pub mod units;

mod cors;
mod headers;
mod ip_allow;
mod security_headers;

use api::{Registration, register};

/// The filters that a route's `filters:` may name, in the order of the alphabet.
pub static FILTERS: &[Registration] =
    &[register::<headers::Headers>(), register::<ip_allow::IpAllow>(), register::<security_headers::SecurityHeaders>()];

/// The filter behind a route's key `cors:`. The engine has a fixed place for it, so `filters:` may not name it.
pub static CORS: Registration = register::<cors::Cors>();

#[cfg(test)]
mod catalogue;

/// The code of the tutorial is compiled and run as a test.
#[cfg(doctest)]
#[doc = include_str!("README.md")]
pub struct Readme;

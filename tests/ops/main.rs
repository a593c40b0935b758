//! What operators do to a running gateway: peers die, files change, signals come. Requests are counted, and none may be lost.

#![allow(clippy::large_futures, reason = "a test runs once")]

#[path = "../harness/mod.rs"]
mod harness;

mod audit;
mod balance;
mod certificates;
mod drain;
mod files;
mod fleet;
mod load;
mod peers;
mod refresh;
mod sessions;
mod tokens;
mod upgrade;

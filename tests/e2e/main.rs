//! The real gateway against scripted services, from the outside: what a client, a service, an operator can see.

#![allow(clippy::large_futures, reason = "a test runs once")]

#[path = "../harness/mod.rs"]
mod harness;

mod forward;

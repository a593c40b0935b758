//! The services over real sockets, against the contract that clients and the gateway rely on.
//! `world.rs` starts them and checks cases; each other file is one subject.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

mod accounts;
mod changes;
mod contacts;
mod founding;
mod people;
mod reading;
mod shapes;
mod start;
mod world;

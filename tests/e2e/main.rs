//! The real gateway against scripted services, from the outside: what a client, a service and an operator can see.

#![allow(clippy::large_futures, reason = "a test runs once")]

#[path = "../harness/mod.rs"]
mod harness;
mod world;

mod access;
mod admin;
mod audit;
mod bodies;
mod buffered;
mod combine;
mod connections;
mod cors;
mod csrf;
mod demo;
mod docs;
mod failures;
mod files;
mod forward;
mod front_door;
mod guard;
mod identity;
mod jwks;
mod login;
mod overload;
mod pages;
mod peers_tls;
mod proxy_protocol;
mod rates;
mod records;
mod redis;
mod refresh;
mod retries;
mod seen;
mod sessions;
mod streams;
mod time;
mod tls;
mod validate;

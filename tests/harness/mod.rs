//! What every black-box test stands on: the real gateway as a process, services that do what a script says, and a client
//! that sends and reads bytes. Nothing here knows the gateway from the inside.
//!
//! ```text
//! gateway.rs   the process: its files, addresses, log, signals      metrics.rs   what it counts
//! service.rs   a service on a port of its own                        script.rs    what it does with a request
//! recorder.rs  a service that takes nothing but whole requests by the letter
//! redis.rs     a real Redis to kill and freeze                       canary.rs    another client, on a thread of its own
//! keys.rs      a pair of keys, as issuers publish them
//! tls.rs       certificates, and clients that speak TLS and HTTP/2
//! client.rs    a connection of a client                              expect.rs    requests and expectations as text
//! ```
//!
//! A test binary takes it in with `#[path = "../harness/mod.rs"] mod harness;`.

#![allow(dead_code, unused_imports, reason = "each test binary uses its own part")]

mod canary;
mod client;
mod expect;
mod gateway;
mod keys;
mod metrics;
mod recorder;
mod redis;
mod script;
mod service;
pub(crate) mod tls;

use std::future::Future;
use std::time::Duration;

pub(crate) use canary::Canary;
pub(crate) use client::{Client, Response};
pub(crate) use expect::{check, compare, expect, message};
pub(crate) use gateway::{AUDIT_KEY, Builder, Gateway};
pub(crate) use keys::{Pair, published};
pub(crate) use metrics::Samples;
pub(crate) use recorder::Recorder;
pub(crate) use redis::{Redis, Sentinel, command};
pub(crate) use script::{Reply, Step, puppet};
pub(crate) use service::{Refusing, Seen, Service};
pub(crate) use tls::{Authority, Dialer, Http2, Issued};

/// How long anything may take before a test gives up on it. Generous: the machine may be busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Asks again and again until there is an answer. For what has no event to wait for: files and counters of another process.
pub(crate) async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, ask: impl FnMut() -> F) -> T {
    eventually_in(PATIENCE, what, ask).await
}

/// The same with another patience.
pub(crate) async fn eventually_in<T, F: Future<Output = Option<T>>>(
    patience: Duration,
    what: &str,
    mut ask: impl FnMut() -> F,
) -> T {
    let asking = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(patience, asking).await.unwrap_or_else(|_| panic!("not within {patience:?}: {what}"))
}

/// Waits for something that has an event of its own.
pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("not within {PATIENCE:?}: {what}"))
}

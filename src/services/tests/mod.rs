//! Tests over real sockets.

mod call;
mod fleet;
mod health;
mod log;
mod names;
pub(super) mod scripted;
mod tls;

//! Tests over real sockets.

mod attempts;
mod call;
mod eject;
mod fleet;
mod health;
mod log;
mod names;
pub(super) mod scripted;
mod tls;

//! What is seen from outside: metrics, the access log, trace ids. The rest of the log is `log` + `env_logger`.

mod access;
pub mod audit;
mod diagnostics;
mod json;
mod metrics;
mod route_metrics;
mod seldom;
mod trace;

pub use access::{AccessLog, Destination, Line, Millis, Time};
pub use diagnostics::start as start_log;
pub use metrics::Metrics;
pub use route_metrics::{RouteMetrics, shown};
pub use seldom::Seldom;
pub use trace::TraceParent;

//! Everything that is no access log: start, reloads, health changes, failures of ours.

use log::LevelFilter;

/// Starts the log on standard error.
///
/// Pingora's own lines may hold the path, the query and, after a broken head, raw bytes of a request with cookies and tokens in
/// them. What they tell is in our access log, metrics and health lines, so they are switched off, whatever the level. Of every other
/// crate only warnings are shown: below that they tell what no operator asked for, headers among it.
pub fn start(level: LevelFilter) {
    let mut builder = env_logger::Builder::new();
    builder.filter_level(LevelFilter::Warn.min(level));
    // Each name stands for all that begin with it.
    builder.filter_module("hilum", level);
    builder.filter_module("pingora", LevelFilter::Off);
    // Only the first start of a process counts; tests start many gateways.
    let _ = builder.try_init();
}

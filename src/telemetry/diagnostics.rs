//! Everything that is no access log: start, reloads, health changes, failures of ours.

use log::LevelFilter;

/// Starts the log on standard error.
///
/// Pingora's own lines may hold the path, the query and, after a broken head, raw bytes of a request with cookies and tokens in
/// them. What they tell is in our access log, metrics and health lines, so they are switched off, whatever the level.
pub fn start(level: LevelFilter) {
    let mut builder = env_logger::Builder::new();
    builder.filter_level(level);
    for target in [
        "pingora_core",
        "pingora_proxy",
        "pingora_http",
        "pingora_pool",
        "pingora_cache",
        "pingora_load_balancing",
        "pingora_error",
    ] {
        builder.filter_module(target, LevelFilter::Off);
    }
    // These would fill the log at `debug` and `trace` with what no operator asked for, headers among it.
    for target in
        ["h2", "rustls", "tokio_rustls", "httparse", "mio", "notify", "notify_types", "inotify", "serde_saphyr"]
    {
        builder.filter_module(target, LevelFilter::Warn.min(level));
    }
    // Only the first start of a process counts; tests start many gateways.
    let _ = builder.try_init();
}

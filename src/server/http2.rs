//! What an HTTP/2 connection may cost. What h2 itself bounds (resets by the client, small DATA, CONTINUATION) is left as it is; what it
//! does not bound, the guard does.

use std::time::Duration;

use pingora_core::apps::HttpServerOptions;
use pingora_core::protocols::http::v2::server::{H2Options, default_h2_options};

/// What a client may send before we have read it, for one stream and for all of them: as much as a body may be by default, so that
/// one slow upload does not hold up the others.
const RECEIVED: (u32, u32) = (64 * 1024, 1024 * 1024);

/// What of one answer is kept for a client that does not take it; h2 itself would keep 400 KiB for each of 100 streams.
const SENT: usize = 64 * 1024;

/// How many streams a client may make us reset. Each of them may have begun a request, and is no longer among those that are open at
/// once (CVE-2025-8671). A good client does it when it sends more of them than it may, before it has heard how many that are.
const RESET: usize = 128;

/// Starts from Pingora's limits: 100 streams at once, 64 KiB of header lines (the front door takes less).
pub(super) fn options() -> H2Options {
    let mut options = default_h2_options();
    let (stream, connection) = RECEIVED;
    options.initial_window_size(stream).initial_connection_window_size(connection).max_send_buffer_size(SENT);
    options.max_local_error_reset_streams(Some(RESET));
    options
}

/// A connection without a request ends after `idle`. Plain connections are HTTP/1 only.
pub(super) fn server_options(idle: Duration) -> HttpServerOptions {
    let mut options = HttpServerOptions::default();
    options.h2_idle_timeout = Some(idle);
    options
}
